"""Which step sizes are safe: a context diverges when the largest eigenvalue of its X^T X / n exceeds 2 / step_size."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.polynomial import Chebyshev
from numpy.typing import ArrayLike
from scipy import special

from theory._arguments import Count, Real, check_below, checked
from theory._evaluate import evaluate
from theory._quadrature import chi_square_tail
from theory.chains import resolvents
from theory.chains.resolvents import check_spectrum

_DOMAIN = (-10.0, 40.0)  # outside, the tail probability is 1 or below 1e-70 to double precision


@checked(dim=Count(1), num_examples=Count(1), step_size=Real(0.0, open_ends=True))
def divergence_probability(dim: ArrayLike, num_examples: ArrayLike, step_size: ArrayLike) -> np.ndarray | Array:
    r"""Probability that a context of isotropic Gaussian inputs makes gradient descent diverge.

        P(lambda_max(X^T X) > 2 n / eta) ~ 1 - F_1((2 n / eta - mu) / s),   r = sqrt(n - 1/2), q = sqrt(d - 1/2),
        mu = (r + q)^2,   s = (r + q)(1/r + 1/q)^{1/3}

    with F_1 the Tracy-Widom law of real matrices. It is at least P(tr(X^T X) > 2 n min(n, d) / eta), a chi-squared law of n d
    degrees, which is exact for one dimension or one example. The error is O(min(n, d)^{-2/3}) in the bulk of the law: for
    probabilities from 0.01 to 0.1 and min(n, d) of at least 4, the exact one is 0.90 to 1.10 times this for n and d within a
    factor of ten, and 0.80 to 1.10 times otherwise. The error grows in the far tail: where this predicts 1e-6, the exact
    probability is 2.6e-6 at (d, n) = (20, 40), 9e-6 at (4, 8) and 0.4e-6 at (4, 400). Arguments broadcast, plain or traced.

    Args:
        dim: d >= 1.
        num_examples: n >= 1.
        step_size: eta > 0.

    Returns:
        Probability in [0, 1].

    Raises:
        ValueError: an argument is out of range.

    Source: Johnstone, Ann. Statist. 29 (2001); centring of Ma, Bernoulli 18 (2012).

    Example:
        >>> round(float(divergence_probability(20, 40, 40 / 61)), 2)
        0.05
    """
    return evaluate(_divergence_formula, dim, num_examples, step_size, coefficients=_tail_coefficients())


@checked(eigenvalues=Real(0.0, shape=("d",)), num_examples=Count(1), step_size=Real(0.0, open_ends=True))
def divergence_probability_covariance(
    eigenvalues: ArrayLike, num_examples: ArrayLike, step_size: ArrayLike
) -> np.ndarray | Array:
    r"""Probability that a context of inputs x ~ N(0, diag(eigenvalues)) makes gradient descent diverge.

        P(lambda_max(X^T X / n) > 2 / eta) ~ 1 - F_1((2 / eta - edge) / s),   s = (1/c) (1 + (1/n) sum r^3)^{1/3} n^{-2/3}

    with r = c lambda / (1 - c lambda), c and the edge those of :func:`theory.chains.spectral_edge`. The error is on the safe
    side: 1 to 4 times the exact probability where that is between 0.002 and 0.2, for power-law spectra of exponents 0 to 1.5 at
    n >= 20; for H = I :func:`divergence_probability` is closer. Arguments broadcast, plain or traced.

    Args:
        eigenvalues: diagonal of H, shape (d,), >= 0, not all zero.
        num_examples: n >= 1.
        step_size: eta > 0.

    Returns:
        Probability in [0, 1].

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: El Karoui, Ann. Probab. 35 (2007); Lee and Schnelli, Ann. Appl. Probab. 26 (2016), for real matrices.

    Example:
        >>> spectrum = np.arange(1, 101) ** -1.0
        >>> round(float(divergence_probability_covariance(spectrum, 100, 1.5)), 2)
        0.08
    """
    arguments = (check_spectrum(eigenvalues), num_examples, step_size)
    return evaluate(_divergence_covariance_formula, *arguments, core_dims=(1,), coefficients=_tail_coefficients())


@checked(dim=Count(1), num_examples=Count(1), probability=Real(1e-60, 1 - 1e-9))
def largest_stable_step(dim: ArrayLike, num_examples: ArrayLike, probability: ArrayLike = 1e-6) -> np.ndarray | Array:
    """The step size at which a context diverges with the given probability, the inverse of :func:`divergence_probability`.

    Args:
        dim: d >= 1.
        num_examples: n >= 1.
        probability: accepted probability of divergence, at least 1e-60 and at most 1 - 1e-9.

    Returns:
        Step size eta > 0.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> step = largest_stable_step(20, 40, probability=0.01)
        >>> round(float(divergence_probability(20, 40, step)), 6)
        0.01
    """
    return evaluate(_stable_step_formula, dim, num_examples, probability, coefficients=_tail_coefficients())


def edge_of_stability(dim: Any, num_examples: Any) -> Any:
    """2 / (1 + sqrt(d / n))^2, the smallest step size at which chains on isotropic inputs diverge in large dimension."""
    return 2 / (1 + (dim / num_examples) ** 0.5) ** 2


def check_stable(step_size: Any, edge: Any, remedy: str = "allow_divergence=True computes it all the same") -> Any:
    """``step_size``, checked to be below the edge of stability; traced step sizes at or beyond the edge become NaN."""
    remedy = f"; theory.largest_stable_step gives a safe one{', ' if remedy else ''}{remedy}"
    return check_below("step_size", step_size, "the edge of stability", edge, strictly=True, remedy=remedy)


def tracy_widom_tail(value: float) -> float:
    r"""Tail probability 1 - F_1(s) of the Tracy-Widom law for real matrices, on the host.

    F_1(s) = det(I - K) with K(x, y) = Ai((x + y) / 2) / 2 on (s, infinity), by Gauss-Legendre quadrature of the determinant.

    Source: Ferrari and Spohn, J. Phys. A 38 (2005); Bornemann, Math. Comp. 79 (2010).
    """
    # Ai decays like exp(-2/3 x^{3/2}): beyond s + 16 (and 16) the kernel is below double precision.
    nodes, weights = np.polynomial.legendre.leggauss(80)
    length = max(16.0 - value, 16.0)
    points, weights = value + length * (nodes + 1) / 2, weights * length / 2
    kernel = special.airy((points[:, None] + points[None, :]) / 2)[0] / 2
    eigenvalues = np.linalg.eigvalsh(np.sqrt(weights[:, None] * weights[None, :]) * kernel)
    return float(-np.expm1(np.log1p(-np.minimum(eigenvalues, 1.0 - 1e-16)).sum()))


@functools.cache
def _tail_coefficients() -> tuple[float, ...]:
    """Chebyshev coefficients of log(1 - F_1) on the domain."""
    log_tail = np.vectorize(lambda value: np.log(tracy_widom_tail(value)))
    return tuple(Chebyshev.interpolate(log_tail, 100, domain=_DOMAIN).coef.tolist())


def _log_tail(value: Array, coefficients: tuple[float, ...]) -> Array:
    """The Chebyshev series by Clenshaw's recurrence."""
    low, high = _DOMAIN
    argument = (2 * jnp.clip(value, low, high) - low - high) / (high - low)

    def advance(carry, coefficient):
        ahead, behind = carry
        return (coefficient + 2 * argument * ahead - behind, ahead), None

    zero = jnp.zeros_like(argument)
    (ahead, behind), _ = jax.lax.scan(advance, (zero, zero), jnp.asarray(coefficients[:0:-1]))
    return coefficients[0] + argument * ahead - behind


