r"""Averages of resolvents of X^T X / n for inputs of any covariance, and the contour that makes averages of polynomials.

Inputs are n independent N(0, H), H = diag(lambda). With G(z) = (X^T X / n - z)^{-1} and a closed curve around the spectrum,

    E tr(H f(X^T X / n)) = -(1 / 2 pi i) contour int f(z) E tr(H G(z)) dz
    E tr(H f(X^T X / n) Psi f(X^T X / n)) = (1 / 2 pi i)^2 contour int int f(z) f(z') E tr(H G(z) Psi G(z')) dz dz'.

The averages of resolvents follow from Gaussian integration by parts. To leading order G(z) is diag(1 / (alpha lambda - z)),
with alpha = 1 - (1/n) sum alpha lambda / (alpha lambda - z) (in the literature kappa = -z / alpha), continued along the contour
from far right of the spectrum, so that d < n, d = n and d > n are one case; the next order is 1/n smaller.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

_DIGITS = 36.0  # exp(-36) is below rounding


class Nodes(NamedTuple):
    """Upper half of a contour, which the lower half mirrors: points, weights of dz / (2 pi i), and alpha; each (k,)."""

    points: Array
    weights: Array
    alpha: Array


class Kernels(NamedTuple):
    """Averages of tr(H G(z)), shape (k,), and of tr(H G(z) Psi G(z')), shape (k, 2 k), z' on the whole contour."""

    one: Array
    two: Array


def check_spectrum(eigenvalues: Any) -> Any:
    """``eigenvalues``, checked not to be all zero; traced ones that are become NaN."""
    if isinstance(eigenvalues, jax.core.Tracer):
        return jnp.where(jnp.any(eigenvalues > 0), eigenvalues, jnp.nan)
    if not np.any(eigenvalues):
        raise ValueError(f"eigenvalues must not be all zero, got {len(eigenvalues)} zeros")
    return eigenvalues


def num_nodes(num_steps: int) -> int:
    """Nodes of half a contour that resolve a polynomial of the degree of ``num_steps`` steps: the root of it, many times."""
    return 32 + int(np.ceil(9.5 * np.sqrt(num_steps)))


def edge_root(eigenvalues: Array, num_examples: Array) -> Array:
    """The c in (0, 1 / max lambda) with sum (c lambda / (1 - c lambda))^2 = n, which fixes the spectrum's right edge."""
    largest = jnp.max(eigenvalues)

    def excess(gap):
        # 1/c = largest * (1 + gap) keeps the digits of c near its upper end.
        return jnp.sum((eigenvalues / (largest * (1 + gap) - eigenvalues)) ** 2) - num_examples

    def halve(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        beyond = excess(middle) > 0
        return jnp.where(beyond, middle, low), jnp.where(beyond, high, middle)

    bracket = (jnp.zeros_like(num_examples), jnp.sqrt(eigenvalues.shape[0] / num_examples))
    low, high = jax.lax.fori_loop(0, 60, halve, bracket)
    gap = jax.lax.stop_gradient((low + high) / 2)
    for _ in range(2):  # Newton steps from the root carry its first and second derivatives
        value, slope = jax.jvp(excess, (gap,), (jnp.ones_like(gap),))
        gap = gap - value / slope
    return 1 / (largest * (1 + gap))


def edge(eigenvalues: Array, num_examples: Array) -> Array:
    """Right edge of the spectrum of X^T X / n in large dimension."""
    root = edge_root(eigenvalues, num_examples)
    return (1 + jnp.sum(root * eigenvalues / (1 - root * eigenvalues)) / num_examples) / root


def contour(eigenvalues: Array, num_examples: Array, size: int) -> Nodes:
    """An ellipse around 0 and the spectrum, as close to them as ``2 size`` trapezoidal nodes allow at full precision.

    The points are those of a circle under the map that shrinks the circle of radius one to the interval from 0 to the edge.
    """
    right = jax.lax.stop_gradient(edge(eigenvalues, num_examples))
    height = _DIGITS / (2 * size)
    circle = (height + np.sqrt(1 + height**2)) * np.exp(1j * np.pi * (np.arange(size) + 0.5) / size)
    points = right / 2 * (1 + (circle + 1 / circle) / 2)
    weights = right * (circle - 1 / circle) / (8 * size)
    return Nodes(points, weights, _alpha(points, eigenvalues, num_examples, right))


def _alpha(points: Array, eigenvalues: Array, num_examples: Array, right: Array) -> Array:
    """alpha at the contour's points, by Newton's method from far right, where it is one, and then along the contour."""

    def newton(alpha, point):
        resolvent = 1 / (alpha[..., None] * eigenvalues - point[..., None])
        excess = alpha - 1 + alpha * jnp.sum(eigenvalues * resolvent, axis=-1) / num_examples
        return alpha - excess / (1 - point * jnp.sum(eigenvalues * resolvent**2, axis=-1) / num_examples)

    def advance(alpha, point):
        for _ in range(5):
            alpha = newton(alpha, point)
        return alpha, alpha

    # Each step goes half the way to the edge, so that it is short compared with the distance to the spectrum.
    gap = jnp.maximum(right * 2.0 ** (10 - np.arange(32)), jnp.abs(points[0] - right))
    path = jnp.concatenate([right + gap + 0j, points])
    _, alpha = jax.lax.scan(advance, jnp.ones((), path.dtype), path)
    alpha = jax.lax.stop_gradient(alpha[len(gap) :])
    for _ in range(2):  # Newton steps from the root carry its first and second derivatives
        alpha = newton(alpha, points)
    return alpha


def leading_order(nodes: Nodes, eigenvalues: Array, prior_variances: Array, num_examples: Array) -> Kernels:
    """The averages in large dimension.

    tr(H G) = sum lambda g and tr(H G Psi G') = sum lambda (psi + beta lambda) g g' with g = 1 / (alpha lambda - z) and
    beta = alpha sum lambda psi g g' / (n - z sum lambda g g').
    """
    g = 1 / (nodes.alpha[:, None] * eigenvalues - nodes.points[:, None])
    everywhere = _mirrored(g)
    both = (eigenvalues * g) @ everywhere.T
    with_prior = (eigenvalues * prior_variances * g) @ everywhere.T
    beta = nodes.alpha[:, None] * with_prior / (num_examples - nodes.points[:, None] * both)
    return Kernels(jnp.sum(eigenvalues * g, axis=1), with_prior + beta * ((eigenvalues**2 * g) @ everywhere.T))


def next_order(nodes: Nodes, eigenvalues: Array, prior_variances: Array, num_examples: Array) -> Kernels:
    r"""Correction of order 1/n to :func:`leading_order`.

    Gaussian integration by parts gives, exactly but for covariances of order 1/n^2, with ' for the second point,

        (alpha H - z) E G = 1 + H E[G + z dG/dz] / n
        (alpha H - z) E K = Psi E G' + H E[K + z dK/dz + K^T + z' K^T G'] / n + beta H E G',     K = G Psi G'

    where alpha = 1 - tr(X^T X G) / n^2 and beta = tr(X^T X K) / n^2. Below, ``name_1`` is n times the order 1/n of ``name``.
    """
    lam, psi, count = eigenvalues, prior_variances, num_examples
    z, alpha = nodes.points, nodes.alpha
    column = z[:, None]

    # One resolvent.
    g = 1 / (alpha[:, None] * lam - column)
    own = jnp.sum(lam * g**2, axis=1)
    d_alpha = -alpha * own / (count - z * own)
    d_g = (1 - d_alpha[:, None] * lam) * g**2
    source = lam * g * (g + column * d_g)
    alpha_1 = -z * jnp.sum(source, axis=1) / (count - z * own)
    g_1 = source - alpha_1[:, None] * lam * g**2

    # Two resolvents: rows are the upper half of the contour, columns all of it.
    z_all, alpha_all, g_all, g_1_all = (_mirrored(values) for values in (z, alpha, g, g_1))
    both = (lam * g) @ g_all.T
    denominator = count - column * both
    with_prior = (lam * psi * g) @ g_all.T
    beta = alpha[:, None] * with_prior / denominator
    d_with_prior = (lam * psi * d_g) @ g_all.T
    d_both = (lam * d_g) @ g_all.T
    d_beta = (d_alpha[:, None] * with_prior + alpha[:, None] * d_with_prior + beta * (both + column * d_both)) / denominator

    # Divided differences: K^T G' = (K(z', z) - K(z', z')) / (z - z'), derivatives where the points coincide.
    size = z.shape[0]
    beta_own = _mirrored(jnp.diagonal(beta))
    same = jnp.eye(size, 2 * size, dtype=bool)
    difference = jnp.where(same, 1.0, column - z_all)
    slope_alpha = jnp.where(same, d_alpha[:, None], (alpha[:, None] - alpha_all) / difference)
    slope_beta = jnp.where(same, d_beta, (beta - beta_own) / difference)

    factor = (2 - alpha_1[:, None]) * g**2 + column * g**3 * (1 - d_alpha[:, None] * lam)

    def trace(weight):
        """tr(weight K_1) without the part that beta_1 adds."""
        own_terms = (weight * lam * psi * factor) @ g_all.T + beta * ((weight * lam**2 * factor) @ g_all.T)
        own_terms += column * d_beta * ((weight * lam**2 * g**2) @ g_all.T)
        other = (weight * psi * g) @ g_1_all.T + beta * ((weight * lam * g) @ g_1_all.T)
        squared = (g_all**2).T
        mixed = (weight * lam * psi * g**2) @ squared + beta * ((weight * lam**2 * g**2) @ squared)
        mixed -= slope_alpha * ((weight * lam**2 * psi * g**2) @ squared + beta * ((weight * lam**3 * g**2) @ squared))
        mixed += slope_beta * ((weight * lam**2 * g) @ squared)
        return own_terms + other + z_all * mixed

    beta_1 = (jnp.sum(psi * g_1_all, axis=1) + column * trace(jnp.ones_like(lam))) / denominator
    two_1 = trace(lam) + beta_1 * ((lam**2 * g) @ g_all.T)
    return Kernels(jnp.sum(lam * g_1, axis=1) / count, two_1 / count)


def _mirrored(values: Array) -> Array:
    """Values on the whole contour from those on its upper half."""
    return jnp.concatenate([values, jnp.conj(values)])
