"""Accuracy and number of samples of each way to obtain one answer from many samples.

Everything is predicted from the first samples of every problem, by further answers drawn from the laws fitted to them, and
measured on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import theory
from experiments.records.samples import (
    Half,
    Samples,
    answer_counts,
    best_accuracies,
    counted,
    mean_over_problems,
    numbers_up_to,
    vote_accuracies,
)

VOTE, STOPPED, BEST, CHECKED = "vote of ", "stopped vote of up to ", "best by score of ", "checked one by one, up to "
_MOST_DRAWS, _STOPPED_DRAWS = 64, 8  # of answers to a problem
_MOST_STOPPED = 1500  # votes drawn that stop
_LARGEST = 4_000_000  # answers drawn


class Way(NamedTuple):
    """A way to come to one answer, in means over problems; what is not measured is NaN.

    Attributes:
        samples: taken of a problem, predicted.
        accuracy: predicted.
        measured_samples: taken of a problem, measured.
        measured_samples_error: standard error of that.
        measured_accuracy: measured.
        measured_accuracy_error: standard error of that.
        is_checked: one if each sample has the verifier's price too, else zero.
    """

    samples: float
    accuracy: float
    measured_samples: float
    measured_samples_error: float
    measured_accuracy: float
    measured_accuracy_error: float
    is_checked: float


class Taken(NamedTuple):
    """Samples taken and accuracy for each number of samples allowed: (numbers,) of all problems, or (numbers, problems)."""

    samples: np.ndarray
    accuracy: np.ndarray


def ways(
    rng: np.random.Generator,
    first: Half,
    rest: Half,
    *,
    law: theory.records.SuccessRates,
    votes: np.ndarray | None,
    furthest: int,
    stop_level: float,
    has_checker: bool,
) -> dict[str, Way]:
    """Return every way that the record allows, up to ``furthest`` samples of a problem.

    Votes, and votes that stop when their leader is certain at ``stop_level``, need answers; the best by score needs scores.
    Choices by score end where the samples end that measure them: the best of more depends on scores that nobody has seen.
    With a checker that knows right from wrong, samples are taken and checked until one is right.

    Args:
        rng: generator.
        first: samples that predict.
        rest: samples that measure.
        law: of success rates, fitted to the first.
        votes: predicted accuracy of votes of 1, 3, 5, 9, ... up to ``furthest``; None if the answers are not known.
        furthest: largest number of samples to predict for, at least the measured number.
        stop_level: chance that a vote that stops is wrong about its leader.
        has_checker: whether there is one.
    """
    fewest = int(rest.num_samples.min())
    found: dict[str, Way] = {}
    numbers = np.array(numbers_up_to(furthest, odd=True))
    if first.samples is not None and rest.samples is not None and votes is not None:
        drawn = _drawn(rng, first, furthest)
        near = numbers[numbers <= fewest]
        counted_votes = np.array([vote_accuracies(rng, one, near) for one in rest.samples]).T
        predicted, measured = Taken(numbers.astype(float), votes), Taken(_all(near, counted_votes), counted_votes)
        found |= _compared(VOTE, numbers, predicted, measured)
        stops = (
            _predicted_stops(drawn, numbers, stop_level, predicted),
            _measured_stops(rng, rest.samples, near, stop_level, measured),
        )
        found |= _compared(STOPPED, numbers, *stops)
        if first.has_scores and rest.has_scores:
            numbers = np.array(numbers_up_to(fewest))
            best = np.array([best_accuracies(one, numbers) for one in rest.samples]).T
            predicted = _predicted_choices(rng, first.samples, drawn, numbers)
            found |= _compared(BEST, numbers, predicted, Taken(_all(numbers, best), best), is_checked=True)
    if has_checker:
        numbers = np.array(numbers_up_to(furthest))
        near = numbers[numbers <= fewest]
        predicted = _until_right(lambda k: theory.records.predicted_pass_at_k(law, k), numbers)
        measured = _until_right(lambda k: theory.pass_at_k(rest.num_samples, rest.num_correct, k), near)
        found |= _compared(CHECKED, numbers, predicted, measured, is_checked=True)
    # One sample leaves nothing to stop, to choose or to check.
    return {name: way for name, way in found.items() if name == f"{VOTE}1" or not name.endswith(" 1")}


def _compared(kind: str, numbers: np.ndarray, predicted: Taken, measured: Taken, *, is_checked: bool = False) -> dict[str, Way]:
    """A way for each number; the measured ones are the first of them."""
    columns = [column for values in measured for column in mean_over_problems(values)]
    beyond = np.full(len(numbers) - len(measured.samples), np.nan)
    rows = zip(numbers, *predicted, *(np.append(column, beyond) for column in columns), strict=True)
    return {f"{kind}{number}": Way(*map(float, (*row, is_checked))) for number, *row in rows}


def _all(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    """All samples are taken, of every problem."""
    return np.broadcast_to(numbers[:, None].astype(float), values.shape)


def _drawn(rng: np.random.Generator, first: Half, number: int) -> theory.records.DrawnAnswers:
    """Answers to problems like these, drawn from the law that is fitted to the first samples."""
    num_problems = len(first.num_samples)
    draws = int(np.clip(_LARGEST // (num_problems * number), _STOPPED_DRAWS, _MOST_DRAWS))
    rates = theory.records.fit_answer_rates(*answer_counts(first.samples or []))
    return theory.records.draw_answers(rng, rates, num_problems * draws, number)


def _leaders(answers: np.ndarray, flags: np.ndarray) -> float:
    """Share of the most frequent answers that is right; zero if all abstain."""
    voted = answers >= 0
    if not voted.any():
        return 0.0
    _, places, votes = np.unique(answers[voted], return_index=True, return_counts=True)
    return float(flags[voted][places[votes == votes.max()]].mean())


def _stopped(answers: np.ndarray, flags: np.ndarray, numbers: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return samples and accuracy of a vote that stops when its leader is certain, or when no more samples are allowed.

    Gained over the vote that does not stop, which on the same samples nearly always has the same leader.
    """
    stop = theory.records.stop_when_certain(answers, level=level)
    gained = np.zeros(len(numbers))
    for place in np.flatnonzero(stop.is_certain & (stop.num_samples < numbers)):
        number = numbers[place]
        gained[place] = flags[answers == stop.leader].mean() - _leaders(answers[:number], flags[:number])
    return np.minimum(stop.num_samples, numbers), gained


