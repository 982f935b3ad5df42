"""Limits of every decoder against quadrature, enumeration and ridge regression."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

import theory
from tests.errors import assert_named
from tests.statistics import agrees
from theory.chains.spectrum import spectral_rule


def by_quadrature(function):
    """E f(z) of a standard normal z, adaptively."""
    return integrate.quad(lambda z: function(z) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), -12, 12, epsabs=1e-13, limit=400)[0]


def channel(precision, prob_high):
    """Mean squared error, bit error and information of the scalar channel, in units of half the gap."""
    tilt = np.log(prob_high / (1 - prob_high)) / 2
    parts = []
    for sign, weight in ((1, prob_high), (-1, 1 - prob_high)):

        def odds(z, sign=sign):
            return precision + np.sqrt(precision) * z + sign * tilt  # half log-odds of the truth

        error = by_quadrature(lambda z: (1 - np.tanh(odds(z))) ** 2)
        wrong = stats.norm.cdf(-(precision + sign * tilt) / np.sqrt(precision))
        lost = by_quadrature(lambda z: np.logaddexp(0, -2 * odds(z))) + np.log(weight)
        parts.append(weight * np.array([error, wrong, -lost]))
    return sum(parts)


@pytest.mark.parametrize("prob_high", [0.5, 0.2])
@pytest.mark.parametrize(("ratio", "noise"), [(0.5, 0.5), (1.5, 0.5), (2.0, 0.1)])
def test_the_binary_limit_solves_its_equation(ratio, noise, prob_high):
    dim = 1000
    setting = {"low": 1.0, "high": 4.0, "prob_high": prob_high}  # half-gap 1.5
    limit = theory.binary_bayes_error(dim, round(ratio * dim), label_noise_std=1.5 * np.sqrt(noise * dim), **setting)
    error = limit.excess_risk / dim / 1.5**2
    assert limit.precision == pytest.approx(ratio / (noise + error), rel=1e-9)
    mean_squared, wrong, _ = channel(limit.precision, prob_high)
    assert error == pytest.approx(mean_squared, rel=1e-8)
    assert limit.bit_error == pytest.approx(wrong, rel=1e-8)


def test_between_several_solutions_the_free_energy_chooses():
    """Little noise: below one ratio of examples Bayes is stuck as well, above another message passing is not any more."""
    dim, noise = 1000, 1e-4
    ratios = np.array([0.1, 0.3, 0.6])
    limit = theory.binary_bayes_error(dim, np.round(ratios * dim), label_noise_std=np.sqrt(noise * dim))
    assert limit.bit_error[0] == limit.reached_bit_error[0] > 0.1
    assert limit.bit_error[1] < 1e-10 < 0.05 < limit.reached_bit_error[1]
    assert limit.bit_error[2] == limit.reached_bit_error[2] < 1e-10

    for place, ratio in enumerate(ratios):  # the energy of every error on a grid, by quadrature
        errors = np.geomspace(1e-12, 1, 200)
        precisions = ratio / (noise + errors)
        information = np.array([channel(min(q, 300.0), 0.5)[2] for q in precisions])
        energy = information + ratio / 2 * (np.log1p(errors / noise) - errors / (noise + errors))
        assert (limit.bit_error[place] < 1e-10) == (errors[np.argmin(energy)] < 1e-6)


def test_message_passing_succeeds_from_the_known_ratio_of_examples_on():
    dim = 100_000
    reached = theory.binary_bayes_error(dim, np.array([47_800, 48_100]), label_noise_std=np.sqrt(1e-9 * dim)).reached_bit_error
    assert reached[0] > 0.01
    assert reached[1] < 1e-10


def test_votes_of_posterior_samples_by_quadrature():
    q = 2.0
    for number in (1, 2, 9, 33):
        majority = np.arange(number + 1)

        def lost(z, number=number, majority=majority):
            wrong = stats.binom.pmf(majority, number, special.expit(-2 * (q + np.sqrt(q) * z)))
            return wrong[2 * majority > number].sum() + wrong[2 * majority == number].sum() / 2

        assert theory.bayes.posterior_vote_error(q, number) == pytest.approx(by_quadrature(lost), rel=1e-8)
    for number in (10_001, 1_000_001):
        excess = theory.bayes.posterior_vote_error(q, number) - stats.norm.sf(np.sqrt(q))
        assert excess == pytest.approx(np.exp(-q / 2) / (2 * np.sqrt(2 * np.pi * q) * number), rel=1e-3)


@pytest.mark.parametrize("precision", [40.0, 80.0, 120.0])
def test_votes_of_sure_posteriors_by_quadrature(precision):
    """One sample errs with half of the mean square error, E sech^2 of the half log-odds; the integrand peaks at their zero."""
    root = np.sqrt(precision)

    def integrand(z):
        odds = precision + root * (z - root)  # around the zero of the half log-odds
        log_density = -((z - root) ** 2) / 2 - np.log(2 * np.pi) / 2
        return np.exp(log_density - 2 * np.logaddexp(odds, -odds)) * 2

    expected = integrate.quad(integrand, -20, 20, points=[-1, 0, 1], epsabs=0, epsrel=1e-10, limit=400)[0]
    assert theory.bayes.posterior_vote_error(precision, 1) == pytest.approx(expected, rel=1e-7)


def test_the_gaussian_limit_is_that_of_drawn_contexts_or_warns():
    for dim, num_examples, noise in ((20, 20, 0.1), (20, 30, 0.01), (4, 5, 0.5), (8, 9, 0.2), (6, 18, 0.1), (40, 20, 0.1)):
        exact = theory.bayes.expected_ridge_risk(dim, num_examples, label_noise_std=noise)
        found = theory.gaussian_bayes_risk(dim, num_examples, label_noise_std=noise)  # a warning would be an error here
        assert abs(found - exact.mean) < 4 * exact.standard_error + 0.01 * exact.mean
        assert abs(1.05 * found - exact.mean) > 4 * exact.standard_error + 0.01 * exact.mean
    for dim, num_examples, noise in ((20, 20, 0.01), (200, 201, 0.001), (20, 20, 1e-6), (10, 12, 0.05), (4, 6, 0.1)):
        with pytest.warns(theory.results.ExpansionWarning, match="expected_ridge_risk"):
            theory.gaussian_bayes_risk(dim, num_examples, label_noise_std=noise)


def test_the_gaussian_limit_is_the_average_over_the_spectrum():
    for dim, num_examples in ((20, 40), (16, 16), (30, 20), (4, 9)):
        with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
            rule = spectral_rule(jnp.asarray(float(dim)), jnp.asarray(float(num_examples)))
            nodes, weights = np.asarray(rule.nodes), np.asarray(rule.leading + rule.correction + rule.next_order)
        for noise in (0.5, 1.0, 5.0):
            ridge = noise**2 * dim / num_examples
            expected = ridge * np.sum(weights / (nodes + ridge))
            found = theory.gaussian_bayes_risk(dim, num_examples, label_noise_std=noise)
            assert found == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("dim", "num_examples"), [(20, 40), (16, 16), (30, 20)])
def test_ridge_regression_has_the_gaussian_limit(dim, num_examples, rng):
    noise, signal = 0.5, 0.2
    samples = []
    for _ in range(4000):
        gram = (inputs := rng.normal(size=(num_examples, dim))).T @ inputs
        samples.append(noise**2 * np.trace(np.linalg.inv(gram + noise**2 / signal * np.eye(dim))))
    predicted = theory.gaussian_bayes_risk(dim, num_examples, label_noise_std=noise, signal_var=signal)
    samples = np.array(samples)[:, None]
    neglected = predicted / dim**2
    assert agrees(samples, [predicted]) or abs(samples.mean() - predicted) < neglected
    assert not agrees(samples, [1.05 * predicted])
    assert abs(samples.mean() - 1.05 * predicted) > neglected
    assert theory.gaussian_bayes_risk(dim, num_examples, label_noise_std=noise) == pytest.approx(
        theory.gaussian_bayes_risk(dim, num_examples, label_noise_std=noise, signal_var=1 / dim)
    )


def test_enumeration_against_a_loop(rng):
    inputs, targets = rng.normal(size=(5, 4)), rng.normal(size=5)
    posterior = theory.discrete_bayes(inputs, targets, label_noise_std=0.8, low=0.0, high=1.0, prob_high=0.3)
    total, mean, best = 0.0, np.zeros(4), (0.0, None)
    for vector in itertools.product((0.0, 1.0), repeat=4):
        weight = np.prod([0.3 if value else 0.7 for value in vector])
        weight *= np.prod(stats.norm.pdf(targets - inputs @ np.array(vector), scale=0.8))
        total, mean, best = total + weight, mean + weight * np.array(vector), max(best, (weight, vector))
    np.testing.assert_allclose(posterior.mean, mean / total, rtol=1e-10)
    np.testing.assert_allclose(posterior.prob_high, mean / total, rtol=1e-10)
    assert tuple(posterior.mode) == best[1]
    assert posterior.mode_probability == pytest.approx(best[0] / total, rel=1e-10)


def test_small_problems_approach_the_limit(rng):
    """Enumeration of d = 6 and 12, extrapolated to infinite d at n / d = 2: what is left is of the order 1 / d^2."""
    noise, errors = 0.5, []
    for dim in (6, 12):
        truths = rng.choice([-1.0, 1.0], size=(3000, dim))
        inputs = rng.normal(size=(3000, 2 * dim, dim))
        targets = np.einsum("bnd,bd->bn", inputs, truths) + np.sqrt(noise * dim) * rng.normal(size=(3000, 2 * dim))
        given = functools.partial(theory.discrete_bayes, label_noise_std=float(np.sqrt(noise * dim)))
        pairs = jnp.asarray(inputs, jnp.float32), jnp.asarray(targets, jnp.float32)
        chance = np.asarray(jax.lax.map(lambda pair, given=given: given(*pair).prob_high, pairs, batch_size=50))
        errors.append(((chance > 0.5) != (truths > 0)).mean(axis=1))
    small, large = (error.mean() for error in errors)
    stray = np.hypot(*(weight * error.std() / np.sqrt(3000) for weight, error in zip((1, 2), errors, strict=True)))
    limit = theory.binary_bayes_error(1000, 2000, label_noise_std=np.sqrt(noise * 1000)).bit_error
    remainder = abs(large - small) / 6
    assert abs(2 * large - small - limit) < 4 * np.hypot(stray, remainder)
    assert abs(2 * large - small - 1.5 * limit) > 4 * np.hypot(stray, remainder)


def test_derivatives_follow_the_solution():
    def error(noise):
        return theory.binary_bayes_error(100.0, 150.0, label_noise_std=noise).bit_error

    slope = jax.grad(error)(jnp.float32(7.0))
    assert float(slope) == pytest.approx((error(7.001) - error(6.999)) / 0.002, rel=1e-3)
    batch = jax.vmap(error)(jnp.array([5.0, 7.0]))
    np.testing.assert_allclose(batch, [error(5.0), error(7.0)], rtol=1e-5)


LIMIT = {"dim": 10, "num_examples": 20, "label_noise_std": 1.0}
BAD = [
    (lambda: theory.binary_bayes_error(**{**LIMIT, "label_noise_std": 0.0}), "label_noise_std", "0"),
    (lambda: theory.binary_bayes_error(**LIMIT, prob_high=1.0), "prob_high", "1"),
    (lambda: theory.binary_bayes_error(**LIMIT, low=1.0), "high", "1"),
    (lambda: theory.gaussian_bayes_risk(**LIMIT, signal_var=0.0), "signal_var", "0"),
    (lambda: theory.gaussian_bayes_risk(**{**LIMIT, "dim": 0}), "dim", "0"),
    (lambda: theory.bayes.posterior_vote_error(-1.0, 3), "precision", "-1"),
    (lambda: theory.discrete_bayes(np.ones((3, 13)), np.ones(3), label_noise_std=1.0), "inputs", "13"),
    (lambda: theory.discrete_bayes(np.ones((3, 2)), np.ones(4), label_noise_std=1.0), "targets", "(4,)"),
    (lambda: theory.discrete_bayes(np.ones((3, 2)), np.ones(3), label_noise_std=0.0), "label_noise_std", "0"),
    (lambda: theory.discrete_bayes(np.ones((3, 2)), np.ones(3), label_noise_std=1.0, high=-1.0), "high", "-1"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
