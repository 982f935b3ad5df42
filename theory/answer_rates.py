r"""From few answers to each of many problems to the accuracy of the vote of many answers.

An answer is correct with a rate p that varies over problems by a fitted law; among correct answers, and among wrong ones, the
shares of the different answers are those of a Dirichlet process whose strength varies over problems by a law that is fitted,

    p | c of m  ~  posterior of the law of success rates,   shares | n  ~  Dirichlet(n_1, ..., n_K, strength)

the last share being that of answers not seen yet, which breaks into pieces as the process says. The observed shares in their
place would take the answers' noise for a difference between problems. Everything here runs in NumPy and SciPy on the host;
nothing can be traced.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from theory._evaluate import check_count, check_plain, check_real, check_shape, check_sizes
from theory._rate_fits import best_weights
from theory.success_rates import Interval, SuccessRates, draw_rates, fit_success_rates, resampled_success_rates

_STRENGTHS = np.exp(np.linspace(-9.0, 6.0, 61))
_NO_WEIGHT = 1e-6
_MOST_PIECES = 200
_DRAWS_OF_RESAMPLE = 8
_LARGEST_PART = 2_000_000  # numbers at a time


class Strengths(NamedTuple):
    """A law of the strengths (concentration parameters) of Dirichlet processes over problems: near zero if all answers agree.

    Attributes:
        values: strengths, shape (s,), ascending.
        weights: their probabilities, shape (s,).
    """

    values: np.ndarray
    weights: np.ndarray


class AnswerRates(NamedTuple):
    """How answers vary over problems.

    Attributes:
        correct: law of the rate of correct answers.
        abstaining: law of the rate of abstentions among answers that are not correct; None if there was no abstention.
        correct_strengths: of the Dirichlet processes of different correct answers.
        wrong_strengths: of those of wrong answers, abstentions aside.
    """

    correct: SuccessRates
    abstaining: SuccessRates | None
    correct_strengths: Strengths
    wrong_strengths: Strengths


def fit_answer_rates(
    answer_counts: ArrayLike, is_correct: ArrayLike, abstentions: ArrayLike = 0, *, model: str = "chosen"
) -> AnswerRates:
    r"""The laws of rates and the strengths under which the recorded answers are most probable.

    The law of strengths H maximises Ewens' sampling formula over problems with n answers, K of them different,

        max over H of sum_i log int s^{K_i} Gamma(s) / Gamma(s + n_i) dH(s)

    over any law on a grid of strengths: problems with one tempting wrong answer are beside others with many.

    Args:
        answer_counts: how often each different answer to a problem was given, shape (P, K); rows of fewer end in zeros.
        is_correct: which of them are correct, shape (P, K).
        abstentions: answers that cast no vote and count as wrong, shape (P,) or one number for all.
        model: of the rates of correct answers, as in :func:`theory.fit_success_rates`.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: Ewens (1972); Ferguson, Ann. Statist. 1 (1973); Antoniak, Ann. Statist. 2 (1974), for mixtures of them.

    Example:
        >>> rates = fit_answer_rates([[3, 1, 1], [5, 0, 0], [1, 2, 2]], [[1, 0, 0], [1, 0, 0], [1, 0, 0]], model="beta")
        >>> rates.abstaining is None, rates.correct_strengths.values.round(3).tolist()
        (True, [0.0])
    """
    answers = _answers(answer_counts, is_correct, abstentions)
    return _rates(answers, fit_success_rates(answers.num_correct, answers.num_samples, model))


class DrawnAnswers(NamedTuple):
    """Answers as the fitted laws expect them.

    Attributes:
        answers: which answer each is, numbers from 0 that mean nothing beyond their problem and draw; -1 abstains.
            Shape (P, num_draws, num_candidates).
        is_correct: which are correct, of the same shape.
    """

    answers: np.ndarray
    is_correct: np.ndarray


def draw_answers(
    rng: np.random.Generator,
    rates: AnswerRates,
    answer_counts: ArrayLike,
    is_correct: ArrayLike,
    abstentions: ArrayLike = 0,
    *,
    num_candidates: int,
    num_draws: int = 1,
) -> DrawnAnswers:
    """Further answers to each problem, one after the other: for rules that look at answers as they come.

    Every draw takes the shares of a problem's answers from their posterior and independent answers from these shares.

    Args:
        rng: NumPy's generator.
        rates: of :func:`theory.fit_answer_rates`.
        answer_counts: shape (P, K), as there.
        is_correct: shape (P, K).
        abstentions: shape (P,) or one number for all.
        num_candidates: answers in a draw, >= 1.
        num_draws: for each problem, >= 1.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: the posterior of a Dirichlet process; Sethuraman (1994) for its pieces.

    Example:
        >>> counts, correct = [[3, 1, 1], [5, 0, 0], [1, 2, 2]], [[1, 0, 0], [1, 0, 0], [1, 0, 0]]
        >>> rates, rng = fit_answer_rates(counts, correct, model="beta"), np.random.default_rng(0)
        >>> draw_answers(rng, rates, counts, correct, num_candidates=7, num_draws=2).answers.shape
        (3, 2, 7)
    """
    answers = _answers(answer_counts, is_correct, abstentions)
    check_sizes(num_candidates=(num_candidates, 1), num_draws=(num_draws, 1))
    chances, num_good = _chances(rng, rates, answers.take(np.repeat(np.arange(len(answers.counts)), num_draws)))
    ends = np.cumsum(chances, axis=1)[:, :-1]
    drawn = np.stack([np.searchsorted(row, rng.random(num_candidates), side="right") for row in ends])
    num_kinds = chances.shape[1]
    correct, place = drawn < num_good, num_kinds + np.arange(num_candidates)
    # Answers too rare to be given twice are all different.
    drawn = np.where((drawn == num_good - 1) | (drawn == num_kinds - 2), place, np.where(drawn == num_kinds - 1, -1, drawn))
    shape = (len(answers.counts), num_draws, num_candidates)
    return DrawnAnswers(drawn.reshape(shape), correct.reshape(shape))


def predicted_vote_accuracy(
    rng: np.random.Generator,
    rates: AnswerRates,
    answer_counts: ArrayLike,
    is_correct: ArrayLike,
    abstentions: ArrayLike = 0,
    *,
    num_candidates: ArrayLike,
    num_draws: int = 64,
) -> Any:
    r"""Probability that the most frequent of N answers to a problem is correct, ties broken uniformly, averaged over problems.

    Every draw takes the shares of a problem's answers from their posterior and N answers from these shares. Problems of which
    all N answers are abstentions are not solved. The error of sampling is at most 1 / (2 sqrt(P num_draws)).

    Args:
        rng: NumPy's generator.
        rates: of :func:`theory.fit_answer_rates`.
        answer_counts: shape (P, K), as there.
        is_correct: shape (P, K).
        abstentions: shape (P,) or one number for all.
        num_candidates: N >= 1; any shape, which is the result's.
        num_draws: for each problem, >= 1.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: the posterior of a Dirichlet process; Sethuraman (1994) for its pieces.

    Example:
        >>> counts, correct = [[3, 1, 1], [5, 0, 0], [1, 2, 2]], [[1, 0, 0], [1, 0, 0], [1, 0, 0]]
        >>> rates, rng = fit_answer_rates(counts, correct, model="beta"), np.random.default_rng(0)
        >>> one, many = predicted_vote_accuracy(rng, rates, counts, correct, num_candidates=np.array([1, 99]), num_draws=2000)
        >>> bool(0.5 < one < many < 0.9)
        True
    """
    answers = _answers(answer_counts, is_correct, abstentions)
    check_count("num_candidates", check_plain("num_candidates", num_candidates), minimum=1)
    check_sizes(num_draws=(num_draws, 1))
    parts = np.array_split(np.arange(len(answers.counts)), math.ceil(answers.counts.size * num_draws / _LARGEST_PART))
    total = sum(
        _votes(rng, rates, answers.take(np.repeat(part, num_draws)), np.ravel(num_candidates)).sum(axis=1) for part in parts
    )
    return (np.reshape(total, np.shape(num_candidates)) / (len(answers.counts) * num_draws))[()]


def vote_accuracy_interval(
    rng: np.random.Generator,
    answer_counts: ArrayLike,
    is_correct: ArrayLike,
    abstentions: ArrayLike = 0,
    *,
    num_candidates: ArrayLike,
    level: float = 0.9,
    num_resamples: int = 200,
    model: str = "chosen",
) -> Interval:
    r"""Accuracy of the vote of N answers over problems like these, with a percentile interval of a bootstrap over problems.

    Every resample of problems has laws and strengths of its own, fitted to it; the model of the rates is chosen once. The
    interval knows nothing of what the laws leave out: for votes of 4 to 5 times the samples and level 0.9, 87 to 90 % of
    intervals covered where wrong answers are alike over problems, 78 to 87 % where half of them have one that tempts.

    Args:
        rng: NumPy's generator.
        answer_counts: shape (P, K), as in :func:`theory.fit_answer_rates`.
        is_correct: shape (P, K).
        abstentions: shape (P,) or one number for all.
        num_candidates: N >= 1; any shape, which is that of the results.
        level: probability, strictly between 0 and 1, that such an interval is meant to cover.
        num_resamples: >= 20.
        model: of the rates of correct answers, as in :func:`theory.fit_success_rates`.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Example:
        >>> counts, correct = [[3, 1, 1], [5, 0, 0], [1, 2, 2], [0, 4, 1]], [[1, 0, 0]] * 4
        >>> vote = vote_accuracy_interval(np.random.default_rng(0), counts, correct, num_candidates=15, model="beta")
        >>> bool(vote.low < vote.estimate < vote.high)
        True
    """
    answers = _answers(answer_counts, is_correct, abstentions)
    check_count("num_candidates", check_plain("num_candidates", num_candidates), minimum=1)
    check_shape("level", check_plain("level", level), ())
    check_real("level", level, minimum=0.0, maximum=1.0, open_ends=True)
    check_sizes(num_resamples=(num_resamples, 20))
    rates = fit_answer_rates(answer_counts, is_correct, abstentions, model=model)
    estimate = predicted_vote_accuracy(
        rng, rates, answer_counts, is_correct, abstentions, num_candidates=num_candidates, num_draws=256
    )
    chosen = rng.integers(len(answers.counts), size=(num_resamples, len(answers.counts)))
    laws = resampled_success_rates(answers.num_correct, answers.num_samples, rates.correct.model, chosen)
    numbers, means = np.ravel(num_candidates), []
    for problems, law in zip(chosen, laws, strict=True):
        resample = answers.take(problems)
        drawn = answers.take(np.repeat(problems, _DRAWS_OF_RESAMPLE))
        means.append(_votes(rng, _rates(resample, law), drawn, numbers).mean(axis=1))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
    shape = np.shape(num_candidates)
    return Interval(estimate, np.reshape(low, shape)[()], np.reshape(high, shape)[()])


class _Answers(NamedTuple):
    """Counts of different answers (P, K), which are correct (P, K), and abstentions (P,)."""

    counts: np.ndarray
    is_correct: np.ndarray
    abstentions: np.ndarray

    def take(self, problems: np.ndarray) -> _Answers:
        return _Answers(self.counts[problems], self.is_correct[problems], self.abstentions[problems])

    @property
    def num_correct(self) -> np.ndarray:
        return np.sum(self.counts * self.is_correct, axis=1)

    @property
    def num_samples(self) -> np.ndarray:
        return self.counts.sum(axis=1) + self.abstentions


def _answers(answer_counts: ArrayLike, is_correct: ArrayLike, abstentions: ArrayLike) -> _Answers:
    problems, _ = check_shape("answer_counts", check_plain("answer_counts", answer_counts), (None, None))
    check_count("answer_counts", answer_counts, minimum=0)
    check_shape("is_correct", check_plain("is_correct", is_correct), np.shape(answer_counts))
    flags = np.asarray(is_correct)
    if not np.isin(flags, (0, 1)).all():
        raise ValueError(f"is_correct must be true or false, got {flags[~np.isin(flags, (0, 1))].flat[0]!r}")
    if np.ndim(check_plain("abstentions", abstentions)) != 0:
        check_shape("abstentions", abstentions, (problems,))
    check_count("abstentions", abstentions, minimum=0)
    silent = np.broadcast_to(np.asarray(abstentions, np.int64), (problems,))
    answers = _Answers(np.asarray(answer_counts, np.int64), flags.astype(bool), silent)
    if (answers.num_samples == 0).any():
        raise ValueError(f"answer_counts must have an answer to every problem, got none for {np.argmin(answers.num_samples)}")
    return answers


def _rates(answers: _Answers, correct: SuccessRates) -> AnswerRates:
    wrong = answers.num_samples - answers.num_correct
    some, abstaining = wrong > 0, None
    if answers.abstentions.any():
        silent, all_wrong = answers.abstentions[some], wrong[some]
        if some.sum() == 1:  # a law needs two problems
            silent, all_wrong = np.repeat(silent, 2), np.repeat(all_wrong, 2)
        abstaining = fit_success_rates(silent, all_wrong, "beta")
    strengths = (_strengths(answers.counts * flags) for flags in (answers.is_correct, ~answers.is_correct))
    return AnswerRates(correct, abstaining, *strengths)


def _strengths(counts: np.ndarray) -> Strengths:
    """The law of strengths under which the numbers of different answers, by rows of counts, are most probable."""
    numbers, repeats = np.unique([counts.sum(axis=1), np.count_nonzero(counts, axis=1)], axis=1, return_counts=True)
    log_chances = _log_chances(numbers[0], numbers[1], _STRENGTHS)
    weights = best_weights(np.exp(log_chances - log_chances.max(axis=1, keepdims=True)), repeats.astype(float))
    kept = weights > _NO_WEIGHT
    return Strengths(_STRENGTHS[kept], weights[kept] / weights[kept].sum())


def _log_chances(total: np.ndarray, different: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Of so many different answers among the total, up to what no strength changes, (rows, strengths)."""
    total, different = total[:, None], different[:, None]
    return different * np.log(strengths) + special.gammaln(strengths) - special.gammaln(strengths + total)