def _predicted_stops(drawn: theory.records.DrawnAnswers, numbers: np.ndarray, level: float, votes: Taken) -> Taken:
    rows = zip(*(values[:_MOST_STOPPED] for values in drawn), strict=True)
    found = [_stopped(row, right, numbers, level) for row, right in rows]
    samples, gained = np.mean(found, axis=0)
    return Taken(samples, votes.accuracy + gained)


def _measured_stops(rng: np.random.Generator, rest: list[Samples], numbers: np.ndarray, level: float, votes: Taken) -> Taken:
    """In random orders of every problem's samples, since the recorded one may mean something."""
    found = []
    for one in rest:
        worth = np.append(counted(one)[1], 0.0)  # an answer's, the same wherever it was given; the last of abstentions
        orders = [rng.permutation(len(one.answers)) for _ in range(_STOPPED_DRAWS)]
        found.append(np.mean([_stopped(one.answers[o], worth[one.answers[o]], numbers, level) for o in orders], axis=0))
    samples, gained = np.moveaxis(np.array(found), 0, -1)
    return Taken(samples, votes.accuracy + gained)


def _predicted_choices(
    rng: np.random.Generator, first: list[Samples], drawn: theory.records.DrawnAnswers, numbers: np.ndarray
) -> Taken:
    """Scores are drawn from those of all right samples, and of all wrong ones; ties are broken evenly."""
    flags = np.concatenate([one.flags for one in first])
    scores = np.concatenate([np.asarray(one.scores) for one in first])
    ranks = np.searchsorted(np.unique(scores), scores)
    right = drawn.is_correct
    given = np.empty(right.shape)
    for flag in (True, False):
        pool = ranks[flags == flag] if (flags == flag).any() else ranks
        given[right == flag] = rng.choice(pool, np.sum(right == flag))
    given += rng.random(given.shape)
    chosen = [right[np.arange(len(right)), given[:, :number].argmax(axis=1)].mean() for number in numbers]
    return Taken(numbers.astype(float), np.array(chosen))


def _until_right(coverage: Callable[[Any], Any], numbers: np.ndarray) -> Taken:
    """Sample j is taken if none before it is right."""
    passed = np.array([coverage(int(k)) for k in range(1, int(numbers[-1]) + 1)])
    taken = 1 + np.concatenate([np.zeros_like(passed[:1]), np.cumsum(1 - passed[:-1], axis=0)])
    return Taken(taken[numbers - 1], passed[numbers - 1])
