"""Limits at finite size against NumPy: ridge regression on drawn tasks, and posteriors from a loop over all coefficients."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory
from tests.errors import assert_named
from tests.statistics import threshold


def agrees(samples, estimate):
    """Whether a simulated mean and an average over contexts agree within both their errors."""
    error = np.hypot(np.std(samples, axis=0, ddof=1) / np.sqrt(len(samples)), estimate.standard_error)
    return bool((np.abs(np.mean(samples, axis=0) - estimate.mean) < threshold(np.size(estimate.mean)) * error).all())


@pytest.mark.parametrize(("dim", "num_examples", "noise"), [(4, 8, 0.5), (6, 3, 0.3), (1, 1, 1.0)])
def test_no_estimate_is_better_than_ridge_regression(dim, num_examples, noise, rng):
    count, variance = 40_000, 0.7
    truth = np.sqrt(variance) * rng.normal(size=(count, dim, 1))
    inputs = rng.normal(size=(count, num_examples, dim))
    targets = inputs @ truth + noise * rng.normal(size=(count, num_examples, 1))
    gram = inputs.mT @ inputs
    found = theory.bayes.expected_ridge_risk(dim, num_examples, label_noise_std=noise, signal_var=variance)

    def risks(ridge):
        return ((np.linalg.solve(gram + ridge * np.eye(dim), inputs.mT @ targets) - truth) ** 2).sum(axis=(1, 2))

    assert agrees(risks(noise**2 / variance), found)
    assert not agrees(0.95 * risks(noise**2 / variance), found)
    for wrong in (0.2, 5.0):
        assert risks(wrong * noise**2 / variance).mean() > found.mean


def test_large_dimension_is_the_expansion():
    found = theory.bayes.expected_ridge_risk(60, 90, label_noise_std=np.array([0.4, 1.0]), num_contexts=400)
    expansion = theory.gaussian_bayes_risk(60, 90, label_noise_std=np.array([0.4, 1.0]))
    assert (np.abs(found.mean - expansion) < 4 * found.standard_error).all()
    assert (np.abs(found.mean - 1.02 * expansion) > 4 * found.standard_error).all()


def posterior(inputs, targets, noise, low, high, rho):
    """Probabilities of the high values, one vector of coefficients after another."""
    weights, chance = [], np.zeros(inputs.shape[1])
    vectors = list(itertools.product([0, 1], repeat=inputs.shape[1]))
    for bits in vectors:
        residual = targets - inputs @ (low + (high - low) * np.array(bits))
        prior = np.prod([rho if bit else 1 - rho for bit in bits])
        weights.append(prior * np.exp(-np.sum(residual**2) / (2 * noise**2)))
    for bits, weight in zip(vectors, weights, strict=True):
        chance += np.array(bits) * weight / sum(weights)
    return chance


def test_binary_limits_are_those_of_simulated_decoders(rng):
    """Bits of the posterior's more probable values, votes of its samples and its code length, on tasks that NumPy draws."""
    dim, num_examples, noise, low, high, rho = 3, 4, 1.5, 0.0, 2.0, 0.2
    errors, votes, lengths, risks = [], [], [], []
    for _ in range(4000):
        bits = rng.random(dim) < rho
        inputs = rng.normal(size=(num_examples, dim))
        targets = inputs @ np.where(bits, high, low) + noise * rng.normal(size=num_examples)
        chance = posterior(inputs, targets, noise, low, high, rho)
        errors.append(np.mean((chance > 0.5) != bits))
        samples = rng.random((5, dim)) < chance
        votes.append([np.mean(samples[0] != bits), np.mean((samples.sum(axis=0) > 2) != bits)])
        lengths.append(-np.mean(np.log(np.where(bits, chance, 1 - chance))))
        risks.append(np.sum((high - low) ** 2 * (chance - bits) ** 2))
    values = {"low": low, "high": high, "prob_high": rho}
    found = theory.bayes.expected_binary_bayes(dim, num_examples, label_noise_std=noise, num_candidates=(1, 5), **values)
    assert agrees(errors, found.bit_error)
    assert agrees(votes, found.vote_error)
    assert agrees(lengths, found.cross_entropy)
    assert agrees(risks, found.excess_risk)
    unaware = theory.bayes.expected_binary_bayes(
        dim, num_examples, label_noise_std=noise, num_candidates=(1, 5), low=low, high=high
    )
    assert not agrees(lengths, unaware.cross_entropy)
    assert not agrees(risks, unaware.excess_risk)
    assert not agrees(votes, theory.results.Estimate(found.vote_error.mean[[1, 0]], found.vote_error.standard_error))


def test_many_votes_reach_the_limit_and_one_sample_errs_at_most_twice_as_often():
    found = theory.bayes.expected_binary_bayes(4, 6, label_noise_std=1.0, num_candidates=(1, 3, 10_001), num_contexts=512)
    one, three, many = found.vote_error.mean
    assert found.bit_error.mean <= many < three < one <= 2 * found.bit_error.mean
    assert many == pytest.approx(float(found.bit_error.mean), rel=0.02)


def test_a_certain_posterior_has_no_entropy():
    found = theory.bayes.expected_binary_bayes(4, 16, label_noise_std=np.array([0.1, 0.3, 1.0]), num_contexts=512)
    assert np.isfinite(found.cross_entropy.mean).all()
    assert (np.diff(found.cross_entropy.mean) > 0).all()
    assert found.cross_entropy.mean[0] < 1e-6


def test_transformations():
    noises = jnp.array([0.5, 1.0])
    found = jax.jit(jax.vmap(lambda s: theory.bayes.expected_ridge_risk(3, 5, label_noise_std=s, num_contexts=64).mean))(noises)
    plain = theory.bayes.expected_ridge_risk(3, 5, label_noise_std=np.array([0.5, 1.0]), num_contexts=64).mean
    np.testing.assert_allclose(found, plain, rtol=1e-6)
    slope = jax.grad(lambda s: theory.bayes.expected_binary_bayes(3, 5, label_noise_std=s, num_contexts=64).cross_entropy.mean)(
        1.0
    )
    near = [
        theory.bayes.expected_binary_bayes(3, 5, label_noise_std=s, num_contexts=64).cross_entropy.mean for s in (0.999, 1.001)
    ]
    assert float(slope) == pytest.approx((near[1] - near[0]) / 0.002, rel=1e-3)


BAD = [
    (lambda: theory.bayes.expected_ridge_risk(0, 5, label_noise_std=1.0), "dim", "0"),
    (lambda: theory.bayes.expected_ridge_risk(3, 5, label_noise_std=0.0), "label_noise_std", "0"),
    (lambda: theory.bayes.expected_ridge_risk(3, 5, label_noise_std=1.0, signal_var=-1.0), "signal_var", "-1"),
    (lambda: theory.bayes.expected_ridge_risk(3, 5, label_noise_std=1.0, num_contexts=4), "num_contexts", "4"),
    (lambda: theory.bayes.expected_binary_bayes(13, 5, label_noise_std=1.0), "dim", "13"),
    (lambda: theory.bayes.expected_binary_bayes(3, 5, label_noise_std=1.0, num_candidates=()), "num_candidates", "0"),
    (lambda: theory.bayes.expected_binary_bayes(3, 5, label_noise_std=1.0, prob_high=1.0), "prob_high", "1"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
