"""Four forms of one chain: three equal for the same noise, the fourth equal in law to a brute-force Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from tests.statistics import agrees
from tests.ttc_jax.chains import DIM, STEP_SIZE, forms, law_of_the_chain
from ttc_jax import (
    Context,
    TaskConfig,
    aggregation,
    collapsed_candidates,
    decoders,
    excess_risk,
    rollout,
    rollout_candidates,
    sample_candidates,
    sample_task,
)
from ttc_jax.models import linear_attention


@pytest.mark.parametrize("name", ["full", "cached", "gram"])
def test_without_noise_the_chain_is_gradient_descent(task, name):
    states = rollout(jax.random.key(0), task.context, forms()[name], num_steps=9, decoding_noise_std=0.0)
    for step in (0, 1, 9):
        np.testing.assert_allclose(states[step], law_of_the_chain(task.context, step, 0.0)[0], atol=1e-5)
    solution = np.linalg.lstsq(*(np.asarray(part) for part in task.context), rcond=None)[0]
    long = rollout(jax.random.key(0), task.context, forms()[name], num_steps=600, decoding_noise_std=0.0)
    np.testing.assert_allclose(long[-1], solution, atol=1e-3)


@pytest.mark.parametrize("num_steps", [1, 2, 7, 20])
def test_walked_and_collapsed_candidates_have_the_exact_law(task, num_steps):
    mean, covariance = law_of_the_chain(task.context, num_steps, 0.2)
    asked = {"num_candidates": 60_000, "num_steps": num_steps, "decoding_noise_std": 0.2}
    walked = sample_candidates(jax.random.key(1), task.context, forms()["gram"], **asked)
    collapsed = collapsed_candidates(jax.random.key(2), task.context, step_size=STEP_SIZE, **asked)
    for candidates in (walked, collapsed):
        centred = np.asarray(candidates, dtype=np.float64) - mean
        assert agrees(centred, np.zeros(DIM))
        assert agrees(centred[:, :, None] * centred[:, None, :], covariance)
        assert not agrees(centred[:, :, None] * centred[:, None, :], 1.05 * covariance)
        whitened = np.linalg.solve(np.linalg.cholesky(covariance), centred.T).T
        assert agrees(whitened**4, np.full(DIM, 3.0))


def test_more_coefficients_than_examples():
    task = sample_task(jax.random.key(3), TaskConfig(6, 3), label_noise_std=0.1)
    mean, covariance = law_of_the_chain(task.context, 50, 0.1, step_size=0.2)
    asked = {"num_candidates": 60_000, "num_steps": 50, "decoding_noise_std": 0.1}
    centred = np.asarray(collapsed_candidates(jax.random.key(2), task.context, step_size=0.2, **asked)) - mean
    assert agrees(centred[:, :, None] * centred[:, None, :], covariance)


@pytest.mark.parametrize("name", ["full", "cached", "gram"])
def test_candidates_are_the_last_states_of_side_by_side_chains(task, name):
    chain = {"num_candidates": 5, "num_steps": 6, "decoding_noise_std": 0.2}
    walk = rollout_candidates(jax.random.key(4), task.context, forms()[name], **chain)
    assert walk.shape == (7, 5, DIM)
    last = sample_candidates(jax.random.key(4), task.context, forms()[name], **chain)
    np.testing.assert_allclose(walk[-1], last, rtol=1e-6)
    assert len(np.unique(np.asarray(last)[:, 0])) == 5
    shorter = sample_candidates(jax.random.key(4), task.context, forms()[name], **{**chain, "num_steps": 3})
    np.testing.assert_allclose(walk[3], shorter, rtol=1e-5, atol=1e-6)


def test_observations_know_their_step(task):
    chain = {"num_candidates": 5, "num_steps": 6, "decoding_noise_std": 0.2}
    walk = rollout_candidates(jax.random.key(4), task.context, forms()["gram"], **chain)
    sums, steps = rollout_candidates(
        jax.random.key(4),
        task.context,
        forms()["gram"],
        observe=lambda states, step: (states.sum(), step),
        **chain,
    )
    np.testing.assert_allclose(sums, walk.sum(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(steps, np.arange(7))


def test_one_candidate_is_the_single_chain(task):
    chain = {"num_steps": 6, "decoding_noise_std": 0.2}
    single = rollout(jax.random.key(4), task.context, forms()["gram"], **chain)
    one = rollout_candidates(jax.random.key(4), task.context, forms()["gram"], num_candidates=1, **chain)
    np.testing.assert_allclose(one[:, 0], single, rtol=1e-6)


@pytest.mark.parametrize("form", ["full", "cached", "gram", "collapsed"])
def test_no_step_is_the_initial_state(task, form):
    start = jnp.arange(DIM) / 10
    asked = {"num_candidates": 3, "num_steps": 0, "decoding_noise_std": 0.2, "initial_state": start}
    if form == "collapsed":
        candidates = collapsed_candidates(jax.random.key(0), task.context, step_size=STEP_SIZE, **asked)
    else:
        candidates = sample_candidates(jax.random.key(0), task.context, forms()[form], **asked)
    np.testing.assert_array_equal(candidates, np.tile(start, (3, 1)))


def test_collapsed_without_noise_is_the_noise_free_chain(task):
    asked = {"num_candidates": 2, "num_steps": 13, "decoding_noise_std": 0.0, "initial_state": jnp.ones(DIM)}
    collapsed = collapsed_candidates(jax.random.key(0), task.context, step_size=STEP_SIZE, **asked)
    walked = sample_candidates(jax.random.key(0), task.context, forms()["gram"], **asked)
    np.testing.assert_allclose(collapsed, walked, atol=1e-5)


def test_everything_is_jittable_vmappable_and_differentiable(task):
    def risk(noise, step_size):
        asked = {"num_steps": 4, "decoding_noise_std": noise}
        walked = rollout(jax.random.key(0), task.context, decoders.gram(step_size), **asked)[-1]
        params = linear_attention.gradient_step(DIM, step_size)
        attended = rollout(jax.random.key(0), task.context, decoders.cached_attention(params), **asked)[-1]
        drawn = collapsed_candidates(jax.random.key(0), task.context, step_size=step_size, num_candidates=2, **asked)
        return excess_risk(walked, task) + excess_risk(attended, task) + excess_risk(aggregation.mean(drawn), task)

    noises, steps = jnp.array([0.1, 0.2, 0.3]), jnp.array([0.1, 0.2, 0.3])
    together = jax.jit(jax.vmap(risk))(noises, steps)
    np.testing.assert_allclose(together, [risk(n, s) for n, s in zip(noises, steps, strict=True)], rtol=1e-4)
    with jax.enable_x64(True):
        task64 = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), task)
        task = task64
        slope = jax.grad(risk, argnums=1)(0.2, 0.3)
        assert slope == pytest.approx(float(risk(0.2, 0.3 + 1e-6) - risk(0.2, 0.3 - 1e-6)) / 2e-6, rel=1e-5)


CONTEXT = Context(jnp.ones((4, 3)), jnp.ones(4))
CHAIN = {"num_steps": 2, "decoding_noise_std": 0.1}
COLLAPSED = {"step_size": 0.1, "num_candidates": 2, **CHAIN}


def _rollout(context=CONTEXT, **changed):
    return rollout(jax.random.key(0), context, decoders.gram(0.1), **{**CHAIN, **changed})


def _faulty(step):
    return decoders.Decoder(lambda context, num_steps: ((), ()), lambda shared, memory, state: step(state))


def _collapsed(**changed):
    return collapsed_candidates(jax.random.key(0), CONTEXT, **{**COLLAPSED, **changed})


BAD = [
    (lambda: _rollout(num_steps=-1), "num_steps", "-1"),
    (lambda: _rollout(num_steps=1.5), "num_steps", "1.5"),
    (lambda: _rollout(decoding_noise_std=-0.1), "decoding_noise_std", "-0.1"),
    (lambda: _rollout(decoding_noise_std=np.inf), "decoding_noise_std", "inf"),
    (lambda: _rollout(initial_state=jnp.ones(2)), "initial_state", "(2,)"),
    (lambda: _rollout(initial_state=[np.nan, 0, 0]), "initial_state", "nan"),
    (lambda: _rollout(decoding_noise_std=[0.1, 0.2, 0.3]), "decoding_noise_std", "(3,)"),
    (lambda: rollout(jax.random.split(jax.random.key(0)), CONTEXT, decoders.gram(0.1), **CHAIN), "key", "(2,)"),
    (lambda: rollout(jax.random.key(0), tuple(CONTEXT), decoders.gram(0.1), **CHAIN), "context", "tuple"),
    (lambda: rollout(jax.random.key(0), CONTEXT, linear_attention.gradient_step(3, 0.1), **CHAIN), "decoder", "Params"),
    (lambda: rollout(jax.random.key(0), CONTEXT, _faulty(lambda state: state), **CHAIN), "decoder.step", "pair"),
    (lambda: rollout(jax.random.key(0), CONTEXT, _faulty(lambda state: (state[:2], ())), **CHAIN), "decoder.step", "(2,)"),
    (lambda: jax.vmap(lambda steps: _rollout(num_steps=steps))(jnp.arange(2)), "num_steps", "traced"),
    (lambda: rollout(7, CONTEXT, decoders.gram(0.1), **CHAIN), "key", "7"),
    (lambda: _rollout(Context(jnp.ones((4, 3)), jnp.ones(3))), "targets", "(3,)"),
    (lambda: _rollout(Context(jnp.ones((0, 3)), jnp.ones(0))), "context", "0"),
    (lambda: _rollout(Context(jnp.full((4, 3), np.nan), jnp.ones(4))), "inputs", "nan"),
    (lambda: _collapsed(num_candidates=0), "num_candidates", "0"),
    (lambda: _collapsed(step_size=np.nan), "step_size", "nan"),
    (lambda: _collapsed(num_steps="3"), "num_steps", "'3'"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
