"""Measurements at several dimensions against a prediction for infinite dimension.

With the errors m_1, m_2 of the two largest dimensions d_1 < d_2, (d_2 m_2 - d_1 m_1) / (d_2 - d_1) has no 1/d term, and what it
leaves is taken as the next term of a series in d_1 / d_2, |m_2 - m_1| d_1 / d_2. With three dimensions there is no 1/d^2 term
either, and the neglected error is estimated by the change that the smallest dimension makes. Only the extrapolation is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments.run.engine import Engine
from experiments.run.study import Measurement

EXTRAPOLATED = "extrapolated"
"""Name of the infinite dimension among the dimensions of a run."""


def with_limit(
    dims: np.ndarray, axes: dict[str, np.ndarray], mean: np.ndarray, error: np.ndarray, num_dims: int = 2
) -> Measurement:
    """Measurements on axes (dim, *axes), and their extrapolation to infinite dimension from the ``num_dims`` largest.

    There is no number of effective tasks: each task is an average over hundreds of coefficients, or a logarithm, and has a law
    that is near normal, so that Student's t holds for few tasks.
    """
    limit, stray = extrapolated(dims[-num_dims:], mean[-num_dims:], error[-num_dims:])
    named = np.array([*map(str, dims), EXTRAPOLATED])
    return Measurement({"dim": named, **axes}, np.concatenate([mean, limit[None]]), np.concatenate([error, stray[None]]))


def extrapolated(dims: np.ndarray, mean: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean in infinite dimension from those of two or three dimensions, and its error with what the extrapolation leaves."""
    limit, stray = _at_infinity(dims.astype(float), mean, error)
    if len(dims) == 2:
        left = np.abs(mean[1] - mean[0]) * dims[0] / dims[1]
    else:
        left = np.abs(limit - _at_infinity(dims[1:].astype(float), mean[1:], error[1:])[0])
    return limit, np.hypot(stray, left)


def _at_infinity(dims: np.ndarray, mean: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The polynomial in 1/d through all dimensions, at 1/d = 0, and its standard error."""
    weights = np.array([np.prod([dim / (dim - other) for other in dims if other != dim]) for dim in dims])
    return np.tensordot(weights, mean, 1), np.sqrt(np.tensordot(weights**2, error**2, 1))


def measure_typical(
    config: Any,
    seed: int,
    engine: Engine,
    measurement: Callable[[Any, int], Callable[..., Any]],
    swept: dict[str, np.ndarray],
    reused: dict[str, np.ndarray],
    *,
    concentration: int,
    num_dims: int,
) -> Measurement:
    """Geometric means over independent runs, on axes (dim, *swept, *reused), infinite dimension last.

    In large dimension every run has the same error, so that all averages over runs have the same limit. The mean of the
    logarithm converges fastest: rare runs with huge errors do not dominate it, and it is almost linear in 1/d.

    ``measurement(config, dim)`` is the logarithm of the result of one run. Its variance falls as d^-concentration. The largest
    dimension has ``num_tasks`` runs; smaller ones have more.
    """
    dims = np.sort(config.dim)
    found = []
    engine.expect(len(dims), combined=num_dims)
    for dim in dims:
        more = (dims[-1] / dim) ** concentration
        num_runs = round(more * config.num_tasks)
        result = engine.sweep(
            jax.random.fold_in(jax.random.key(seed), int(dim)),
            measurement(config, int(dim)),
            swept,
            reused_axes={name: np.arange(len(values)) for name, values in reused.items()},
            num_tasks=num_runs,
            relative=False,
        )
        found.append((result.mean, result.standard_error))
    mean, error = np.moveaxis(np.array(found), 1, 0)
    logs = with_limit(dims, {**swept, **reused}, mean, error, num_dims)
    return Measurement(logs.axes, np.exp(logs.mean), np.exp(logs.mean) * logs.standard_error)


def judged(num_dims: int, holds: np.ndarray) -> np.ndarray:
    """Infinite dimension only, and there where the formula ``holds`` (*shape); on axes (dim, *shape)."""
    return np.concatenate([np.zeros((num_dims, *holds.shape), bool), holds[None]])


def check_lists(config: object, least_dims: int = 2) -> None:
    """ValueError unless every list of the settings holds distinct values: enough dimensions, at least one of anything else."""
    for name, values in vars(config).items():
        least = least_dims if name == "dim" else 1
        if isinstance(values, tuple) and (len(values) < least or len(set(values)) < len(values)):
            words = {1: "one", 2: "two", 3: "three"}[least]
            raise ValueError(f"{name} must list distinct values, at least {words}, got {list(values)}")


def check_whole(config: Any, name: str, power: int = 1) -> None:
    """ValueError unless every dimension has a whole number of what is counted per d^power: else no limit is approached."""
    for ratio in np.atleast_1d(getattr(config, name)):
        for dim in config.dim:
            count = dim**power * ratio
            if not (0.5 < count < np.inf and abs(count - round(count)) < 1e-6 * count):
                raise ValueError(f"{name} must give a whole number, at least 1, at d = {dim}, got {ratio:g}")
