"""The command line: what a run leaves, what it says, and what careless use gets in return."""

import base64
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import ttc_jax
from experiments import studies
from experiments.command import cli
from experiments.command.options import RunOptions
from experiments.command.presentations import presentation
from experiments.page import report, results
from experiments.run.errors import UserError
from tests.experiments.commands import OPTIONS, QUIET, SMALL, assert_refused, files

pytestmark = pytest.mark.usefixtures("elsewhere")

PAGE = ["averaging", "best-of-n", "covariance"]


def test_list_names_every_study_and_its_question(capsys):
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == studies.names()
    assert all(line.endswith("?") for line in lines)


def test_doctor_says_versions_and_devices(capsys):
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^jax +\d+\.\d+", said, re.MULTILINE)
    assert "float64" in said
    assert "cpu" in said or "gpu" in said or "tpu" in said


def test_the_same_command_gives_the_same_numbers_and_may_be_repeated():
    command = ["run", "averaging", *SMALL, "--seed", "5"]
    assert cli.main(command) == 0
    first = results.read(Path("results/averaging"))
    assert cli.main([*command, "--preset", "quick"]) == 0
    xr.testing.assert_equal(first, results.read(Path("results/averaging")))
    assert cli.main([*command[:-1], "6", "--out", "other"]) == 0
    assert not np.allclose(first["measured"], results.read(Path("other/averaging"))["measured"], rtol=1e-3)


def test_the_version_is_the_package_s(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"ttc {ttc_jax.__version__}\n"


def test_signals_stop_the_command_with_one_line(tmp_path):
    command = [
        sys.executable,
        "-m",
        "experiments.command.cli",
        "run",
        "averaging",
        "--num-tasks",
        "10000000",
        "--out",
        str(tmp_path),
    ]
    root = Path(__file__).parents[3]
    # While importing or compiling, while simulating.
    for delay, number, word in ((1.5, signal.SIGINT, "interrupted"), (5.0, signal.SIGTERM, "terminated")):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
        time.sleep(delay)
        process.send_signal(number)
        try:
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 128 + number
        (line,) = said.splitlines()
        assert line.startswith(f"ttc: {word}")
    assert not (tmp_path / "averaging").exists() or files(tmp_path / "averaging") == []


def test_a_wrong_prediction_exits_with_one(monkeypatch, capsys):
    study = studies.load("averaging")
    true = study.predict

    def wrong(config):
        prediction = true(config)
        return replace(prediction, terms={**prediction.terms, "bias": prediction.terms["bias"] + 1.0})

    monkeypatch.setattr("experiments.studies.averaging.STUDY", replace(study, predict=wrong))
    assert cli.main(["run", "averaging", "--num-tasks", "1000", *SMALL[2:]]) == 1
    assert "averaging: disagrees" in capsys.readouterr().out


def test_report_is_one_page_without_outside_references():
    for study in PAGE:
        cli.main(["run", study, *OPTIONS.get(study, SMALL)])
    assert cli.main(["report", "results"]) == 0
    page = Path("results/report.html").read_text()
    for study in PAGE:
        assert f"id='{study}'" in page
        assert studies.load(study).question in page
    assert page.count("data:image/svg+xml;base64,") == 2 * len(PAGE)
    assert not re.search(r"(src|href)=['\"]?(http|//|/)", page)
    assert "inconclusive" in page
    for study in PAGE:
        assert f"download='{study}.nc'" in page
        data = results.read(Path("results") / study)
        (held,) = re.findall(rf"download='{study}.nc' href='data:application/x-netcdf;base64,([^']*)'", page)
        assert base64.b64decode(held) == Path(f"results/{study}/data.nc").read_bytes()
        command = shlex.split(report.command(data, presentation(data.attrs["study"])))
        assert command[:3] == ["ttc", "run", study]
        config, options = cli._settings(RunOptions, study, command[1:])
        assert json.loads(json.dumps(asdict(config))) == json.loads(data.attrs["config"])
        assert options.seed == data.attrs["seed"]


def test_interruption_writes_nothing(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ttc_jax, "sweep", interrupted)
    assert cli.main(["run", "averaging", *QUIET]) == 130
    assert files("results/averaging") == []
    assert len(capsys.readouterr().err.splitlines()) == 1


RUN = ["run", "averaging"]
BAD = [
    (["run", "nonsense"], "'nonsense'"),
    (["run"], "STUDY"),
    ([*RUN, "--seed", "-1"], "seed .* -1"),
    ([*RUN, "--seed", "4294967296"], "seed .* 4294967296"),
    (["run", "--num-tasks", "3", "averaging"], "STUDY must come right after run"),
    ([*RUN, "--num-steps", "9" * 20], "num_steps .* 1e\\+20"),
    ([*RUN, "--step-size", "3", "--num-steps", "500"], "finite risk, .* step_size 3"),
    ([*RUN, "--num-tasks", "1"], "num_tasks .* 1"),
    ([*RUN, "--dim", "0"], "dim .* 0"),
    ([*RUN, "--num-examples", "-4"], "num_examples .* -4"),
    ([*RUN, "--num-candidates", "0"], "num_candidates .* 0"),
    ([*RUN, "--num-candidates"], "num_candidates .* none"),
    ([*RUN, "--num-candidates", "2", "2"], r"num_candidates .* \[2, 2\]"),
    ([*RUN, "--num-steps", "-1"], "num_steps .* -1"),
    ([*RUN, "--step-size", "nan"], "step_size .* nan"),
    ([*RUN, "--step-size", "0"], "step_size .* 0"),
    ([*RUN, "--label-noise-std", "-0.5"], "label_noise_std .* -0.5"),
    ([*RUN, "--decoding-noise-std", "inf"], "decoding_noise_std .* inf"),
    ([*RUN, "--memory-mib", "0"], "memory_mib .* 0"),
    ([*RUN, "--target-relative-error", "0"], "target_relative_error .* 0"),
    ([*RUN, "--target-relative-error", "nan"], "target_relative_error .* nan"),
    ([*RUN, "--max-tasks", "9000"], "max_tasks must come with target_relative_error, got 9000"),
    ([*RUN, "--target-relative-error", "0.1", "--max-tasks", "9"], "max_tasks .* 3072, got 9"),
    ([*RUN, "--processes", "0"], "processes .* 0"),
    (["replay", "averaging", "--task", "-1"], "task .* -1"),
    (["replay", "trained-linear-attention", *OPTIONS["trained-linear-attention"]], "sweeps .* trained-linear-attention"),
    (["replay"], "STUDY must come right after replay"),
    ([*RUN, "--out", "/proc/nowhere"], "out .* /proc/nowhere"),
    ([*RUN, "--out", "~nosuchuser/o"], "out .* ~nosuchuser/o"),
    (["report", "nowhere"], "DIR .* nowhere"),
]


@pytest.mark.parametrize(("arguments", "pattern"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_bad_input_is_one_line_and_exit_status_two(arguments, pattern, capsys, tmp_path):
    assert_refused(arguments, pattern, capsys, tmp_path)


def test_a_bug_is_not_disguised_as_bad_input(monkeypatch):
    def broken(*_, **__):
        raise ValueError("a defect of the program")

    monkeypatch.setattr(ttc_jax, "sweep", broken)
    with pytest.raises(ValueError, match="a defect"):
        cli.main(["run", "averaging", *SMALL])


def test_unknown_study_is_a_user_error():
    with pytest.raises(UserError, match=", ".join(studies.names())):
        studies.load("../secrets")
