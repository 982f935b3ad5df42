"""Approximate message passing against its own law, and against what it must reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.errors import assert_named
from tests.statistics import agrees, largest_z
from ttc_jax import BinaryPrior, GaussianPrior, TaskConfig, bit_error, message_passing, rollout, sample_task

DIM, EXAMPLES, NOISE = 600, 900, 0.5  # label noise variance over d


def errors_of(prior, num_steps=12, tasks=48, change=lambda decoder: decoder):
    """Bit errors (tasks, num_steps) of message passing, in float32."""
    config, noise_std = TaskConfig(DIM, EXAMPLES, prior=prior), (prior.high - prior.low) / 2 * np.sqrt(NOISE * DIM)
    decoder = change(message_passing(prior))

    def errors(key):
        task = sample_task(key, config, label_noise_std=noise_std)
        states = rollout(key, task.context, decoder, num_steps=num_steps, initial_state=jnp.full(DIM, prior.mean))
        return jax.vmap(lambda state: bit_error(state, task, prior=prior))(states[1:])

    return np.asarray(jax.lax.map(jax.jit(errors), jax.random.split(jax.random.key(1), tasks)), np.float64)


def state_evolution(num_steps, prob_high=0.5):
    """Bit error of +-1 coefficients, step by step: v = (s^2 + E) d / n, E = mean squared error of the scalar channel."""
    z = np.linspace(-9, 9, 4001)
    weights = stats.norm.pdf(z) * (z[1] - z[0])
    tilt = np.log(prob_high / (1 - prob_high)) / 2
    squared, wrong = 4 * prob_high * (1 - prob_high), []
    for _ in range(num_steps):
        precision = EXAMPLES / DIM / (NOISE + squared)
        chances, errors = [], []
        for sign, share in ((1, prob_high), (-1, 1 - prob_high)):
            odds = precision + np.sqrt(precision) * z + sign * tilt  # half log-odds of the truth
            chances.append(share * weights @ (odds < 0))
            errors.append(share * weights @ (1 - np.tanh(odds)) ** 2)
        wrong.append(sum(chances))
        squared = sum(errors)
    return np.array(wrong)


@pytest.mark.optimised
@pytest.mark.parametrize("prior", [BinaryPrior(), BinaryPrior(2.0, 5.0), BinaryPrior(prob_high=0.2)])
def test_message_passing_follows_state_evolution(prior):
    errors, predicted = errors_of(prior), state_evolution(12, prior.prob_high)
    assert agrees(errors, predicted)
    assert largest_z(errors, 1.15 * predicted) > 5


@pytest.mark.optimised
def test_without_its_memory_term_it_does_not():
    def forget(decoder):
        def step(context, memory, state):
            return decoder.step(context, (jnp.zeros_like(memory[0]), memory[1]), state)

        return decoder._replace(step=step)

    assert largest_z(errors_of(BinaryPrior(), change=forget), state_evolution(12)) > 5


def test_an_exact_recovery_stays_one():
    prior = BinaryPrior()
    task = sample_task(jax.random.key(3), TaskConfig(50, 150, prior=prior))
    states = rollout(jax.random.key(0), task.context, message_passing(prior), num_steps=60)
    np.testing.assert_array_equal(states[-1], task.coefficients)


def test_bad_input_is_named():
    assert_named(lambda: message_passing(GaussianPrior()), "prior", "GaussianPrior")
