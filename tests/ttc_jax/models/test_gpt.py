"""The softmax transformer against NumPy, its causality, its cached decode, and what the order of the examples does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from ttc_jax import BinaryPrior, BinarySampler, Context, TaskConfig, decoders, rollout, sample_candidates, sample_task
from ttc_jax.models import gpt
from ttc_jax.models.gpt import GPTConfig
from ttc_jax.tokens import context_tokens, state_token

DIM, EXAMPLES, ROOM = 3, 5, 6
KEY = jax.random.key(0)
TASK = sample_task(jax.random.key(1), TaskConfig(DIM, EXAMPLES), label_noise_std=0.3)


def small(**options):
    return GPTConfig(DIM, EXAMPLES + ROOM, **{"num_layers": 2, "width": 8, "num_heads": 2, "mlp_ratio": 2, **options})


def weights(config, scale=2.0):
    """Random weights, biases and scales among them, large enough for every part to matter."""
    params = gpt.init(KEY, config)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(5), len(leaves))
    drawn = [scale * leaf + 0.3 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, drawn)


def tokens_of(context, states):
    return jnp.concatenate([context_tokens(context), jax.vmap(state_token, out_axes=1)(states)], axis=1)


def in_numpy(params, config, tokens):
    """The forward pass, one token and one head after another."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    columns = np.asarray(tokens, np.float64).T

    def dense(part, x):
        return x @ part["kernel"] + part["bias"]

    def norm(part, x):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * part["scale"] + part["bias"]

    hidden = dense(params["embedding"], columns)
    if config.positions == "learned":
        hidden = hidden + params["positions"][: len(hidden)]
    size = config.width // config.num_heads
    for layer in range(config.num_layers):
        block = params[f"block_{layer}"]
        projected = dense(block["query_key_value"], norm(block["norm_attention"], hidden))
        attended = np.zeros_like(hidden)
        for place in range(len(hidden)):
            for head in range(config.num_heads):
                query, keys, values = (
                    projected[: place + 1, part * config.width + head * size :][:, :size] for part in range(3)
                )
                scores = np.exp(keys @ query[place] / np.sqrt(size))
                attended[place, head * size : (head + 1) * size] = scores / scores.sum() @ values
        hidden = hidden + dense(block["output"], attended)
        inner = dense(block["up"], norm(block["norm_mlp"], hidden))
        inner = 0.5 * inner * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
        hidden = hidden + dense(block["down"], inner)
    emitted = dense(params["head"], norm(params["norm_head"], hidden))
    return emitted if config.head == "binary" else columns[:, DIM + 1 : 2 * DIM + 1] + emitted


@pytest.mark.parametrize("options", [{}, {"positions": "learned", "head": "binary", "num_heads": 4}])
def test_the_forward_pass_is_that_of_numpy(options, rng):
    config = small(**options)
    params = weights(config)
    tokens = tokens_of(TASK.context, jnp.asarray(rng.normal(size=(3, DIM)), jnp.float32))
    expected = in_numpy(params, config, tokens)
    np.testing.assert_allclose(gpt.apply(params, config, tokens), expected, rtol=2e-4, atol=2e-4)
    assert np.abs(in_numpy(weights(config, 1.9), config, tokens) - expected).max() > 0.05


@pytest.mark.parametrize("positions", ["none", "learned"])
def test_nothing_that_is_emitted_depends_on_later_tokens(positions):
    config = small(positions=positions)
    params = weights(config)
    tokens = tokens_of(TASK.context, jnp.ones((2, DIM)))
    slopes = jax.jit(jax.jacobian(lambda tokens: gpt.apply(params, config, tokens)))(tokens)  # (l, d, e, l)
    size = np.abs(slopes).max(axis=(1, 2))
    assert (size[np.triu_indices(len(size), 1)] == 0).all()
    assert (size[np.tril_indices(len(size))] > 0).all()


@pytest.mark.parametrize("options", [{}, {"positions": "learned"}])
def test_cached_decoding_is_the_full_forward_pass(options):
    config = small(**options)
    params = weights(config, 1.0)
    states = rollout(KEY, TASK.context, decoders.gpt(params, config), num_steps=ROOM, decoding_noise_std=0.5)
    quiet = rollout(KEY, TASK.context, decoders.gpt(params, config), num_steps=ROOM)
    followed = gpt.next_states(params, config, TASK.context, quiet[:-1])
    np.testing.assert_allclose(quiet[1:], followed, rtol=1e-4, atol=1e-5)
    noises = np.asarray(states[1:] - gpt.next_states(params, config, TASK.context, states[:-1]))
    assert 0.2 < noises.std() < 1.0
    # Each thought reads those before it: with another first one, a last one follows that differs.
    other = states.at[1].add(1.0)[:-1]
    assert np.abs(gpt.next_states(params, config, TASK.context, other)[-1] - (states[-1] - noises[-1])).max() > 1e-3


