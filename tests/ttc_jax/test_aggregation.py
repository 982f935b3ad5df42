"""Aggregators and verifiers against NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from ttc_jax import Context, aggregation, verifiers


def test_prefix_means_are_means_of_prefixes(rng):
    candidates = rng.normal(size=(6, 3)).astype(np.float32)
    means = aggregation.prefix_means(jnp.asarray(candidates), (1, 4, 6))
    np.testing.assert_allclose(means, [candidates[:n].mean(0) for n in (1, 4, 6)], rtol=1e-5)
    np.testing.assert_allclose(aggregation.mean(jnp.asarray(candidates)), candidates.mean(0), rtol=1e-5)


def test_best_of_n_has_the_least_score(rng):
    candidates = jnp.asarray(rng.normal(size=(6, 3)), jnp.float32)
    scores = jnp.asarray([3.0, 2.0, 0.5, 4.0, 0.6, 9.0])
    np.testing.assert_array_equal(aggregation.best_of_n(candidates, scores), candidates[2])


def test_a_diverged_candidate_never_wins():
    candidates = jnp.array([[1.0], [jnp.nan], [3.0]])
    np.testing.assert_array_equal(aggregation.best_of_n(candidates, jnp.array([4.0, jnp.nan, 3.0])), [3.0])


def test_whole_numbers_are_averaged_as_numbers():
    np.testing.assert_allclose(aggregation.prefix_means(jnp.array([[1], [2]]), (1, 2)), [[1.0], [1.5]])


def test_context_loss_is_the_mean_squared_error(rng):
    inputs, targets, candidate = rng.normal(size=(7, 3)), rng.normal(size=7), rng.normal(size=3)
    loss = verifiers.context_loss(jnp.asarray(candidate), Context(jnp.asarray(inputs), jnp.asarray(targets)))
    assert float(loss) == pytest.approx(np.mean((targets - inputs @ candidate) ** 2), rel=1e-5)


CONTEXT = Context(jnp.ones((4, 3)), jnp.ones(4))
BAD = [
    (lambda: aggregation.prefix_means(jnp.ones((3, 2)), (1, 4)), "sizes", "4"),
    (lambda: aggregation.prefix_means(jnp.ones((3, 2)), ()), "sizes", "()"),
    (lambda: aggregation.best_of_n(jnp.ones((3, 2)), jnp.ones(2)), "scores", "(2,)"),
    (lambda: aggregation.mean(jnp.ones(3)), "candidates", "(3,)"),
    (lambda: verifiers.context_loss(jnp.ones(2), CONTEXT), "candidate", "(2,)"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
