"""Time to a precision: the risk of the mean of W1's candidates to a relative standard error of 1 %.

W1 is that of `candidates`; only its mean is worked out here, by everyone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator

import numpy as np

import ttc_jax
from benchmarks import candidates
from benchmarks.timing import NO_TORCH, Table, host, medians, torch_is_here
from ttc_jax import aggregation, decoders

TARGET, PILOT, BATCH = 0.01, 20_000, 1024


def _risk_of_mean(states, task):
    return ttc_jax.excess_risk(aggregation.mean(states), task)


def step_by_step(key):
    """The risk on one task, by the Gram recursion."""
    return _risk_of_mean(*candidates.walked(key, decoders.gram(candidates.STEP_SIZE)))


def collapsed(key):
    """The risk on one task, by the exact law of the last state."""
    return _risk_of_mean(*candidates.jumped(key))


def by_sweep(measure, num_tasks: int) -> tuple[float, float]:
    """Mean and standard error."""
    result = ttc_jax.sweep(candidates.KEY, measure, {}, num_tasks=num_tasks)
    return float(result.mean), float(result.standard_error)


def by_loop(chains, num_tasks: int) -> tuple[float, float]:
    """The same by a loop over batches, of NumPy or PyTorch."""
    risks = []
    for first in range(0, num_tasks, BATCH):
        _, _, coefficients, states = chains(min(BATCH, num_tasks - first))
        risks.append(candidates.risks_of_means(coefficients, states))
    values = np.concatenate([host(batch.cpu() if hasattr(batch, "cpu") else batch) for batch in risks])
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(num_tasks))


def tables() -> Iterator[Table]:
    """As many tasks as the pilot says are needed, by everyone."""
    mean, standard_error = by_sweep(step_by_step, PILOT)
    variation = standard_error * math.sqrt(PILOT) / mean
    num_tasks = math.ceil((variation / TARGET) ** 2)
    runs: dict[str, Callable[[], tuple[float, float]]] = {
        "NumPy Gram": functools.partial(by_loop, candidates.numpy_chains, num_tasks)
    }
    if torch_is_here():
        runs["PyTorch Gram"] = functools.partial(by_loop, candidates.torch_chains, num_tasks)
    baseline = list(runs)[-1]
    runs["ttc-jax step by step"] = functools.partial(by_sweep, step_by_step, num_tasks)
    runs["ttc-jax collapsed"] = functools.partial(by_sweep, collapsed, num_tasks)
    rows = []
    taken = medians(runs)
    for name, run in runs.items():
        mean, standard_error = run()
        rows.append((name, 1e3 * taken[name], taken[name] / taken[baseline], mean, 100 * standard_error / mean))
    note = (
        f"A task's risk varies by {variation:.3f} of its mean ({PILOT} tasks), so that 1 % needs {num_tasks} tasks, drawn and "
        f"all. NumPy and PyTorch take them in batches of {BATCH}. {'' if torch_is_here() else NO_TORCH}"
    )
    columns = ("", "ms", "ratio", "risk", "its standard error, %")
    yield Table("The mean of 32 candidates to 1 %", columns, rows, note.strip())
