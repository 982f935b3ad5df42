r"""Selection among N scalar candidates y ~ N(0, 1) whose error is (y + offset)^2: the best of them, and a softmax over them.

Also the mean of the largest of N normals, by which selection is measured in units of the score's spread.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, ndtr
from numpy.typing import ArrayLike

from theory._arguments import Count, Real, checked
from theory._evaluate import evaluate
from theory._quadrature import panels


@checked(offset=Real(-30.0, 30.0), num_candidates=Count(1))
def scalar_best_of_n(offset: ArrayLike, num_candidates: ArrayLike) -> Any:
    r"""Smallest squared error of N scalar candidates y ~ N(0, 1), the error being (y + offset)^2.

        E min_i (y_i + offset)^2 = int_0^inf 2 q P(|y + offset| > q)^N dq

    by Gauss-Legendre panels, relative error below 1e-9 for every N and offsets up to 30. It tends to pi exp(offset^2) / N^2.

    Args:
        offset: from -30 to 30; broadcasts.
        num_candidates: N >= 1; broadcasts.

    Raises:
        ValueError: an argument is out of range.

    Source: order statistics of an independent sample.

    Example:
        >>> round(float(scalar_best_of_n(0.5, 1)), 9)  # 1 + offset^2
        1.25
    """
    return evaluate(_scalar_formula, offset, num_candidates)


@checked(truth_offset=Real(), reward_offset=Real(), temperature=Real(0.0, open_ends=True), num_candidates=Count(1))
def scalar_softmax_selection(
    truth_offset: ArrayLike, reward_offset: ArrayLike, temperature: ArrayLike, num_candidates: ArrayLike
) -> Any:
    r"""Expected error of one of N scalar candidates y ~ N(0, 1), drawn with weights that fall with its distance from a reward.

    Candidate i is drawn with probability w_i proportional to exp(-z_i), z = (y + reward_offset)^2 / (2 temperature); its error
    is (y + truth_offset)^2. Drawing it is taking the smallest z_i - g_i, g_i standard Gumbel, so that

        E sum_i w_i (y_i + truth_offset)^2 = N int A(v) B(v)^{N-1} dv
        B(v) = E exp(-e^{v - z}),   A(v) = E[(y + truth_offset)^2 e^{v - z} exp(-e^{v - z})]

    by nested Gauss-Legendre panels in q = sqrt(2 temperature v). Relative error below 1e-9 for temperatures from 1e-6 to 1e6,
    N up to 10^6 and offsets up to 10 (largest of 360 random points: 1e-10), about 1e-8 for temperatures from 1e-12 to 1e12, N
    up to 10^9 and offsets up to 30. Temperature zero is the best of N by |y + reward_offset|, an infinite one a candidate at
    random, 1 + truth_offset^2; both are reached before 1e-30 and 1e12, where it is held. About 10 ms and 0.1 MB a value.

    Args:
        truth_offset: finite; broadcasts.
        reward_offset: finite; broadcasts.
        temperature: > 0; broadcasts.
        num_candidates: N >= 1; broadcasts.

    Raises:
        ValueError: an argument is out of range.

    Source: the softmax as a maximum of Gumbel variables, Yellott, J. Math. Psychol. 15 (1977).

    Example:
        >>> scalar_softmax_selection(0.5, 0.5, np.array([1e-6, 1.0, 1e6]), 4).round(4).tolist()  # the first is the best of 4
        [0.1541, 0.6376, 1.25]
    """
    return evaluate(_softmax_formula, truth_offset, reward_offset, temperature, num_candidates)


@checked(num=Count(1))
def expected_maximum_normal(num: ArrayLike) -> Any:
    r"""Mean e_N of the largest of N standard normals.

        e_N = int_0^inf (1 - Phi(x)^N - Phi(-x)^N) dx

    by Gauss-Legendre panels, relative error below 1e-9 for N up to 10^9; about sqrt(2 log N) for large N.

    Args:
        num: N >= 1; broadcasts.

    Raises:
        ValueError: num is not a positive integer.

    Source: David and Nagaraja, "Order Statistics" (2003), section 3.1.

    Example:
        >>> expected_maximum_normal(np.array([2, 3])).round(9).tolist()  # 1 / sqrt(pi) and 3 / (2 sqrt(pi))
        [0.564189584, 0.846284375]
    """
    return evaluate(mean_maximum, num)


def _scalar_formula(offset, num_candidates):
    offset, number = jnp.abs(offset)[..., None], num_candidates[..., None]
    # Geometric panels below one resolve the 1/N scale of large N, linear ones above it the bulk around the offset.
    nodes, weights = panels(jnp.concatenate([jnp.zeros(1), jnp.geomspace(1e-13, 1.0, 52)]))
    above, above_weights = panels(jnp.linspace(0.0, 1.0, 40))
    stretch = offset + 12.0

    def part(nodes, weights, inside):
        """Integrate over nodes the probability that a candidate is at least as near."""
        log_outside = jnp.logaddexp(log_ndtr(-nodes - offset), log_ndtr(offset - nodes))
        rare = inside < 0.5  # the logarithm of nearly one would lose the digits that the power N needs
        log_outside = jnp.where(rare, jnp.log1p(-jnp.where(rare, inside, 0.5)), log_outside)
        return jnp.sum(2 * weights * nodes * jnp.exp(number * log_outside), axis=-1)

    # Near zero the probability is the integral of the density, which is smooth; further out it is a difference of two.
    within, within_weights = np.polynomial.legendre.leggauss(12)
    density = jnp.exp(-((offset[..., None] + nodes[:, None] * within) ** 2) / 2) / np.sqrt(2 * np.pi)
    small = part(nodes, weights, nodes * (density @ within_weights))
    far = 1 + stretch * above
    return small + part(far, stretch * above_weights, ndtr(far - offset) - ndtr(-far - offset))


def _softmax_formula(truth_offset, reward_offset, temperature, number):
    temperature = jnp.clip(temperature, 1e-30, 1e12)  # the limits have been reached; rounding would spoil them further out
    values = jnp.broadcast_arrays(truth_offset, reward_offset, temperature, number)
    truth_offset, reward_offset, temperature, number = (value[..., None] for value in values)
    # Any nodes serve any law: they stay where they are when a derivative is taken.
    reward, scale, count = jax.lax.stop_gradient((reward_offset, temperature, number))
    reach = jnp.maximum(jnp.abs(reward) - _REACH, 0.0), jnp.abs(reward) + _REACH  # of |y + reward_offset|
    distances, depths = _race_edges(reach, scale, count)
    unit, unit_weights = panels(np.array([0.0, 1.0]), _RACE_ORDER)

    def panel(ends):
        near, far, deep, shallow = (end[..., None] for end in ends)
        distance, depth = near + (far - near) * unit, deep + (shallow - deep) * unit
        slope = (far - near) * distance / temperature + deep - shallow  # of v along the panel
        risk, gone = _race(distance, depth, reach, scale, truth_offset, reward_offset, temperature)
        others = jnp.exp((number - 1) * jnp.log1p(-jnp.clip(gone, 0.0, 1 - 1e-16)))
        return jnp.sum(unit_weights * slope * risk * others, axis=-1)

    ends = distances[..., :-1], distances[..., 1:], depths[..., :-1], depths[..., 1:]
    # One panel after another: all at once they would take megabytes a value.
    parts = jax.lax.map(panel, tuple(jnp.moveaxis(end, -1, 0) for end in ends))
    return values[3] * jnp.sum(parts, axis=0)


def _race_edges(reach, temperature, number):
    """Panels of v = (q^2 - nearest^2) / (2 temperature) - depth, as the values of q and of the depth at their edges."""
    nearest, farthest = reach
    deepening = (32 + jnp.log(number)) * jnp.linspace(1.0, 0.0, 21)  # N e^v is negligible beyond
    steps = jnp.sqrt(nearest**2 + 2 * temperature * np.array([0.0, 1.0, 2.0, 3.0, 5.0, 8.0]))
    # Geometric panels between the Gumbel variables' scale and the normal's one.
    rising = nearest + jnp.minimum(steps[..., -1:] - nearest, 1.0) ** jnp.linspace(1.0, 0.0, 25)
    bulk = nearest + (farthest - nearest) * jnp.linspace(0.0, 1.0, 33)
    end = jnp.sqrt(farthest**2 + 8 * temperature)
    distances = jnp.sort(jnp.clip(jnp.concatenate([steps, rising, bulk, end], axis=-1), nearest, end))
    above, below = jnp.zeros_like(distances), jnp.broadcast_to(nearest, deepening.shape)
    return jnp.concatenate([below, distances], axis=-1), jnp.concatenate([deepening, above], axis=-1)


def _race(distance, depth, reach, held_temperature, truth_offset, reward_offset, temperature):
    """A(v) and 1 - B(v) at v = (distance^2 - nearest^2) / (2 temperature) - depth; shapes (..., node).

    They are integrals over x = |y + reward_offset|, taken along x - distance: z - v is then exact where both are large.
    """
    nearest, farthest = (bound[..., None] - distance[..., None] for bound in reach)
    origin, depth = distance[..., None], depth[..., None]
    truth_offset, reward_offset, temperature, held = (
        value[..., None] for value in (truth_offset, reward_offset, temperature, held_temperature)
    )
    moved = 2 * held * _TRANSITION
    transition = moved / jnp.maximum(jnp.sqrt(jnp.maximum(origin**2 + moved, 0.0)) + origin, 1e-300)
    bulk = nearest + (farthest - nearest) * jnp.linspace(0.0, 1.0, 9)
    edges = jnp.sort(jnp.clip(jnp.concatenate([transition, bulk], axis=-1), nearest, farthest))
    beyond, weights = panels(edges, _RACE_ORDER)
    lead = jnp.exp(-jnp.maximum(beyond * (2 * origin + beyond) / (2 * temperature) + depth, -5.0))  # e^{v - z}
    x, gap = origin + beyond, truth_offset - reward_offset
    right, left = (weights * jnp.exp(-((x - side) ** 2) / 2) / np.sqrt(2 * np.pi) for side in (reward_offset, -reward_offset))
    risk = (right * (x + gap) ** 2 + left * (x - gap) ** 2) * lead * jnp.exp(-lead)
    return jnp.sum(risk, axis=-1), jnp.sum((right + left) * -jnp.expm1(-lead), axis=-1)


def mean_maximum(num: jax.Array) -> jax.Array:
    """The formula of ``expected_maximum_normal``, for a float64 array."""
    nodes, weights = panels(jnp.linspace(0.0, 12.0, 40))
    number = num[..., None]
    return jnp.sum(weights * (-jnp.expm1(number * log_ndtr(nodes)) - jnp.exp(number * log_ndtr(-nodes))), axis=-1)


_RACE_ORDER = 12
_REACH = 10.0  # of a standard normal: 1e-23 lies beyond
_TRANSITION = np.array(
    [-4.0, -2.0, 0.0, 2.0, 4.0, 8.0, 14.0, 20.0, 28.0, 36.0, 44.0]
)  # z - v, in which exp(-e^{v - z}) changes
