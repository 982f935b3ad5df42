"""Risks: of one estimate, of all prefixes of one rollout, and of collapsed candidates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from tests.statistics import agrees
from tests.ttc_jax.test_decoding import STEP_SIZE, decoders, law_of_the_chain, task
from ttc_jax import (
    GivenSpectrum,
    TaskConfig,
    averaged_risk,
    collapsed_averaged_risk,
    excess_risk,
    rollout_candidates,
    sample_task,
)

__all__ = ["task"]  # the fixture


def test_excess_risk_is_the_increase_of_the_expected_loss(rng):
    eigenvalues = np.array([1.0, 0.5, 2.0])
    drawn = sample_task(jax.random.key(0), TaskConfig(3, 2, GivenSpectrum(eigenvalues)))
    estimate = rng.normal(size=3)
    truth = np.asarray(drawn.coefficients, dtype=np.float64)
    inputs = rng.normal(size=(400_000, 3)) * np.sqrt(eigenvalues)
    increase = (inputs @ (estimate - truth)) ** 2
    assert agrees(increase[:, None], [float(excess_risk(jnp.asarray(estimate), drawn))])
    assert float(excess_risk(drawn.coefficients, drawn)) == 0.0


def test_averaged_risk_reuses_one_rollout(task):
    chain = {"num_steps": (0, 2, 5), "num_candidates": (1, 3, 8), "decoding_noise_std": 0.2}
    risks = averaged_risk(jax.random.key(9), task, decoders()["gram"], **chain)
    walk = rollout_candidates(
        jax.random.key(9), task.context, decoders()["gram"], num_candidates=8, num_steps=5, decoding_noise_std=0.2
    )
    for row, steps in enumerate(chain["num_steps"]):
        for column, number in enumerate(chain["num_candidates"]):
            expected = np.sum((np.asarray(walk[steps, :number]).mean(0) - np.asarray(task.coefficients)) ** 2)
            assert float(risks[row, column]) == pytest.approx(float(expected), rel=1e-4)


def test_collapsed_averaged_risk_has_the_exact_mean(task):
    chain = {"num_steps": (1, 6), "num_candidates": (1, 5), "decoding_noise_std": 0.3}
    draw = jax.jit(jax.vmap(lambda key: collapsed_averaged_risk(key, task, step_size=STEP_SIZE, **chain)))
    risks = draw(jax.random.split(jax.random.key(1), 20_000))
    expected = np.empty((2, 2))
    for row, steps in enumerate(chain["num_steps"]):
        mean, covariance = law_of_the_chain(task.context, steps, 0.3)
        bias = np.sum((mean - np.asarray(task.coefficients)) ** 2)
        expected[row] = [bias + np.trace(covariance) / number for number in chain["num_candidates"]]
    assert agrees(risks, expected)
    assert not agrees(risks, 1.05 * expected)


BAD = [
    (lambda task: excess_risk(jnp.ones(3), task), "estimate", "(3,)"),
    (lambda task: _averaged(task, num_steps=()), "num_steps", "()"),
    (lambda task: _averaged(task, num_steps=(1, -1)), "num_steps", "-1"),
    (lambda task: _averaged(task, num_candidates=()), "num_candidates", "()"),
    (lambda task: _averaged(task, num_candidates=(0,)), "num_candidates", "0"),
]


def _averaged(task, **changed):
    asked = {"num_steps": (1,), "num_candidates": (1,), "decoding_noise_std": 0.1, **changed}
    return averaged_risk(jax.random.key(0), task, decoders()["gram"], **asked)


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(task, call, name, value):
    assert_named(lambda: call(task), name, value)
