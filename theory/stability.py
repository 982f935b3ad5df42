"""Which step sizes are safe: a context diverges when the largest eigenvalue of its X^T X / n exceeds 2 / step_size."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.polynomial import Chebyshev
from numpy.typing import ArrayLike
from scipy import special

from theory import resolvents
from theory._evaluate import check_broadcast, check_count, check_real, evaluate
from theory.resolvents import check_spectrum

_DOMAIN = (-10.0, 40.0)  # outside, the tail probability is 1 or below 1e-70 to double precision


def divergence_probability(dim: ArrayLike, num_examples: ArrayLike, step_size: ArrayLike) -> np.ndarray | Array:
    r"""Probability that a context of isotropic Gaussian inputs makes gradient descent diverge.

        P(lambda_max(X^T X) > 2 n / eta) ~ 1 - F_1((2 n / eta - mu) / s),   r = sqrt(n - 1/2), q = sqrt(d - 1/2),
        mu = (r + q)^2,   s = (r + q)(1/r + 1/q)^{1/3}

    with F_1 the Tracy-Widom law of real matrices. The error is O(min(n, d)^{-2/3}) in the bulk of the law, within 10 % for
    probabilities from 0.01 to 0.1 at d >= 4, and grows in the far tail: where this predicts 1e-6, the exact probability is
    2.6e-6 at (d, n) = (20, 40), 3.4e-6 at (20, 20), 9e-6 at (4, 8) and 0.3e-6 at (4, 1000). Arguments broadcast, plain or
    traced.

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
    check_count("dim", dim, minimum=1)
    check_count("num_examples", num_examples, minimum=1)
    check_real("step_size", step_size, minimum=0.0, open_ends=True)
    check_broadcast(dim=dim, num_examples=num_examples, step_size=step_size)
    return evaluate(_divergence_formula, dim, num_examples, step_size, coefficients=_tail_coefficients())


def divergence_probability_covariance(
    eigenvalues: ArrayLike, num_examples: ArrayLike, step_size: ArrayLike
) -> np.ndarray | Array:
    r"""Probability that a context of inputs x ~ N(0, diag(eigenvalues)) makes gradient descent diverge.

        P(lambda_max(X^T X / n) > 2 / eta) ~ 1 - F_1((2 / eta - edge) / s),   s = (1/c) (1 + (1/n) sum r^3)^{1/3} n^{-2/3}

    with r = c lambda / (1 - c lambda), c and the edge those of :func:`theory.spectral_edge`. The error is on the safe side:
    1 to 4 times the exact probability where that is between 0.002 and 0.2, for power-law spectra of exponents 0 to 1.5 at
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
    check_spectrum(eigenvalues)
    check_count("num_examples", num_examples, minimum=1)
    check_real("step_size", step_size, minimum=0.0, open_ends=True)
    check_broadcast(num_examples=num_examples, step_size=step_size)
    arguments = (eigenvalues, num_examples, step_size)
    return evaluate(_divergence_covariance_formula, *arguments, core_dims=(1,), coefficients=_tail_coefficients())


def largest_stable_step(dim: ArrayLike, num_examples: ArrayLike, probability: ArrayLike = 1e-6) -> np.ndarray | Array:
    """The step size at which a context diverges with the given probability, the inverse of :func:`divergence_probability`.

    Args:
        dim: d >= 1.
        num_examples: n >= 1.
        probability: accepted probability of divergence, at least 1e-60 and at most 1 - 1e-9.

    Returns:
        Step size eta > 0; infinite if the probability is not reached by any step (in very few dimensions).

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> step = largest_stable_step(20, 40, probability=0.01)
        >>> round(float(divergence_probability(20, 40, step)), 6)
        0.01
    """
    check_count("dim", dim, minimum=1)
    check_count("num_examples", num_examples, minimum=1)
    check_real("probability", probability, minimum=1e-60, maximum=1 - 1e-9)
    check_broadcast(dim=dim, num_examples=num_examples, probability=probability)
    return evaluate(_stable_step_formula, dim, num_examples, probability, coefficients=_tail_coefficients())


def check_stable(step_size: ArrayLike, limit: ArrayLike) -> None:
    """ValueError unless every known step size is below its limit, beyond which chains diverge in large dimension."""
    if any(isinstance(value, jax.core.Tracer) for value in (step_size, limit)):
        return
    steps, limits = np.broadcast_arrays(step_size, limit)
    if (steps >= limits).any():
        worst = np.argmax(steps / limits)
        raise ValueError(f"step_size must be below {limits.flat[worst]:.4g}, or chains diverge, got {steps.flat[worst]:g}")


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
    centre, scale = _centre_and_scale(dim, num_examples)
    return jnp.exp(jnp.minimum(_log_tail((2 * num_examples / step_size - centre) / scale, coefficients), 0.0))


def _divergence_covariance_formula(eigenvalues, num_examples, step_size, *, coefficients):
    def law(count):
        root = resolvents.edge_root(eigenvalues, count)
        ratio = root * eigenvalues / (1 - root * eigenvalues)
        return (1 + jnp.sum(ratio) / count) / root, jnp.cbrt(1 + jnp.sum(ratio**3) / count) / (root * count ** (2 / 3))

    edge, scale = jnp.vectorize(law)(num_examples)
    return jnp.exp(jnp.minimum(_log_tail((2 / step_size - edge) / scale, coefficients), 0.0))


def _stable_step_formula(dim, num_examples, probability, *, coefficients):
    target = jnp.log(probability)

    def halve(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        above = _log_tail(middle, coefficients) > target
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    bracket = tuple(jnp.full_like(target, end) for end in _DOMAIN)
    low, _ = jax.lax.fori_loop(0, 60, halve, bracket)
    # Newton steps from the fixed root carry its derivatives in the probability: two steps, up to the third.
    quantile = jax.lax.stop_gradient(low)
    for _ in range(2):
        value, slope = jax.jvp(lambda point: _log_tail(point, coefficients), (quantile,), (jnp.ones_like(quantile),))
        quantile = quantile - (value - target) / slope
    centre, scale = _centre_and_scale(dim, num_examples)
    edge = centre + scale * quantile
    return jnp.where(edge > 0, 2 * num_examples / jnp.where(edge > 0, edge, 1.0), jnp.inf)