def test_candidates_are_chains_of_their_own():
    config = small()
    decoder = decoders.gpt(weights(config, 1.0), config)
    asked = {"num_steps": 3, "decoding_noise_std": 0.3}
    found = jax.jit(lambda key: sample_candidates(key, TASK.context, decoder, num_candidates=4, **asked))(KEY)
    assert found.shape == (4, DIM)
    assert np.abs(np.asarray(found[1:]) - np.asarray(found[0])).max(axis=1).min() > 0.01


ORDER = jnp.array([3, 0, 4, 1, 2])


def change_by_order(config):
    """By how much another order of the examples changes the first thought."""
    params = weights(config)
    mixed = Context(TASK.context.inputs[ORDER], TASK.context.targets[ORDER])
    first, other = (gpt.next_states(params, config, context, jnp.zeros((1, DIM))) for context in (TASK.context, mixed))
    return float(jnp.abs(first - other).max())


def test_one_layer_without_positions_reads_its_context_as_a_set():
    assert change_by_order(small(num_layers=1)) < 1e-5
    assert change_by_order(small(num_layers=1, positions="learned")) > 1e-2
    assert change_by_order(small(num_layers=2)) > 1e-2


@pytest.mark.parametrize("prior", [BinaryPrior(), BinaryPrior(0.0, 1.0, 0.2)])
def test_a_binary_head_is_sampled_with_its_own_probabilities(prior):
    config = small(head="binary")
    params = weights(config)
    decoder = decoders.gpt(params, config, prior=prior)
    start = jnp.full(DIM, prior.mean)
    logits = gpt.next_states(params, config, TASK.context, start[None])[0]
    field, _ = decoder.step(*decoder.start(TASK.context, 1), start)
    np.testing.assert_allclose(BinarySampler(1.0, prior).probability(field), jax.nn.sigmoid(logits), rtol=1e-4)
    chain = rollout(KEY, TASK.context, decoder, num_steps=4, sampler=BinarySampler(1.0, prior))
    assert set(np.unique(chain[1:])) <= {prior.low, prior.high}


def test_a_decoder_without_room_for_a_state_says_so():
    config = small()
    decoder = decoders.gpt(weights(config), config)
    shared, memory = decoder.start(TASK.context, 2)
    state = jnp.zeros(DIM)
    for is_room in (True, True, False):
        state, memory = decoder.step(shared, memory, jnp.zeros(DIM))
        assert bool(jnp.isfinite(state).all()) == is_room


LONG = Context(jnp.ones((20, DIM)), jnp.ones(20))
BINARY = small(head="binary")
BAD = [
    (lambda: GPTConfig(3, 10, width=10, num_heads=4), "width", "10"),
    (lambda: GPTConfig(3, 0), "max_tokens", "0"),
    (lambda: GPTConfig(3, 10, positions="rotary"), "positions", "rotary"),
    (lambda: GPTConfig(3, 10, head="ternary"), "head", "ternary"),
    (lambda: gpt.apply({}, small(), jnp.ones((8, 12))), "max_tokens = 11", "12"),
    (lambda: gpt.apply({}, small(), jnp.ones((7, 4))), "tokens", "(7, 4)"),
    (lambda: gpt.next_states({}, small(), TASK.context, jnp.ones((2, 4))), "states", "(2, 4)"),
    (lambda: rollout(KEY, LONG, decoders.gpt({}, small()), num_steps=2), "max_tokens = 11", "20 + 2"),
    (lambda: rollout(KEY, TASK.context, decoders.gpt({}, small()), num_steps=7), "max_tokens = 11", "5 + 7"),
    (lambda: rollout(KEY, TASK.context, decoders.gpt({}, BINARY), num_steps=2), "sampler", "None"),
    (lambda: decoders.gpt({}, BINARY, prior=0.5), "prior", "0.5"),
    (
        lambda: rollout(
            KEY, TASK.context, decoders.gpt({}, BINARY), num_steps=2, sampler=BinarySampler(1.0, BinaryPrior(0, 1))
        ),
        "sampler",
        "low=0",
    ),
    (lambda: gpt.init(0, small()), "key", "0"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
