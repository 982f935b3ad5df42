"""Any covariance: the isotropic expansion as a special case, simulated contexts, symmetries, and the chance of divergence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory
from tests.errors import assert_named
from tests.statistics import agrees
from tests.theory.chains.spectra import NOISES, power_law


def of_contexts(eigenvalues, prior, num_examples, steps, step, repeats, rng):
    """The three terms of each of many drawn contexts, from eigendecompositions; shape (repeats, 3)."""
    inputs = rng.normal(size=(repeats, num_examples, len(eigenvalues))) * np.sqrt(eigenvalues)
    values, vectors = np.linalg.eigh(inputs.transpose(0, 2, 1) @ inputs / num_examples)
    ratio = 1 - step * values
    sums = step * sum(ratio**s for s in range(steps))
    squares = sum(ratio ** (2 * s) for s in range(steps))
    rotated = np.einsum("i,bij,bik->bjk", eigenvalues, vectors, vectors)
    rotated_prior = np.einsum("i,bij,bik->bjk", prior, vectors, vectors)
    diagonal = np.diagonal(rotated, axis1=1, axis2=2)
    return np.stack(
        [
            np.einsum("bj,bjk,bk,bkj->b", ratio**steps, rotated, ratio**steps, rotated_prior),
            NOISES["label_noise_std"] ** 2 / num_examples * np.sum(diagonal * values * sums**2, axis=1),
            NOISES["decoding_noise_std"] ** 2 * np.sum(diagonal * squares, axis=1),
        ],
        axis=1,
    )


@pytest.mark.parametrize(("dim", "num_examples"), [(20, 40), (20, 20), (40, 20), (7, 1000)])
def test_isotropic_inputs_have_the_isotropic_expansion(dim, num_examples):
    ones, steps = np.full(dim, 1.0), np.array([0, 1, 3, 10, 100, 1000])
    chain = {
        **NOISES,
        "num_steps": steps,
        "step_size": 0.8 * 2 / theory.chains.spectral_edge(ones, num_examples),
        "num_candidates": 3,
    }
    leading = theory.expected_risk_covariance(ones, num_examples, **chain)
    further = theory.chains.expected_risk_covariance_next_order(ones, num_examples, **chain)
    expected = theory.expected_risk(dim, num_examples, **chain)
    for own, correction, term in zip(leading, further, expected, strict=True):
        np.testing.assert_allclose(own + correction, term, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("exponent", "num_examples"), [(0.5, 16), (1.0, 32), (1.5, 64), (1.0, 16)])
def test_power_laws_are_the_simulated_ones(exponent, num_examples, rng):
    eigenvalues, prior = power_law(32, exponent), power_law(32, 0.3)
    step = 1.2 / float(theory.chains.spectral_edge(eigenvalues, num_examples))
    chain = {**NOISES, "num_steps": 12, "step_size": step, "prior_variances": prior}
    leading = np.array(theory.expected_risk_covariance(eigenvalues, num_examples, **chain))
    further = np.array(theory.chains.expected_risk_covariance_next_order(eigenvalues, num_examples, **chain))
    contexts = of_contexts(eigenvalues, prior, num_examples, 12, step, 3000, rng)
    error = np.hypot(contexts.std(axis=0) / 3000**0.5, further**2 / leading)
    assert np.all(np.abs(contexts.mean(axis=0) - leading - further) < 4.5 * error)
    # Each is noticed in at least one of the terms: 2 % more, no correction, its opposite, another exponent.
    other = power_law(32, exponent + 0.05)
    wrong = [1.02 * (leading + further), leading, leading - further]
    wrong.append(np.array(theory.expected_risk_covariance(other, num_examples, **chain)) + further)
    for prediction in wrong:
        assert not np.all(np.abs(contexts.mean(axis=0) - prediction) < 4.5 * error)


def test_what_is_left_falls_with_the_square_of_the_size(rng):
    left = []
    for dim, repeats in ((6, 100_000), (12, 50_000)):
        eigenvalues, prior = power_law(dim, 0.5), np.full(dim, 1.0)
        step = 0.9 / float(theory.chains.spectral_edge(eigenvalues, dim))
        chain = {**NOISES, "num_steps": 6, "step_size": step, "prior_variances": prior}
        orders = theory.expected_risk_covariance, theory.chains.expected_risk_covariance_next_order
        predicted = sum(np.array(order(eigenvalues, dim, **chain)) for order in orders)
        contexts = of_contexts(eigenvalues, prior, dim, 6, step, repeats, rng)
        left.append((np.abs(contexts.mean(axis=0) / predicted - 1), contexts.std(axis=0) / repeats**0.5 / predicted))
    (coarse, coarse_error), (fine, fine_error) = left
    assert np.all(coarse > 4 * coarse_error)  # there is something left to see
    assert np.all(np.abs(fine - coarse / 4) < coarse / 8 + 4 * np.hypot(fine_error, coarse_error / 4))


def test_an_average_of_exact_risks(rng):
    eigenvalues, prior = power_law(24, 1.0), power_law(24, 1.0)
    chain = {**NOISES, "num_steps": 9, "step_size": 0.5, "num_candidates": 4, "prior_variances": prior}
    inputs = rng.normal(size=(3000, 30, 24)) * np.sqrt(eigenvalues)
    given = jax.jit(jax.vmap(lambda one: theory.risk_given_context(one, eigenvalues=eigenvalues, **chain).total))(inputs)
    orders = theory.expected_risk_covariance, theory.chains.expected_risk_covariance_next_order
    predicted = sum(order(eigenvalues, 30, **chain).total for order in orders)
    assert agrees(np.asarray(given)[:, None], [predicted])
    assert not agrees(np.asarray(given)[:, None], [1.02 * predicted])


def test_symmetries():
    eigenvalues, prior = power_law(30, 1.0), power_law(30, 0.4)
    chain = {**NOISES, "num_steps": 8, "step_size": 0.5}
    risk = np.array(theory.expected_risk_covariance(eigenvalues, 20, **chain, prior_variances=prior))
    turned = theory.expected_risk_covariance(eigenvalues[::-1], 20, **chain, prior_variances=prior[::-1])
    np.testing.assert_allclose(turned, risk, rtol=1e-10)
    # Directions without variance cost nothing and teach nothing.
    padded = theory.expected_risk_covariance(
        np.append(eigenvalues, [0, 0]), 20, **chain, prior_variances=np.append(prior, [1, 1])
    )
    np.testing.assert_allclose(padded, risk, rtol=1e-10)
    # In units c times as long: H by c^2, coefficients and decoding noise by 1/c.
    scaled = theory.expected_risk_covariance(
        4 * eigenvalues,
        20,
        num_steps=8,
        step_size=0.125,
        label_noise_std=0.7,
        decoding_noise_std=0.15,
        prior_variances=prior / 4,
    )
    np.testing.assert_allclose(scaled, risk, rtol=1e-10)


def test_arrays_of_sizes_broadcast():
    eigenvalues = power_law(12, 1.0)
    chain = {**NOISES, "step_size": 0.4}
    steps, sizes = np.array([1, 5, 30]), np.array([[6], [12], [100]])
    for function in (theory.expected_risk_covariance, theory.chains.expected_risk_covariance_next_order):
        grid = function(eigenvalues, sizes, num_steps=steps, **chain)
        assert grid.total.shape == (3, 3)
        one = function(eigenvalues, 12, num_steps=5, **chain)
        np.testing.assert_allclose([term[1, 1] for term in grid], one, rtol=1e-10)


def test_derivatives_in_spectrum_and_prior():
    eigenvalues, prior = power_law(5, 0.5), power_law(5, 1.0)

    def risk(eigenvalues, prior):
        chain = {**NOISES, "num_steps": 4, "step_size": 0.3, "prior_variances": prior}
        return theory.expected_risk_covariance(eigenvalues, 8, **chain).total

    slopes = jax.grad(risk, argnums=(0, 1))(jnp.asarray(eigenvalues, jnp.float32), jnp.asarray(prior, jnp.float32))
    for position, slope in enumerate(slopes):
        for index in (0, 3):
            shift = [np.zeros(5), np.zeros(5)]
            shift[position][index] = 1e-4
            up, down = ([eigenvalues + sign * shift[0], prior + sign * shift[1]] for sign in (1, -1))
            assert float(slope[index]) == pytest.approx((risk(*up) - risk(*down)) / 2e-4, rel=1e-4)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.5])
def test_divergence_probability_errs_on_the_safe_side(exponent, rng):
    eigenvalues = power_law(30, exponent)
    contexts = rng.normal(size=(20_000, 40, 30)) * np.sqrt(eigenvalues)
    largest = np.linalg.eigvalsh(contexts.transpose(0, 2, 1) @ contexts / 40)[:, -1]
    for probability in (0.2, 0.05, 0.01):
        step = 2 / np.quantile(largest, 1 - probability)
        predicted = theory.chains.divergence_probability_covariance(eigenvalues, 40, step)
        noise = 4 * (probability * (1 - probability) / 20_000) ** 0.5
        assert probability - noise < predicted < 4 * (probability + noise)


def _risk(**changed):
    arguments = {"eigenvalues": np.ones(3), "num_examples": 5, "num_steps": 4, "step_size": 0.1, **NOISES, **changed}
    return theory.expected_risk_covariance(arguments.pop("eigenvalues"), arguments.pop("num_examples"), **arguments)


BAD = [
    (lambda: _risk(eigenvalues=np.array([1.0, -0.5, 1.0])), "eigenvalues", "-0.5"),
    (lambda: _risk(eigenvalues=np.zeros(3)), "eigenvalues", "3 zeros"),
    (lambda: _risk(eigenvalues=np.array([1.0, np.nan])), "eigenvalues", "nan"),
    (lambda: _risk(eigenvalues=np.ones((2, 2))), "eigenvalues", "(2, 2)"),
    (lambda: _risk(eigenvalues=np.ones(0)), "eigenvalues", "(0,)"),
    (lambda: _risk(num_examples=0), "num_examples", "0"),
    (lambda: _risk(num_steps=-1), "num_steps", "-1"),
    (lambda: _risk(step_size=5.0), "step_size", "5"),
    (lambda: _risk(step_size=np.array([0.1, 0.9])), "step_size", "0.9"),
    (lambda: _risk(step_size=-0.1), "step_size", "-0.1"),
    (lambda: _risk(label_noise_std=-1.0), "label_noise_std", "-1"),
    (lambda: _risk(num_candidates=0), "num_candidates", "0"),
    (lambda: _risk(prior_variances=np.ones(2)), "prior_variances", "(2,)"),
    (lambda: _risk(prior_variances=-1.0), "prior_variances", "-1"),
    (lambda: _risk(num_steps=np.ones(2), step_size=np.full(3, 0.1)), "num_steps", "(2,)"),
    (lambda: theory.chains.spectral_edge(np.zeros(2), 5), "eigenvalues", "2 zeros"),
    (lambda: theory.chains.divergence_probability_covariance(np.ones(2), 5, 0.0), "step_size", "0"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
