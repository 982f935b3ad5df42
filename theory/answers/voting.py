r"""Voting among answers whose probabilities are known: how often the most frequent of N independent answers is the correct one.

majority (two answers):    P_N = P(Bin(N, p) > N/2) + P(Bin(N, p) = N/2) / 2
plurality (K answers):     P_N = E[1{no answer beats the correct one} / (number of answers tied with it, itself included)]
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import gammaln
from numpy.typing import ArrayLike

from theory._arguments import Count, Probabilities, Real, Size, checked
from theory._evaluate import evaluate

LARGEST_NUMBER = 10_000
_TIE_NODES = 16  # ties of more than 32 answers are too rare to show


@checked(accuracy=Real(0.0, 1.0), num_candidates=Count(1))
def majority_accuracy(accuracy: ArrayLike, num_candidates: ArrayLike) -> np.ndarray | Array:
    r"""Probability that a majority of N independent votes is right, each being right with the same probability.

        P_N = I_p(m, m),   m = floor((N + 1) / 2),   I the regularised incomplete beta function

    A tie of an even N counts one half, so that P_{2m} = P_{2m-1}; odd numbers rise by
    P_{2m+1} - P_{2m-1} = C(2m-1, m) (2p - 1) (p (1 - p))^m. Relative error below 1e-10 for N up to 10^6. The error 1 - P_N of a
    good voter is ``majority_accuracy(1 - accuracy, num_candidates)``, without cancellation.

    Args:
        accuracy: p, between 0 and 1; broadcasts.
        num_candidates: N >= 1; broadcasts.

    Raises:
        ValueError: an argument is out of range.

    Source: Condorcet's jury theorem; the binomial tail as an incomplete beta function.

    Example:
        >>> majority_accuracy(0.6, np.array([1, 2, 3])).round(9).tolist()
        [0.6, 0.6, 0.648]
    """
    return evaluate(majority, accuracy, num_candidates)


@checked(probabilities=Probabilities(), num_candidates=Size(1, LARGEST_NUMBER))
def plurality_accuracy(probabilities: ArrayLike, num_candidates: int) -> Any:
    r"""Probability that the most frequent of N independent answers is the correct one, ties broken uniformly at random.

    With the counts as Poisson variables X_j of means N p_j held to a sum of N, and the tie broken by uniform variables,

        P_N = (N! e^N / N^N) (1 / 2 pi) int dt e^{-iNt} sum_c f_1(c) e^{ict}
              int_0^1 du prod_{j>1} [F_j(c - 1; t) + u f_j(c) e^{ict}]

    f_j the Poisson probabilities and F_j(c; t) = sum_{k <= c} f_j(k) e^{ikt}; by the trapezoidal rule in t and Gauss-Legendre's
    in u. Absolute error below 1e-10 for N up to 10^4 and 100 answers, where it takes seconds.

    Args:
        probabilities: of the K answers, the correct one first, shape (K,); they sum to one. May be traced.
        num_candidates: N from 1 to 10^4, a plain integer.

    Raises:
        ValueError: a shape or range is wrong, or the probabilities do not sum to one.

    Source: Poissonisation of the multinomial law; Levin, Ann. Statist. 9 (1981).

    Example:
        >>> round(float(plurality_accuracy([0.5, 0.3, 0.2], 3)), 9)  # 1/8 + 3/8 + 6 (0.5)(0.3)(0.2) / 3
        0.56
    """
    return evaluate(plurality, _check_answers(probabilities), core_dims=(1,), number=num_candidates)


@checked(probabilities=Probabilities(), num_candidates=Count(1))
def plurality_error_bound(probabilities: ArrayLike, num_candidates: ArrayLike) -> np.ndarray | Array:
    r"""Upper bound on the error of the plurality of N answers, if the first answer is the most probable one.

        1 - P_N <= sum_{j > 1} exp(-N (p_1 - p_j)^2 / 2)

    Args:
        probabilities: of the K answers, the correct one first, shape (K,).
        num_candidates: N >= 1; broadcasts.

    Returns:
        The bound, at most 1; it is 1 where another answer is at least as probable as the first.

    Raises:
        ValueError: a shape or range is wrong, or the probabilities do not sum to one.

    Source: Hoeffding's inequality for the difference of two counts.

    Example:
        >>> round(float(plurality_error_bound([0.7, 0.3], 100)), 6)
        0.000335
    """
    return evaluate(_bound_formula, _check_answers(probabilities), num_candidates, core_dims=(1,))


@checked(probabilities=Probabilities())
def plurality_error_exponent(probabilities: ArrayLike) -> np.ndarray | Array:
    r"""Rate at which the error of the plurality of N answers falls, lim -log(1 - P_N) / N, if the first is the most probable.

        min_{j > 1} -log(1 - (sqrt p_1 - sqrt p_j)^2)

    Args:
        probabilities: of the K answers, the correct one first, shape (K,).

    Returns:
        The exponent, zero where another answer is at least as probable as the first.

    Raises:
        ValueError: a shape or range is wrong, or the probabilities do not sum to one.

    Source: Chernoff's bound for the difference of two counts, which Sanov's theorem shows to be tight.

    Example:
        >>> round(float(plurality_error_exponent([0.5, 0.3, 0.2])), 6)
        0.025732
    """
    return evaluate(_exponent_formula, _check_answers(probabilities), core_dims=(1,))


def majority(accuracy: Array, number: Array) -> Array:
    """The formula of ``majority_accuracy``, for float64 arrays; the number is a count and has no derivative."""
    needed = jnp.floor((jax.lax.stop_gradient(number) + 1) / 2)
    accuracy, needed = jnp.broadcast_arrays(accuracy, needed)
    smaller = jnp.minimum(accuracy, 1 - accuracy)
    tail = jnp.where(needed <= _FEW, _tail_of_few(smaller, needed), _tail_of_many(smaller, needed))
    return jnp.where(accuracy <= 0.5, tail, 1 - tail)


def _tail_of_few(smaller, needed):
    """I_x(m, m) for x <= 1/2: the beta density is a polynomial, which Gauss-Legendre's rule integrates exactly."""
    needed = jnp.minimum(needed, _FEW)[..., None]
    inside = smaller > 0
    points = jnp.where(inside, smaller, 0.25)[..., None] * _UNIT_NODES
    log_density = jax.scipy.special.xlogy(needed - 1, points) + jax.scipy.special.xlog1py(needed - 1, -points)
    log_scale = gammaln(2 * needed) - 2 * gammaln(needed)
    mean_density = jnp.sum(_UNIT_WEIGHTS * jnp.exp(log_density + log_scale), axis=-1)
    return smaller * jnp.where(inside, mean_density, needed[..., 0] == 1)


