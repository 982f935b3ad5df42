"""Recorded samples of a language model: coverage, votes, choices by score, lengths; and what the first few of them predict.

The first M samples of each problem predict, the others judge: means over the problems, whose standard errors are over them.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy import stats

import theory
from experiments.records import checks, prices
from experiments.records.prices import BEST, VOTE, Way
from experiments.records.samples import (
    NUM_RESAMPLES,
    Half,
    Samples,
    accuracy_by_length,
    answer_counts,
    best_accuracies,
    mean_over_problems,
    numbers_up_to,
    split,
    vote_accuracies,
)
from experiments.run.errors import UserError
from experiments.run.study import device, versions
from ttc_jax.records.jsonl import Problem

NAME = "recorded"
LEVEL = 0.9
"""Probability that an interval covers."""
COVERAGE, LENGTH = "pass@", "accuracy by length, part "
_STANDARD_ERRORS = 1.6449  # in half such an interval of a normal law
_RATES = 64  # at which a smooth law of success rates is represented
_LENGTH_PARTS = 5
_BOOTSTRAPS = 2000
_LARGEST = 10**6  # samples of a problem
_FEWEST_PROBLEMS = 4


@dataclass(frozen=True)
class RecordConfig:
    """Settings of the analysis of a record.

    Attributes:
        file: its name.
        sha256: hash of its bytes.
        budget: samples of each problem that predict; half of the fewest if None.
        predict: largest number of samples to predict for; None uses the number in the record.
        price: of a sample.
        verifier_price: of a score; where there are none, of a check that knows right from wrong, if there is one.
        value: of a right answer.
        stop_level: chance that a vote which stops early stops at an answer that is not the most probable one.
        skip_damaged: how many damaged lines were left out.
    """

    file: str
    sha256: str
    budget: int | None = None
    predict: int | None = None
    price: float = 1.0
    verifier_price: float | None = None
    value: float | None = None
    stop_level: float = 0.05
    skip_damaged: int = 0


class Row(NamedTuple):
    """One judged quantity: measured, its standard error, predicted, its error, and what equally hard problems would give."""

    measured: float
    standard_error: float
    predicted: float
    model_error: float
    alike: float


def analyse(
    problems: Sequence[Problem], config: RecordConfig, seed: int, progress: Callable[[float], None] = lambda share: None
) -> xr.Dataset:
    """Measure, predict from the first samples, and put side by side.

    The judged quantities are predicted from the first samples of one half of the problems, and measured on the other samples of
    the other half: predictions are about problems like these, and both halves of the same ones would agree too easily. The
    standard errors over half of the problems are those of few units, hence the degrees of freedom.

    Raises:
        UserError: the record cannot answer, or the budget leaves nothing to judge by.
    """
    started = time.perf_counter()
    usable = [problem for problem in problems if problem.num_correct is not None and problem.num_samples >= 2]
    budget = _checked(usable, config)
    fewest = min(problem.num_samples for problem in usable)
    rng = np.random.default_rng(seed)
    first, rest = split(usable, budget, rng)
    told, judging = np.array_split(rng.permutation(len(usable)), 2)
    rows = _judged(rng, first.of_problems(told), rest.of_problems(judging), fewest - budget)
    progress(0.4)
    columns = np.array(list(rows.values())).T
    values: dict[str, Any] = {name: ("quantity", column) for name, column in zip(Row._fields, columns, strict=True)}
    values["wrong_with_problems_equally_hard"] = values.pop("alike")
    values["judged"] = ("quantity", np.ones(len(rows), np.int8))
    curves, coordinates = _curves(rng, usable, first, config.predict)
    votes, vote_numbers = _vote_curve(first, max(fewest - budget, config.predict or 0))
    progress(0.7)
    law = theory.records.fit_success_rates(first.num_correct, first.num_samples)
    spent = _spending(rng, first, rest, config, law, votes)
    warnings = [*checks.warnings(problems, usable, config.skip_damaged, budget)]
    order = ""
    if first.samples is not None and rest.samples is not None:
        everything = Half.of([one.joined(other) for one, other in zip(first.samples, rest.samples, strict=True)])
        warnings += checks.of_flags(usable, everything.samples or [])
        order = checks.order_effect(rng, everything)
        warnings += [order] if order else []
    attributes = {
        "study": NAME,
        "config": json.dumps(dataclasses.asdict(config)),
        "budget": budget,
        "law": _said(law),
        "seed": seed,
        "warnings": json.dumps(warnings),
        "named_controls_only": 1,
        "degrees_of_freedom": len(judging) - 1,
        "agreement_doubted": order,
        "num_tasks": len(usable),
        "num_looks": 1,
        "versions": json.dumps(versions()),
        "device": device(),
        "wall_time_s": round(time.perf_counter() - started, 3),
    }
    coordinates = {"quantity": list(rows), "way": [*spent], **coordinates, **vote_numbers}
    return xr.Dataset({**values, **curves, **votes, **_columns(spent)}, coordinates, attributes)


def _judged(rng: np.random.Generator, first: Half, rest: Half, largest: int) -> dict[str, Row]:
    """Everything that the record lets compare, for up to ``largest`` samples."""
    rows = _coverage(first, rest, largest)
    if first.samples is not None and rest.samples is not None:
        rows |= _votes(rng, first, rest.samples, largest)
        if first.has_scores and rest.has_scores:
            rows |= _choices(rng, first, rest.samples, largest)
        rows |= _lengths(first.samples, rest.samples)
    return rows


def _said(law: theory.records.SuccessRates) -> str:
    """The law of success rates that predicts best, and how much better than the others."""
    best = law.held_out[law.model]
    others = (f"{name} {value - best:+.1f}" for name, value in law.held_out.items() if name != law.model)
    return f"{law.model}; held-out log-likelihood of the others, beside its own: {', '.join(others)}"


def _spending(
    rng: np.random.Generator,
    first: Half,
    rest: Half,
    config: RecordConfig,
    law: theory.records.SuccessRates,
    votes: dict[str, Any],
) -> dict[str, Way]:
    """Ways to come to one answer; without any score a verifier that has a price is one that knows right from wrong."""
    nobody = all(one.scores is None for half in (first, rest) for one in half.samples or ())
    has_checker = config.verifier_price is not None and nobody
    furthest = max(int(rest.num_samples.min()), config.predict or 0)
    predicted = votes["votes_predicted"][1] if votes else None
    asked: dict[str, Any] = {"furthest": furthest, "stop_level": config.stop_level, "has_checker": has_checker}
    return prices.ways(rng, first, rest, law=law, votes=predicted, **asked)


def _columns(spent: dict[str, Way]) -> dict[str, Any]:
    """Each attribute of the ways as a variable."""
    columns = np.array([*spent.values()]).reshape(len(spent), len(Way._fields)).T
    return {f"way_{name}": ("way", column) for name, column in zip(Way._fields, columns, strict=True)}


def _checked(usable: Sequence[Problem], config: RecordConfig) -> int:
    """The budget, if the record can be split by it."""
    if len(usable) < _FEWEST_PROBLEMS:
        raise UserError(
            f"FILE must have at least {_FEWEST_PROBLEMS} problems of two samples each, with a gold answer or flags, "
            f"got {len(usable)} in {config.file}"
        )
    most = max(problem.num_samples for problem in usable)
    if most > _LARGEST:
        raise UserError(f"FILE must have at most {_LARGEST} samples of a problem, got {most} in {config.file}")
    shortest = min(usable, key=lambda problem: problem.num_samples)
    fewest = shortest.num_samples
    budget = fewest // 2 if config.budget is None else config.budget
    if not 1 <= budget < fewest:
        least = f"{fewest - 1}, so that samples of problem {checks.shown(shortest.problem)} are left to judge by"
        raise UserError(f"budget must be from 1 to {least}, got {budget}")
    if config.predict is not None and not 1 <= config.predict <= _LARGEST:
        raise UserError(f"predict must be an integer from 1 to {_LARGEST}, got {config.predict}")
    for name in ("price", "verifier_price", "value"):
        number = getattr(config, name)
        if number is not None and not 0 <= number < np.inf:
            raise UserError(f"{name} must be finite and at least 0, got {number:g}")
    if not 0 < config.stop_level < 1:
        raise UserError(f"stop_level must be strictly between 0 and 1, got {config.stop_level:g}")
    return budget


def _rows(name: str, numbers: Sequence[int], values: np.ndarray, predicted: Any, alike: Any) -> dict[str, Row]:
    """A row for each number: ``values`` (numbers, problems) beside a prediction with its interval.

    The model error is the part of the interval on the side of the measurement. After P problems without exception one in P + 2
    is still expected to be one, which neither the spread of the problems nor that of resamples shows.
    """
    mean, error = mean_over_problems(values)
    one_exception = 1 / (values.shape[1] + 2)
    above = np.where(mean > predicted.estimate, predicted.high - predicted.estimate, predicted.estimate - predicted.low)
    spread = np.where(above > 0, above / _STANDARD_ERRORS, one_exception)
    columns = mean, np.where(error > 0, error, one_exception), np.asarray(predicted.estimate), spread, np.asarray(alike)
    return {f"{name}{number}": Row(*map(float, row)) for number, *row in zip(numbers, *columns, strict=True)}


def _coverage(first: Half, rest: Half, largest: int) -> dict[str, Row]:
    numbers = np.array(numbers_up_to(largest))
    values = np.array([theory.pass_at_k(rest.num_samples, rest.num_correct, int(k)) for k in numbers])
    predicted = _coverage_interval(first, numbers)
    return _rows(COVERAGE, numbers.tolist(), values, predicted, theory.answers.expected_pass_at_k(_mean_rate(first), numbers))


def _coverage_interval(first: Half, numbers: np.ndarray) -> theory.results.Interval:
    """pass@k with its interval."""
    return theory.records.pass_at_k_interval(first.num_correct, first.num_samples, numbers, level=LEVEL)


def _mean_rate(half: Half) -> float:
    """Success rate of all problems, were they equally hard."""
    return float(half.num_correct.sum() / half.num_samples.sum())


def _votes(rng: np.random.Generator, first: Half, rest: list[Samples], largest: int) -> dict[str, Row]:
    numbers = np.array(numbers_up_to(largest, odd=True))
    values = np.array([vote_accuracies(rng, one, numbers) for one in rest]).T
    given = answer_counts(first.samples or [])
    # The test's threshold allows for few problems; resamples would take as long as everything else.
    predicted = theory.records.vote_accuracy_interval(*given, num_candidates=numbers, level=LEVEL, num_resamples=0)
    return _rows(VOTE, numbers.tolist(), values, predicted, theory.majority_accuracy(_mean_rate(first), numbers))


def _vote_curve(first: Half, furthest: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Predict votes from the first samples of all problems, with intervals, up to the requested number."""
    if first.samples is None:
        return {}, {}
    numbers = np.array(numbers_up_to(furthest, odd=True))
    predicted = theory.records.vote_accuracy_interval(*answer_counts(first.samples), num_candidates=numbers, level=LEVEL)
    names = "votes_predicted", "votes_predicted_low", "votes_predicted_high"
    return {name: ("num_votes", values) for name, values in zip(names, predicted, strict=True)}, {"num_votes": numbers}