def _drawn_strengths(rng: np.random.Generator, law: Strengths, counts: np.ndarray) -> np.ndarray:
    """One strength of each row (rows, 1) from its posterior."""
    log_chances = np.log(law.weights) + _log_chances(counts.sum(axis=1), np.count_nonzero(counts, axis=1), law.values)
    totals = np.cumsum(np.exp(log_chances - log_chances.max(axis=1, keepdims=True)), axis=1)
    places = np.sum(totals < rng.random((len(totals), 1)) * totals[:, -1:], axis=1)
    return law.values[np.minimum(places, len(law.values) - 1)][:, None]


def _votes(rng: np.random.Generator, rates: AnswerRates, answers: _Answers, numbers: np.ndarray) -> np.ndarray:
    """For each number of votes and each row, one draw of the correct share of the winners, (numbers, rows)."""
    chances, num_good = _chances(rng, rates, answers)
    return np.stack([_won(rng.multinomial(number, chances), num_good) for number in numbers])


def _chances(rng: np.random.Generator, rates: AnswerRates, answers: _Answers) -> tuple[np.ndarray, int]:
    """For each row, one draw of the chances of correct answers, wrong ones, and abstentions; how many are correct.

    The last correct one and the last wrong one stand for answers too rare to be given twice.
    """
    right = draw_rates(rng, rates.correct, answers.num_correct, answers.num_samples)
    silent = np.zeros(len(right))
    if rates.abstaining is not None:
        silent = draw_rates(rng, rates.abstaining, answers.abstentions, answers.num_samples - answers.num_correct)
    good = right[:, None] * _shares(rng, answers.counts * answers.is_correct, rates.correct_strengths)
    bad = ((1 - right) * (1 - silent))[:, None] * _shares(rng, answers.counts * ~answers.is_correct, rates.wrong_strengths)
    chances = np.concatenate([good, bad, ((1 - right) * silent)[:, None]], axis=1)
    return chances / chances.sum(axis=1, keepdims=True), good.shape[1]


