"""The excess risk of one estimate, and the errors of a binary one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ttc_jax
from tests.errors import assert_named
from tests.statistics import agrees
from ttc_jax import BinaryPrior, GivenSpectrum, TaskConfig, bit_error, exact_recovery, excess_risk, sample_task


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


def test_bit_errors_count_the_wrong_side():
    prior = BinaryPrior(0.0, 1.0)
    task = sample_task(jax.random.key(1), TaskConfig(4, 3, prior=prior))
    truth = task.coefficients
    values = {"prior": prior}
    for wrong in range(5):
        estimate = jnp.where(jnp.arange(4) < wrong, 1 - truth, truth) * 0.6 + 0.2
        assert float(bit_error(estimate, task, **values)) == wrong / 4
        assert float(exact_recovery(estimate, task, **values)) == (wrong == 0)
    assert float(bit_error(jnp.full(4, 0.5), task, **values)) == 0.5
    assert float(exact_recovery(truth.at[0].set(0.5), task, **values)) == 0
    broken = truth.at[0].set(jnp.nan)
    assert jnp.isnan(bit_error(broken, task, **values))
    assert jnp.isnan(exact_recovery(broken, task, **values))


TASK = sample_task(jax.random.key(1), TaskConfig(2, 3, prior=BinaryPrior()))
BAD = [
    (lambda: bit_error(jnp.ones(3), TASK), "estimate", "(3,)"),
    (lambda: exact_recovery(jnp.ones(3), TASK), "estimate", "(3,)"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_answers_are_named(call, name, value):
    assert_named(call, name, value)
