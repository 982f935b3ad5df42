"""Gauss-Legendre rules on panels between given edges."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike


def panels(edges: ArrayLike, order: int = 20) -> tuple[Array, Array]:
    """Nodes and weights of a Gauss-Legendre rule on each interval between neighbouring edges, the last axis."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    edges = jnp.asarray(edges)
    half, flat = jnp.diff(edges)[..., None] / 2, (*edges.shape[:-1], -1)
    return (edges[..., :-1, None] + half * (nodes + 1)).reshape(flat), (half * weights).reshape(flat)
