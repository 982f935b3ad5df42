"""The excess risk of one estimate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ttc_jax
from tests.errors import assert_named
from tests.statistics import agrees
from ttc_jax import GivenSpectrum, TaskConfig, excess_risk, sample_task


def test_excess_risk_is_the_increase_of_the_expected_loss(rng):
    eigenvalues = np.array([1.0, 0.5, 2.0])
    drawn = sample_task(jax.random.key(0), TaskConfig(3, 2, GivenSpectrum(eigenvalues)))
    estimate = rng.normal(size=3)
    truth = np.asarray(drawn.coefficients, dtype=np.float64)
    inputs = rng.normal(size=(400_000, 3)) * np.sqrt(eigenvalues)
    increase = (inputs @ (estimate - truth)) ** 2
    assert agrees(increase[:, None], [float(excess_risk(jnp.asarray(estimate), drawn))])
    assert float(excess_risk(drawn.coefficients, drawn)) == 0.0


def test_bad_input_is_named():
    drawn = sample_task(jax.random.key(0), TaskConfig(4, 2))
    assert_named(lambda: excess_risk(jnp.ones(3), drawn), "estimate", "(3,)")


def test_coefficients_that_are_not_of_the_prior_are_an_error():
    zero_one = ttc_jax.BinaryPrior(0.0, 1.0)
    task = ttc_jax.sample_task(jax.random.key(3), ttc_jax.TaskConfig(8, 4, prior=zero_one))
    assert float(ttc_jax.bit_error(task.coefficients, task, prior=zero_one)) == 0.0
    for measure in (ttc_jax.bit_error, ttc_jax.exact_recovery):
        with pytest.raises(ValueError, match="task must have coefficients of the prior, -1 and 1, got 0"):
            measure(task.coefficients, task)
        assert np.isnan(jax.jit(measure)(task.coefficients, task))
