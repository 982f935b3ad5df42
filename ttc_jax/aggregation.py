"""Aggregation: the candidates of one context become one estimate."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from ttc_jax import _check


def mean(candidates: Array) -> Array:
    """Average of candidates (c, d), shape (d,)."""
    _check.shape("candidates", candidates, (None, None))
    return jnp.mean(candidates, axis=0)


def prefix_means(candidates: Array, sizes: Sequence[int]) -> Array:
    """Averages of the first N candidates, for every N in ``sizes``, shape (len(sizes), d).

    Raises:
        ValueError: a size is not an integer between 1 and the number of candidates.

    Example:
        >>> prefix_means(jnp.array([[0.0], [2.0], [4.0]]), (1, 2, 3)).ravel().tolist()
        [0.0, 1.0, 2.0]
    """
    _check.shape("candidates", candidates, (None, None))
    num_candidates = candidates.shape[0]
    sizes = _check.integers("sizes", sizes, minimum=1)
    if max(sizes) > num_candidates:
        raise ValueError(f"sizes must not exceed the {num_candidates} candidates, got {max(sizes)}")
    weights = np.arange(num_candidates) < np.asarray(sizes)[:, None]  # (sizes, c)
    dtype = jnp.result_type(candidates, float)
    return jnp.asarray(weights / weights.sum(axis=1, keepdims=True), dtype) @ candidates.astype(dtype)


def best_of_n(candidates: Array, scores: Array) -> Array:
    """The candidate (d,) of the smallest score among candidates (c, d) with scores (c,); a NaN score never wins."""
    _check.shape("candidates", candidates, (None, None))
    _check.shape("scores", scores, (candidates.shape[0],))
    return candidates[jnp.argmin(jnp.where(jnp.isnan(scores), jnp.inf, scores))]
