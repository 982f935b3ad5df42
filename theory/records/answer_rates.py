r"""From few answers to each of many problems to the accuracy of the vote of many answers.

A problem has a type: the rate of right answers, the shares of the different right ones, and those of the strongest wrong ones,
of the other wrong ones and of abstentions. The law over types is any law on a grid,

    P(counts of m answers) = sum_j w_j P(counts | type j),    vote of N = sum_j w_j v_N(type j)

so that the vote of N is a mean over an unknown mixing law, as pass@k is, with the same likelihood intervals. If m answers do
not determine votes of N, the interval contains the votes of all laws that fit. Everything here runs in NumPy and SciPy on the
host; nothing can be traced.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from theory._arguments import Count, Domain, Instance, Number, Real, Size, host_only
from theory.records._answer_types import Counts, Types, chances, drawn_counts, grid, trimmed, vote, with_observed
from theory.records._likelihood_intervals import Evidence, allowed_falls, check_resamples, ends
from theory.records._mixtures import most_probable
from theory.results import Interval

_NO_WEIGHT = 1e-4
_FEW_SAMPLES = 25  # of a problem, above which types are also at the observed shares


_ANSWERS: dict[str, Domain] = {
    "answer_counts": Count(0, shape=("p", "k"), plain=True),
    "is_correct": Real(0.0, 1.0, shape=("p", "k"), plain=True, flags=True),
    "abstentions": Count(0, shape=("p",), or_scalar=True, plain=True),
}


class AnswerRates(NamedTuple):
    """A law of types of problems.

    Attributes:
        probabilities: of the different answers under each type, shape (J, K); the first ``num_right`` are right, the last one
            is an abstention. The last right one and the last wrong one represent answers too rare to be given twice.
        weights: probabilities of the types, shape (J,).
        num_right: number of right answers.
        log_likelihood: of all counts, up to a constant.
        types: the grid.
    """

    probabilities: np.ndarray
    weights: np.ndarray
    num_right: int
    log_likelihood: float
    types: Types


class DrawnAnswers(NamedTuple):
    """Answers to problems that are drawn from a law.

    Attributes:
        answers: which answer each is, numbers from 0 that mean nothing beyond their problem; -1 abstains. Shape (P, N).
        is_correct: which are correct, of the same shape.
    """

    answers: np.ndarray
    is_correct: np.ndarray


@host_only(**_ANSWERS)
def fit_answer_rates(answer_counts: ArrayLike, is_correct: ArrayLike, abstentions: ArrayLike = 0) -> AnswerRates:
    r"""Return the law of types under which the recorded answers are most probable (NPMLE).

        max over w of sum_i log sum_j w_j P(counts of problem i | type j)

    Labels of answers mean nothing across problems. An answer that is right with a chance f between 0 and 1 (different samples
    of the same string may be judged differently) counts as f problems in which it is right and 1 - f in which it is wrong.

    Args:
        answer_counts: how often each different answer to a problem was given, shape (P, K); rows of fewer end in zeros.
        is_correct: which of them are correct, or their chances to be, shape (P, K).
        abstentions: answers that cast no vote and count as wrong, shape (P,) or one number for all.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: Lindsay, Ann. Statist. 11 (1983), for the maximum among all laws.

    Example:
        >>> rates = fit_answer_rates([[3, 1, 1], [5, 0, 0], [1, 2, 2]], [[1, 0, 0], [1, 0, 0], [1, 0, 0]])
        >>> round(float(predicted_vote_accuracy(rates, 1)), 1)
        0.6
    """
    answers = _answers(answer_counts, is_correct, abstentions)
    found = most_probable(chances(answers.types, answers.counts), answers.repeats[None])
    return _law(answers.types, found.weights[0], float(found.log_likelihood[0]))


@host_only(rng=Instance((np.random.Generator,)), rates=Instance((AnswerRates,)), num_problems=Size(), num_candidates=Size())
def draw_answers(rng: np.random.Generator, rates: AnswerRates, num_problems: int, num_candidates: int) -> DrawnAnswers:
    """Draw problems from a law of types, and answers to each, one after the other: for rules that look at answers as they come.

    Args:
        rng: NumPy's generator.
        rates: of :func:`theory.records.fit_answer_rates`.
        num_problems: P >= 1.
        num_candidates: N >= 1, answers to each problem.

    Raises:
        ValueError: an argument has the wrong range.

    Source: the law of total probability.

    Example:
        >>> rates = fit_answer_rates([[3, 1, 1], [5, 0, 0], [1, 2, 2]], [[1, 0, 0], [1, 0, 0], [1, 0, 0]])
        >>> draw_answers(np.random.default_rng(0), rates, 6, 7).answers.shape
        (6, 7)
    """
    chosen = rates.probabilities[rng.choice(len(rates.weights), size=num_problems, p=rates.weights)]
    totals = np.cumsum(chosen, axis=1)[:, :-1]
    drawn = np.stack([np.searchsorted(row, rng.random(num_candidates), side="right") for row in totals])
    last = chosen.shape[1] - 1
    is_rare = (drawn == rates.num_right - 1) | (drawn == last - 1)
    named = np.where(is_rare, last + np.arange(num_candidates), np.where(drawn == last, -1, drawn))
    return DrawnAnswers(named, drawn < rates.num_right)


@host_only(rates=Instance((AnswerRates,)), num_candidates=Count(1, plain=True))
def predicted_vote_accuracy(rates: AnswerRates, num_candidates: ArrayLike) -> Any:
    r"""Return the probability that the most frequent of N answers is correct, ties broken uniformly, averaged over problems.

    A problem with N abstentions is not solved. Votes are simulated, with an error below 0.01.

    Args:
        rates: of :func:`theory.records.fit_answer_rates`.
        num_candidates: N >= 1; any shape, which is the result's.

    Raises:
        ValueError: num_candidates is out of range.

    Source: the law of total probability.

    Example:
        >>> rates = fit_answer_rates([[3, 2], [5, 0], [5, 0]], [[1, 0], [1, 0], [1, 0]])
        >>> bool(predicted_vote_accuracy(rates, 15) > 0.8)
        True
    """
    every = np.asarray(num_candidates, int)
    return np.reshape(_votes(rates.types, every.ravel()) @ rates.weights, every.shape)[()]


@host_only(**_ANSWERS, num_candidates=Count(1, plain=True), level=Number(0.0, 1.0, open_ends=True), num_resamples=Size(0))
def vote_accuracy_interval(
    answer_counts: ArrayLike,
    is_correct: ArrayLike,
    abstentions: ArrayLike = 0,
    *,
    num_candidates: ArrayLike,
    level: float = 0.9,
    num_resamples: int | None = None,
) -> Interval:
    r"""Accuracy of the vote of N answers over problems like these, with a likelihood interval.

    The interval is that of :func:`theory.records.pass_at_k_interval` with types in the place of rates: all values psi of the
    vote for which 2 [max l - l(psi)] is at most its quantile in resamples of the most probable law there, and of chi^2_1. The
    quantile for the median of the numbers of votes serves for all. The estimate is the vote under the law of
    :func:`theory.records.fit_answer_rates`.

    Args:
        answer_counts: shape (P, K), as in :func:`theory.records.fit_answer_rates`.
        is_correct: shape (P, K).
        abstentions: shape (P,) or one number for all.
        num_candidates: N >= 1; any shape, which is that of the results.
        level: probability, strictly between 0 and 1, that such an interval covers, over draws of problems and answers.
        num_resamples: problem sets drawn for each quantile, >= 20; from 24 to 200, as their size allows, if None; 0 for the
            quantile of chi^2_1 alone. They are the same each time.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: Murphy and van der Vaart, J. Am. Stat. Assoc. 95 (2000); Chuang and Lai, Statistica Sinica 10 (2000).

    Example:
        >>> counts, correct = [[3, 1, 1], [5, 0, 0], [1, 2, 2], [0, 4, 1]], [[1, 0, 0]] * 4
        >>> vote = vote_accuracy_interval(counts, correct, num_candidates=15)
        >>> bool(vote.low < vote.estimate < vote.high)
        True
    """
    answers = _answers(answer_counts, is_correct, abstentions)
    check_resamples(num_resamples)
    shape, every = np.shape(num_candidates), np.ravel(np.asarray(num_candidates, int))
    evidence, values = _evidence(answers), _votes(answers.types, every)
    law = most_probable(evidence.chances, evidence.counts[None]).weights[0]
    middle = np.argsort(every, kind="stable")[every.size // 2]
    allowed = np.repeat(allowed_falls(evidence, values[[middle]], level, num_resamples), every.size, axis=0)
    low, high = ends(evidence, values, allowed)[0].T
    return Interval(*(np.reshape(one, shape)[()] for one in (values @ law, low, high)))


class _Answers(NamedTuple):
    """The different counts of answers to problems, how many problems have each, the samples of every problem, and types."""

    counts: Counts
    repeats: np.ndarray
    num_samples: np.ndarray
    types: Types


def _answers(answer_counts: ArrayLike, is_correct: ArrayLike, abstentions: ArrayLike) -> _Answers:
    problems = len(np.asarray(answer_counts))
    counts, worth = np.asarray(answer_counts, np.int64), np.asarray(is_correct, np.float64)
    silent = np.broadcast_to(np.asarray(abstentions, np.int64), (problems,))
    num_samples = counts.sum(axis=1) + silent
    if (num_samples == 0).any():
        raise ValueError(f"answer_counts must have an answer to every problem, got none for {np.argmin(num_samples)}")
    rows, shares = _with_flags(counts, worth)
    flags = np.array([flag for flag, _ in shares])
    right, wrong = trimmed(counts[rows] * flags), trimmed(counts[rows] * ~flags)
    kinds, which = _different(Counts(right, wrong, silent[rows]))
    repeats = np.bincount(which, weights=[weight for _, weight in shares])
    splits = bool((np.count_nonzero(right, axis=1) > 1).any())
    types = grid(int(np.median(num_samples)), problems, splits, bool(silent.any()))
    if np.median(num_samples) > _FEW_SAMPLES:
        types = with_observed(types, kinds)
    return _Answers(kinds, repeats, num_samples, types)


def _with_flags(counts: np.ndarray, worth: np.ndarray) -> tuple[list[int], list[tuple[np.ndarray, float]]]:
    """Problems with answers that are right or wrong, and their weights: those right whose chance is above a common number.

    One number for all answers of a problem gives the right mean of any sum over its answers, by as few problems as can be.
    """
    rows, found = [], []
    for place, (row, chance) in enumerate(zip(counts, worth, strict=True)):
        bounds = np.unique(np.concatenate([[0.0, 1.0], chance[row > 0]]))
        for low, high in itertools.pairwise(bounds):
            rows.append(place)
            found.append((chance >= high, float(high - low)))
    return rows, found


def _different(counts: Counts) -> tuple[Counts, np.ndarray]:
    """The different counts, and which of them every problem has."""
    width = counts.right.shape[1]
    rows = np.concatenate([counts.right, counts.wrong, counts.silent[:, None]], axis=1)
    kinds, which = np.unique(rows, axis=0, return_inverse=True)
    return Counts(kinds[:, :width], kinds[:, width:-1], kinds[:, -1]), which.ravel()


def _evidence(answers: _Answers) -> Evidence:
    """The problems' answers under every type, and resamples with as many."""
    columns, samples = answers.types.columns(), answers.num_samples

    def draw(rng: np.random.Generator, law: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = columns[rng.choice(len(columns), size=number * samples.size, p=law)]
        kinds, which = _different(drawn_counts(rng, chosen, np.tile(samples, number)))
        return chances(answers.types, kinds), which.reshape(number, samples.size)

    return Evidence(chances(answers.types, answers.counts), answers.repeats, draw)


def _votes(types: Types, numbers: np.ndarray) -> np.ndarray:
    """The vote of each number under each type, (numbers, J)."""
    return np.array([vote(types, int(number)) for number in numbers]).reshape(len(numbers), -1)


def _law(types: Types, weights: np.ndarray, log_likelihood: float) -> AnswerRates:
    columns, kept = types.columns(), weights > _NO_WEIGHT
    return AnswerRates(
        columns, np.where(kept, weights, 0.0) / weights[kept].sum(), columns.shape[1] // 2, log_likelihood, types
    )