def _shares(rng: np.random.Generator, counts: np.ndarray, law: Strengths) -> np.ndarray:
    """Shares (rows, K + pieces + 1) of the answers seen, of answers not seen, and of answers too rare to be given twice."""
    seen = rng.gamma(counts)  # (rows, K); a shape of zero gives zero
    strength = _drawn_strengths(rng, law, counts)
    unseen = rng.gamma(strength)
    none = counts.sum(axis=1, keepdims=True) == 0
    unseen = np.where(none, 1.0, unseen)
    total = seen.sum(axis=1, keepdims=True) + unseen
    most = _num_pieces(float(strength.max()))
    new = np.zeros((len(counts), most + 1))
    for one in np.unique(strength):
        rows = strength[:, 0] == one
        broken = rng.beta(1.0, one, size=(rows.sum(), _num_pieces(one)))
        left = np.cumprod(1 - broken, axis=1)
        new[rows, 0], new[rows, 1 : broken.shape[1]] = broken[:, 0], broken[:, 1:] * left[:, :-1]
        new[rows, -1] = left[:, -1]
    return np.concatenate([seen, unseen * new], axis=1) / total


def _num_pieces(strength: float) -> int:
    """Answers not seen that are told apart; the others are so rare that none is given twice."""
    return int(np.clip(math.ceil(4 * strength), 1, _MOST_PIECES))


def _won(votes: np.ndarray, num_good: int) -> np.ndarray:
    """Correct share of the winners: votes (rows, ...) for correct answers, wrong ones, and abstentions; the last of either kind
    are all different answers.
    """
    good, bad = votes[:, :num_good], votes[:, num_good:-1]
    (good, good_single), (bad, bad_single) = ((one[:, :-1], one[:, -1]) for one in (good, bad))
    top = np.maximum(np.maximum(good.max(axis=1), bad.max(axis=1)), (good_single + bad_single) > 0)
    ones = top == 1
    right = np.sum(good == top[:, None], axis=1) + ones * good_single
    wrong = np.sum(bad == top[:, None], axis=1) + ones * bad_single
    return np.where(top > 0, right / np.maximum(right + wrong, 1), 0.0)
