"""Several processes, started with ``jax.distributed``: what each has is exchanged, and an error of one is an error of all."""

from __future__ import annotations

import jax
import numpy as np
from jax.experimental import multihost_utils


class ProcessError(RuntimeError):
    """Another process could not go on; the message says which, and why."""


def count() -> int:
    """How many processes share the sweep."""
    return jax.process_count()


def index() -> int:
    """Which of them this one is; process 0 writes what there is one of."""
    return jax.process_index()


def exchange(own: bytes | Exception) -> list[bytes]:
    """What every process gives, in their order; all of them wait here for each other.

    Raises:
        Exception: the one that this process gave.
        ProcessError: another process gave an exception, or is gone.
    """
    if count() == 1:
        if isinstance(own, Exception):
            raise own
        return [own]
    failed = isinstance(own, Exception)
    data = np.frombuffer(str(own).encode() if isinstance(own, Exception) else own, np.uint8)
    try:
        lengths = multihost_utils.process_allgather(np.array([len(data), failed], np.int64))
        padded = np.zeros(int(lengths[:, 0].max()), np.uint8)
        padded[: len(data)] = data
        found = multihost_utils.process_allgather(padded)
    except jax.errors.JaxRuntimeError as error:
        raise ProcessError(f"process {index()} of {count()} waits for another one, which is gone") from error
    if isinstance(own, Exception):
        raise own
    everything = [bytes(row[:length]) for row, (length, _) in zip(found, lengths.tolist(), strict=True)]
    for process, (_, has_failed) in enumerate(lengths.tolist()):
        if has_failed:
            raise ProcessError(f"process {process} of {count()} stopped: {everything[process].decode()}")
    return everything
