"""Measurements at several dimensions against a prediction for infinite dimension.

With the errors m_1, m_2 of the two largest dimensions d_1 < d_2, (d_2 m_2 - d_1 m_1) / (d_2 - d_1) has no 1/d term, and what
it leaves is taken as the next term of a series in d_1 / d_2, |m_2 - m_1| d_1 / d_2. Only the extrapolation is judged.
"""

from __future__ import annotations

import numpy as np

from experiments.study import Measurement

EXTRAPOLATED = "extrapolated"
"""Name of the infinite dimension among the dimensions of a run."""


def with_limit(dims: np.ndarray, axes: dict[str, np.ndarray], mean: np.ndarray, error: np.ndarray) -> Measurement:
    """What was measured on axes (dim, *axes), with infinite dimension behind the others."""
    limit, stray = extrapolated(dims[-2:], mean[-2:], error[-2:])
    named = np.array([*map(str, dims), EXTRAPOLATED])
    return Measurement({"dim": named, **axes}, np.concatenate([mean, limit[None]]), np.concatenate([error, stray[None]]))


def extrapolated(dims: np.ndarray, mean: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean in infinite dimension from those of two dimensions, and its error with what the extrapolation leaves."""
    small, large = dims.astype(float)
    stray = np.hypot(small * error[0], large * error[1]) / (large - small)
    left = np.abs(mean[1] - mean[0]) * small / large
    return (large * mean[1] - small * mean[0]) / (large - small), np.hypot(stray, left)


def judged(num_dims: int, holds: np.ndarray) -> np.ndarray:
    """Infinite dimension only, and there where the formula ``holds`` (*shape); on axes (dim, *shape)."""
    return np.concatenate([np.zeros((num_dims, *holds.shape), bool), holds[None]])


def check_lists(config: object) -> None:
    """ValueError unless every list of the settings holds distinct values: two dimensions at least, one of anything else."""
    for name, values in vars(config).items():
        if isinstance(values, tuple) and (len(values) < 1 + (name == "dim") or len(set(values)) < len(values)):
            least = "two" if name == "dim" else "one"
            raise ValueError(f"{name} must list distinct values, at least {least}, got {list(values)}")


def check_examples(dims: tuple[int, ...], ratios: tuple[float, ...]) -> None:
    """ValueError unless every dimension has a whole number of examples: at another n / d no limit would be approached."""
    for ratio in ratios:
        for dim in dims:
            count = dim * ratio
            if not (0.5 < count < np.inf and abs(count - round(count)) < 1e-6 * count):
                raise ValueError(f"examples_per_coefficient must give a whole number of examples at d = {dim}, got {ratio:g}")
