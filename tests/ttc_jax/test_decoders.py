"""Decoders: three forms of one step are equal, noise enters after each, and a decoder of one's own makes chains too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from tests.ttc_jax.chains import DIM, EXAMPLES, STEP_SIZE, forms
from ttc_jax import Context, TaskConfig, decoders, rollout, sample_task
from ttc_jax.decoders import cached_attention, preconditioned
from ttc_jax.models import linear_attention
from ttc_jax.normals import standard_normal


@pytest.mark.parametrize("name", ["cached", "gram"])
@pytest.mark.parametrize("num_steps", [0, 1, 12])
def test_faster_forms_equal_the_full_transformer(task, name, num_steps):
    with jax.enable_x64(True):
        context = Context(*(jnp.asarray(np.asarray(part), jnp.float64) for part in task.context))
        chain = {"num_steps": num_steps, "decoding_noise_std": 0.2, "initial_state": jnp.arange(DIM) / 10}
        key = jax.random.key(5)
        reference = rollout(key, context, forms()["full"], **chain)
        assert reference.shape == (num_steps + 1, DIM)
        np.testing.assert_allclose(rollout(key, context, forms()[name], **chain), reference, rtol=1e-9, atol=1e-12)
        if num_steps:
            other = rollout(jax.random.key(6), context, forms()[name], **chain)
            assert not np.allclose(other, reference, rtol=1e-3)


@pytest.mark.parametrize("name", ["full", "cached", "gram"])
def test_noise_is_injected_at_every_step(task, name):
    chain = {"num_steps": 6, "decoding_noise_std": 0.2}
    key, decoder = jax.random.key(5), forms()[name]
    states = rollout(key, task.context, decoder, **chain)
    inputs, targets = task.context
    for step in range(6):
        moved = states[step] + STEP_SIZE / EXAMPLES * inputs.T @ (targets - inputs @ states[step])
        noise = (states[step + 1] - moved) / 0.2
        np.testing.assert_allclose(noise, standard_normal(key, (DIM,), index=step), atol=1e-4)


def test_a_decoder_of_ones_own(task):
    halving = decoders.Decoder(
        start=lambda context, num_steps: (0.5, ()), step=lambda half, memory, state: (half * state, memory)
    )
    states = rollout(
        jax.random.key(0), task.context, halving, num_steps=3, decoding_noise_std=0.0, initial_state=jnp.full(DIM, 8.0)
    )
    np.testing.assert_allclose(states[:, 0], [8, 4, 2, 1])


@pytest.mark.parametrize("name", ["full", "cached", "gram"])
def test_contexts_of_other_dtypes_are_decoded(task, name):
    expected = rollout(jax.random.key(0), task.context, forms()[name], num_steps=3, decoding_noise_std=0.1)
    double = Context(*(np.asarray(part, np.float64) for part in task.context))  # in a float32 session
    found = rollout(jax.random.key(0), double, forms()[name], num_steps=3, decoding_noise_std=0.1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    integers = Context(jnp.ones((3, DIM), int), jnp.arange(3))
    assert rollout(jax.random.key(0), integers, forms()[name], num_steps=3, decoding_noise_std=0.1).dtype == jnp.float32
    with jax.enable_x64(True):
        single = rollout(jax.random.key(0), task.context, forms()[name], num_steps=3, decoding_noise_std=0.1)
        assert single.dtype == jnp.float32
        np.testing.assert_allclose(single, expected, rtol=1e-4)


def test_a_learned_step_from_the_examples_is_the_layers():
    task = sample_task(jax.random.key(1), TaskConfig(4, 7), label_noise_std=0.3)
    matrix = jax.random.normal(jax.random.key(2), (4, 4)) / 3
    layer = cached_attention(linear_attention.preconditioned_step(matrix))
    chains = [rollout(jax.random.key(0), task.context, decoder, num_steps=6) for decoder in (preconditioned(matrix), layer)]
    np.testing.assert_allclose(*chains, rtol=1e-4, atol=1e-5)
    wrong = rollout(jax.random.key(0), task.context, preconditioned(matrix.T), num_steps=6)
    assert not np.allclose(wrong, chains[1], rtol=1e-2)


BAD = [
    (lambda: decoders.gram(np.nan), "step_size", "nan"),
    (lambda: preconditioned(jnp.ones((2, 3))), "preconditioner", "(2, 3)"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
