"""Recorded samples of a language model: coverage, votes, choices by score, lengths; and what the first few of them predict.

The first M samples of each problem predict, the others judge: means over the problems, whose standard errors are over them.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy import stats

import theory
from experiments.errors import UserError
from experiments.study import device, versions
from ttc_jax.recorded import Problem

NAME = "recorded"
LEVEL = 0.9
"""Probability that an interval covers."""
COVERAGE, VOTE, BEST = "pass@", "vote of ", "best by score of "
_STANDARD_ERRORS = 1.6449  # in half such an interval of a normal law
_RESAMPLES = 200
_RATES = 64  # at which a smooth law of success rates is represented
_LENGTH_PARTS = 5


@dataclass(frozen=True)
class RecordConfig:
    """What is asked of a record.

    Attributes:
        file: its name.
        sha256: hash of its bytes.
        budget: samples of each problem that predict; half of the fewest if None.
        predict: most samples to predict for; as many as there are if None.
        price: of a sample.
        verifier_price: of a score.
        level: chance that a vote which stops early stops at an answer that is not the most probable one.
    """

    file: str
    sha256: str
    budget: int | None = None
    predict: int | None = None
    price: float = 1.0
    verifier_price: float = 0.0
    level: float = 0.05


class Samples(NamedTuple):
    """Samples of one problem.

    Attributes:
        answers: which answer each is, from 0; -1 for an abstention.
        flags: which are right.
        scores: of a verifier, larger is better; or None.
    """

    answers: np.ndarray
    flags: np.ndarray
    scores: np.ndarray | None

    def cut(self, place: slice) -> Samples:
        """Some of them."""
        return Samples(self.answers[place], self.flags[place], None if self.scores is None else self.scores[place])


class Half(NamedTuple):
    """Some samples of every problem: how many, how many are right, and the samples if more than these numbers is known."""

    num_samples: np.ndarray
    num_correct: np.ndarray
    samples: list[Samples] | None

    @classmethod
    def of(cls, samples: list[Samples]) -> Half:
        """With the numbers that follow."""
        sizes, right = ([part(one.flags) for one in samples] for part in (len, np.sum))
        return cls(np.array(sizes), np.array(right), samples)


class Row(NamedTuple):
    """One judged quantity: measured, its standard error, predicted, its error, and what equally hard problems would give."""

    measured: float
    standard_error: float
    predicted: float
    model_error: float
    alike: float


def analyse(problems: Sequence[Problem], config: RecordConfig, seed: int) -> xr.Dataset:
    """Measure, predict from the first samples, and put side by side.

    Raises:
        UserError: the record cannot answer, or the budget leaves nothing to judge by.
    """
    started = time.perf_counter()
    usable = [problem for problem in problems if problem.num_correct is not None and problem.num_samples >= 2]
    budget = _checked(usable, config)
    fewest = min(problem.num_samples for problem in usable)
    rng = np.random.default_rng(seed)
    first, rest = _halves(usable, budget, rng)
    rows = _coverage(first, rest, fewest - budget)
    if first.samples is not None and rest.samples is not None:
        rows |= _votes(rng, first.samples, rest.samples, fewest - budget)
        if all(one.scores is not None for one in rest.samples):
            rows |= _choices(rng, first, rest.samples, fewest - budget)
    columns = np.array(list(rows.values())).T
    values: dict[str, Any] = {name: ("quantity", column) for name, column in zip(Row._fields, columns, strict=True)}
    values["wrong_with_problems_equally_hard"] = values.pop("alike")
    values["judged"] = ("quantity", np.ones(len(rows), np.int8))
    stops = {} if first.samples is None or rest.samples is None else _stops(rng, first.samples, rest.samples, config.level)
    curves, coordinates = _curves(rng, usable, first, max(fewest, config.predict or 0))
    left_out = len(problems) - len(usable)
    said = f"{left_out} of {len(problems)} problems have fewer than two samples, or no right answer to compare them with"
    attributes = {
        "study": NAME,
        "config": json.dumps(dataclasses.asdict(config)),
        "budget": budget,
        "seed": seed,
        "warnings": json.dumps([said] if left_out else []),
        "named_controls_only": 1,
        "num_tasks": len(usable),
        "num_looks": 1,
        "versions": json.dumps(versions()),
        "device": device(),
        "wall_time_s": round(time.perf_counter() - started, 3),
    }
    return xr.Dataset({**values, **curves, **stops, **_lengths(usable)}, {"quantity": list(rows), **coordinates}, attributes)


def _checked(usable: Sequence[Problem], config: RecordConfig) -> int:
    """The budget, if the record can be split by it."""
    if len(usable) < 2:
        raise UserError(f"FILE must have at least two problems of two checked samples each, got {len(usable)} in {config.file}")
    fewest = min(problem.num_samples for problem in usable)
    budget = fewest // 2 if config.budget is None else config.budget
    if not 1 <= budget < fewest:
        raise UserError(f"budget must be from 1 to {fewest - 1}, so that samples are left to judge by, got {budget}")
    if config.predict is not None and config.predict < 1:
        raise UserError(f"predict must be an integer of at least 1, got {config.predict}")
    for name in ("price", "verifier_price"):
        if not 0 <= getattr(config, name) < np.inf:
            raise UserError(f"{name} must be finite and at least 0, got {getattr(config, name):g}")
    if not 0 < config.level < 1:
        raise UserError(f"level must be strictly between 0 and 1, got {config.level:g}")
    return budget


def _halves(problems: Sequence[Problem], budget: int, rng: np.random.Generator) -> tuple[Half, Half]:
    """The first samples of every problem, and the others; random ones where only their numbers are known."""
    if any(problem.answers is None for problem in problems):
        total, right = (np.array([getattr(problem, name) for problem in problems]) for name in ("num_samples", "num_correct"))
        drawn = rng.hypergeometric(right, total - right, budget)
        return Half(np.full(len(total), budget), drawn, None), Half(total - budget, right - drawn, None)
    samples = [_samples(problem) for problem in problems]
    first, rest = ([one.cut(place) for one in samples] for place in (slice(budget), slice(budget, None)))
    return Half.of(first), Half.of(rest)


def _samples(problem: Problem) -> Samples:
    numbers = {answer: number for number, answer in enumerate(problem.votes or {})}
    answers = np.array([numbers.get(answer, -1) for answer in problem.answers or ()], int)
    return Samples(answers, np.asarray(problem.correct, bool), problem.scores)


def counted(samples: Samples, width: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """How often each answer was given, and how often it was right when it was, shape (width,) each; abstentions left out."""
    width = int(samples.answers.max(initial=0)) + 1 if width is None else width
    counts, right = np.zeros((2, width))
    voted = samples.answers >= 0
    np.add.at(counts, samples.answers[voted], 1)
    np.add.at(right, samples.answers[voted], samples.flags[voted])
    return counts, np.divide(right, counts, out=np.zeros(width), where=counts > 0)


def _numbers(largest: int, *, odd: bool = False) -> list[int]:
    """Numbers of samples from one to the largest, about doubling; the odd ones do without ties of two answers."""
    doubling = [2**power for power in range(largest.bit_length())]
    if odd:
        return [number for number in (1, *(number + 1 for number in doubling[1:])) if number <= largest]
    return sorted({*doubling, largest})


def _rows(name: str, numbers: Sequence[int], values: np.ndarray, predicted: Any, alike: Any) -> dict[str, Row]:
    """A row for each number: ``values`` (numbers, problems) beside a prediction with its interval."""
    mean, error = _mean(values)
    spread = (np.asarray(predicted.high) - np.asarray(predicted.low)) / 2 / _STANDARD_ERRORS
    columns = mean, error, np.asarray(predicted.estimate), spread, np.asarray(alike)
    return {f"{name}{number}": Row(*map(float, row)) for number, *row in zip(numbers, *columns, strict=True)}


def _mean(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over problems, the last axis, and its standard error."""
    return values.mean(axis=-1), values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])


