"""The verdict on made-up results whose right verdict is known."""

import json

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from experiments.run import agreement
from experiments.run.agreement import judge
from ttc_jax.sweep.moments import Moments
from ttc_jax.sweep.summary import Summary, num_kept

TERMS = {"bias": 0.6, "label_noise": 0.3, "decoding_noise": 0.1}


def results(measured_over_predicted=1.0, standard_error=0.01, model_error=0.0, judged=True, num=20, rng=None):
    """`num` points whose prediction is one; measurements scatter by their standard error if a generator is given."""
    ones = np.ones(num)
    noise = 0 if rng is None else standard_error * rng.normal(size=num)
    variables = {
        "measured": measured_over_predicted * ones + noise,
        "standard_error": standard_error * ones,
        "predicted": ones,
        "model_error": model_error * ones,
        "judged": np.broadcast_to(judged, num).astype(np.int8),
        **{f"predicted_{name}": size * ones for name, size in TERMS.items()},
    }
    return xr.Dataset({name: ("num_steps", value) for name, value in variables.items()}, {"num_steps": np.arange(num)})


def test_a_true_prediction_agrees_and_wrong_ones_are_noticed():
    verdict = judge(results())
    assert verdict.outcome == "agrees"
    assert verdict.num_points == 20
    assert verdict.threshold == pytest.approx(stats.norm.isf(1e-3 / 40))
    assert set(verdict.controls) == {
        "5% too large",
        "5% too small",
        "without bias",
        "without label noise",
        "without decoding noise",
    }
    assert verdict.controls["5% too large"] == pytest.approx(5.0)
    assert verdict.controls["without decoding noise"] == pytest.approx(10.0)
    assert verdict.accepted_controls == []


def test_a_wrong_prediction_disagrees_and_its_worst_point_is_named():
    data = results()
    data["measured"][7] = 1.06
    verdict = judge(data)
    assert verdict.outcome == "disagrees"
    assert verdict.worst_point == {"num_steps": 7}
    assert verdict.largest_z == pytest.approx(6.0)


def test_too_few_tasks_are_inconclusive():
    verdict = judge(results(standard_error=0.02))
    assert verdict.outcome == "inconclusive"
    assert verdict.accepted_controls == ["5% too large", "5% too small"]


def test_model_error_widens_the_tolerance_as_the_formula_says():
    verdict = judge(results(1.05, standard_error=0.003, model_error=0.004))
    assert verdict.largest_z == pytest.approx(0.05 / 0.005)


def test_points_outside_the_regime_are_not_judged():
    data = results(judged=np.arange(20) != 3)
    data["measured"][3] = 17.0
    verdict = judge(data)
    assert verdict.outcome == "agrees"
    assert verdict.num_points == 19
    nothing = judge(results(judged=False))
    assert nothing.outcome == "inconclusive"
    assert nothing.num_points == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["measured", "standard_error"])
def test_values_that_overflowed_are_inconclusive(value, name):
    data = results()
    data["measured"][0] = 17.0
    data[name][0] = value
    verdict = judge(data)
    assert verdict.outcome == "inconclusive"
    assert verdict.num_untrusted == 1
    assert "1 more with errors that cannot be trusted" in str(verdict)
    data[name][:] = value
    assert str(judge(data)) == "inconclusive; no measured value is finite, check the settings"


def test_points_of_few_effective_tasks_are_not_judged():
    data = results()
    data["effective_tasks"] = ("num_steps", np.full(20, 500.0))
    data["effective_tasks"][3] = 150.0
    assert judge(data).outcome == "agrees"  # without that point
    data["measured"][3] = 17.0
    assert judge(data).outcome == "inconclusive"
    data["effective_tasks"][3] = 250.0
    assert judge(data).outcome == "disagrees"
    data["measured"][:], data["effective_tasks"][:] = 1.001, 5.0
    verdict = judge(data)
    assert (verdict.outcome, verdict.num_points, verdict.num_untrusted) == ("inconclusive", 0, 20)
    few = judge(results().assign_attrs(degrees_of_freedom=3))
    assert str(few) == "inconclusive; 4 independent units are too few to judge, 5 are needed"
    doubted = judge(results().assign_attrs(agreement_doubted="the order means something"))
    assert str(doubted).startswith("inconclusive; the order means something; largest z 0.00")
    data["measured"][3], data["effective_tasks"][:] = 17.0, 500.0
    assert judge(data.assign_attrs(agreement_doubted="the order means something")).outcome == "disagrees"
    assert str(verdict) == "inconclusive; the errors of all 20 points cannot be trusted, use more tasks"


def test_few_tasks_have_the_quantile_of_student_s_t():
    data = results().assign_attrs(degrees_of_freedom=11)
    assert judge(data).threshold == pytest.approx(stats.t.isf(1e-3 / 40, 11))
    assert judge(data.assign_attrs(num_looks=3)).threshold == pytest.approx(stats.t.isf(1e-3 / 120, 11))


def summary_of(values):
    """What a sweep keeps of tasks (tasks, points)."""
    ordered = np.sort(np.abs(values), axis=0)[::-1][: num_kept(len(values))]
    return Summary(Moments.of(values), np.abs(values).sum(axis=0), ordered, 0, np.array([], int))


