"""Arguments that the parser refuses are one line without its box and its jargon."""

import pytest

from tests.experiments.commands import assert_refused

pytestmark = pytest.mark.usefixtures("elsewhere")

RUN = ["run", "averaging"]
BAD = [
    ([], "subcommand|Expected"),
    (["walk"], "walk"),
    ([*RUN, "--preset", "huge"], "'huge'"),
    ([*RUN, "--num-tasks", "many"], "--num-tasks must be an integer, got 'many'"),
    ([*RUN, "--step-size", "0.1,x"], "--step-size must be numbers separated by spaces, got"),
    ([*RUN, "--num-taks", "3"], "--num-taks.*did you mean --num-tasks"),
    ([*RUN, "--num-tasks", "12.5"], "num-tasks.*'12.5'"),
    ([*RUN, "--chunk-size", "0"], "--chunk-size"),
    ([*RUN, "--processes", "many"], "processes .* 'many'"),
    ([*RUN, "--decoder", "oracle"], "'oracle'"),
    ([*RUN, "--colour", "red"], "--colour"),
    (["report"], "report"),
]


@pytest.mark.parametrize(("arguments", "pattern"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_bad_input_is_one_line_and_exit_status_two(arguments, pattern, capsys, tmp_path):
    assert_refused(arguments, pattern, capsys, tmp_path)