def _coverage(first: Half, rest: Half, largest: int) -> dict[str, Row]:
    numbers = np.array(_numbers(largest))
    values = np.array([theory.pass_at_k(rest.num_samples, rest.num_correct, int(k)) for k in numbers])
    predicted = theory.pass_at_k_interval(first.num_correct, first.num_samples, numbers, level=LEVEL)
    mean = first.num_correct.sum() / first.num_samples.sum()
    return _rows(COVERAGE, numbers.tolist(), values, predicted, theory.expected_pass_at_k(mean, numbers))


def _votes(rng: np.random.Generator, first: list[Samples], rest: list[Samples], largest: int) -> dict[str, Row]:
    numbers = np.array(_numbers(largest, odd=True))
    values = np.array([vote_accuracies(rng, one, numbers) for one in rest]).T
    width = max(int(one.answers.max(initial=0)) + 1 for one in first)
    counts, worth = np.moveaxis(np.array([counted(one, width) for one in first]), 1, 0)
    abstentions = np.array([np.sum(one.answers < 0) for one in first])
    # An answer is right if most of its samples are: the same string may be flagged differently.
    given = counts.astype(int), worth > 0.5, abstentions
    predicted = theory.vote_accuracy_interval(rng, *given, num_candidates=numbers, level=LEVEL)
    return _rows(VOTE, numbers.tolist(), values, predicted, predicted.estimate)


