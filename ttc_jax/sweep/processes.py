"""Several processes, started with ``jax.distributed``: what each has is exchanged, and an error of one is an error of all.

A process that is at work shows life between its chunks, and one that has done its part waits and shows life too: the loss of
one, or its error, is noticed within half a minute, and none waits so long that it would be taken for a loss.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

_SECONDS_BETWEEN_SIGNS = 20.0
_BUSY, _DONE = b"busy", b"done"
_LONGEST_MESSAGE = 500
_last_sign = 0.0


class ProcessError(RuntimeError):
    """Processes that share a sweep cannot go on: one stopped or is gone, or they differ; the message says which."""


def count() -> int:
    """Return the number of processes that share the sweep."""
    return jax.process_count()


def index() -> int:
    """Which of them this one is; process 0 writes what there is one of."""
    return jax.process_index()


def exchange(own: bytes | BaseException) -> list[bytes]:
    """Gather the value of every process, in their order; all processes wait here for each other.

    Raises:
        ProcessError: another process gave an exception, or is gone.
    """
    if count() == 1:
        return [own if isinstance(own, bytes) else b""]
    if jax.local_device_count() * count() != jax.device_count():
        total = f"{jax.local_device_count()} of {jax.device_count()} in process {index()} of {count()}"
        raise ProcessError(f"processes must have equally many devices, got {total}")
    failed = not isinstance(own, bytes)
    data = np.frombuffer(_one_line(own).encode() if isinstance(own, BaseException) else own, np.uint8)
    try:
        lengths = multihost_utils.process_allgather(np.array([len(data), failed], np.int64))
        padded = np.zeros(max(1, int(lengths[:, 0].max())), np.uint8)
        padded[: len(data)] = data
        found = multihost_utils.process_allgather(padded)
    except jax.errors.JaxRuntimeError as error:
        raise ProcessError(f"process {index()} of {count()} waits for another one, which is gone") from error
    global _last_sign
    _last_sign = time.monotonic()
    everything = [bytes(row[:length]) for row, (length, _) in zip(found, lengths.tolist(), strict=True)]
    for process, (_, has_failed) in enumerate(lengths.tolist()):
        if has_failed and process != index():
            raise ProcessError(f"process {process} of {count()} stopped: {everything[process].decode()}")
    return everything


def _one_line(error: BaseException) -> str:
    said = " ".join(str(error).split())[:_LONGEST_MESSAGE]
    return said if isinstance(error, ValueError) else f"{type(error).__name__} {said}".strip()


@contextlib.contextmanager
def failing_together() -> Iterator[None]:
    """Within this block an exception of one process is one of all, each at the next exchange."""
    try:
        yield
    except ProcessError:
        raise
    except BaseException as error:
        with contextlib.suppress(ProcessError):  # this process's own error is the one to raise
            exchange(error)
        raise


def show_life() -> None:
    """Called between chunks: at times the others hear that this process is at work, and it hears of them."""
    if count() > 1 and time.monotonic() - _last_sign > _SECONDS_BETWEEN_SIGNS:
        exchange(_BUSY)


def wait() -> None:
    """Until all others have done their part too."""
    while count() > 1 and any(answer == _BUSY for answer in exchange(_DONE)):
        pass