def _choices(rng: np.random.Generator, first: Half, rest: list[Samples], largest: int) -> dict[str, Row]:
    """The best of N by score, against one ROC curve, as if a score meant the same in every problem."""
    numbers = np.array(numbers_up_to(largest))
    values = np.array([best_accuracies(one, numbers) for one in rest]).T

    def predicted(chosen: np.ndarray) -> np.ndarray:
        half = first.of_problems(chosen)
        rates, weights = _represented(theory.records.fit_success_rates(half.num_correct, half.num_samples, "beta with atoms"))
        return weights @ theory.answers.roc_accuracy(rates[:, None], *_roc(half.samples or []), numbers)

    everyone = np.arange(len(first.num_samples))
    resampled = [predicted(rng.choice(everyone, len(everyone))) for _ in range(NUM_RESAMPLES // 4)]
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    interval = theory.results.Interval(predicted(everyone), low, high)
    alike = theory.answers.roc_accuracy(_mean_rate(first), *_roc(first.samples or []), numbers)
    return _rows(BEST, numbers.tolist(), values, interval, alike)


def _represented(law: theory.records.SuccessRates) -> tuple[np.ndarray, np.ndarray]:
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
    rng: np.random.Generator, problems: Sequence[Problem], first: Half, predict: int | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """pass@k of all samples with a bootstrap interval over problems, and its prediction as far as is asked."""
    fewest = min(problem.num_samples for problem in problems)
    asked = [fewest] if predict is None else [fewest, predict]
    further = np.unique([*np.geomspace(1, max(asked), 30).astype(int), *asked])
    numbers = further[further <= fewest]
    total, right = (np.array([getattr(problem, name) for problem in problems]) for name in ("num_samples", "num_correct"))
    values = np.array([theory.pass_at_k(total, right, int(k)) for k in numbers])
    drawn = rng.multinomial(len(problems), np.full(len(problems), 1 / len(problems)), size=_BOOTSTRAPS)
    low, high = np.quantile(drawn @ values.T / len(problems), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    predicted = _coverage_interval(first, further)
    measured = {"coverage": values.mean(axis=1), "coverage_low": low, "coverage_high": high}
    beside = {
        "coverage_predicted": predicted.estimate,
        "coverage_predicted_low": predicted.low,
        "coverage_predicted_high": predicted.high,
    }
    curves = {name: ("k", one) for name, one in measured.items()} | {name: ("predicted_k", one) for name, one in beside.items()}
    return curves, {"k": numbers, "predicted_k": further}


def _lengths(first: list[Samples], rest: list[Samples]) -> dict[str, Row]:
    """Accuracy by length within problems: what it is among the first samples, it is predicted to be among the others."""
    before, after = (accuracy_by_length(samples, _LENGTH_PARTS) for samples in (first, rest))
    if min(before.shape[1], after.shape[1]) < 2:
        return {}
    columns = *mean_over_problems(after), *mean_over_problems(before), np.full(_LENGTH_PARTS, before.mean())
    return {f"{LENGTH}{part}": Row(*map(float, row)) for part, row in enumerate(zip(*columns, strict=True), start=1)}
