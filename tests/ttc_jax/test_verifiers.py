"""Scores of one candidate against NumPy, and their laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from tests.statistics import agrees
from ttc_jax import Context, GivenSpectrum, TaskConfig, aggregation, excess_risk, sample_task, verifiers

EIGENVALUES = np.array([1.0, 0.5, 2.0])
LABEL_NOISE = 0.4
TASK = sample_task(jax.random.key(3), TaskConfig(3, 5, GivenSpectrum(EIGENVALUES)), label_noise_std=LABEL_NOISE)
CANDIDATE = jnp.array([0.3, -1.0, 0.7])
MANY = jax.random.split(jax.random.key(4), 20_000)
HELD_OUT = verifiers.sample_held_out(jax.random.key(5), TASK, 4)
SCORES = {
    "oracle": lambda key, candidate: verifiers.oracle(candidate, TASK),
    "noisy oracle": lambda key, candidate: verifiers.noisy_oracle(key, candidate, TASK, noise_std=0.3),
    "context loss": lambda key, candidate: verifiers.context_loss(candidate, TASK.context),
    "held-out loss": lambda key, candidate: verifiers.held_out_loss(candidate, HELD_OUT),
}
every_score = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)


@every_score
def test_scores_belong_to_candidates_one_by_one(score, rng):
    candidates, keys = jnp.asarray(rng.normal(size=(7, 3)), jnp.float32), MANY[:7]
    together = jax.jit(jax.vmap(score))(keys, candidates)
    assert together.shape == (7,)
    np.testing.assert_allclose(together, [score(*each) for each in zip(keys, candidates, strict=True)], rtol=1e-5)
    order = rng.permutation(7)
    np.testing.assert_array_equal(jax.vmap(score)(keys[order], candidates[order]), jax.vmap(score)(keys, candidates)[order])
    assert len(np.unique(together)) == 7


@every_score
def test_a_candidate_that_is_not_a_number_has_no_score_and_is_never_selected(score, rng):
    candidates, keys = jnp.asarray(rng.normal(size=(7, 3)), jnp.float32), MANY[:7]
    best = jnp.argmin(jax.vmap(score)(keys, candidates))
    broken = candidates.at[best, 1].set(jnp.nan)
    scores = jax.vmap(score)(keys, broken)
    np.testing.assert_array_equal(jnp.isnan(scores), jnp.arange(7) == best)
    assert jnp.isfinite(aggregation.best_of_n(broken, scores)).all()
    np.testing.assert_array_equal(aggregation.best_of_n(candidates[:1], scores[:1]), candidates[0])


@every_score
def test_scores_have_derivatives(score):
    slope = jax.grad(lambda candidate: score(MANY[0], candidate))(CANDIDATE)
    for place in range(3):
        step = 1e-2 * jnp.eye(3)[place]
        difference = (score(MANY[0], CANDIDATE + step) - score(MANY[0], CANDIDATE - step)) / 2e-2
        assert float(slope[place]) == pytest.approx(float(difference), rel=1e-2, abs=1e-3)


@pytest.mark.parametrize("loss", [verifiers.context_loss, verifiers.held_out_loss])
def test_losses_are_mean_squared_errors(loss, rng):
    inputs, targets, candidate = rng.normal(size=(7, 3)), rng.normal(size=7), rng.normal(size=3)
    found = loss(jnp.asarray(candidate), Context(jnp.asarray(inputs), jnp.asarray(targets)))
    assert float(found) == pytest.approx(np.mean((targets - inputs @ candidate) ** 2), rel=1e-5)


def test_the_oracle_is_the_excess_risk():
    expected = np.sum(EIGENVALUES * (np.asarray(CANDIDATE) - np.asarray(TASK.coefficients)) ** 2)
    assert float(verifiers.oracle(CANDIDATE, TASK)) == pytest.approx(float(expected), rel=1e-5)
    assert float(verifiers.oracle(TASK.coefficients, TASK)) == 0.0


def test_the_noise_of_the_noisy_oracle_is_normal_with_the_given_scale():
    risk = float(verifiers.oracle(CANDIDATE, TASK))
    read = jax.jit(jax.vmap(lambda key, scale: verifiers.noisy_oracle(key, CANDIDATE, TASK, noise_std=scale), (0, None)))
    error = np.asarray(read(MANY, 0.7), dtype=np.float64) - risk
    moments = np.stack([error, error**2, error**4], axis=1)
    assert agrees(moments, [0.0, 0.7**2, 3 * 0.7**4])
    assert not agrees(moments, [0.02, 0.7**2, 3 * 0.7**4])
    assert not agrees(moments, [0.0, 0.72**2, 3 * 0.72**4])
    np.testing.assert_array_equal(read(MANY[:5], 0.0), np.full(5, verifiers.oracle(CANDIDATE, TASK)))


@pytest.mark.parametrize("num_examples", [1, 6])
def test_the_held_out_loss_is_the_risk_plus_the_label_noise_on_average(num_examples):
    @jax.jit
    @jax.vmap
    def loss(key):
        return verifiers.held_out_loss(CANDIDATE, verifiers.sample_held_out(key, TASK, num_examples))

    losses = np.asarray(loss(MANY))[:, None]
    risk = float(excess_risk(CANDIDATE, TASK))
    assert agrees(losses, [risk + LABEL_NOISE**2])
    assert not agrees(losses, [risk])
    assert not agrees(losses, [1.1 * (risk + LABEL_NOISE**2)])


def test_held_out_examples_are_fresh():
    examples = verifiers.sample_held_out(jax.random.key(0), TASK, 5)
    assert [part.shape for part in examples] == [(5, 3), (5,)]
    assert not np.isin(examples.inputs, TASK.context.inputs).any()
    other = verifiers.sample_held_out(jax.random.key(1), TASK, 5)
    assert not np.isin(examples.inputs, other.inputs).any()


NONE = Context(jnp.ones((0, 3)), jnp.ones(0))


def _noisy(**changed):
    asked = {"key": jax.random.key(0), "candidate": CANDIDATE, "task": TASK, "noise_std": 0.1, **changed}
    return verifiers.noisy_oracle(**asked)


BAD = [
    (lambda: verifiers.context_loss(jnp.ones(2), TASK.context), "candidate", "(2,)"),
    (lambda: verifiers.context_loss(CANDIDATE, NONE), "context", "0"),
    (lambda: verifiers.held_out_loss(jnp.ones((1, 3)), TASK.context), "candidate", "(1, 3)"),
    (lambda: verifiers.held_out_loss(CANDIDATE, NONE), "examples", "0"),
    (lambda: verifiers.held_out_loss(CANDIDATE, TASK), "examples", "Task"),
    (lambda: verifiers.sample_held_out(jax.random.key(0), TASK, 0), "num_examples", "0"),
    (lambda: verifiers.sample_held_out(0, TASK, 3), "key", "0"),
    (lambda: verifiers.oracle(jnp.ones(2), TASK), "candidate", "(2,)"),
    (lambda: _noisy(candidate=jnp.ones(2)), "candidate", "(2,)"),
    (lambda: _noisy(noise_std=-0.1), "noise_std", "-0.1"),
    (lambda: _noisy(noise_std=np.nan), "noise_std", "nan"),
    (lambda: _noisy(noise_std=[0.1, 0.2]), "noise_std", "(2,)"),
    (lambda: _noisy(key=MANY[:2]), "key", "(2,)"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
