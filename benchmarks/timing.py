"""Medians in one process, after warm-up, with the alternatives taking turns so that drift of the machine hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np


def medians(runs: Mapping[str, Callable[[], object]], repeats: int = 9) -> dict[str, float]:
    """Median seconds of each run; a run returns host values, or it would be timed before it has finished."""
    for run in runs.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in taken.items()}


def print_table(title: str, seconds: Mapping[str, float], baseline: str) -> None:
    """Milliseconds, and the ratio to the baseline's."""
    print(f"\n{title}\n{'':44}{'ms':>9}{'ratio':>8}")
    for name, value in seconds.items():
        print(f"{name:44}{1e3 * value:9.1f}{value / seconds[baseline]:8.2f}")


def host(values: object) -> np.ndarray:
    """Wait for a result."""
    return np.asarray(values)
