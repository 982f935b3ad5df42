"""Recorded samples: what is measured against brute force, what is predicted against the rest, and what a user sees."""

import itertools
import json

import numpy as np
import pytest
import xarray as xr

from experiments.records import analysis, result, samples
from experiments.run import agreement
from experiments.run.errors import UserError
from tests.experiments.records.recorded import analysed, simulated
from tests.fixtures import ANSWERS, recorded_answers
from ttc_jax.records import jsonl
from ttc_jax.records.jsonl import Problem

pytestmark = pytest.mark.usefixtures("elsewhere", "quick_intervals")


def test_predictions_of_the_first_samples_are_met_by_the_others(rng):
    data = analysed(simulated(rng), budget=20, predict=500)
    verdict = agreement.judge(data)
    assert verdict.outcome == "agrees", verdict
    assert verdict.controls["with problems equally hard"] > verdict.threshold
    kinds = {str(name).rstrip("0123456789") for name in data["quantity"].to_numpy()}
    assert kinds == {"pass@", "vote of ", "best by score of ", analysis.LENGTH}
    assert data["predicted_k"][-1] == 500
    # The law of the rates is known: 1 - B(a, b + k) / B(a, b).
    exact = 1 - np.prod([(2.0 + j) / (2.4 + j) for j in range(500)])
    last = data.isel(predicted_k=-1)
    assert last["coverage_predicted_low"] < exact < last["coverage_predicted_high"]
    assert (data["coverage_low"] <= data["coverage"]).all()
    lengths = data.sel(quantity=[str(name) for name in data["quantity"].to_numpy() if str(name).startswith(analysis.LENGTH)])
    shortest, *_, longest = lengths["measured"].to_numpy()
    assert shortest > longest + 3 * np.hypot(*lengths["standard_error"].to_numpy()[[0, -1]])
    ignored = lengths["wrong_with_problems_equally_hard"].to_numpy()  # whoever says that lengths do not matter
    assert np.ptp(ignored) == 0
    assert (abs(lengths["measured"] - ignored) / np.hypot(lengths["standard_error"], lengths["model_error"])).max() > 4


def test_samples_that_get_worse_are_noticed(rng):
    """The first half of every problem's samples is right more often: what they predict is not met."""
    worse = []
    for problem in simulated(rng, a=1.0):
        flags = problem.correct.copy()
        flags[20:] &= rng.random(20) < 0.5
        answers = tuple(
            answer if flag or answer != "right" else "w1" for answer, flag in zip(problem.answers, flags, strict=True)
        )
        worse.append(Problem(problem.problem, gold="right", answers=answers))
    assert agreement.judge(analysed(worse)).outcome == "disagrees"


@pytest.mark.parametrize("answer", ["right", "wrong", ""])
def test_a_record_of_one_answer_shows_nothing(answer):
    """All right, all wrong or all silent: there is nothing to tell a wrong prediction by."""
    problems = [Problem(place, gold="right", answers=(answer,) * 6, scores=[1.0] * 6) for place in range(8)]
    data = analysed(problems)
    assert agreement.judge(data).outcome == "inconclusive"
    assert (data["measured"] == (answer == "right")).all()
    result.findings(data)
    result.draw(data)


def test_counts_alone_are_split_at_random(rng):
    counts = [Problem(place, num_samples=40, num_correct=int(rng.binomial(40, rng.beta(0.4, 2.0)))) for place in range(300)]
    data = analysed(counts, budget=15)
    assert agreement.judge(data).outcome == "agrees"
    assert all(str(name).startswith("pass@") for name in data["quantity"].to_numpy())
    xr.testing.assert_identical(data["measured"], analysed(counts, budget=15)["measured"])
    assert not np.array_equal(data["measured"], analysed(counts, seed=1, budget=15)["measured"])


BAD = [
    ({"budget": 0}, "budget .* 1 to 39, .* problem .p0. .* got 0"),
    ({"budget": 40}, "budget .* 40"),
    ({"predict": 0}, "predict .* 0"),
    ({"price": -1.0}, "price .* -1"),
    ({"verifier_price": np.nan}, "verifier_price .* nan"),
    ({"value": -5.0}, "value .* -5"),
    ({"stop_level": 1.0}, "stop_level .* 1"),
    ({"predict": 10**20}, "predict .* 1000000, got 1000"),
]


@pytest.mark.parametrize(("asked", "pattern"), BAD)
def test_bad_options_are_named(rng, asked, pattern):
    with pytest.raises(UserError, match=pattern):
        analysed(simulated(rng, 4), **asked)


def test_problems_that_cannot_be_used_are_counted(rng):
    usable = simulated(rng, 20, scores=False)
    data = analysed([*usable, Problem("no gold", answers=("a", "b")), Problem("one", gold="a", answers=("a",))])
    (warning,) = json.loads(data.attrs["warnings"])
    assert warning.startswith("2 of 22 problems")
    with pytest.raises(UserError, match="at least 4 problems of two samples each, with a gold answer or flags, got 1"):
        analysed(usable[:1])


def test_recorded_coverage_is_that_of_all_subsets():
    data = analysed(list(jsonl.read(ANSWERS)))
    flags = [[answer == gold for answer in answers] for gold, answers in recorded_answers()]
    for k in (1, 4, 8, 12):
        exact = np.mean([np.mean([any(subset) for subset in itertools.combinations(row, k)]) for row in flags])
        assert float(data["coverage"].sel(k=k)) == pytest.approx(exact, abs=1e-9)


def test_few_problems_seldom_disagree():
    """One right prediction in a thousand may disagree; with a normal quantile 8 of 52 records of four problems did."""
    rng, outcomes, num_problems = np.random.default_rng(21), [], 2
    for _ in range(6):
        num_correct = rng.binomial(20, rng.beta(0.4, 2.0, 2 * num_problems))
        first, rest = samples.Half(np.full(num_problems, 10), None, None), samples.Half(np.full(num_problems, 10), None, None)
        told = rng.binomial(10, num_correct[:num_problems] / 20)
        judged = rng.binomial(10, num_correct[num_problems:] / 20)
        rows = analysis._judged(rng, first._replace(num_correct=told), rest._replace(num_correct=judged), 10)
        columns = np.array(list(rows.values())).T
        values = {name: ("quantity", column) for name, column in zip(analysis.Row._fields, columns, strict=True)}
        values["judged"] = ("quantity", np.ones(len(rows)))
        attributes = {"named_controls_only": 1, "degrees_of_freedom": num_problems - 1}
        outcomes.append(agreement.judge(xr.Dataset(values, attrs=attributes)).outcome)
    assert "disagrees" not in outcomes
