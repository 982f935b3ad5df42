"""Aggregation: the candidates of one context, and their scores, become one estimate.

Smaller scores are better. A candidate is eligible for selection if neither its score nor any of its coordinates is NaN: one
that diverged never wins and never weighs. Without an eligible candidate the estimate is NaN in every coordinate. An infinite
score is a score: +inf loses to every finite one.

Votes are for candidates of two values. With ``log_weights`` (c,) a candidate has as many votes as exp of its own, as in a
probability-weighted vote by the decoder's log-probability of its answer; one whose weight is NaN has none. Votes that differ by
less than 1e-5 of their sum are tied.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ttc_jax import _check
from ttc_jax.tasks import SIGNS, BinaryPrior

_TIE = 1e-5


@_check.arguments
def mean(candidates: Array) -> Array:
    """Average of candidates (c, d), shape (d,); a NaN coordinate makes that coordinate NaN."""
    _check_candidates(candidates)
    return jnp.mean(candidates, axis=0)


@_check.arguments
def median(candidates: Array) -> Array:
    """Median of candidates (c, d) coordinate by coordinate, shape (d,); a NaN coordinate makes that coordinate NaN.

    Example:
        >>> median(jnp.array([[0.0, 5.0], [2.0, 3.0], [90.0, 4.0]])).tolist()
        [2.0, 4.0]
    """
    _check_candidates(candidates)
    return jnp.median(candidates, axis=0)


@_check.arguments
def prefix_means(candidates: Array, sizes: Sequence[int]) -> Array:
    """Averages of the first N candidates, for every N in ``sizes``, shape (len(sizes), d).

    One matrix product serves all sizes: a coordinate that is NaN or infinite in any candidate is NaN at every size.

    Raises:
        ValueError: a size is not an integer between 1 and the number of candidates.

    Example:
        >>> prefix_means(jnp.array([[0.0], [2.0], [4.0]]), (1, 2, 3)).ravel().tolist()
        [0.0, 1.0, 2.0]
    """
    _check_candidates(candidates)
    num_candidates = candidates.shape[0]
    sizes = _check_sizes(sizes, num_candidates)
    weights = np.arange(num_candidates) < np.asarray(sizes)[:, None]  # (sizes, c)
    dtype = jnp.result_type(candidates, float)
    return jnp.asarray(weights / weights.sum(axis=1, keepdims=True), dtype) @ candidates.astype(dtype)


@_check.arguments
def best_of_n(candidates: Array, scores: Array, *, key: Array | None = None) -> Array:
    """The candidate of the smallest score.

    Args:
        candidates: shape (c, d).
        scores: shape (c,); smaller is better.
        key: one typed key, by which a tie is broken uniformly at random; without one the first of the tied wins.

    Returns:
        The winner, shape (d,), floating; NaN if no candidate is eligible.

    Raises:
        ValueError: an argument has the wrong shape, or there is no candidate.

    Example:
        >>> best_of_n(jnp.array([[7.0], [8.0], [9.0]]), jnp.array([2.0, 1.0, jnp.nan])).tolist()
        [8.0]
    """
    _, _, tied = _ranked(candidates, scores)
    winner = jnp.argmax(jnp.where(tied, _priorities(key, candidates.shape[0]), 0))
    return _pick(candidates, winner, tied[winner])


@_check.arguments
def prefix_best_of_n(candidates: Array, scores: Array, sizes: Sequence[int], *, key: Array | None = None) -> Array:
    """The best of the first N candidates, for every N in ``sizes``, by a running best in one pass.

    Args:
        candidates: shape (c, d).
        scores: shape (c,); smaller is better.
        sizes: the numbers N, each from 1 to c, in any order; static.
        key: as in :func:`best_of_n`; the same random order of the tied serves every N.

    Returns:
        The winners, shape (len(sizes), d), floating; NaN where none of the first N is eligible.

    Raises:
        ValueError: an argument has the wrong shape, or a size is not an integer between 1 and the number of candidates.

    Example:
        >>> prefix_best_of_n(jnp.array([[7.0], [8.0], [9.0]]), jnp.array([2.0, 3.0, 1.0]), (1, 2, 3)).ravel().tolist()
        [7.0, 7.0, 9.0]
    """
    usable, _, _ = _ranked(candidates, scores)
    num_candidates = candidates.shape[0]
    ends = np.asarray(_check_sizes(sizes, num_candidates)) - 1
    entries = (usable, _priorities(key, num_candidates), jnp.arange(num_candidates))

    def advance(best, entry):
        best = _better(best, entry)
        return best, best

    # One candidate after another: a scan in logarithmic depth would take several times as long to compile.
    first = jax.tree.map(lambda column: column[0], entries)
    best, _, winners = (column[ends] for column in jax.lax.scan(advance, first, entries)[1])
    return _pick(candidates, winners, ~jnp.isnan(best)[:, None])


@_check.arguments
def softmax_mean(candidates: Array, scores: Array, *, temperature: ArrayLike) -> Array:
    """Average of the eligible candidates with weights proportional to ``exp(-score / temperature)``.

    A low temperature gives the mean of the best (they may tie), a high one the mean of all. Differentiable in every array.

    Args:
        candidates: shape (c, d).
        scores: shape (c,); smaller is better. A +inf weighs nothing, unless no score is less: then all +inf weigh the same.
        temperature: in units of the score, > 0; may be traced. Below the square root of the smallest normal number
            (1e-19 in float32) it acts as that root, which keeps derivatives finite.

    Returns:
        The estimate, shape (d,), floating; NaN if no candidate is eligible.

    Raises:
        ValueError: an argument has the wrong shape, there is no candidate, or temperature is not a positive number.

    Example:
        >>> candidates, scores = jnp.array([[0.0], [1.0], [9.0]]), jnp.array([0.0, 0.0, jnp.nan])
        >>> softmax_mean(candidates, scores, temperature=0.1).tolist()
        [0.5]
    """
    weights = jnp.exp(_log_weights(candidates, scores, temperature))
    weights = weights / jnp.sum(weights)  # the best has weight 1 before: 0 / 0 only if no candidate is eligible
    dtype = jnp.result_type(candidates, float)
    # A candidate of weight zero may be NaN or infinite, and zero times NaN is NaN.
    return weights.astype(dtype) @ jnp.where(weights[:, None] > 0, candidates, 0).astype(dtype)


@_check.arguments
def softmax_selection(key: Array, candidates: Array, scores: Array, *, temperature: ArrayLike) -> Array:
    """One eligible candidate, drawn with the weights of :func:`softmax_mean`.

    Args:
        key: one typed key.
        candidates: shape (c, d).
        scores: shape (c,); smaller is better.
        temperature: as in :func:`softmax_mean`.

    Returns:
        The candidate drawn, shape (d,), floating; NaN if no candidate is eligible.

    Raises:
        ValueError: as in :func:`softmax_mean`, or key is not a single typed key.
    """
    _check.key(key)
    log_weights = _log_weights(candidates, scores, temperature)
    drawn = jax.random.categorical(key, log_weights)
    return _pick(candidates, drawn, jnp.isfinite(log_weights[drawn]))


@_check.arguments
def majority_vote(
    candidates: Array, *, log_weights: Array | None = None, prior: BinaryPrior = SIGNS, key: Array | None = None
) -> Array:
    """The value that most candidates have, coordinate by coordinate.

    Args:
        candidates: shape (c, d); every entry votes for the nearer value, one between them for none, and a NaN makes its
            coordinate NaN.
        log_weights: shape (c,); candidates count alike without them.
        prior: has the two values.
        key: one typed key, by which every tied coordinate is decided at random; without one it is the midpoint.

    Returns:
        The estimate, shape (d,), floating.

    Raises:
        ValueError: an argument has the wrong shape or range, or c is even with neither weights nor a key to break ties.

    Example:
        >>> majority_vote(jnp.array([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])).tolist()
        [1.0, -1.0]
    """
    _check_candidates(candidates)
    sizes = (candidates.shape[0],)
    return prefix_majority_votes(candidates, sizes, log_weights=log_weights, prior=prior, key=key)[0]


@_check.arguments
def prefix_majority_votes(
    candidates: Array,
    sizes: Sequence[int],
    *,
    log_weights: Array | None = None,
    prior: BinaryPrior = SIGNS,
    key: Array | None = None,
) -> Array:
    """:func:`majority_vote` of the first N candidates, for every N in ``sizes``, shape (len(sizes), d).

    One matrix product serves all sizes, and the same random choices break the ties of every size.

    Raises:
        ValueError: as there, or a size is not an integer between 1 and the number of candidates.

    Example:
        >>> prefix_majority_votes(jnp.array([[1.0], [-1.0], [-1.0]]), (1, 3)).ravel().tolist()
        [1.0, -1.0]
    """
    _check_candidates(candidates)
    _check.one_of("prior", prior, (BinaryPrior,))
    sizes = _check_sizes(sizes, candidates.shape[0])
    even = [size for size in sizes if size % 2 == 0]
    if even and log_weights is None and key is None:
        raise ValueError(f"number of candidates must be odd without a key to break ties, got {even[0]}")
    weights = _prefix_weights(candidates, sizes, log_weights)
    middle = (prior.low + prior.high) / 2
    broken = jnp.isnan(candidates)
    lead = weights @ jnp.where(broken, 0, jnp.sign(candidates.astype(weights.dtype) - middle))
    tied = jnp.abs(lead) <= _TIE * jnp.sum(weights, axis=1, keepdims=True)
    lead = jnp.where(tied, 0, lead)
    if key is not None:
        _check.key(key)
        lead = jnp.where(tied, jax.random.rademacher(key, (candidates.shape[1],), weights.dtype)[None, :], lead)
    winner = jnp.where(lead > 0, prior.high, jnp.where(lead < 0, prior.low, middle)).astype(weights.dtype)
    return jnp.where(jnp.cumsum(broken, axis=0)[np.asarray(sizes) - 1] > 0, jnp.nan, winner)


@_check.arguments
def plurality_vote(candidates: Array, *, log_weights: Array | None = None, key: Array | None = None) -> Array:
    """The candidate that occurs most often as a whole: a vote over answers, as self-consistency takes it.

    Args:
        candidates: shape (c, d); one with a NaN has no vote.
        log_weights: shape (c,); candidates count alike without them. The weights of equal candidates add up.
        key: one typed key, by which a tie is broken uniformly among the tied candidates; without one the first wins.

    Returns:
        The winner, shape (d,), floating; NaN if every candidate has one.

    Raises:
        ValueError: an argument has the wrong shape.

    Example:
        >>> plurality_vote(jnp.array([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0], [1.0, 1.0]])).tolist()
        [1.0, 1.0]
    """
    _check_candidates(candidates)
    return prefix_plurality_votes(candidates, (candidates.shape[0],), log_weights=log_weights, key=key)[0]


@_check.arguments
def prefix_plurality_votes(
    candidates: Array, sizes: Sequence[int], *, log_weights: Array | None = None, key: Array | None = None
) -> Array:
    """:func:`plurality_vote` of the first N candidates, for every N in ``sizes``, shape (len(sizes), d).

    Every pair of candidates is compared once, which serves all sizes.

    Raises:
        ValueError: as there, or a size is not an integer between 1 and the number of candidates.

    Example:
        >>> prefix_plurality_votes(jnp.array([[1.0], [-1.0], [-1.0]]), (1, 3)).ravel().tolist()
        [1.0, -1.0]
    """
    _check_candidates(candidates)
    count = candidates.shape[0]
    sizes = _check_sizes(sizes, count)
    eligible = ~jnp.isnan(candidates).any(axis=1)
    if log_weights is not None:
        _check.shape("log_weights", log_weights, (count,))
        eligible &= ~jnp.isnan(log_weights)
        log_weights = jnp.where(eligible, log_weights, jnp.nan)
    same = jax.lax.map(lambda one: (candidates == one[None, :]).all(axis=1), jnp.asarray(candidates))  # (c, c)
    weights = _prefix_weights(candidates, sizes, log_weights)
    standing = (np.arange(count) < np.asarray(sizes)[:, None]) & eligible[None, :]
    votes = jnp.where(standing, weights @ same.astype(weights.dtype), -jnp.inf)
    tied = votes >= jnp.max(votes, axis=1, keepdims=True) - _TIE * jnp.sum(weights, axis=1, keepdims=True)
    winners = jnp.argmax(jnp.where(tied & standing, _priorities(key, count)[None, :], 0), axis=1)
    return _pick(candidates, winners, jnp.any(standing, axis=1)[:, None])


def _prefix_weights(candidates: Array, sizes: Sequence[int], log_weights: Array | None) -> Array:
    """Votes of each candidate in each prefix (sizes, c), the largest of the prefix being one; zero beyond it."""
    count, dtype = candidates.shape[0], jnp.result_type(candidates, float)
    inside = np.arange(count) < np.asarray(sizes)[:, None]
    if log_weights is None:
        return jnp.asarray(inside, dtype)
    _check.shape("log_weights", log_weights, (count,))
    log_weights = jnp.where(jnp.isnan(log_weights), -jnp.inf, jnp.asarray(log_weights, dtype))
    within = jnp.where(inside, log_weights[None, :], -jnp.inf)
    largest = jnp.max(within, axis=1, keepdims=True)
    shifted = within - jnp.where(jnp.isfinite(largest), largest, 0)
    return jnp.where(jnp.isposinf(largest), jnp.isposinf(within), jnp.exp(shifted)).astype(dtype)


def _ranked(candidates: Array, scores: Array) -> tuple[Array, Array, Array]:
    """Scores with NaN for the ineligible (c,), the smallest of them (+inf if there is none), and which are equal to it (c,)."""
    _check_candidates(candidates)
    _check.shape("scores", scores, (candidates.shape[0],))
    usable = jnp.where(jnp.isnan(candidates).any(axis=1), jnp.nan, scores)
    best = jnp.min(jnp.where(jnp.isnan(usable), jnp.inf, usable))
    return usable, best, usable == best


def _priorities(key: Array | None, count: int) -> Array:
    """Return positive integers (count,), of which the largest wins a tie: random ones, or equal ones for the first."""
    if key is None:
        return jnp.ones(count, jnp.uint32)
    _check.key(key)
    return jax.random.bits(key, (count,), jnp.uint32) | 1  # odd, hence positive; two are equal with probability 2^-31


def _better(left: tuple[Array, Array, Array], right: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """The better of (score, priority, index) and a later one, elementwise; associative, because it is an order."""
    (score, priority, _), (later_score, later_priority, _) = left, right
    wins = jnp.isnan(score) | (later_score < score) | ((later_score == score) & (later_priority > priority))
    score, priority, index = (jnp.where(wins, later, first) for first, later in zip(left, right, strict=True))
    return score, priority, index


def _pick(candidates: Array, index: Array, found: Array) -> Array:
    """The candidates at ``index``, floating, with NaN where not ``found``."""
    chosen = jnp.asarray(candidates)[index]
    return jnp.where(found, chosen.astype(jnp.result_type(chosen, float)), jnp.nan)


def _log_weights(candidates: Array, scores: Array, temperature: ArrayLike) -> Array:
    """Logarithms (c,) of the softmax weights, that of the best being zero; -inf for what weighs nothing."""
    temperature = _check.scalar("temperature", temperature, minimum=0.0, open_ends=True)
    usable, best, tied = _ranked(candidates, scores)
    # Weights do not depend on what is subtracted, so it needs no derivative. Infinite bests share the weight: inf - inf is NaN.
    gap = jnp.where(jnp.isinf(best), jnp.where(tied, 0, jnp.inf), usable - jax.lax.stop_gradient(best))
    weighs = jnp.isfinite(gap)
    # The gap is masked inside as well as outside, or its derivative would be NaN where it is not finite.
    temperature = jnp.maximum(jnp.asarray(temperature, gap.dtype), float(jnp.finfo(gap.dtype).tiny) ** 0.5)
    return jnp.where(weighs, -jnp.where(weighs, gap, 0) / temperature, -jnp.inf)


def _check_candidates(candidates: Array) -> None:
    """ValueError unless these are one or more candidates (c, d)."""
    _check.shape("candidates", candidates, (None, None))
    if np.shape(candidates)[0] == 0:
        raise ValueError(f"candidates must hold at least one candidate, got shape {np.shape(candidates)}")


def _check_sizes(sizes: Sequence[int], num_candidates: int) -> tuple[int, ...]:
    """``sizes`` as integers between 1 and ``num_candidates``."""
    sizes = _check.integers("sizes", sizes, minimum=1)
    if max(sizes) > num_candidates:
        raise ValueError(f"sizes must not exceed the {num_candidates} candidates, got {max(sizes)}")
    return sizes
