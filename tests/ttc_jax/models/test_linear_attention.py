"""The transformer's forward pass is a gradient step, and its cached form is its full form, for any weights."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from ttc_jax import Context, rollout
from ttc_jax.decoders import looped_attention
from ttc_jax.models import linear_attention
from ttc_jax.models.linear_attention import LinearAttentionConfig, LinearAttentionParams
from ttc_jax.tokens import context_tokens, read_state, state_token, token_size

DIM, EXAMPLES = 5, 9


def explicit_step(context, preconditioner, state):
    inputs, targets = (np.asarray(part) for part in context)
    gradient = sum((targets[j] - inputs[j] @ state) * inputs[j] for j in range(len(targets))) / len(targets)
    return state + preconditioner @ gradient


def with_states(context, states):
    return jnp.concatenate([context_tokens(context), *(state_token(jnp.asarray(state))[:, None] for state in states)], axis=1)


@pytest.mark.parametrize("num_earlier", [0, 1, 4])
@pytest.mark.parametrize("step_size", [0.0, 0.3, -1.7])
def test_forward_pass_is_one_gradient_step(context, rng, num_earlier, step_size):
    states = rng.normal(size=(num_earlier + 1, DIM))
    params = linear_attention.gradient_step(DIM, step_size)
    output = linear_attention.apply(params, with_states(context, states), EXAMPLES)
    for place, state in enumerate(states):  # every state column takes its own step, whatever the others hold
        expected = explicit_step(context, step_size * np.eye(DIM), state)
        np.testing.assert_allclose(read_state(output[:, EXAMPLES + place]), expected, rtol=1e-6, atol=1e-12)
    wrong = explicit_step(context, 1.001 * (step_size or 1.0) * np.eye(DIM), states[-1])
    assert not np.allclose(read_state(output[:, -1]), wrong, rtol=1e-6, atol=1e-12)


def test_preconditioned_step(context, rng):
    preconditioner = rng.normal(size=(DIM, DIM))  # not even symmetric
    state = rng.normal(size=DIM)
    params = linear_attention.preconditioned_step(jnp.asarray(preconditioner))
    output = linear_attention.apply(params, with_states(context, [state]), EXAMPLES)
    expected = explicit_step(context, preconditioner, state)
    np.testing.assert_allclose(read_state(output[:, -1]), expected, rtol=1e-6)


def test_step_does_not_depend_on_the_order_of_examples(context, rng):
    order = rng.permutation(EXAMPLES)
    params, state = linear_attention.gradient_step(DIM, 0.4), rng.normal(size=DIM)
    shuffled = Context(context.inputs[order], context.targets[order])
    first, second = (linear_attention.apply(params, with_states(c, [state]), EXAMPLES)[:, -1] for c in (context, shuffled))
    np.testing.assert_allclose(first, second, rtol=1e-12)


def test_layer_matches_its_definition_column_by_column(x64, rng):
    size, length = token_size(DIM), 7
    value, key_query, tokens = rng.normal(size=(size, size)), rng.normal(size=(size, size)), rng.normal(size=(size, length))
    params = LinearAttentionParams(jnp.asarray(value), jnp.asarray(key_query))
    output = linear_attention.apply(params, jnp.asarray(tokens), EXAMPLES)
    for query in range(length):
        attended = sum((tokens[:, k] @ key_query @ tokens[:, query]) * (value @ tokens[:, k]) for k in range(length))
        np.testing.assert_allclose(output[:, query], tokens[:, query] + attended / EXAMPLES, rtol=1e-9)


def test_cached_attention_is_full_attention_for_any_weights(x64, rng):
    size, length = token_size(DIM), 7
    params = LinearAttentionParams(*jnp.asarray(rng.normal(size=(2, size, size))))
    tokens = jnp.asarray(rng.normal(size=(size, length)))
    pieces = (linear_attention.cache_tokens(params, tokens[:, :4]), linear_attention.cache_tokens(params, tokens[:, 4:-1]))
    cached = linear_attention.apply_cached(params, pieces, tokens[:, -1], EXAMPLES)
    full = linear_attention.apply(params, tokens, EXAMPLES)[:, -1]
    np.testing.assert_allclose(cached, full, rtol=1e-9)
    assert not np.allclose(linear_attention.apply_cached(params, pieces[:1], tokens[:, -1], EXAMPLES), full)


def test_parameters_are_differentiable_in_the_step_size(context, rng):
    tokens = with_states(context, [rng.normal(size=DIM)])

    def first_coefficient(step_size):
        return read_state(linear_attention.apply(linear_attention.gradient_step(DIM, step_size), tokens, EXAMPLES)[:, -1])[0]

    slope = (first_coefficient(0.5) - first_coefficient(0.3)) / 0.2
    assert jax.grad(first_coefficient)(0.4) == pytest.approx(float(slope), rel=1e-9)


def test_loops_are_steps_and_leave_the_examples_alone(context, rng):
    state = rng.normal(size=DIM)
    tokens = with_states(context, [state])
    params = linear_attention.gradient_step(DIM, 0.3)
    looped = linear_attention.loop(params, tokens, EXAMPLES, num_loops=3)
    for _ in range(3):
        state = explicit_step(context, 0.3 * np.eye(DIM), state)
    np.testing.assert_allclose(read_state(looped[:, -1]), state, rtol=1e-9)
    np.testing.assert_array_equal(looped[:, :-1], tokens[:, :-1])
    once = linear_attention.loop(params, tokens, EXAMPLES, num_loops=1)
    np.testing.assert_array_equal(once, linear_attention.apply(params, tokens, EXAMPLES))


def test_a_looped_decoder_repeats_the_layer_on_any_weights(context, rng):
    config = LinearAttentionConfig(DIM, num_loops=2)
    params = jax.tree.map(lambda leaf: 2 * leaf, linear_attention.init(jax.random.key(3), config))
    states = rollout(jax.random.key(0), context, looped_attention(params, config), num_steps=3)
    for before, after in itertools.pairwise(states):
        tokens = with_states(context, [before])
        for _ in range(2):
            tokens = linear_attention.apply(params, tokens, EXAMPLES)
        np.testing.assert_allclose(after, read_state(tokens[:, -1]), rtol=1e-9)
        assert np.abs(after - before).max() > 1e-4
    followed = linear_attention.next_states(params, config, context, states[:-1])
    np.testing.assert_allclose(followed, states[1:], rtol=1e-9)


def test_the_preconditioner_of_any_weights_is_what_multiplies_the_correlation(rng):
    """It is the part of the first step that changes its sign with the targets."""
    params = LinearAttentionParams(*(jnp.asarray(rng.normal(size=(2 * DIM + 2,) * 2), jnp.float32) for _ in range(2)))
    inputs, targets = (rng.normal(size=shape) for shape in ((EXAMPLES, DIM), EXAMPLES))

    def step(sign):
        tokens = with_states(Context(jnp.asarray(inputs), jnp.asarray(sign * targets)), [np.zeros(DIM)])
        return np.asarray(read_state(linear_attention.apply(params, tokens, EXAMPLES)[:, -1]))

    matrix = np.asarray(linear_attention.preconditioner(params))
    np.testing.assert_allclose((step(1) - step(-1)) / 2, matrix @ inputs.T @ targets / EXAMPLES, rtol=1e-4, atol=1e-4)
    given = jnp.asarray(rng.normal(size=(DIM, DIM)))
    np.testing.assert_array_equal(linear_attention.preconditioner(linear_attention.preconditioned_step(given)), given)


ONES = Context(jnp.ones((4, 3)), jnp.ones(4))
BAD = [
    (lambda: LinearAttentionConfig(0), "dim"),
    (lambda: LinearAttentionConfig(3, 0), "num_loops"),
    (lambda: linear_attention.init(0, LinearAttentionConfig(3)), "key"),
    (lambda: linear_attention.loop(linear_attention.gradient_step(3, 0.1), jnp.ones((8, 2)), 1, num_loops=0), "num_loops"),
    (
        lambda: linear_attention.next_states(
            linear_attention.gradient_step(3, 0.1), LinearAttentionConfig(3), ONES, jnp.ones((2, 4))
        ),
        "states",
    ),
    (lambda: linear_attention.gradient_step(0, 0.1), "dim"),
    (lambda: linear_attention.gradient_step(3, np.inf), "step_size"),
    (lambda: linear_attention.preconditioned_step(jnp.ones((2, 3))), "preconditioner"),
    (lambda: linear_attention.preconditioned_step(jnp.full((2, 2), np.nan)), "preconditioner"),
    (lambda: linear_attention.apply(linear_attention.gradient_step(3, 0.1), jnp.ones((7, 2)), 2), "tokens"),
    (lambda: linear_attention.apply(linear_attention.gradient_step(3, 0.1), jnp.ones((8, 2)), 0), "num_examples"),
]


@pytest.mark.parametrize(("call", "name"), BAD)
def test_bad_input_is_named(call, name):
    assert_named(call, name, "")
