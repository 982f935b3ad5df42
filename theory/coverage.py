r"""Coverage: how often at least one of k answers is correct.

pass@k = 1 - (1 - p)^k,   averaged over problems whose success probability p varies
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from numpy.typing import ArrayLike

from theory._evaluate import check_broadcast, check_count, check_real, evaluate


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
    check_real("accuracy", accuracy, minimum=0.0, maximum=1.0)
    check_real("k", k, minimum=1.0)
    check_broadcast(accuracy=accuracy, k=k)
    return evaluate(_expected_formula, accuracy, k)


def pass_at_k(num_samples: ArrayLike, num_correct: ArrayLike, k: ArrayLike) -> Any:
    r"""Unbiased estimate of pass@k from n answers to a problem, of which c are correct.

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
    check_count("num_samples", num_samples, minimum=1)
    check_count("num_correct", num_correct, minimum=0)
    check_count("k", k, minimum=1)
    check_broadcast(num_samples=num_samples, num_correct=num_correct, k=k)
    for name, value in (("num_correct", num_correct), ("k", k)):
        if any(isinstance(one, jax.core.Tracer) for one in (value, num_samples)):
            continue
        values, samples = np.broadcast_arrays(value, num_samples)
        if (values > samples).any():
            worst = np.argmax(values - samples)
            raise ValueError(f"{name} must not exceed num_samples = {samples.flat[worst]}, got {values.flat[worst]}")
    return evaluate(_pass_formula, num_samples, num_correct, k)


def beta_pass_at_k(a: ArrayLike, b: ArrayLike, k: ArrayLike) -> Any:
    r"""Mean pass@k over problems whose success probability has the law Beta(a, b).

        1 - B(a, b + k) / B(a, b),   1 - pass@k ~ Gamma(a + b) / Gamma(b) k^{-a}   for large k

    Any law whose density is C p^{a-1} near zero has the power law 1 - pass@k ~ C Gamma(a) k^{-a}. Arguments broadcast.

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
    check_real("a", a, minimum=0.0, open_ends=True)
    check_real("b", b, minimum=0.0, open_ends=True)
    check_real("k", k, minimum=1.0)
    check_broadcast(a=a, b=b, k=k)
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
    return -jnp.expm1(gammaln(b + k) - gammaln(b) - gammaln(a + b + k) + gammaln(a + b))