def _centre_and_scale(dim: Array, num_examples: Array) -> tuple[Array, Array]:
    root_n, root_d = jnp.sqrt(num_examples - 0.5), jnp.sqrt(dim - 0.5)
    return (root_n + root_d) ** 2, (root_n + root_d) * (1 / root_n + 1 / root_d) ** (1 / 3)


def _divergence_formula(dim, num_examples, step_size, *, coefficients):
    return jnp.exp(_log_probability_above(2 * num_examples / step_size, dim, num_examples, coefficients))


def _log_probability_above(level, dim, num_examples, coefficients):
    """log P(lambda_max(X^T X) > level)."""
    centre, scale = _centre_and_scale(dim, num_examples)
    tail = jnp.minimum(_log_tail((level - centre) / scale, coefficients), 0.0)
    # The largest eigenvalue is at least the mean of those that are not zero, and equal to it if there is only one.
    few, many = jnp.minimum(dim, num_examples), jnp.maximum(dim, num_examples)
    mean_exceeds = jnp.log(jnp.maximum(chi_square_tail(few * many, few * level), 1e-90))  # whose cube is a number too
    return jnp.where(few == 1, mean_exceeds, jnp.maximum(tail, mean_exceeds))


def _divergence_covariance_formula(eigenvalues, num_examples, step_size, *, coefficients):
    def law(count):
        root = resolvents.edge_root(eigenvalues, count)
        ratio = root * eigenvalues / (1 - root * eigenvalues)
        return (1 + jnp.sum(ratio) / count) / root, jnp.cbrt(1 + jnp.sum(ratio**3) / count) / (root * count ** (2 / 3))

    edge, scale = jnp.vectorize(law)(num_examples)
    tail = jnp.exp(jnp.minimum(_log_tail((2 / step_size - edge) / scale, coefficients), 0.0))
    # The largest eigenvalue is at least the mean square of the inputs in the direction of their largest variance.
    level = 2 / (step_size * jnp.max(eigenvalues))
    return jnp.maximum(tail, chi_square_tail(num_examples, num_examples * level))


def _stable_step_formula(dim, num_examples, probability, *, coefficients):
    dim, num_examples, target = jnp.broadcast_arrays(dim, num_examples, jnp.log(probability))

    def excess(log_level):
        return _log_probability_above(jnp.exp(log_level), dim, num_examples, coefficients) - target

    def halve(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        above = excess(middle) > 0
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    centre, scale = _centre_and_scale(dim, num_examples)
    bracket = jnp.full_like(target, -70.0), jnp.log(centre + _DOMAIN[1] * scale)
    low, _ = jax.lax.fori_loop(0, 70, halve, bracket)
    # Newton steps from the fixed root carry its derivatives: two steps, up to the third.
    log_level = jax.lax.stop_gradient(low)
    for _ in range(2):
        value, slope = jax.jvp(excess, (log_level,), (jnp.ones_like(log_level),))
        log_level = log_level - value / slope
    return 2 * num_examples * jnp.exp(-log_level)
