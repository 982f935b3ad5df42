"""Likelihood intervals: ends by another optimiser, exact ones for counts of zero, and no influence of other requests."""

import numpy as np
import pytest
from scipy import optimize, stats

import theory
from tests.theory.records.laws import drawn
from theory.records._likelihood_intervals import allowed_falls, ends
from theory.records._rate_fits import grid
from theory.records.success_rates import _evidence, _outcomes, _passed


def test_ends_of_any_law_by_another_optimiser():
    """Least and largest pass@12 of laws on a grid whose likelihood is allowed, by sequential quadratic programming."""
    num_correct, k, some = np.array([0] * 12 + [1] * 5 + [2] * 2 + [3] * 6), 12, np.linspace(0, 1, 41)
    chances = stats.binom.pmf(num_correct[:, None], 3, some)
    value = 1 - (1 - some) ** k
    best = theory.records.fit_success_rates(num_correct, 3, "any law").log_likelihood
    allowed = stats.chi2.ppf(0.9, 1) / 2
    limits = [
        {"type": "eq", "fun": lambda w: w.sum() - 1},
        {"type": "ineq", "fun": lambda w: np.sum(np.log(np.maximum(chances @ w, 1e-12))) - best + allowed},
    ]
    start, options = np.full(41, 1 / 41), {"maxiter": 500}
    others = [
        optimize.minimize(lambda w, s=s: s * (value @ w), start, bounds=[(0, 1)] * 41, constraints=limits, options=options)
        for s in (1, -1)
    ]
    outcomes = _outcomes(num_correct, 3)
    rates = grid(outcomes)
    evidence, values = _evidence(outcomes, rates), _passed(rates, np.array([12.0]))
    ((low, high),) = ends(evidence, values, np.full((1, 2), 2 * allowed))[0]
    assert low == pytest.approx(others[0].fun, abs=0.01)
    assert high == pytest.approx(-others[1].fun, abs=0.01)
    (narrower,) = ends(evidence, values, np.full((1, 2), allowed))[0]
    assert low < narrower[0] - 0.01
    assert narrower[1] + 0.01 < high


def test_zero_counts_are_inverted_exactly():
    """Without a success, the upper end has e^-2.3 = 0.1 as chance of none, not that of a chi^2 quantile, e^-1.35."""
    outcomes, k = _outcomes(np.zeros(100, int), 5), np.array([50.0])
    rates = grid(outcomes, 1e-8)
    evidence, values = _evidence(outcomes, rates), _passed(rates, k)
    falls = allowed_falls(evidence, values, 0.9, 200)
    assert falls[0, 0] == stats.chi2.ppf(0.9, 1)  # there is nothing below
    mean = falls[0, 1] / 2  # number of successes expected
    assert 2.1 < mean < 3.5
    high = ends(evidence, values, falls)[0][0, 1]
    assert 1 - (1 - mean / 500) ** 50 == pytest.approx(high, rel=0.03)
    assert falls[0, 1] > 1.4 * stats.chi2.ppf(0.9, 1)


def test_one_failure_does_not_narrow_an_interval():
    """Near saturation resamples of the most probable law are all alike, and once gave [.9996, 1] here."""
    every, one = (theory.records.pass_at_k_interval([2] * 36 + [last], 2, 6) for last in (2, 1))
    for interval in (every, one):
        assert 0.92 < interval.low < 0.97
        assert interval.high > 0.999


def test_an_interval_does_not_depend_on_what_else_is_asked():
    """Resamples are judged at fixed k, independently of the requested k."""
    rng = np.random.default_rng(13)
    num_correct = rng.binomial(8, drawn("beta", rng, 80))
    every = np.array([1, 5, 8, 16, 50])
    together = theory.records.pass_at_k_interval(num_correct, 8, every, num_resamples=20)
    for place, k in enumerate(every):
        alone = theory.records.pass_at_k_interval(num_correct, 8, int(k), num_resamples=20)
        assert (together.low[place], together.high[place]) == pytest.approx((alone.low, alone.high), abs=2e-3)
    assert (np.diff(together.low) > -2e-3).all()
    assert (np.diff(together.high) > 0).all()
