"""Averages over the eigenvalues of an empirical covariance X^T X / n of isotropic Gaussian inputs."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

_NEXT_ORDER_NODES = 256  # more would only add rounding error


class SpectralRule(NamedTuple):
    """Nodes and weights that turn a function of an eigenvalue into its average over the mean spectrum, order by order.

    ``sum(leading * f(nodes))`` is the average over the Marchenko-Pastur law; the same sums with ``correction`` and
    ``next_order`` are what the orders 1/d and 1/d^2 add to it.
    """

    nodes: Array
    leading: Array
    correction: Array
    next_order: Array


def spectral_rule(dim: Array, num_examples: Array, num_nodes: int = 256) -> SpectralRule:
    r"""Quadrature rule for the mean spectrum of X^T X / n, X an (n, d) matrix of independent standard normals.

    With gamma = d/n, a, b = (1 -+ sqrt(gamma))^2, r = 2 sqrt(gamma) and x = 1 + gamma + r s, s = -cos(t), the average of f is

        int f(x) sqrt((b - x)(x - a)) / (2 pi gamma x) dx + max(0, 1 - 1/gamma) f(0)                         (leading)
        + (1/d) [ (f(a) + f(b)) / 4 - (1 / 2 pi) int f(x) dx / sqrt((b - x)(x - a)) ]                     (correction)
        + (1/(n d)) (1 / 2 pi i) contour int f(x) [ 7 x r^2 / 4 D^{5/2} + (x - r s / 2) / D^{3/2}
                                                    - x r s / D^2 + 1 / (2 D) ] dx,  D = (x - a)(x - b)   (next order)

    and the remaining error is O(1/d^3). The last line solves the loop equation of the real Wishart ensemble to second order.
    All three are taken at t_k = k pi / (K + 1). For the first, these nodes and one at x = 0 of weight 1 / sum_{i=0..K} gamma^-i
    form a Gauss-Radau rule of the whole law, atom included. The rule is exact for polynomials up to degree 2 K, for every
    gamma, with positive weights. The others are exact up to degree K, or 255 for the next order, through the Chebyshev
    coefficients of f; rounding limits the next order to about 1e-8 of the largest |f|.

    Args:
        dim: d, any broadcastable shape.
        num_examples: n, any broadcastable shape.
        num_nodes: K + 1, a multiple of 256.

    Returns:
        Rule with K + 3 nodes on a new last axis: 0, a, the K interior nodes, b.

    Source: Marchenko and Pastur (1967); Bai and Silverstein, Ann. Probab. 32 (2004), for the correction of real matrices;
        Forrester, Rahman and Witte, J. Math. Phys. 58 (2017), for the loop equations.
    """
    dim, num_examples = (jnp.asarray(array)[..., None] for array in jnp.broadcast_arrays(dim, num_examples))
    gamma = dim / num_examples
    radius = 2 * jnp.sqrt(gamma)
    angles = np.arange(num_nodes + 1) * (np.pi / num_nodes)
    # (1 - sqrt(gamma))^2 + r (1 - cos t) keeps the digits of small nodes.
    support = (1 - jnp.sqrt(gamma)) ** 2 + 2 * radius * np.sin(angles / 2) ** 2
    origin = jnp.zeros_like(gamma)

    atom = jax.nn.softmax(-jnp.arange(num_nodes) * jnp.log(gamma), axis=-1)[..., :1]
    density = 2 * np.sin(angles[1:-1]) ** 2 / (num_nodes * support[..., 1:-1])
    leading = jnp.concatenate([atom, origin, density, origin], axis=-1)

    ends = np.zeros(num_nodes + 1)
    ends[[0, -1]] = 1 / 4
    arcsine = np.full(num_nodes + 1, 1 / num_nodes)
    arcsine[[0, -1]] /= 2
    correction = (ends - arcsine / 2) / dim

    cosine = -radius * np.cos(angles)
    next_order = (
        7 / 4 * support * _contour_weights(5, num_nodes)
        + (support - cosine / 2) * _contour_weights(3, num_nodes)
        - support * cosine / radius * _contour_weights(4, num_nodes)
        + radius / 2 * _contour_weights(2, num_nodes)
    ) / (radius**2 * num_examples * dim)

    def with_origin(values) -> Array:
        return jnp.concatenate([origin, values], axis=-1)

    return SpectralRule(with_origin(support), leading, with_origin(correction), with_origin(next_order))


def _contour_weights(power: int, num_nodes: int) -> np.ndarray:
    r"""Weights at s_k = -cos(t_k), ends included, of the functional f -> (1 / 2 pi i) contour int f(s) (s^2 - 1)^{-power/2} ds.

    The contour encloses [-1, 1]. On the Chebyshev polynomial T_j the functional is, by residues at s = (u + 1/u) / 2:

        power    2      3         4                  5
        j even   0      j         0                  j (j^2 - 4) / 6
        j odd    1      0         (j^2 - 1) / 2      0
    """
    size = _NEXT_ORDER_NODES
    order = np.arange(size + 1.0)
    even = order % 2 == 0
    on_polynomials = {
        2: np.where(even, 0.0, 1.0),
        3: np.where(even, order, 0.0),
        4: np.where(even, 0.0, (order**2 - 1) / 2),
        5: np.where(even, order * (order**2 - 4) / 6, 0.0),
    }[power]
    halved_ends = np.ones(size + 1)
    halved_ends[[0, -1]] = 1 / 2
    polynomials = np.cos(np.pi * np.outer(order, size - order) / size)  # T_j(s_k)
    weights = np.zeros(num_nodes + 1)
    weights[:: num_nodes // size] = 2 / size * halved_ends * ((on_polynomials * halved_ends) @ polynomials)
    return weights
