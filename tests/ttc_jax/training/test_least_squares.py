"""Least-squares training against NumPy, contexts drawn without their examples, and the step that is best on average."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from tests.statistics import agrees
from ttc_jax import Context, GaussianPrior, TaskConfig, rollout, sample_context, sample_task, training
from ttc_jax.decoders import cached_attention
from ttc_jax.models import linear_attention

EXAMPLES, NOISE = 5, 0.7


def test_correlation_is_the_first_step_of_a_layer():
    task = sample_task(jax.random.key(1), TaskConfig(4, 7), label_noise_std=0.3)
    matrix = jnp.arange(16.0).reshape(4, 4) / 20
    layer = cached_attention(linear_attention.preconditioned_step(matrix))
    first = rollout(jax.random.key(0), task.context, layer, num_steps=1)[1]
    np.testing.assert_allclose(first, matrix @ training.correlation(task.context), rtol=1e-5)


def moments(samples):
    """Every coordinate, and every product of two, of samples (b, d)."""
    return np.concatenate([samples, np.einsum("bi,bj->bij", samples, samples).reshape(len(samples), -1)], axis=1)


@pytest.mark.parametrize("coefficients", [[0.0, 0.0, 0.0], [1.0, -0.5, 2.0]])
def test_correlations_drawn_alone_have_the_law_of_those_of_contexts(coefficients):
    truth, count = jnp.array(coefficients), 100_000
    alone_keys, context_keys = jax.random.split(jax.random.key(4), (2, count))

    def of_context(key):
        return training.correlation(sample_context(key, truth, jnp.ones(3), EXAMPLES, label_noise_std=NOISE))

    def alone(key, noise, size):
        return training.sample_correlation(key, truth, size, label_noise_std=noise)

    expected = moments(np.asarray(jax.vmap(of_context)(context_keys), float))

    def same(noise, size=EXAMPLES):
        found = moments(np.asarray(jax.vmap(lambda key: alone(key, noise, size))(alone_keys), float))
        return agrees(found - expected, np.zeros(expected.shape[1]))

    assert same(NOISE)
    assert not same(1.5 * NOISE)
    assert not same(NOISE, EXAMPLES + 1)


def test_the_fit_is_least_squares(rng):
    seen, truths = rng.normal(size=(30, 4)), rng.normal(size=(30, 4))
    expected = np.linalg.lstsq(seen, truths, rcond=None)[0].T
    matrix = training.fit_preconditioner(jnp.asarray(seen, jnp.float32), jnp.asarray(truths, jnp.float32))
    np.testing.assert_allclose(matrix, expected, rtol=1e-4, atol=1e-5)
    batch = jax.vmap(training.fit_preconditioner)(jnp.stack([seen, 2 * seen]), jnp.stack([truths, truths]))
    np.testing.assert_allclose(batch[1], expected / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [10, 40])
def test_the_fit_to_labels_is_that_of_least_norm(count, rng):
    """d = 5, with fewer prompts than the 25 weights and with more, and a batch of both kinds of tasks."""
    queries, seen = rng.normal(size=(2, count, 5))
    labels = rng.normal(size=(2, count))
    features = np.einsum("bi,bj->bij", queries, seen).reshape(count, 25)
    expected = np.array([np.linalg.lstsq(features, one, rcond=None)[0].reshape(5, 5) for one in labels])
    single = [jnp.asarray(array, jnp.float32) for array in (queries, seen, labels)]
    fit = jax.vmap(lambda one: training.fit_from_labels(*single[:2], one, tolerance=1e-6))
    np.testing.assert_allclose(fit(single[2]), expected, rtol=1e-3, atol=1e-4)
    loose = training.fit_from_labels(*single[:2], single[2][0], tolerance=0.3)
    assert not np.allclose(loose, expected[0], rtol=1e-3, atol=1e-4)


def test_near_as_many_prompts_as_weights_single_precision_is_enough(rng):
    """Nine tenths of d^2 prompts, where the risk is highest and the fit worst conditioned."""
    dim = 16
    queries, seen = rng.normal(size=(2, round(0.9 * dim**2), dim))
    labels = rng.normal(size=len(queries))
    features = np.einsum("bi,bj->bij", queries, seen).reshape(len(queries), -1)
    expected = np.linalg.lstsq(features, labels, rcond=None)[0].reshape(dim, dim)
    found = training.fit_from_labels(*(jnp.asarray(array, jnp.float32) for array in (queries, seen, labels)))
    risks = [np.sum((np.asarray(matrix, float) - np.eye(dim)) ** 2) for matrix in (found, expected)]
    assert risks[0] == pytest.approx(risks[1], rel=1e-3)


def test_many_contexts_teach_the_best_step():
    """n / (n + d + 1 + sigma^2) for coefficients of variance one."""
    config = TaskConfig(3, EXAMPLES, prior=GaussianPrior(1.0))
    tasks = jax.vmap(lambda key: sample_task(key, config, label_noise_std=NOISE))(jax.random.split(jax.random.key(3), 60_000))
    matrix = training.fit_preconditioner(jax.vmap(training.correlation)(tasks.context), tasks.coefficients)
    np.testing.assert_allclose(matrix, np.eye(3) * EXAMPLES / (EXAMPLES + 4 + NOISE**2), atol=0.02)


def test_a_label_that_is_not_a_number_is_not_fitted():
    queries, seen = jnp.ones((4, 2)), jnp.ones((4, 2))
    for wrong in (jnp.nan, jnp.inf):
        assert jnp.isnan(training.fit_from_labels(queries, seen, jnp.ones(4).at[2].set(wrong))).all()


BAD = [
    (lambda: training.correlation(Context(jnp.ones((2, 3)), jnp.ones(3))), "targets", "(3,)"),
    (lambda: training.fit_preconditioner(jnp.ones((2, 3)), jnp.ones((2, 3))), "correlations", "2"),
    (lambda: training.fit_preconditioner(jnp.ones((5, 3)), jnp.ones((4, 3))), "coefficients", "(4, 3)"),
    (lambda: training.sample_correlation(jax.random.key(0), jnp.ones((2, 3)), 4), "coefficients", "(2, 3)"),
    (lambda: training.sample_correlation(jax.random.key(0), jnp.ones(3), 0), "num_examples", "0"),
    (lambda: training.sample_correlation(jax.random.key(0), jnp.ones(3), 4, label_noise_std=-1.0), "label_noise_std", "-1"),
    (lambda: training.fit_from_labels(jnp.ones(3), jnp.ones((5, 3)), jnp.ones(5)), "queries", "(3,)"),
    (lambda: training.fit_from_labels(jnp.ones((5, 3)), jnp.ones((5, 2)), jnp.ones(5)), "correlations", "(5, 2)"),
    (lambda: training.fit_from_labels(jnp.ones((5, 3)), jnp.ones((5, 3)), jnp.ones(4)), "labels", "(4,)"),
    (
        lambda: training.fit_from_labels(jnp.ones((5, 3)), jnp.ones((5, 3)), jnp.ones(5), tolerance=0.0),
        "tolerance",
        "0",
    ),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
