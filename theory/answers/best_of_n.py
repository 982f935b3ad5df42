r"""Choosing one of N answers to a problem when what each is worth is known: from a list, from a pool, or from an ROC curve.

The best of N is at level l of the score if all N are at l or above, and not all above: P = S_l^N - S_{l+1}^N, with S_l the
probability of level l or above; smaller scores are better.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import gammaln
from numpy.typing import ArrayLike

from theory._arguments import Count, Probabilities, Real, check_below, checked
from theory._evaluate import evaluate


@checked(probabilities=Probabilities(), scores=Real(shape=("k",)), values=Real(shape=("k",)), num_candidates=Count(1))
def best_answer_value(probabilities: ArrayLike, scores: ArrayLike, values: ArrayLike, num_candidates: ArrayLike) -> Any:
    r"""Expected value of the answer with the smallest score among N independent candidates.

        E = sum_i p_i v_i (S_i^N - S_{i+}^N) / (S_i - S_{i+}),   S_i = P(score >= s_i), S_{i+} = P(score > s_i)

    Ties are broken uniformly among the tied candidates. With the scores 0 and 1 of a right and a wrong answer that is pass@N.

    Args:
        probabilities: p, shape (k,), of each answer; they sum to 1.
        scores: s, shape (k,); finite.
        values: v, shape (k,); finite.
        num_candidates: N >= 1; any shape, which is the result's.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: the law of the smallest of N independent scores.

    Example:
        >>> best_answer_value([0.2, 0.8], [0.0, 1.0], [1.0, 0.0], np.array([1, 4])).round(4).tolist()  # 1 - (1 - p)^N
        [0.2, 0.5904]
    """
    return evaluate(best_value, probabilities, scores, values, num_candidates, core_dims=(1, 1, 1))


@checked(scores=Real(shape=("m",)), values=Real(shape=("m",)), num_candidates=Count(1))
def best_of_pool(scores: ArrayLike, values: ArrayLike, num_candidates: ArrayLike) -> Any:
    r"""Expected value of the answer with the smallest score among N drawn without replacement from a pool of M answers.

        E = sum_i v_i [C(M_i, N) - C(M_{i+}, N)] / (C(M, N) (M_i - M_{i+})),   M_i, M_{i+} answers with scores >= s_i, > s_i

    Unbiased for the best of N fresh ones, as pass@k is, where the pool is a sample. Absolute error below 1e-10 for pools up
    to 10^4. Ties are broken uniformly.

    Args:
        scores: shape (M,); finite.
        values: shape (M,); finite.
        num_candidates: N from 1 to M; any shape, which is the result's.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: the hypergeometric law; Chen et al., "Evaluating large language models trained on code" (2021) for right and wrong.

    Example:
        >>> best_of_pool([0.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0], np.array([1, 2, 4])).round(9).tolist()
        [0.25, 0.5, 1.0]
    """
    num_candidates = check_below("num_candidates", num_candidates, "the size of the pool", np.size(scores))
    return evaluate(_pool_formula, scores, values, num_candidates, core_dims=(1, 1))


@checked(
    accuracy=Real(0.0, 1.0),
    false_positive_rates=Real(0.0, 1.0, shape=("k",)),
    true_positive_rates=Real(0.0, 1.0, shape=("k",)),
    num_candidates=Count(1),
)
def roc_accuracy(
    accuracy: ArrayLike, false_positive_rates: ArrayLike, true_positive_rates: ArrayLike, num_candidates: ArrayLike
) -> Any:
    r"""Probability that the best of N independent answers is right, under a verifier known by its ROC curve.

    Between the points of the curve a verifier orders answers at random. With a segment's rates f_0 <= f_1 and t_0 <= t_1, of
    answers that are right with probability p, and F = 1 - p t - (1 - p) f the share that a threshold refuses,

        sum over segments of  p (t_1 - t_0) (F_0^N - F_1^N) / (F_0 - F_1)

    The diagonal is a verifier that knows nothing: p at every N. A curve that starts with a vertical segment to t tends to 1 for
    large N; one that starts with a finite slope r tends to p r / (p r + 1 - p), what the most trusted answers are worth.

    Args:
        accuracy: p between 0 and 1; broadcasts with ``num_candidates``.
        false_positive_rates: f, shape (k,), from 0 to 1, not falling.
        true_positive_rates: t, shape (k,), from 0 to 1, not falling.
        num_candidates: N >= 1.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: the law of the best of N independent scores, with each segment one level of the score.

    Example:
        >>> roc_accuracy(0.3, [0.0, 0.1, 1.0], [0.0, 0.7, 1.0], np.array([1, 8, 1000])).round(4).tolist()
        [0.3, 0.7049, 0.75]
    """
    curve = _check_rates("false_positive_rates", false_positive_rates), _check_rates("true_positive_rates", true_positive_rates)
    return evaluate(_roc_formula, *curve, accuracy, num_candidates, core_dims=(1, 1))


def _check_rates(name: str, rates: Any) -> Any:
    """``rates``, checked to rise from 0 to 1; traced ones that do not become NaN."""
    if isinstance(rates, jax.core.Tracer):
        rises = (rates[0] == 0) & (rates[-1] == 1) & jnp.all(rates[1:] >= rates[:-1]) & (len(rates) > 1)
        return jnp.where(rises, rates, jnp.nan)
    if len(rates) < 2 or rates[0] != 0 or rates[-1] != 1 or (np.diff(rates) < 0).any():
        raise ValueError(f"{name} must rise from 0 to 1, got {len(rates)} numbers from {rates[0]:g} to {rates[-1]:g}")
    return rates


def best_value(probabilities: Array, scores: Array, values: Array, number: Array) -> Array:
    """The formula of :func:`best_answer_value`, for float64 arrays."""
    order = jnp.argsort(scores)
    ordered = scores[order]
    # Probability of the places from each on, and of none beyond the last.
    tail = jnp.append(jnp.cumsum(probabilities[order][::-1])[::-1], 0.0)
    first, beyond = _level_ends(ordered)
    return _of_levels(probabilities[order] * values[order], tail[first], tail[beyond], number)


def _level_ends(ordered: Array) -> tuple[Array, Array]:
    """Return for each entry of a sorted array the start of its run of equal entries, and the start of the next run."""
    places, rises = jnp.arange(ordered.size), ordered[1:] > ordered[:-1]
    first = jax.lax.cummax(jnp.where(jnp.append(True, rises), places, 0))
    return first, jax.lax.cummin(jnp.where(jnp.append(rises, True), places + 1, ordered.size), reverse=True)


def _of_levels(weights: Array, from_here: Array, beyond: Array, number: Array) -> Array:
    """Sum of weights (k,) times the probability that the best of N is at that level, over the level's own probability."""
    mass = from_here - beyond
    number = number[..., None]
    chance = (from_here**number - beyond**number) / jnp.where(mass > 0, mass, 1.0)
    # A level without probability has none, but a derivative.
    return jnp.sum(weights * jnp.where(mass > 0, chance, number * from_here ** (number - 1)), axis=-1)


def _pool_formula(scores, values, number):
    size, order = scores.size, jnp.argsort(scores)
    ordered = scores[order]
    from_here, beyond = (size - ends for ends in _level_ends(ordered))

    def share(count):
        """C(count, N) / C(M, N)."""
        left = count - number[..., None]
        log_share = gammaln(count + 1.0) - gammaln(jnp.maximum(left, 0.0) + 1.0)
        log_share -= gammaln(size + 1.0) - gammaln(size - number[..., None] + 1.0)
        return jnp.where(left >= 0, jnp.exp(jnp.minimum(log_share, 0.0)), 0.0)

    return jnp.sum(values[order] * (share(from_here) - share(beyond)) / (from_here - beyond), axis=-1)


def _roc_formula(false_positive, true_positive, accuracy, number):
    accuracy, number = jnp.broadcast_arrays(accuracy, number)
    right = accuracy[..., None]
    refused = right * (1 - true_positive) + (1 - right) * (1 - false_positive)  # (..., k)
    return _of_levels(right * jnp.diff(true_positive), refused[..., :-1], refused[..., 1:], number)
