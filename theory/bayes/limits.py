r"""Lower bounds for every decoder: errors of the Bayes posterior in large dimension and by enumeration.

In large dimension the posterior sees every coefficient through a scalar Gaussian channel of precision q (times one over the
square of half the gap between the two values, for binary coefficients), with delta = n / d, s^2 = sigma^2 / d in the same
units, and E the posterior's mean squared error for one coefficient:

    q = delta / (s^2 + E),   E = mmse(q)

If there are several solutions, the one of least free energy is Bayes'; message passing stops at the largest E.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp, ndtr
from numpy.typing import ArrayLike

from theory._arguments import Count, Real, check_below, checked, default_signal_var
from theory._evaluate import evaluate
from theory._quadrature import normal_rule
from theory.answers.voting import majority
from theory.results import warn_if_large

LARGEST_ENUMERATION = 12


class BinaryBayes(NamedTuple):
    """Limits for binary coefficients.

    Attributes:
        bit_error: probability that a coefficient is wrong in the most probable value of each coefficient's posterior.
        excess_risk: of the posterior mean, summed over the d coefficients.
        precision: q of the scalar channel, for coefficients in units of half their gap around their midpoint.
        reached_bit_error: bit_error of approximate message passing, the best known algorithm in polynomial time.
        reached_excess_risk: excess_risk of message passing.
        reached_precision: precision of its scalar channel.
    """

    bit_error: Any
    excess_risk: Any
    precision: Any
    reached_bit_error: Any
    reached_excess_risk: Any
    reached_precision: Any


class Posterior(NamedTuple):
    """The exact posterior of a small problem with binary coefficients.

    Attributes:
        mean: posterior mean of the coefficients, shape (d,): the estimate of least excess risk.
        prob_high: posterior probability of the high value, shape (d,); rounded, the estimate of least bit error.
        mode: the most probable coefficient vector, shape (d,): the estimate most often exactly right.
        mode_probability: its posterior probability.
    """

    mean: Any
    prob_high: Any
    mode: Any
    mode_probability: Any


@checked(
    dim=Count(1),
    num_examples=Count(1),
    label_noise_std=Real(0.0, open_ends=True),
    signal_var=Real(0.0, open_ends=True),
)
def gaussian_bayes_risk(
    dim: ArrayLike, num_examples: ArrayLike, *, label_noise_std: ArrayLike, signal_var: ArrayLike | None = None
) -> np.ndarray | Array:
    r"""Least excess risk of any estimate of Gaussian coefficients w* ~ N(0, psi I): that of ridge regression.

        E R = (sigma^2 d / n) <1 / (x + sigma^2 / (n psi))>

    with <.> the average over the spectrum of X^T X / n. With z = sigma^2 / (n psi), gamma = d / n and D = (a + z)(b + z),
    a, b = (1 -+ sqrt(gamma))^2, the Marchenko-Pastur law and the first finite-size correction give

        <1 / (x + z)> = [gamma - 1 - z + sqrt(D)] / (2 gamma z) + (1/d) [1 / (a + z) + 1 / (b + z) - 2 / sqrt(D)] / 4

    and the next order (:mod:`theory.chains.spectrum`) is added too. Inputs are standard normal (H = I). Arguments broadcast.

    Regime: the error is below 3 % where the next order, and the square of the first correction, are below 5 % of the leading
    term. Elsewhere, for weak noise near n = d or in few dimensions, small eigenvalues make the expansion fail, and a call with
    plain arguments warns (:class:`theory.results.ExpansionWarning`). :func:`theory.bayes.expected_ridge_risk` has no such
    limit.

    Args:
        dim: d >= 1.
        num_examples: n >= 1.
        label_noise_std: sigma > 0.
        signal_var: psi > 0, the variance of each coefficient; 1/d if None.

    Raises:
        ValueError: an argument is out of range.

    Source: conjugacy of the Gaussian prior; the average as in :func:`theory.expected_risk`.

    Example:
        >>> round(float(gaussian_bayes_risk(20, 40, label_noise_std=0.5)), 4)
        0.1794
    """
    signal_var = default_signal_var(dim) if signal_var is None else signal_var
    risk, leading, neglected = evaluate(_gaussian_formula, dim, num_examples, label_noise_std, signal_var)
    warn_if_large("gaussian_bayes_risk", leading, neglected, 0.05, "use theory.bayes.expected_ridge_risk")
    return risk


@checked(
    dim=Count(1),
    num_examples=Count(1),
    label_noise_std=Real(0.0, open_ends=True),
    low=Real(),
    high=Real(),
    prob_high=Real(0.0, 1.0, open_ends=True),
)
def binary_bayes_error(
    dim: ArrayLike,
    num_examples: ArrayLike,
    *,
    label_noise_std: ArrayLike,
    low: ArrayLike = -1.0,
    high: ArrayLike = 1.0,
    prob_high: ArrayLike = 0.5,
) -> BinaryBayes:
    r"""Least error of any estimate of binary coefficients from a context of isotropic inputs, in large dimension.

    In units of half the gap h = (high - low) / 2 around the midpoint, with rho = prob_high and L = log(rho / (1 - rho)),

        mmse(q) = E_{b, z} sech^2(q b + sqrt(q) z + L / 2),   P(b = 1) = rho, P(b = -1) = 1 - rho
        bit error = rho Phi(-sqrt(q) - L / (2 sqrt q)) + (1 - rho) Phi(-sqrt(q) + L / (2 sqrt q))
        free energy = I(q) + (delta / 2) [log(1 + E / s^2) - E / (s^2 + E)],   I = -E log(p_b + p_{-b} e^{-2 (q + sqrt(q) z)})

    for s^2 = sigma^2 / (h^2 d). Two solutions whose E differ by less than 8 % are missed. The corrections are O(1/d) away
    from a phase transition. Arguments broadcast.

    Args:
        dim: d >= 1.
        num_examples: n >= 1.
        label_noise_std: sigma > 0.
        low: the smaller value of a coefficient.
        high: the larger one.
        prob_high: probability of the larger one, strictly between 0 and 1.

    Raises:
        ValueError: an argument is out of range.

    Source: Tanaka, IEEE Trans. Inf. Theory 48 (2002); proved by Reeves and Pfister (2019) and Barbier et al. (2020).

    Example:
        >>> limit = binary_bayes_error(1000, 1500, label_noise_std=np.sqrt(500.0))
        >>> round(float(limit.bit_error), 4)
        0.0742
    """
    low = check_below("low", low, "high", high, strictly=True)
    return evaluate(_binary_formula, dim, num_examples, label_noise_std, low, high, prob_high)


@checked(precision=Real(0.0), num_candidates=Count(1))
def posterior_vote_error(precision: ArrayLike, num_candidates: ArrayLike) -> np.ndarray | Array:
    r"""Probability that a coefficient is wrong in the majority of N samples of the posterior, for a prior of one half.

        E_z P(Bin(N, p) < N/2) (ties count one half),   p = (1 + tanh(q + sqrt(q) z)) / 2

    One sample errs with probability E / 2; for many the error is the Bayes one plus e^{-q/2} / (2 sqrt(2 pi q) N). Arguments
    broadcast.

    Args:
        precision: q >= 0 of the scalar channel, :attr:`BinaryBayes.precision`.
        num_candidates: N >= 1.

    Raises:
        ValueError: an argument is out of range.

    Source: independent samples of the posterior given the scalar channel's output.

    Example:
        >>> posterior_vote_error(2.0888, np.array([1, 33])).round(4).tolist()
        [0.1092, 0.0757]
    """
    return evaluate(_posterior_vote_formula, precision, num_candidates)


@checked(
    inputs=Real(shape=("n", "d")),
    targets=Real(shape=("n",)),
    label_noise_std=Real(0.0, open_ends=True, shape=()),
    low=Real(shape=()),
    high=Real(shape=()),
    prob_high=Real(0.0, 1.0, open_ends=True, shape=()),
)
def discrete_bayes(
    inputs: ArrayLike,
    targets: ArrayLike,
    *,
    label_noise_std: ArrayLike,
    low: float = -1.0,
    high: float = 1.0,
    prob_high: ArrayLike = 0.5,
) -> Posterior:
    r"""The exact posterior of binary coefficients given one context, over all 2^d coefficient vectors.

        P(w | X, y) ~ prod_i P(w_i) exp(-|y - X w|^2 / (2 sigma^2))

    Args:
        inputs: X, shape (n, d) with d at most 12; may be traced.
        targets: y, shape (n,); may be traced.
        label_noise_std: sigma > 0, a number.
        low: the smaller value of a coefficient.
        high: the larger one.
        prob_high: probability of the larger one, strictly between 0 and 1, a number.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Example:
        >>> posterior = discrete_bayes([[1.0, 0.0], [0.0, 1.0]], [0.9, -1.2], label_noise_std=0.5)
        >>> posterior.mode.tolist()
        [1.0, -1.0]
    """
    dim = np.shape(inputs)[1]
    if dim > LARGEST_ENUMERATION:
        raise ValueError(f"inputs must have at most {LARGEST_ENUMERATION} columns to enumerate all coefficients, got {dim}")
    low = check_below("low", low, "high", high, strictly=True)
    arrays = inputs, targets, label_noise_std, low, high, prob_high
    return evaluate(enumerate_posterior, *arrays, core_dims=(2, 1))


def _gaussian_formula(dim, num_examples, label_noise_std, signal_var):
    """The risk, its leading term, and a size of what the expansion neglects."""
    ratio, ridge = dim / num_examples, label_noise_std**2 / num_examples / signal_var
    radius = 2 * jnp.sqrt(ratio)
    low, high = (1 - jnp.sqrt(ratio)) ** 2 + ridge, (1 + jnp.sqrt(ratio)) ** 2 + ridge
    root, gap = jnp.sqrt(low * high), 1 - ratio + ridge
    # The two forms are equal; each is accurate where the other one cancels.
    leading = jnp.where(gap > 0, 2 / (jnp.abs(gap) + root), (root - gap) / (2 * ratio * ridge))
    correction = (1 / low + 1 / high - 2 / root) / (4 * dim)
    # The contour integral of the next order is minus its residue at -z, where sqrt(D) is negative.
    cosine = -ridge - 1 - ratio  # r s of the spectral rule
    kernel = (
        7 / 4 * ridge * radius**2 / root**5 - (-ridge - cosine / 2) / root**3 + ridge * cosine / root**4 + 1 / (2 * root**2)
    )
    next_order = -kernel / (num_examples * dim)
    scale = label_noise_std**2 * dim / num_examples
    neglected = jnp.maximum(jnp.abs(next_order), correction**2 / leading)
    # Outside the expansion's regime the sum may be impossible: no risk is negative, or larger than without a context.
    risk = jnp.clip(scale * (leading + correction + next_order), 0.0, dim * signal_var)
    return risk, scale * leading, scale * neglected


def _binary_formula(dim, num_examples, label_noise_std, low, high, prob_high):
    values = jnp.broadcast_arrays(dim, num_examples, label_noise_std, low, high, prob_high)
    shape = values[0].shape
    of_all = jax.lax.map(lambda one: _of_one(*one), tuple(jnp.ravel(value) for value in values))
    return BinaryBayes(*(value.reshape(shape) for value in of_all))


def _of_one(dim, num_examples, label_noise_std, low, high, prob_high):
    half_gap = (high - low) / 2
    ratio, noise = num_examples / dim, label_noise_std**2 / (half_gap**2 * dim)
    prior = jnp.stack([prob_high, 1 - prob_high])
    solutions = _fixed_points(ratio, noise, prior)
    precisions = ratio / (noise + solutions)
    energies = jax.vmap(_information, (0, None))(precisions, prior) + ratio / 2 * (
        jnp.log1p(solutions / noise) - solutions / (noise + solutions)
    )
    best = jnp.sum(jnp.where(_is_first_largest(-energies), solutions, 0.0))
    limits = []
    for error in (best, jnp.max(solutions)):
        precision = ratio / (noise + error)
        limits += [_bit_error(precision, prior), dim * half_gap**2 * error, precision]
    return tuple(limits)


def _fixed_points(ratio, noise, prior):
    """The solutions E of E = mmse(ratio / (noise + E)), up to three, the largest repeated where there are fewer."""

    def excess(log_error):
        # The floor is above the lowest edge, so that an error that is zero to rounding is a solution too.
        return jnp.log(_mmse(ratio / (noise + jnp.exp(log_error)), prior) + 1e-280) - log_error

    # The solution is one below the first edge only when the channel is all but noiseless.
    edges = jnp.log(4 * prior[0] * prior[1]) + jnp.concatenate([jnp.array([-690.0]), jnp.linspace(-32.0, 1e-9, _EDGES)])
    signs = jax.lax.map(excess, edges) > 0
    (crossings,) = jnp.nonzero(signs[:-1] != signs[1:], size=3, fill_value=-1)
    crossings = jnp.where(crossings < 0, jnp.max(crossings), crossings)

    def solve(crossing):
        rising = signs[crossing]

        def halve(_, bracket):
            low, high = bracket
            middle = (low + high) / 2
            left = (excess(middle) > 0) == rising
            return jnp.where(left, middle, low), jnp.where(left, high, middle)

        root = jax.lax.stop_gradient(jax.lax.fori_loop(0, 60, halve, (edges[crossing], edges[crossing + 1]))[0])
        # One step of Newton's method from the fixed root carries the derivatives.
        value, slope = jax.jvp(excess, (root,), (jnp.ones_like(root),))
        return jnp.exp(root - value / slope)

    return jax.vmap(solve)(crossings)


def _mmse(precision, prior):
    """E sech^2 of the posterior's half log-odds, by the trapezoidal rule around the integrand's peak."""
    precision = jnp.maximum(precision, 1e-12)
    root = jnp.sqrt(precision)
    tilt = jnp.log(prior[0] / prior[1]) / 2
    shifts = precision + tilt * jnp.array([1.0, -1.0])  # means of the half log-odds in the direction of the truth
    peak = jnp.where(shifts > 2 * precision, shifts - 2 * precision, jnp.minimum(shifts + 2 * precision, 0.0))
    points = jax.lax.stop_gradient(peak[:, None] + 10 * jnp.minimum(root, 26.0) * _UNIT)
    step = jax.lax.stop_gradient(10 * jnp.minimum(root, 26.0)) * (_UNIT[1] - _UNIT[0])
    log_density = -((points - shifts[:, None]) ** 2) / (2 * precision) - jnp.log(2 * np.pi * precision) / 2
    log_sech = -2 * (jnp.logaddexp(points, -points) - np.log(2.0))
    return step * jnp.sum(prior[:, None] * jnp.exp(log_density + log_sech))


def _information(precision, prior):
    """Mutual information of a coefficient and its scalar channel's output."""
    odds = 2 * (precision + jnp.sqrt(precision) * _NORMAL)
    own, other = prior, prior[::-1]
    lost = jnp.logaddexp(jnp.log(own)[:, None], jnp.log(other)[:, None] - odds)
    return -jnp.sum(prior[:, None] * lost * _NORMAL_WEIGHTS)


