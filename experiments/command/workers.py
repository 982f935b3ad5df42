"""Several processes for one run: started here or joined from the environment, each watched, so that a loss is one clear line.

The command that a user starts is a supervisor, which computes nothing. It runs a worker for every process of this machine, and
stops them all when one is lost. A worker whose peer on another machine sends no sign of life is ended by JAX.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from experiments.run import environment
from experiments.run.errors import AGREES, DEFECT, DISAGREES, LOST, OUTPUT, USAGE, UserError

GOES_ON = "what is measured is kept, and the same command goes on"
_ADDRESS, _COUNT, _INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
_WORKER = "TTC_WORKER"
_HERE = "here"  # its value where all workers are on this machine
_AUTO = "auto"
_SIGN_OF_LIFE_S = 20
_POLL_S = 0.05
_FAILURES_WAIT_S = 6.0  # for failures of other workers, of which one may be the cause
_MESSAGE_WAIT_S = 3.0  # for messages of other workers
_OWN = (USAGE, DEFECT, OUTPUT, LOST)
_DISAGREES = 11  # status of a worker: Python itself exits with 1 when it cannot start
# Neither the folder in which a worker starts nor its modules are looked at before the packages of this file.
_PROGRAM = "import sys; sys.path.append({root!r}); import ttc_start; ttc_start.console()"


def is_worker() -> bool:
    """Whether this process was started by a supervisor."""
    return _WORKER in os.environ


def leads() -> bool:
    """Whether this process is the one that writes results and messages; of workers that have met, the first."""
    if not is_worker():
        return True
    import jax

    return jax.process_index() == 0


def needed(processes: int | str) -> bool:
    """Return whether a run with this number of processes needs a supervisor in this environment.

    Raises:
        UserError: the number is not one.
    """
    if processes != _AUTO and (isinstance(processes, str) or processes < 1):
        raise UserError(f"processes must be an integer of at least 1, or auto, got {processes}")
    return not is_worker() and (processes != 1 or _ADDRESS in os.environ)


def supervise(arguments: list[str], processes: int | str) -> int:
    """Run the command in its workers; returns its exit status."""
    environments: list[dict[str, str]] = [{}]
    name, where = "this process", "elsewhere too"
    if _ADDRESS in os.environ:
        name = f"process {os.environ.get(_INDEX)} of {os.environ.get(_COUNT)}"
    elif processes != _AUTO:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            shared = {_ADDRESS: f"localhost:{free.getsockname()[1]}", _COUNT: str(processes)}
        environments = [{**shared, _INDEX: str(index)} for index in range(int(processes))]
        name, where = "", _HERE
    with tempfile.TemporaryFile() as said:
        workers: list[subprocess.Popen[bytes]] = []
        try:
            for place, environment in enumerate(environments):
                # A worker ends when the other end of its standard input does, however that comes.
                streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": sys.stdout}
                if place > 0:
                    streams |= {"stdout": subprocess.DEVNULL, "stderr": said}
                program = _PROGRAM.format(root=str(Path(__file__).resolve().parents[2]))
                command = [sys.executable, "-P", "-c", program, *arguments]
                workers.append(subprocess.Popen(command, env={**os.environ, **environment, _WORKER: where}, **streams))
            place, status, leader = _wait(workers)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
                if worker.stdin is not None:
                    worker.stdin.close()
        said.seek(0)
        words = said.read().decode(errors="replace")
    who = name or f"process {place} of {len(workers)}"
    if status < 0:
        lost = "was lost, or lost another one" if status == -signal.SIGABRT else f"was killed ({_signal_name(-status)})"
        print(f"ttc: {who} {lost}; {GOES_ON}", file=sys.stderr)
        return LOST
    if status == _DISAGREES:
        return DISAGREES
    if status not in (AGREES, *_OWN):  # Python did not start, say
        status = DEFECT
    if status == DEFECT and place > 0:
        print(words, file=sys.stderr)
    elif place > 0 and leader is None:  # otherwise the first one has said what it heard of this one
        print([*(line for line in words.splitlines() if line.startswith("ttc: ")), f"ttc: {who} stopped"][0], file=sys.stderr)
    return status


def _wait(workers: list[subprocess.Popen[bytes]]) -> tuple[int, int, int | None]:
    """Place and status of the worker that failed, or of the first if none did; and the status of the first, if it has ended."""
    ending: float | None = None
    while True:
        statuses = [worker.poll() for worker in workers]
        # The first one's status says how the run went, which the others do not know.
        failed = [(place, status) for place, status in enumerate(statuses) if status and (place, status) != (0, _DISAGREES)]
        ending = time.monotonic() if failed and ending is None else ending
        killed = [one for one in failed if one[1] < 0 and one[1] != -signal.SIGABRT]
        # A worker that fails notifies the others; the order in which they end does not matter.
        if killed or None not in statuses or (ending is not None and time.monotonic() - ending > _FAILURES_WAIT_S):
            failed.sort(key=_weight)
            place, status = failed[0] if failed else (0, statuses[0] or 0)
            return place, status, statuses[0]
        time.sleep(_POLL_S)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        return f"signal {number}"


def _weight(failed: tuple[int, int]) -> tuple[int, int]:
    """Return the rank of a failure: an error of the worker itself, a kill, then a consequence of another worker's failure."""
    place, status = failed
    return (0 if status > 0 and status != LOST else 1 if status not in (LOST, -signal.SIGABRT) else 2), place


def end(status: int) -> NoReturn:
    """End a worker. A failed one does not wait for the others, but the first waits for their messages: its end is theirs."""
    if status in (AGREES, DISAGREES):
        sys.exit(_DISAGREES if status == DISAGREES else status)
    sys.stderr.flush()
    with contextlib.suppress(RuntimeError):  # JAX found no device: there is no first one
        if leads():
            time.sleep(_MESSAGE_WAIT_S)
    os._exit(status)


def join() -> None:
    """Meet the other processes, in a worker.

    Raises:
        UserError: the environment does not say how, or nobody answers.
    """
    environment.check()
    import jax

    threading.Thread(target=_follow, daemon=True).start()
    asked: dict[str, Any] = {}
    if address := os.environ.get(_ADDRESS):
        asked["coordinator_address"] = address
        for argument, variable in (("num_processes", _COUNT), ("process_id", _INDEX)):
            value = os.environ.get(variable, "")
            if not value.isdecimal():
                raise UserError(f"{variable} must be an integer where {_ADDRESS} is set, got {value!r}")
            asked[argument] = int(value)
    try:
        jax.distributed.initialize(**asked, heartbeat_timeout_seconds=_SIGN_OF_LIFE_S)
    except (ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())[:200]
        found = ", ".join(f"{name} {value}" for name, value in asked.items()) or "nothing in the environment"
        raise UserError(f"processes must be able to meet, got {found} ({said})") from error
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # JAX catches it, and the worker would go on
    environment.devices()
    if os.environ[_WORKER] == _HERE and jax.default_backend() != "cpu":
        count = jax.process_count()
        raise UserError(f"processes must be 1 on a machine with accelerators, of which one drives all, got {count}")


def _follow() -> None:
    """End with the supervisor."""
    while os.read(0, 1):
        pass
    os._exit(LOST)
