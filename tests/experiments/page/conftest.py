"""A run whose results the tests damage and edit, and the working folder of each test."""

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
    """Run each test in a separate folder, and stop it if it waits for ever."""
    monkeypatch.chdir(tmp_path)

    def waited(*_):
        raise TimeoutError("waited for a file that nobody writes")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
