"""A run of several processes is that of one, and the loss of a process is one line with an exit status of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments.command import cli, workers
from experiments.page import results
from experiments.run.errors import DEFECT, DISAGREES, LOST
from tests.experiments.commands import QUIET
from tests.ttc_jax.sweep.processes import free_address, num_measured

LONG = ["run", "averaging", "--num-tasks", "1000000", "--memory-mib", "1"]


@pytest.fixture(autouse=True)
def shadows(tmp_path_factory, monkeypatch):
    """The folder of a user who has files with the names of the packages."""
    folder = tmp_path_factory.mktemp("shadows")
    (folder / "theory.py").write_text("raise SystemExit(1)")
    (folder / "experiments").mkdir()
    monkeypatch.chdir(folder)


STARTED = []


@pytest.fixture(autouse=True)
def no_process_stays():
    """Kill what a failed test has left running; workers end with their supervisor."""
    yield
    while STARTED:
        STARTED.pop().kill()


def start(arguments, **environment):
    command = [sys.executable, "-P", "-c", "import ttc_start; ttc_start.console()", *map(str, arguments)]
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    STARTED.append(subprocess.Popen(command, env={**os.environ, "XLA_FLAGS": flags, **environment}, text=True, **streams))
    return STARTED[-1]


def workers_of(process):
    """The process numbers of its workers."""
    return [int(number) for number in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def wait_for_chunks(folder, process, more_than=0):
    while num_measured(folder / "averaging/sweeps/0") <= more_than:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def alive(workers, seconds=0.0):
    """The workers that still run after waiting at most ``seconds`` for their end."""
    deadline = time.monotonic() + seconds
    while (running := [worker for worker in workers if Path(f"/proc/{worker}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return running


def lines(process):
    """What it says to its user, but for the chatter of the library that connects processes."""
    out, error = process.communicate(timeout=120)
    return out, [line for line in error.splitlines() if line.startswith("ttc: ")]


def test_two_processes_give_the_results_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    process = start(["run", "averaging", *QUIET, "--processes", "2", "--out", tmp_path / "two"])
    out, said = lines(process)
    assert process.returncode == 0, said
    assert re.fullmatch(r"averaging: inconclusive.*\n", out)  # and nothing of the library that connects processes
    assert cli.main(["run", "averaging", *QUIET]) == 0
    one, two = (results.read(tmp_path / out / "averaging") for out in ("results", "two"))
    np.testing.assert_allclose(two["measured"], one["measured"], rtol=1e-6)
    np.testing.assert_allclose(two["standard_error"], one["standard_error"], rtol=1e-5)


def test_a_lost_worker_is_reported_in_one_line_and_the_run_goes_on(tmp_path):
    """Three runs of the same command; each continues with the chunks of the one before."""
    for victim, number in ((0, signal.SIGKILL), (1, signal.SIGTERM), (None, signal.SIGINT)):
        kept = num_measured(tmp_path / "averaging/sweeps/0")
        process = start([*LONG, "--processes", "2", "--out", tmp_path])
        wait_for_chunks(tmp_path, process, more_than=kept)
        both = workers_of(process)
        os.kill(process.pid if victim is None else both[victim], number)
        _, messages = lines(process)
        if victim is None:
            assert process.returncode == 130
            assert messages == ["ttc: interrupted; what is measured is kept, and the same command goes on"]
            assert not alive(both, seconds=30)
        else:
            assert process.returncode == LOST
            killed = f"process {victim} of 2 was killed ({number.name})"
            assert messages == [f"ttc: {killed}; what is measured is kept, and the same command goes on"]
            assert not alive(both)


def test_workers_end_with_their_supervisor(tmp_path):
    process = start([*LONG, "--processes", "2", "--out", tmp_path])
    wait_for_chunks(tmp_path, process)
    both = workers_of(process)
    process.kill()
    process.communicate()
    assert not alive(both, seconds=30)


def test_processes_that_others_start_meet_by_the_environment(tmp_path):
    """As a scheduler starts them, one of them killed: both say what happened, and what is measured is kept."""
    shared = {"JAX_COORDINATOR_ADDRESS": free_address(), "JAX_NUM_PROCESSES": "2"}
    both = [start([*LONG, "--out", tmp_path], **shared, JAX_PROCESS_ID=str(index)) for index in (0, 1)]
    wait_for_chunks(tmp_path, both[0])
    os.kill(workers_of(both[1])[0], signal.SIGKILL)
    (_, first), (_, second) = (lines(process) for process in both)
    assert [process.returncode for process in both] == [LOST, LOST]
    assert first[-1].startswith("ttc: process 0 of 2 ")
    assert "the same command goes on" in first[-1]
    assert second == ["ttc: process 1 of 2 was killed (SIGKILL); what is measured is kept, and the same command goes on"]


@pytest.mark.parametrize("number", ["0", "1"])
def test_an_error_of_a_worker_is_one_line(tmp_path, number):
    """The folder cannot be written, as the first process finds; or the second is given wrong arguments of its own."""
    if number == "0":
        (tmp_path / "averaging").write_text("")
        process = start(["run", "averaging", *QUIET, "--processes", "2", "--out", tmp_path])
        _, said = lines(process)
        assert process.returncode == 2
        assert len(said) == 1
        assert "out must be a folder" in said[0]
    else:
        process = start(["run", "averaging", *QUIET], JAX_COORDINATOR_ADDRESS=free_address(), JAX_NUM_PROCESSES="two")
        _, said = lines(process)
        assert process.returncode == 2
        assert said == ["ttc: JAX_NUM_PROCESSES must be an integer where JAX_COORDINATOR_ADDRESS is set, got 'two'"]


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("raise ImportError", DEFECT),
        ("raise SystemExit(11)", DISAGREES),
        ("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 1)", LOST),  # a signal without a name
    ],
)
def test_a_worker_that_does_not_start_does_not_disagree(program, status, monkeypatch, capfd):
    monkeypatch.setattr(workers, "_PROGRAM", program)
    monkeypatch.setattr(sys, "stdout", sys.__stderr__)
    assert workers.supervise([], 1) == status
