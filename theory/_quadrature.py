"""Gauss-Legendre rules on panels between given edges, and averages over a standard normal variable by them."""

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


def normal_rule(place: Array, kinks: Array) -> tuple[Array, Array]:
    """Nodes and weights (..., node) of a standard normal average, finest around ``place`` (...), edges at kinks (k, ...)."""
    near = jnp.geomspace(1e-7, 20.0, 24)
    edges = [place[..., None] - near, place[..., None], place[..., None] + near, jnp.moveaxis(kinks, 0, -1)]
    edges.append(jnp.broadcast_to(jnp.linspace(-9.0, 9.0, 13), (*place.shape, 13)))
    nodes, weights = panels(jnp.sort(jnp.clip(jnp.concatenate(edges, axis=-1), -9.0, 9.0)), 10)
    return nodes, weights * jnp.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)
