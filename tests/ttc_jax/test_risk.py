"""The excess risk of one estimate."""

import jax
import jax.numpy as jnp
import numpy as np

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