def vote_accuracies(rng: np.random.Generator, samples: Samples, numbers: np.ndarray) -> np.ndarray:
    """How often the vote of N samples of a problem, drawn without replacement, is right, for each N.

    Ties are broken evenly; an abstention casts no vote, and a problem without votes is not solved. From 200 drawings.
    """
    counts, worth = counted(samples)
    order = np.array([rng.permutation(len(samples.answers)) for _ in range(_RESAMPLES)])
    shuffled, found = samples.answers[order], []
    for number in numbers:
        votes = np.zeros((_RESAMPLES, len(counts) + 1))
        np.add.at(votes, (np.arange(_RESAMPLES)[:, None], shuffled[:, :number]), 1)  # abstentions are the last column
        votes = votes[:, :-1]
        leading = (votes == votes.max(axis=1, keepdims=True)) & (votes > 0)
        found.append((leading @ worth / np.maximum(leading.sum(axis=1), 1)).mean())
    return np.array(found)


def _stops(rng: np.random.Generator, first: list[Samples], rest: list[Samples], level: float) -> dict[str, Any]:
    """Votes that stop when their leader is certain: share of the others used as they come, and accuracy; the share predicted.

    It is predicted by drawing as many answers again from those of the first samples, which says nothing of accuracies.
    """
    mean, error = _mean(np.array([_stopped(one, np.arange(len(one.answers)), level) for one in rest]).T)
    drawn = [
        _stopped(one, rng.integers(len(one.answers), size=len(other.answers)), level)[0]
        for one, other in zip(first, rest, strict=True)
    ]
    found = {"stopping": ("stopping_quantity", mean), "stopping_standard_error": ("stopping_quantity", error)}
    return {**found, "stopping_predicted": ((), np.mean(drawn))}


def _stopped(samples: Samples, order: np.ndarray, level: float) -> tuple[float, float, float]:
    """Share of the samples that is used, accuracy of the leader then, and of the leader of all."""
    answers, (counts, worth) = samples.answers[order], counted(samples)
    stop = theory.stop_when_certain(answers, level=level)
    votes = np.bincount(answers[answers >= 0], minlength=len(counts))
    every = worth[votes.argmax()] if votes.any() else 0.0
    return stop.num_samples / len(answers), float(worth[stop.leader]) if stop.leader >= 0 else 0.0, float(every)


