"""Fitted laws of success rates: their likelihood by SciPy, and no optimiser finds a larger one."""

import numpy as np
import pytest
from scipy import optimize, stats

import theory
from tests.theory.records.laws import independent_log_likelihood
from theory.records.success_rates import MODELS


@pytest.mark.parametrize("model", MODELS)
def test_likelihood_is_that_of_binomial_and_beta_binomial_laws(counts, model):
    rates = theory.records.fit_success_rates(*counts, model)
    assert rates.log_likelihood == pytest.approx(independent_log_likelihood(rates, *counts), abs=1e-6)
    assert rates.weights.sum() + rates.beta_weight == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("model", "size"), [("beta", 2), ("beta with atoms", 4)])
def test_no_optimiser_finds_more_probable_parameters(counts, model, size):
    def negative(point):
        shares = np.exp(np.append(point[2:], 0.0)) / np.exp(np.append(point[2:], 0.0)).sum()
        never, always, rest = shares if size == 4 else (0.0, 0.0, 1.0)
        beta = stats.betabinom.pmf(*counts, *np.exp(point[:2]))
        return -np.sum(np.log(never * (counts[0] == 0) + always * (counts[0] == counts[1]) + rest * beta))

    options = {"maxiter": 4000, "maxfev": 4000, "xatol": 1e-6, "fatol": 1e-9}
    found = optimize.minimize(negative, np.zeros(size), method="Nelder-Mead", options=options)
    rates = theory.records.fit_success_rates(*counts, model)
    assert rates.log_likelihood == pytest.approx(-found.fun, abs=1e-4)
    assert (rates.a, rates.b) == pytest.approx(np.exp(found.x[:2]), rel=0.01)


def gradient(rates, num_correct, num_samples):
    """Of the mean log-likelihood, towards each of many rates."""
    mixed = stats.binom.pmf(num_correct[:, None], num_samples[:, None], rates.support) @ rates.weights
    others = stats.binom.pmf(num_correct[:, None], num_samples[:, None], np.linspace(0, 1, 2001))
    return np.mean(others / mixed[:, None], axis=0)


def test_any_law_satisfies_the_conditions_of_the_maximum(counts):
    rates = theory.records.fit_success_rates(*counts, "any law")
    assert gradient(rates, *counts).max() < 1.002  # one, but for the grid
    wrong = rates._replace(support=rates.support * 0.9)
    assert gradient(wrong, *counts).max() > 1.02
    best = max(theory.records.fit_success_rates(*counts, model).log_likelihood for model in MODELS[:2])
    assert rates.log_likelihood > best - 0.01


def test_one_rate_is_found():
    rates = theory.records.fit_success_rates(np.full(20, 5), 10, "any law")
    assert (rates.support, rates.weights) == (pytest.approx([0.5]), pytest.approx([1.0]))
    assert theory.records.predicted_pass_at_k(rates, np.array([1, 3])) == pytest.approx([0.5, 0.875])


def test_many_samples_of_many_problems_are_fitted_at_the_observed_rates():
    """Two hundred thousand samples: pass@k is the unbiased estimate, to less than its own error of about 0.002."""
    rng = np.random.default_rng(14)
    num_correct = rng.binomial(200_000, rng.beta(0.3, 2.0, 60))
    law = theory.records.fit_success_rates(num_correct, 200_000, "any law")
    for k in (10, 1000):
        unbiased = theory.pass_at_k(200_000, num_correct, k).mean()
        assert theory.records.predicted_pass_at_k(law, k) == pytest.approx(unbiased, abs=1e-3)