def _tail_of_many(smaller, needed):
    """The same in the log-odds s: I = Gamma(m + 1/2) / (2 sqrt(pi) Gamma(m)) int_{s_0}^inf sech(s / 2)^{2 m} ds."""
    inside = smaller > 0
    start = -jnp.log(jnp.where(inside, smaller, 0.25)) + jnp.log1p(-jnp.where(inside, smaller, 0.25))
    # The integrand has fallen by e^-42 there, by the first of its two bounds to reach that value.
    steep = 42 / jnp.maximum(needed * jnp.tanh(start / 2), 1e-300)
    length = jax.lax.stop_gradient(jnp.minimum(steep, 2 * jnp.arccosh(jnp.exp(21 / needed))))
    points = start[..., None] + length[..., None] * _UNIT_NODES
    log_integrand = -2 * needed[..., None] * (jnp.logaddexp(points / 2, -points / 2) - np.log(2.0))
    scale = 1 - 1 / (8 * needed) + 1 / (128 * needed**2) + 5 / (1024 * needed**3) - 21 / (32768 * needed**4)
    scale = scale * jnp.sqrt(needed / np.pi) / 2
    return jnp.where(inside, scale * length * jnp.sum(_UNIT_WEIGHTS * jnp.exp(log_integrand), axis=-1), 0.0)


def plurality(probabilities, *, number):
    mean = number * probabilities
    width = 10 * math.sqrt(number) + 50  # of a sum of Poisson variables: beyond lies less than 1e-20
    angles = 2 * np.pi * np.arange(math.ceil(width)) / math.ceil(width)
    half = angles[: math.ceil(width) // 2 + 1]  # the integrand at -t is the conjugate of that at t
    weight = np.where((half == 0) | np.isclose(half, np.pi), 1.0, 2.0) / angles.size
    nodes, node_weights = np.polynomial.legendre.leggauss(min(math.ceil(min(probabilities.size, number + 1) / 2), _TIE_NODES))
    nodes, node_weights = (nodes + 1) / 2, node_weights / 2

    def log_mass(count):
        return jax.scipy.special.xlogy(count, mean[:, None]) - mean[:, None] - gammaln(count + 1)  # (answers, counts)

    # The correct answer's count is in a window around its mean; the counts below that are summed by one matrix product.
    reach = math.ceil(width)
    first = jax.lax.stop_gradient(jnp.clip(jnp.floor(mean[0]) - reach, 0.0, max(number - 2 * reach, 0)))
    counts = jnp.arange(number + 1.0)
    start = jnp.where(counts < first, jnp.exp(log_mass(counts)), 0.0) @ jnp.exp(1j * counts[:, None] * half)

    def advance(below, count):
        here = jnp.exp(log_mass(count)) * jnp.exp(1j * count * half)  # (answers, angles)

        def won(_):
            others = below[1:] + nodes[:, None, None] * here[1:]  # (nodes, answers, angles)
            won_by = jnp.tensordot(node_weights + 0j, jnp.prod(others, axis=1), 1) * here[0]
            return jnp.sum(weight * jnp.real(won_by * jnp.exp(-1j * number * half)))

        likely = jnp.abs(count - mean[0]) <= 10 * jnp.sqrt(mean[0]) + 50
        return below + here, jax.lax.cond(likely & (count <= number), won, lambda _: 0.0, None)

    parts = jax.lax.scan(advance, start, first + jnp.arange(min(2 * reach, number) + 1.0))[1]
    log_total = jax.scipy.special.xlogy(number, number) - number - gammaln(number + 1.0)
    return jnp.clip(jnp.sum(parts) * jnp.exp(-log_total), 0.0, 1.0)


def _bound_formula(probabilities, number):
    gaps = jnp.maximum(probabilities[0] - probabilities[1:], 0.0)
    return jnp.minimum(jnp.sum(jnp.exp(-number[..., None] * gaps**2 / 2), axis=-1), 1.0)


def _exponent_formula(probabilities):
    gaps = jnp.maximum(jnp.sqrt(probabilities[0]) - jnp.sqrt(probabilities[1:]), 0.0)
    return jnp.min(-jnp.log1p(-(gaps**2)))


def _check_answers(probabilities: Any) -> Any:
    """``probabilities``, checked to list at least two answers."""
    if np.size(probabilities) < 2:
        raise ValueError(f"probabilities must list at least two answers, got {np.size(probabilities)}")
    return probabilities


_FEW = 64.0  # largest number of votes for which the nodes integrate the density exactly
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_UNIT_NODES, _UNIT_WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
