"""Laws of success rates against SciPy's own distributions and optimisers; intervals against simulated problems of known law."""

import numpy as np
import pytest
from scipy import integrate, stats

import theory
from tests.errors import assert_named
from tests.fixtures import recorded_answers
from tests.theory.records.laws import LAWS, drawn, independent_log_likelihood
from theory.records.success_rates import MODELS


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


def test_a_third_of_recorded_answers_predicts_all():
    correct = np.array([[answer == gold for answer in answers] for gold, answers in recorded_answers()])
    interval = theory.records.pass_at_k_interval(correct[:, :4].sum(axis=1), 4, 12)
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