def _bit_error(precision, prior):
    root = jnp.sqrt(jnp.maximum(precision, 1e-12))
    tilt = jnp.log(prior[0] / prior[1]) / (2 * root) * jnp.array([1.0, -1.0])
    return jnp.sum(prior * ndtr(-root - tilt))


def _posterior_vote_formula(precision, number):
    precision, number = jnp.broadcast_arrays(precision, number)
    root = jnp.sqrt(jnp.maximum(precision, 1e-30))
    nodes, weights = normal_rule(-root, -root[None])  # the vote turns where the field is zero
    wrong = jax.nn.sigmoid(-2 * (precision[..., None] + root[..., None] * nodes))
    return jnp.sum(weights * majority(wrong, number[..., None]), axis=-1)


def is_high_of_all(dim: int) -> np.ndarray:
    """Which coefficients are high in each of the 2^d vectors, (2^d, d); the first coefficient changes slowest."""
    return np.array(list(itertools.product((0.0, 1.0), repeat=dim)))


def _is_first_largest(values: Array) -> Array:
    """Whether an entry is the first of the largest ones: JAX can lower neither ``argmax`` nor a gather for float64 in a
    float32 program.
    """
    is_largest = jax.lax.stop_gradient(values == jnp.max(values)).astype(values.dtype)
    return (is_largest > 0) & (jnp.cumsum(is_largest) == 1)


