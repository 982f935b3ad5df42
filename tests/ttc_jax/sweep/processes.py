"""Starting the sweeps of ``tests.ttc_jax.sweep.swept`` in processes of their own."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
OPTIONS = {"num_tasks": 300, "chunk_size": 16}


def start(devices=1, **options):
    """A process that runs the sweep on so many devices of the CPU."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ttc_jax.sweep.swept", json.dumps(options)],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def finish(process):
    """What it printed; an error of the script is one of the test."""
    out, error = process.communicate(timeout=120)
    assert process.returncode in (0, 3), error
    return json.loads(out.splitlines()[-1])


def free_address():
    """An address on this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def num_measured(folder):
    """Number of tasks that the chunks in a folder have between them."""
    total = end = 0
    for first, last in sorted(tuple(map(int, path.stem.split("-"))) for path in folder.glob("*.chunk")):
        total += max(0, last - max(first, end))
        end = max(end, last)
    return total
