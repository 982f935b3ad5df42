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
from experiments import spending
from experiments.errors import UserError
from experiments.samples import (
    NUM_RESAMPLES,
    Half,
    Samples,
    answer_counts,
    mean_over_problems,
    numbers_up_to,
    split,
    vote_accuracies,
)
from experiments.spending import BEST, VOTE, Way
from experiments.study import device, versions
from ttc_jax.recorded import Problem

NAME = "recorded"
LEVEL = 0.9
"""Probability that an interval covers."""
COVERAGE = "pass@"
_STANDARD_ERRORS = 1.6449  # in half such an interval of a normal law
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
        verifier_price: of a score; where there are none, of a check that knows right from wrong, if there is one.
        value: of a right answer.
        level: chance that a vote which stops early stops at an answer that is not the most probable one.
    """

    file: str
    sha256: str
    budget: int | None = None
    predict: int | None = None
    price: float = 1.0
    verifier_price: float | None = None
    value: float | None = None
    level: float = 0.05


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
    first, rest = split(usable, budget, rng)
    numbers, further = np.array(numbers_up_to(fewest - budget)), _further(fewest, config.predict or 0)
    every = np.union1d(numbers, further)
    predicted = theory.pass_at_k_interval(first.num_correct, first.num_samples, every, level=LEVEL)
    rows = _coverage(first, rest, numbers, _at(predicted, every, numbers))
    if first.samples is not None and rest.samples is not None:
        rows |= _votes(rng, first.samples, rest.samples, fewest - budget)
        if all(one.scores is not None for one in rest.samples):
            rows |= _choices(rng, first, rest.samples, fewest - budget)
    columns = np.array(list(rows.values())).T
    values: dict[str, Any] = {name: ("quantity", column) for name, column in zip(Row._fields, columns, strict=True)}
    values["wrong_with_problems_equally_hard"] = values.pop("alike")
    values["judged"] = ("quantity", np.ones(len(rows), np.int8))
    spent = _spending(rng, first, rest, config)
    curves, coordinates = _curves(rng, usable, further, _at(predicted, every, further))
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
    coordinates = {"quantity": list(rows), "way": [*spent], **coordinates}
    return xr.Dataset({**values, **curves, **_columns(spent), **_lengths(usable)}, coordinates, attributes)


def _spending(rng: np.random.Generator, first: Half, rest: Half, config: RecordConfig) -> dict[str, Way]:
    """Ways to come to one answer; without recorded scores a verifier that has a price is one that knows right from wrong."""
    has_scores = rest.samples is not None and all(one.scores is not None for one in rest.samples)
    has_checker = config.verifier_price is not None and not has_scores
    return spending.ways(rng, first, rest, level=config.level, furthest=config.predict or 0, has_checker=has_checker)


def _columns(spent: dict[str, Way]) -> dict[str, Any]:
    """Each attribute of the ways as a variable."""
    columns = np.array([*spent.values()]).reshape(len(spent), len(Way._fields)).T
    return {f"way_{name}": ("way", column) for name, column in zip(Way._fields, columns, strict=True)}


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
    for name in ("price", "verifier_price", "value"):
        number = getattr(config, name)
        if number is not None and not 0 <= number < np.inf:
            raise UserError(f"{name} must be finite and at least 0, got {number:g}")
    if not 0 < config.level < 1:
        raise UserError(f"level must be strictly between 0 and 1, got {config.level:g}")
    return budget


def _rows(name: str, numbers: Sequence[int], values: np.ndarray, predicted: Any, alike: Any) -> dict[str, Row]:
    """A row for each number: ``values`` (numbers, problems) beside a prediction with its interval."""
    mean, error = mean_over_problems(values)
    spread = (np.asarray(predicted.high) - np.asarray(predicted.low)) / 2 / _STANDARD_ERRORS
    columns = mean, error, np.asarray(predicted.estimate), spread, np.asarray(alike)
    return {f"{name}{number}": Row(*map(float, row)) for number, *row in zip(numbers, *columns, strict=True)}


def _further(fewest: int, furthest: int) -> np.ndarray:
    """Numbers of samples for a curve to as many as there are, or as are asked for."""
    return np.unique([*np.geomspace(1, max(fewest, furthest), 30).astype(int), fewest])


def _at(predicted: theory.Interval, every: np.ndarray, wanted: np.ndarray) -> theory.Interval:
    """The prediction at some of its places."""
    return theory.Interval(*(np.asarray(values)[np.searchsorted(every, wanted)] for values in predicted))


def _coverage(first: Half, rest: Half, numbers: np.ndarray, predicted: theory.Interval) -> dict[str, Row]:
    values = np.array([theory.pass_at_k(rest.num_samples, rest.num_correct, int(k)) for k in numbers])
    mean = first.num_correct.sum() / first.num_samples.sum()
    return _rows(COVERAGE, numbers.tolist(), values, predicted, theory.expected_pass_at_k(mean, numbers))


def _votes(rng: np.random.Generator, first: list[Samples], rest: list[Samples], largest: int) -> dict[str, Row]:
    numbers = np.array(numbers_up_to(largest, odd=True))
    values = np.array([vote_accuracies(rng, one, numbers) for one in rest]).T
    predicted = theory.vote_accuracy_interval(rng, *answer_counts(first), num_candidates=numbers, level=LEVEL)
    return _rows(VOTE, numbers.tolist(), values, predicted, predicted.estimate)


def _choices(rng: np.random.Generator, first: Half, rest: list[Samples], largest: int) -> dict[str, Row]:
    """The best of N by score, against one ROC curve, as if a score meant the same in every problem."""
    numbers = np.array(numbers_up_to(largest))
    values = np.array([theory.best_of_pool(-np.asarray(one.scores), one.flags.astype(float), numbers) for one in rest]).T

    def predicted(chosen: np.ndarray) -> np.ndarray:
        law = theory.fit_success_rates(first.num_correct[chosen], first.num_samples[chosen], "beta with atoms")
        curve = _roc([(first.samples or [])[place] for place in chosen])
        rates, weights = _represented(law)
        return weights @ theory.roc_accuracy(rates[:, None], *curve, numbers)

    everyone = np.arange(len(rest))
    resampled = [predicted(rng.choice(everyone, len(everyone))) for _ in range(NUM_RESAMPLES // 4)]
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
    rng: np.random.Generator, problems: Sequence[Problem], further: np.ndarray, predicted: theory.Interval
) -> tuple[dict[str, Any], dict[str, Any]]:
    """pass@k of all samples with a bootstrap interval over problems, and its prediction as far as is asked."""
    fewest = min(problem.num_samples for problem in problems)
    numbers = further[further <= fewest]
    total, right = (np.array([getattr(problem, name) for problem in problems]) for name in ("num_samples", "num_correct"))
    values = np.array([theory.pass_at_k(total, right, int(k)) for k in numbers])
    chosen = rng.integers(len(problems), size=(2000, len(problems)))
    low, high = np.quantile(values[:, chosen].mean(axis=-1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
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
    mean, error = mean_over_problems(np.array(found).T)
    return {"accuracy_by_length": ("length_part", mean), "accuracy_by_length_error": ("length_part", error)}
