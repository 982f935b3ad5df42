"""Least-squares training against NumPy, and against the step that is best on average."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from ttc_jax import Context, GaussianPrior, TaskConfig, rollout, sample_task, training
from ttc_jax.decoders import cached_attention
from ttc_jax.models import linear_attention

EXAMPLES, NOISE = 5, 0.7


def test_correlation_is_the_first_step_of_a_layer():
    task = sample_task(jax.random.key(1), TaskConfig(4, 7), label_noise_std=0.3)
    matrix = jnp.arange(16.0).reshape(4, 4) / 20
    layer = cached_attention(linear_attention.preconditioned_step(matrix))
    first = rollout(jax.random.key(0), task.context, layer, num_steps=1)[1]
    np.testing.assert_allclose(first, matrix @ training.correlation(task.context), rtol=1e-5)


def test_the_fit_is_least_squares(rng):
    seen, truths = rng.normal(size=(30, 4)), rng.normal(size=(30, 4))
    expected = np.linalg.lstsq(seen, truths, rcond=None)[0].T
    matrix = training.fit_preconditioner(jnp.asarray(seen, jnp.float32), jnp.asarray(truths, jnp.float32))
    np.testing.assert_allclose(matrix, expected, rtol=1e-4, atol=1e-5)
    batch = jax.vmap(training.fit_preconditioner)(jnp.stack([seen, 2 * seen]), jnp.stack([truths, truths]))
    np.testing.assert_allclose(batch[1], expected / 2, rtol=1e-4, atol=1e-5)


def test_many_contexts_teach_the_best_step():
    """n / (n + d + 1 + sigma^2) for coefficients of variance one."""
    config = TaskConfig(3, EXAMPLES, prior=GaussianPrior(1.0))
    tasks = jax.vmap(lambda key: sample_task(key, config, label_noise_std=NOISE))(jax.random.split(jax.random.key(3), 60_000))
    matrix = training.fit_preconditioner(jax.vmap(training.correlation)(tasks.context), tasks.coefficients)
    np.testing.assert_allclose(matrix, np.eye(3) * EXAMPLES / (EXAMPLES + 4 + NOISE**2), atol=0.02)


BAD = [
    (lambda: training.correlation(Context(jnp.ones((2, 3)), jnp.ones(3))), "targets", "(3,)"),
    (lambda: training.fit_preconditioner(jnp.ones((2, 3)), jnp.ones((2, 3))), "correlations", "2"),
    (lambda: training.fit_preconditioner(jnp.ones((5, 3)), jnp.ones((4, 3))), "coefficients", "(4, 3)"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
