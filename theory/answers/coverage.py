r"""Coverage: how often at least one of k answers is correct.

pass@k = 1 - (1 - p)^k,   averaged over problems whose success probability p varies
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from numpy.typing import ArrayLike

from theory._arguments import Count, Real, check_below, checked
from theory._evaluate import evaluate


@checked(accuracy=Real(0.0, 1.0), k=Real(1.0))
def expected_pass_at_k(accuracy: ArrayLike, k: ArrayLike) -> Any:
    r"""Probability that at least one of k independent answers is right: what an exact verifier makes of k candidates.

        1 - (1 - p)^k

    Arguments broadcast.

    Args:
        accuracy: p between 0 and 1.
        k: >= 1.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> expected_pass_at_k(0.1, np.array([1, 10])).round(4).tolist()
        [0.1, 0.6513]
    """
    return evaluate(_expected_formula, accuracy, k)


@checked(num_samples=Count(1), num_correct=Count(0), k=Count(1))
def pass_at_k(num_samples: ArrayLike, num_correct: ArrayLike, k: ArrayLike) -> Any:
    r"""Unbiased estimate of pass@k from n answers to a problem with c correct ones.

        1 - C(n - c, k) / C(n, k)

    Absolute error below 1e-10 for n up to 10^4. Arguments broadcast.

    Args:
        num_samples: n >= 1.
        num_correct: c from 0 to n.
        k: from 1 to n.

    Raises:
        ValueError: an argument is out of range.

    Source: Chen et al., "Evaluating large language models trained on code" (2021).

    Example:
        >>> pass_at_k(4, np.array([0, 1, 2, 3]), 2).round(9).tolist()
        [0.0, 0.5, 0.833333333, 1.0]
    """
    num_correct = check_below("num_correct", num_correct, "num_samples", num_samples)
    k = check_below("k", k, "num_samples", num_samples)
    return evaluate(_pass_formula, num_samples, num_correct, k)


@checked(a=Real(0.0, open_ends=True), b=Real(0.0, open_ends=True), k=Real(1.0))
def beta_pass_at_k(a: ArrayLike, b: ArrayLike, k: ArrayLike) -> Any:
    r"""Mean pass@k over problems whose success probability has the law Beta(a, b).

        1 - B(a, b + k) / B(a, b),   1 - pass@k ~ Gamma(a + b) / Gamma(b) k^{-a}   for large k

    Any law whose density is C p^{a-1} near zero has the power law 1 - pass@k ~ C Gamma(a) k^{-a}. Relative error below 1e-12 of
    the smaller one of pass@k and 1 - pass@k, for b and k up to 1e15 and a up to 1e3. Arguments broadcast.

    Args:
        a: > 0, how rare the hard problems are.
        b: > 0.
        k: >= 1; it need not be an integer.

    Raises:
        ValueError: an argument is out of range.

    Source: the beta-binomial law; Schaeffer et al., "How do large language monkeys get their power (laws)?" (2025).

    Example:
        >>> beta_pass_at_k(1.0, 1.0, np.array([1, 3])).round(9).tolist()  # k / (k + 1)
        [0.5, 0.75]
    """
    return evaluate(_beta_formula, a, b, k)


def _expected_formula(accuracy, k):
    certain = accuracy >= 1
    return jnp.where(certain, 1.0, -jnp.expm1(k * jnp.log1p(-jnp.where(certain, 0.5, accuracy))))


def _pass_formula(num_samples, num_correct, k):
    wrong = num_samples - num_correct
    enough = wrong >= k  # otherwise some of the k must be correct
    left = jnp.where(enough, wrong - k, 0.0)
    log_ratio = gammaln(wrong + 1) - gammaln(left + 1) + gammaln(num_samples - k + 1) - gammaln(num_samples + 1)
    return jnp.where(enough, 1 - jnp.exp(jnp.minimum(log_ratio, 0.0)), 1.0)


def _beta_formula(a, b, k):
    """The ratio Gamma(a + x) / Gamma(x) at b over that at b + k, without a difference of large logarithms.

    Up to its first few factors, Stirling's series gives log Gamma(a + x) - log Gamma(x) = a log x + stirling(x).
    """
    a, b, k = (value[..., None] for value in jnp.broadcast_arrays(a, b, k))
    first = np.arange(_FACTORS)
    ratio = jnp.sum(jnp.log1p(a / (b + k + first)) - jnp.log1p(a / (b + first)), axis=-1)
    a, b, k = a[..., 0], b[..., 0] + _FACTORS, k[..., 0]

    def stirling(x):
        """Return log Gamma(a + x) - log Gamma(x) - a log x."""
        series = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680]
        rest = sum(c * ((x + a) ** -(2 * i + 1.0) - x ** -(2 * i + 1.0)) for i, c in enumerate(series))
        return x * _log1p_minus(a / x) + (a - 0.5) * jnp.log1p(a / x) + rest

    return -jnp.expm1(ratio - a * jnp.log1p(k / b) + stirling(b) - stirling(b + k))


def _log1p_minus(t):
    """log(1 + t) - t for t >= 0; by its series where the difference would cancel."""
    small = jnp.minimum(t, 0.1)
    powers = np.arange(2, 18)
    series = jnp.sum((-1.0) ** (powers + 1) * small[..., None] ** powers / powers, axis=-1)
    return jnp.where(t < 0.1, series, jnp.log1p(t) - t)


_FACTORS = 24  # the series is then exact to rounding