LAWS = {
    "normal": (lambda rng, shape: 5 + rng.normal(size=shape), 5.0),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "gamma": (lambda rng, shape: rng.gamma(0.3, size=shape), 0.3),
    "lognormal": (lambda rng, shape: rng.lognormal(0, 1, size=shape), np.exp(0.5)),
    "wide lognormal": (lambda rng, shape: rng.lognormal(0, 2, size=shape), np.exp(2.0)),
    "Pareto 2.2": (lambda rng, shape: 1 + rng.pareto(2.2, size=shape), 2.2 / 1.2),
    "Pareto 1.5": (lambda rng, shape: 1 + rng.pareto(1.5, size=shape), 3.0),
    "rare event": (lambda rng, shape: 1.0 * (rng.random(shape) < 0.01), 0.01),
}


@pytest.mark.parametrize("name", LAWS)
def test_false_alarms_are_rare_from_two_tasks_on(name, rng):
    """Every replicate is a point that is judged as if it were the only one, at a right prediction."""
    draw, mean = LAWS[name]
    normal = 0
    for num_tasks in (2, 5, 20, 100, 400, 3072):
        replicates = 2000
        found = summary_of(draw(rng, (num_tasks, replicates)))
        data = xr.Dataset(
            {
                "measured": ("replicate", found.moments.mean),
                "standard_error": ("replicate", found.moments.standard_error),
                "predicted": ("replicate", np.full(replicates, mean)),
                "model_error": ("replicate", np.zeros(replicates)),
                "effective_tasks": ("replicate", found.effective_tasks()),
            },
            attrs={"degrees_of_freedom": num_tasks - 1},
        )
        z = agreement._z(data, data["predicted"].to_numpy())
        alarms = (z >= agreement._threshold(1, data)) & agreement._is_trusted(data)
        assert alarms.sum() <= stats.binom.isf(1e-4, replicates, agreement.FAMILY_WISE_LEVEL)
        normal += (z >= stats.norm.isf(agreement.FAMILY_WISE_LEVEL / 2)).sum()
    assert normal > stats.binom.isf(1e-4, 6 * 2000, agreement.FAMILY_WISE_LEVEL)  # what a normal quantile would say


def test_false_alarms_are_as_rare_as_promised(rng):
    alarms = sum(judge(results(rng=rng)).outcome == "disagrees" for _ in range(3000))
    assert alarms <= stats.binom.isf(1e-4, 3000, 1e-3)


def test_a_term_that_is_zero_is_no_control():
    data = results()
    data["predicted_decoding_noise"][:] = 0.0
    verdict = judge(data)
    assert verdict.outcome == "agrees"
    assert "without decoding noise" not in verdict.controls


@pytest.mark.parametrize(
    "data",
    [results(), results(judged=False), results(np.inf), results(np.nan), results(np.nan).assign_attrs(reference="limit")],
)
def test_verdict_is_valid_json(data):
    values = json.loads(json.dumps(judge(data).as_dict(), allow_nan=False))
    assert values["outcome"] == judge(data).outcome
    assert str(judge(data)).startswith(values["outcome"])
    assert np.isnan(data["measured"]).any() or "nan" not in str(judge(data))


def against_a_limit(*arguments, **options):
    return results(*arguments, **options).assign_attrs(reference="limit of all")


def test_a_measurement_above_its_limit_is_a_gap():
    data = against_a_limit(1.08)
    data["measured"][3], data["measured"][5] = 1.02, 1.2
    verdict = judge(data)
    assert verdict.outcome == "measured"
    assert verdict.gaps["smallest"] == {
        "relative": pytest.approx(0.02),
        "standard_error": pytest.approx(0.01),
        "point": {"num_steps": 3},
    }
    assert verdict.gaps["largest"]["relative"] == pytest.approx(0.2)
    assert str(verdict) == "measured; 2.0% ± 1.0% to 20.0% ± 1.0% above the limit of all, 20 points"
    assert verdict.controls == {"5% below the limit": pytest.approx(5.0)}


def test_a_measurement_below_its_limit_disagrees():
    data = against_a_limit(1.1)
    data["measured"][7] = 0.95
    verdict = judge(data)
    assert verdict.outcome == "disagrees"
    assert verdict.worst_point == {"num_steps": 7}
    data["judged"][7] = 0
    assert judge(data).outcome == "measured"


def test_a_measurement_exactly_at_its_limit_is_no_gap():
    verdict = judge(against_a_limit(1.0, standard_error=0.0))
    assert verdict.outcome == "measured"
    assert verdict.largest_z == 0.0


def test_a_limit_that_would_not_be_missed_is_inconclusive():
    verdict = judge(against_a_limit(1.1, standard_error=0.02))
    assert verdict.outcome == "inconclusive"
    assert verdict.accepted_controls == ["5% below the limit"]


def test_measurements_at_their_limit_raise_false_alarms_as_rarely_as_promised(rng):
    alarms = sum(judge(against_a_limit(rng=rng)).outcome == "disagrees" for _ in range(3000))
    assert alarms <= stats.binom.isf(1e-4, 3000, 1e-3)
