"""Several processes for one run: started here or joined from the environment, each watched, so that a loss is one clear line.

The command that a user starts is a supervisor, which computes nothing. It runs a worker for every process of this machine, and
stops them all when one is lost. A worker whose peer on another machine sends no sign of life is ended by JAX.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from experiments.errors import UserError

LOST = 75
"""Exit status after the loss of a process: the same command goes on (EX_TEMPFAIL)."""
GOES_ON = "what is measured is kept, and the same command goes on"
_ADDRESS, _COUNT, _INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
_WORKER = "TTC_WORKER"
_AUTO = "auto"
_SIGN_OF_LIFE_S = 20
_POLL_S = 0.05


def is_worker() -> bool:
    """Whether this process was started by a supervisor."""
    return _WORKER in os.environ


def leads() -> bool:
    """Whether this process is the one that writes results and speaks; of workers that have met, the first."""
    if not is_worker():
        return True
    import jax

    return jax.process_index() == 0


def needed(processes: int | str) -> bool:
    """Whether a run that asks for so many processes, in this environment, needs a supervisor.

    Raises:
        UserError: the number is not one.
    """
    if processes != _AUTO and (isinstance(processes, str) or processes < 1):
        raise UserError(f"processes must be an integer of at least 1, or auto, got {processes}")
    return not is_worker() and (processes != 1 or _ADDRESS in os.environ)


def supervise(arguments: list[str], processes: int | str) -> int:
    """Run the command in its workers; returns its exit status."""
    if _ADDRESS in os.environ:
        environments: list[dict[str, str]] = [{}]
        name = f"process {os.environ.get(_INDEX)} of {os.environ.get(_COUNT)}"
    elif processes == _AUTO:
        environments, name = [{}], "this process"
    else:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        shared = {_ADDRESS: address, _COUNT: str(processes)}
        environments, name = [{**shared, _INDEX: str(index)} for index in range(int(processes))], ""
    with tempfile.TemporaryFile() as said:
        workers: list[subprocess.Popen[bytes]] = []
        try:
            for place, environment in enumerate(environments):
                # A worker ends when the other end of its standard input does, however that comes.
                streams: dict[str, Any] = {"stdin": subprocess.PIPE}
                if place > 0:
                    streams |= {"stdout": subprocess.DEVNULL, "stderr": said}
                command = [sys.executable, "-m", "experiments.cli", *arguments]
                workers.append(subprocess.Popen(command, env={**os.environ, **environment, _WORKER: "1"}, **streams))
            place, status = _wait(workers)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        if status in (0, 1, 2) and place == 0:
            return status  # it has said what there is to say
        said.seek(0)
        last_lines = [line for line in said.read().decode(errors="replace").splitlines() if line.startswith("ttc: ")]
    who = name or f"process {place} of {len(workers)}"
    if status < 0:
        lost = "was lost, or lost another one" if status == -signal.SIGABRT else f"was killed ({signal.Signals(-status).name})"
        print(f"ttc: {who} {lost}; {GOES_ON}", file=sys.stderr)
        return LOST
    if place > 0:
        print(last_lines[-1] if last_lines else f"ttc: {who} stopped with status {status}; {GOES_ON}", file=sys.stderr)
    return status


def _wait(workers: list[subprocess.Popen[bytes]]) -> tuple[int, int]:
    """The place and status of the first worker that fails; those of the first of them all if none does."""
    while True:
        statuses = [worker.poll() for worker in workers]
        for place, status in enumerate(statuses):
            # The first one's status says how the run went, which the others do not know.
            if status is not None and status != 0 and (place, status) != (0, 1):
                return place, status
        if None not in statuses:
            return 0, int(statuses[0] or 0)
        time.sleep(_POLL_S)


def join() -> None:
    """Meet the other processes, in a worker.

    Raises:
        UserError: the environment does not say how, or nobody answers.
    """
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
        raise UserError(f"processes must be able to meet, got {asked or 'nothing in the environment'} ({said})") from error


def _follow() -> None:
    """End with the supervisor."""
    while os.read(0, 1):
        pass
    os._exit(LOST)
