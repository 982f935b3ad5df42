"""Gauss-Legendre rules on panels between given edges, and averages over a standard normal variable by them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import gammaln
from jax.typing import ArrayLike


def panels(edges: ArrayLike, order: int = 20) -> tuple[Array, Array]:
    """Nodes and weights of a Gauss-Legendre rule on each interval between neighbouring edges, the last axis."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    edges = jnp.asarray(edges)
    half, flat = jnp.diff(edges)[..., None] / 2, (*edges.shape[:-1], -1)
    return (edges[..., :-1, None] + half * (nodes + 1)).reshape(flat), (half * weights).reshape(flat)


def normal_rule(place: Array, kinks: Array) -> tuple[Array, Array]:
    """Nodes and weights (..., node) of a standard normal average, finest around ``place`` (...), edges at kinks (k, ...).

    The nodes reach from -9 to 9, and beyond to a place that is further out.
    """
    near = jnp.geomspace(1e-7, 20.0, 24)
    edges = [place[..., None] - near, place[..., None], place[..., None] + near, jnp.moveaxis(kinks, 0, -1)]
    edges.append(jnp.broadcast_to(jnp.linspace(-9.0, 9.0, 13), (*place.shape, 13)))
    low, high = jnp.clip(place - 9, -_FARTHEST, -9.0)[..., None], jnp.clip(place + 9, 9.0, _FARTHEST)[..., None]
    nodes, weights = panels(jnp.sort(jnp.clip(jnp.concatenate(edges, axis=-1), low, high)), 10)
    return nodes, weights * jnp.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)


def chi_square_tail(degrees: Array, level: Array) -> Array:
    """P(chi^2 > level), relative error below 1e-8; JAX cannot lower its own in float64 within a float32 program.

    The integral of exp(a s - e^s) / Gamma(a) over s, the logarithm of half of the variable, with a half of the degrees.
    """
    half, start = jnp.broadcast_arrays(degrees / 2, level / 2)
    most = jnp.maximum(half, start)
    # Outside these ends the integrand is below rounding.
    high = jnp.log(most) + jnp.log1p(jnp.sqrt(180 / most) + 180 / most)
    low = jnp.maximum(jnp.log(start), jnp.log(half) - 13 / jnp.sqrt(half) - 40 / half)
    nodes, weights = panels(low[..., None] + (high - low)[..., None] * np.linspace(0.0, 1.0, 25))
    half = half[..., None]
    return jnp.minimum(jnp.sum(weights * jnp.exp(half * nodes - jnp.exp(nodes) - gammaln(half)), axis=-1), 1.0)


_FARTHEST = 38.0  # where the normal density leaves the range of double precision
