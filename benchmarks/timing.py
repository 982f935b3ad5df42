"""Medians in one process, after warm-up, with the alternatives taking turns so that drift of the machine hits all alike."""

from __future__ import annotations

import functools
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

Name = TypeVar("Name", bound=Hashable)
NO_TORCH = "PyTorch is not installed (pip install -e '.[compare]'): its rows are left out."


@dataclass(frozen=True)
class Table:
    """One table of the page: the first column names the rows, the others hold plain numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""


def ratios(title: str, seconds: Mapping[str, float], baseline: str, note: str = "") -> Table:
    """Milliseconds, and the ratio to the baseline's."""
    rows = [(name, 1e3 * value, value / seconds[baseline]) for name, value in seconds.items()]
    return Table(title, ("", "ms", "ratio"), rows, note)


def medians(runs: Mapping[Name, Callable[[], object]], repeats: int = 9) -> dict[Name, float]:
    """Median seconds of each run; a run returns host values, or it would be timed before it has finished."""
    for run in runs.values():
        run()
    return taking_turns({name: functools.partial(seconds, run) for name, run in runs.items()}, repeats)


def taking_turns(measurements: Mapping[Name, Callable[[], float]], repeats: int) -> dict[Name, float]:
    """Median of what each measurement returns."""
    found: dict[Name, list[float]] = {name: [] for name in measurements}
    for _ in range(repeats):
        for name, measure in measurements.items():
            found[name].append(measure())
    return {name: statistics.median(values) for name, values in found.items()}


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def host(values: object) -> np.ndarray:
    """Wait for a result."""
    return np.asarray(values)


def fresh(*command: str, **environment: str) -> str:
    """Return the output of a command, run in a new process at the repository's root."""
    # On an accelerator this process may hold most of the memory.
    variables = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false", **environment}
    root = Path(__file__).parent.parent
    ran = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True)
    if ran.returncode:
        complaint = ran.stderr.strip().splitlines() or ["it says nothing"]
        raise RuntimeError(f"{shlex.join(command)} ended with status {ran.returncode}: {complaint[-1]}")
    return ran.stdout


def fresh_call(call: str, **environment: str) -> Any:
    """The value of ``module.function(arguments)`` of this package, of plain numbers, in a new process."""
    module = call.split(".")[0]
    code = f"import json; from benchmarks import {module}; print(json.dumps({call}))"
    return json.loads(fresh(sys.executable, "-c", code, **environment).splitlines()[-1])


@functools.cache
def torch_is_here() -> bool:
    """Whether PyTorch can be compared with; it is then given what JAX has, all cores or the accelerator."""
    try:
        import torch
    except ImportError:
        return False
    torch.set_num_threads(os.cpu_count() or 1)
    if jax.default_backend() == "gpu" and torch.cuda.is_available():
        torch.set_default_device("cuda")
    return True
