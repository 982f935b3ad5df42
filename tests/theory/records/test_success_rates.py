"""Laws of success rates against SciPy's own distributions and optimisers; intervals against simulated problems of known law."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, optimize, stats

import theory
from tests.errors import assert_named
from theory.records._likelihood_intervals import allowed_falls, ends
from theory.records._rate_fits import grid
from theory.records.success_rates import MODELS, _evidence, _outcomes, _passed

RECORDED = Path(__file__).parents[3] / "shared" / "data"

# Laws of success rates of which pass@k is known: where single models are right, and where they are not.
LAWS = {
    "beta": ([], [], 1.0, 0.3, 3.0),
    "atoms": ([0.0, 1.0], [0.3, 0.1], 0.6, 1.0, 6.0),
    "bimodal": ([], [], None, None, None),
    "two points": ([0.02, 0.5], [0.6, 0.4], 0.0, 1.0, 1.0),
    "three points": ([0.05, 0.3, 0.8], [0.5, 0.3, 0.2], 0.0, 1.0, 1.0),
}


def drawn(law, rng, num_problems):
    """Success rates of problems."""
    if law == "bimodal":
        return np.where(rng.random(num_problems) < 0.5, rng.beta(1.0, 40.0, num_problems), rng.beta(8.0, 4.0, num_problems))
    support, weights, beta_weight, a, b = LAWS[law]
    which = rng.choice(len(support) + 1, size=num_problems, p=[*weights, beta_weight])
    return np.where(which < len(support), np.append(support, 0.0)[which], rng.beta(a, b, num_problems))


def truth(law, k):
    if law == "bimodal":
        return (theory.beta_pass_at_k(1.0, 40.0, k) + theory.beta_pass_at_k(8.0, 4.0, k)) / 2
    support, weights, beta_weight, a, b = LAWS[law]
    return np.dot(weights, 1 - (1 - np.array(support)) ** k) + beta_weight * theory.beta_pass_at_k(a, b, k)


@pytest.fixture(scope="module")
def counts():
    """Correct answers of problems with unequal numbers of samples."""
    rng = np.random.default_rng(5)
    num_samples = rng.choice([6, 10, 15], size=120)
    return rng.binomial(num_samples, drawn("atoms", rng, 120)), num_samples


def independent_log_likelihood(rates, num_correct, num_samples):
    atoms = stats.binom.pmf(num_correct[:, None], num_samples[:, None], rates.support) @ rates.weights
    beta = stats.betabinom.pmf(num_correct, num_samples, rates.a, rates.b) if rates.beta_weight else 0.0
    return np.sum(np.log(atoms + rates.beta_weight * beta))


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


@pytest.mark.parametrize("model", ["chosen", *MODELS])
def test_nothing_and_everything_correct(model):
    never = theory.records.pass_at_k_interval(np.zeros(50, int), 20, 80, model=model)
    assert never.estimate < 0.01
    # The rates may still be small: of P problems without a success, about 1.35 / P may have one beyond the samples.
    assert never.low < 1e-3
    assert never.high > 0.02
    always = theory.records.pass_at_k_interval(np.full(50, 20), 20, 80, model=model)
    assert always.estimate > 0.99
    assert always.high == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("k", [1, 7.5, 200])
def test_prediction_is_the_integral_over_the_law(counts, k):
    rates = theory.records.fit_success_rates(*counts, "beta with atoms")
    beta = stats.beta(rates.a, rates.b)
    missed = integrate.quad(lambda u: (1 - beta.ppf(u)) ** k, 0, 1, limit=200)[0]
    expected = 1 - rates.weights @ (1 - rates.support) ** k - rates.beta_weight * missed
    assert theory.records.predicted_pass_at_k(rates, k) == pytest.approx(expected, abs=1e-6)


def test_prediction_within_the_samples_is_the_unbiased_estimate():
    rng = np.random.default_rng(2)
    num_correct = rng.binomial(20, drawn("beta", rng, 2000))
    for model in ("beta", "any law"):
        rates = theory.records.fit_success_rates(num_correct, 20, model)
        for k in (1, 5, 20):
            measured = theory.pass_at_k(20, num_correct, k).mean()
            assert theory.records.predicted_pass_at_k(rates, k) == pytest.approx(measured, abs=0.006)


def test_order_and_form_of_the_problems_do_not_matter(counts):
    order = np.random.default_rng(0).permutation(120)
    one, other = (
        theory.records.pass_at_k_interval(c, m, [5, 50], num_resamples=20)
        for c, m in (counts, (counts[0][order], counts[1][order].tolist()))
    )
    np.testing.assert_allclose(np.stack(one), np.stack(other), rtol=1e-10)
    assert one.low.shape == (2,)
    assert (one.low <= one.estimate).all()
    assert (one.estimate <= one.high).all()


def test_many_samples_of_many_problems_are_fitted_at_the_observed_rates():
    """Two hundred thousand samples: pass@k is the unbiased estimate, to less than its own error of about 0.002."""
    rng = np.random.default_rng(14)
    num_correct = rng.binomial(200_000, rng.beta(0.3, 2.0, 60))
    law = theory.records.fit_success_rates(num_correct, 200_000, "any law")
    for k in (10, 1000):
        unbiased = theory.pass_at_k(200_000, num_correct, k).mean()
        assert theory.records.predicted_pass_at_k(law, k) == pytest.approx(unbiased, abs=1e-3)


def test_held_out_likelihood_is_that_of_each_problem_under_the_others():
    num_correct = np.array([0, 0, 0, 1, 1, 2, 5, 6])
    for model, held_out in theory.records.fit_success_rates(num_correct, 6).held_out.items():
        others = (theory.records.fit_success_rates(np.delete(num_correct, i), 6, model) for i in range(8))
        one_by_one = [independent_log_likelihood(r, num_correct[[i]], np.array([6])) for i, r in enumerate(others)]
        assert held_out == pytest.approx(np.sum(one_by_one), abs=0.01)


def test_many_outcomes_are_left_out_by_folds():
    """A law of two parameters loses about two in held-out log-likelihood, whichever the folds."""
    rng = np.random.default_rng(8)
    num_correct = rng.binomial(300, drawn("beta", rng, 200))
    assert np.unique(num_correct).size > 50
    rates = theory.records.fit_success_rates(num_correct, 300)
    assert 0 < rates.log_likelihood - rates.held_out["beta"] < 6
    assert rates.held_out == theory.records.fit_success_rates(num_correct[::-1], 300).held_out
    assert rates.held_out["any law"] < rates.held_out["beta"] - 5


def test_held_out_likelihood_prefers_the_law_that_is_true():
    rng = np.random.default_rng(1)
    fits = {law: theory.records.fit_success_rates(rng.binomial(20, drawn(law, rng, 400)), 20) for law in LAWS}
    # A Beta law is also one with atoms of little weight.
    assert fits["beta"].model in MODELS[:2]
    assert fits["atoms"].model == "beta with atoms"
    assert fits["bimodal"].model == fits["two points"].model == "any law"


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
    """Resamples are judged at k of fixed places, whichever k are asked for."""
    rng = np.random.default_rng(13)
    num_correct = rng.binomial(8, drawn("beta", rng, 80))
    every = np.array([1, 5, 8, 16, 50])
    together = theory.records.pass_at_k_interval(num_correct, 8, every, num_resamples=20)
    for place, k in enumerate(every):
        alone = theory.records.pass_at_k_interval(num_correct, 8, int(k), num_resamples=20)
        assert (together.low[place], together.high[place]) == pytest.approx((alone.low, alone.high), abs=2e-3)
    assert (np.diff(together.low) > -2e-3).all()
    assert (np.diff(together.high) > 0).all()


def recorded(name):
    path = RECORDED / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"no recorded samples at {path}")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return np.array([line["correct"] for line in lines])  # (problems, samples)


@pytest.mark.parametrize("name", ["tot_game24_gpt4_cot", "tot_game24_gpt4_io"])
def test_a_quarter_of_recorded_samples_predicts_the_rest(name):
    correct = recorded(name)
    interval = theory.records.pass_at_k_interval(correct[:, :25].sum(axis=1), 25, 100)
    assert interval.low < correct.any(axis=1).mean() < interval.high
    assert interval.high - interval.low < 0.4


BAD = [
    (lambda: theory.records.fit_success_rates([1, 11], 10), "num_correct", "11"),
    (lambda: theory.records.fit_success_rates([1, -1], 10), "num_correct", "-1"),
    (lambda: theory.records.fit_success_rates([1], 10), "num_correct", "1"),
    (lambda: theory.records.fit_success_rates([[1, 2]], 10), "num_correct", "(1, 2)"),
    (lambda: theory.records.fit_success_rates([0, 0], [1, 0]), "num_samples", "0"),
    (lambda: theory.records.fit_success_rates([0, 0], [1, 1, 1]), "num_samples", "(3,)"),
    (lambda: theory.records.fit_success_rates([0, 1], 2, "gamma"), "model", "gamma"),
    (lambda: theory.records.pass_at_k_interval([0, 1], 2, 0.5), "k", "0.5"),
    (lambda: theory.records.pass_at_k_interval([0, 1], 2, 4, level=1.0), "level", "1"),
    (lambda: theory.records.pass_at_k_interval([0, 1], 2, 4, model="best"), "model", "best"),
    (lambda: theory.records.pass_at_k_interval([0, 1], 2, 4, num_resamples=5), "num_resamples", "5"),
    (lambda: theory.records.predicted_pass_at_k(theory.records.fit_success_rates([0, 1], 2, "beta"), 0), "k", "0"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