def enumerate_posterior(inputs, targets, label_noise_std, low, high, prob_high):
    """The formula of ``discrete_bayes``, for float64 arrays."""
    dim = inputs.shape[1]
    is_high = jnp.asarray(is_high_of_all(dim))
    vectors = low + (high - low) * is_high
    residuals = targets - vectors @ inputs.T
    counts = jnp.sum(is_high, axis=1)
    log_prior = counts * jnp.log(prob_high) + (dim - counts) * jnp.log1p(-prob_high)
    log_weights = log_prior - jnp.sum(residuals**2, axis=1) / (2 * label_noise_std**2)
    weights = jnp.exp(log_weights - logsumexp(log_weights))
    is_best = _is_first_largest(log_weights)
    chance = jnp.clip(weights @ is_high, 0.0, 1.0)  # a sum of weights may be one and a rounding error
    mode = jnp.sum(jnp.where(is_best[:, None], vectors, 0.0), axis=0)
    return Posterior(low + (high - low) * chance, chance, mode, jnp.sum(jnp.where(is_best, weights, 0.0)))


_EDGES = 400  # of the search for solutions
_UNIT = np.linspace(-1.0, 1.0, 2001)
_NORMAL = np.linspace(-10.0, 10.0, 2001)
_NORMAL_WEIGHTS = np.exp(-(_NORMAL**2) / 2) * (_NORMAL[1] - _NORMAL[0]) / np.sqrt(2 * np.pi)