def _choices(rng: np.random.Generator, first: Half, rest: list[Samples], largest: int) -> dict[str, Row]:
    """The best of N by score, against one ROC curve, as if a score meant the same in every problem."""
    numbers = np.array(_numbers(largest))
    values = np.array([theory.best_of_pool(-np.asarray(one.scores), one.flags.astype(float), numbers) for one in rest]).T

    def predicted(chosen: np.ndarray) -> np.ndarray:
        law = theory.fit_success_rates(first.num_correct[chosen], first.num_samples[chosen], "beta with atoms")
        curve = _roc([(first.samples or [])[place] for place in chosen])
        rates, weights = _represented(law)
        return weights @ theory.roc_accuracy(rates[:, None], *curve, numbers)

    everyone = np.arange(len(rest))
    resampled = [predicted(rng.choice(everyone, len(everyone))) for _ in range(_RESAMPLES // 4)]
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    estimate = predicted(everyone)
    return _rows(BEST, numbers.tolist(), values, theory.Interval(estimate, low, high), estimate)


def _represented(law: theory.SuccessRates) -> tuple[np.ndarray, np.ndarray]:
    """A law of success rates by some rates and their weights."""
    if law.beta_weight == 0:
        return law.support, law.weights
    smooth = stats.beta.ppf((np.arange(_RATES) + 0.5) / _RATES, law.a, law.b)
    return np.append(law.support, smooth), np.append(law.weights, np.full(_RATES, law.beta_weight / _RATES))


def _roc(samples: Sequence[Samples]) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates of thresholds on the scores of all samples, each from 0 to 1."""
    flags = np.concatenate([one.flags for one in samples])
    scores = np.concatenate([np.asarray(one.scores) for one in samples])
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    right = np.cumsum(flags[order])[ends]
    wrong = ends + 1 - right
    if right[-1] == 0 or wrong[-1] == 0:  # nothing to tell apart
        return np.array([0.0, 1.0]), np.array([0.0, 1.0])
    return np.append(0.0, wrong / wrong[-1]), np.append(0.0, right / right[-1])


def _curves(
    rng: np.random.Generator, problems: Sequence[Problem], first: Half, furthest: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """pass@k of all samples with a bootstrap interval over problems, and its prediction as far as is asked."""
    fewest = min(problem.num_samples for problem in problems)
    further = np.unique([*np.geomspace(1, furthest, 30).astype(int), fewest])
    numbers = further[further <= fewest]
    total, right = (np.array([getattr(problem, name) for problem in problems]) for name in ("num_samples", "num_correct"))
    values = np.array([theory.pass_at_k(total, right, int(k)) for k in numbers])
    chosen = rng.integers(len(problems), size=(2000, len(problems)))
    low, high = np.quantile(values[:, chosen].mean(axis=-1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    predicted = theory.pass_at_k_interval(first.num_correct, first.num_samples, further, level=LEVEL)
    measured = {"coverage": values.mean(axis=1), "coverage_low": low, "coverage_high": high}
    beside = {
        "coverage_predicted": predicted.estimate,
        "coverage_predicted_low": predicted.low,
        "coverage_predicted_high": predicted.high,
    }
    curves = {name: ("k", one) for name, one in measured.items()} | {name: ("predicted_k", one) for name, one in beside.items()}
    return curves, {"k": numbers, "predicted_k": further}


def _lengths(problems: Sequence[Problem]) -> dict[str, Any]:
    """Accuracy of shorter and longer samples of the same problem, in fifths by rank within it, with standard errors."""
    found = []
    for problem in problems:
        if problem.lengths is None or problem.correct is None or problem.num_samples < _LENGTH_PARTS:
            continue
        order = np.argsort(problem.lengths, kind="stable")
        found.append([part.mean() for part in np.array_split(problem.correct[order].astype(float), _LENGTH_PARTS)])
    if len(found) < 2:
        return {}
    mean, error = _mean(np.array(found).T)
    return {"accuracy_by_length": ("length_part", mean), "accuracy_by_length_error": ("length_part", error)}
