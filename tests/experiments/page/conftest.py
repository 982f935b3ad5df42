"""One run whose results are damaged and edited, and the folder in which a test runs."""

import signal

import pytest

from experiments.command import cli
from tests.experiments.page.made import RUN


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One run of a study."""
    folder = tmp_path_factory.mktemp("made")
    assert cli.main([*RUN, "--out", str(folder)]) == 0
    return folder / "averaging"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Each test in a folder of its own, and stopped if it waits for ever."""
    monkeypatch.chdir(tmp_path)

    def waited(*_):
        raise TimeoutError("waited for a file that nobody writes")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
