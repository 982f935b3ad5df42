"""Sweep in a process of its own: ``python -m tests.ttc_jax.sweep.swept OPTIONS``; options and results are JSON.

Beside the options of ``ttc_jax.sweep``: ``pause``, seconds of rest after each chunk; ``die_at``, tasks after which the process
kills itself; ``limit_bytes``, the largest file that it may write; ``meet``, [address, number of processes, index], to be one of
several.
"""

import hashlib
import json
import os
import resource
import signal
import sys
import time
import warnings

import jax
import numpy as np

import ttc_jax
from ttc_jax import decoders

AXES = {"decoding_noise_std": [0.0, 0.1]}
REUSED = {"num_steps": [0, 4], "num_candidates": [1, 3]}
CONFIG = ttc_jax.TaskConfig(5, 12)


def risks(key, *, decoding_noise_std):
    """Risks of chains, by matrix products."""
    task_key, chain_key = jax.random.split(key)
    task = ttc_jax.sample_task(task_key, CONFIG, label_noise_std=0.3)
    chain = {"num_steps": (0, 4), "num_candidates": (1, 3), "decoding_noise_std": decoding_noise_std}
    return ttc_jax.averaged_risk(chain_key, task, decoders.gram(0.3), **chain)


def key():
    """Of the sweep; a key made before processes have met would keep them from it."""
    return jax.random.key(29)


def digest(result):
    """Hash of every bit of what was measured."""
    arrays = result.mean, result.standard_error, result.tail_share, result.tail_index
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def main(pause=0.0, die_at=None, limit_bytes=None, meet=None, **options):
    if meet is not None:
        address, count, index = meet
        jax.distributed.initialize(address, count, index, heartbeat_timeout_seconds=10)

    def progress(done):
        time.sleep(pause)
        if die_at is not None and done >= die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    if limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            result = ttc_jax.sweep(key(), risks, AXES, reused_axes=REUSED, progress=progress, **options)
    except (ttc_jax.StoreError, ttc_jax.ProcessError) as error:
        print(json.dumps({"error": str(error), "kind": type(error).__name__}), flush=True)
        if meet is not None and meet[2] == 0:
            time.sleep(4.0)  # the others are cut off with the first
        os._exit(3)  # without waiting for processes that are gone
    found = {"digest": digest(result), "mean": result.mean.tolist(), "standard_error": result.standard_error.tolist()}
    found["warnings"] = [str(one.message) for one in caught]
    print(json.dumps({**found, "resumed": result.num_resumed, "devices": len(jax.local_devices())}), flush=True)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
