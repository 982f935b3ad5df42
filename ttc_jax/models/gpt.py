"""A softmax transformer in the GPT style that reads a context as tokens and emits the next thought.

    h <- tokens E (+ positions),   h <- h + attention(norm(h)),   h <- h + mlp(norm(h)),   once a layer,
    next state = state + norm(h) R    or, with a binary head, one logit a coefficient,  norm(h) R

The tokens are those of :mod:`ttc_jax.tokens`: first the examples, then the states of a chain, each read at its own token.
Attention is causal, so that a chain appends its own outputs and nothing that was read before changes.

Without positions and with one layer a state sees its context as a set: the order of the examples does not matter. With more
layers it does, because an example attends to those before it, and only training on examples in random order makes it matter
little.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from ttc_jax import _check
from ttc_jax.tasks import Context
from ttc_jax.tokens import blocks, context_tokens, state_token, token_size

Positions = Literal["none", "learned"]
Head = Literal["continuous", "binary"]
Params = Any
"""Weights of the transformer: a tree of arrays."""


@dataclass(frozen=True)
class GPTConfig:
    """Shapes of a softmax transformer.

    Attributes:
        dim: number of coefficients d.
        max_tokens: the most tokens it reads, examples and states together.
        num_layers: number of blocks of attention and MLP.
        width: features of a token; a multiple of ``num_heads``.
        num_heads: heads h of every attention.
        mlp_ratio: hidden units of every MLP for each feature.
        positions: learned vectors that are added to the tokens by their place, or none.
        head: whether it emits an estimate of the coefficients or one logit for the high value of each.

    Raises:
        ValueError: an attribute is out of range.
    """

    dim: int
    max_tokens: int
    num_layers: int = 4
    width: int = 64
    num_heads: int = 4
    mlp_ratio: int = 4
    positions: Positions = "none"
    head: Head = "continuous"

    def __post_init__(self):
        for name in ("dim", "max_tokens", "num_layers", "width", "num_heads", "mlp_ratio"):
            object.__setattr__(self, name, _check.integer(name, getattr(self, name), minimum=1))
        if self.width % self.num_heads:
            raise ValueError(f"width must be a multiple of num_heads = {self.num_heads}, got {self.width}")
        _check.choice("positions", self.positions, get_args(Positions))
        _check.choice("head", self.head, get_args(Head))


class Piece(NamedTuple):
    """Keys and values (l, h, k) of some tokens, and which of them each query sees, (queries, l)."""

    keys: Array
    values: Array
    seen: Array


Arrange = Callable[[int, Array, Array], Sequence[Piece]]
"""From the number of a layer and its new tokens' keys and values to all that their queries look at."""


class _Block(nn.Module):
    config: GPTConfig

    @nn.compact
    def __call__(self, hidden: Array, arrange: Callable[[Array, Array], Sequence[Piece]], num_wanted: int) -> Array:
        """The last ``num_wanted`` of the tokens after this layer; the others are keys and values alone."""
        config = self.config
        heads = (len(hidden), 3, config.num_heads, config.width // config.num_heads)
        projected = nn.Dense(3 * config.width, name="query_key_value")(nn.LayerNorm(name="norm_attention")(hidden))
        queries, keys, values = jnp.moveaxis(projected.reshape(heads), 1, 0)
        first = len(hidden) - num_wanted
        hidden = hidden[first:]
        attended = _attend(queries[first:], arrange(keys, values)).reshape(hidden.shape)
        hidden = hidden + nn.Dense(config.width, name="output")(attended)
        inner = nn.Dense(config.mlp_ratio * config.width, name="up")(nn.LayerNorm(name="norm_mlp")(hidden))
        return hidden + nn.Dense(config.width, name="down")(nn.gelu(inner))


class _Transformer(nn.Module):
    config: GPTConfig

    @nn.compact
    def __call__(self, tokens: Array, places: Array, arrange: Arrange, num_emitted: int) -> Array:
        """Return the outputs at the last ``num_emitted`` tokens; tokens (l, e) stand at ``places`` (l,)."""
        config = self.config
        hidden = nn.Dense(config.width, name="embedding")(tokens)
        if config.positions == "learned":
            shape = (config.max_tokens, config.width)
            hidden += self.param("positions", nn.initializers.normal(0.02), shape)[places]
        for layer in range(config.num_layers):
            # The last layer is worked out only where something is emitted.
            num_wanted = num_emitted if layer == config.num_layers - 1 else len(hidden)
            hidden = _Block(config, name=f"block_{layer}")(hidden, functools.partial(arrange, layer), num_wanted)
        emitted = nn.Dense(config.dim, name="head")(nn.LayerNorm(name="norm_head")(hidden))
        if config.head == "binary":
            return emitted
        _, _, state, _ = blocks(config.dim)
        return tokens[len(tokens) - num_emitted :, state] + emitted


def _attend(queries: Array, pieces: Sequence[Piece]) -> Array:
    """Softmax attention of queries (l, h, k) over all pieces together, (l, h, k)."""
    queries = jnp.swapaxes(queries, 0, 1) * queries.shape[-1] ** -0.5  # heads first
    by_head = [piece._replace(keys=jnp.swapaxes(piece.keys, 0, 1), values=jnp.swapaxes(piece.values, 0, 1)) for piece in pieces]
    # A product with a single query is a sum: as a matrix product of every chain, layer and head it takes twice the time.
    is_single = queries.shape[1] == 1

    def scores(piece):
        found = jnp.sum(queries * piece.keys, axis=-1)[:, None] if is_single else queries @ jnp.swapaxes(piece.keys, 1, 2)
        return jnp.where(piece.seen[None, len(piece.seen) - queries.shape[1] :], found, -jnp.inf)

    def weighed(weights, piece):
        return jnp.sum(weights[:, 0, :, None] * piece.values, axis=1)[:, None] if is_single else weights @ piece.values

    weights = jax.nn.softmax(jnp.concatenate([scores(piece) for piece in by_head], axis=-1), axis=-1)
    ends = [sum(len(piece.keys) for piece in pieces[: number + 1]) for number in range(len(pieces) - 1)]
    parts = zip(jnp.split(weights, ends, axis=-1), by_head, strict=True)
    return jnp.swapaxes(sum((weighed(*part) for part in parts), jnp.zeros_like(queries)), 0, 1)


def _causal(layer: int, keys: Array, values: Array) -> tuple[Piece]:
    return (Piece(keys, values, jnp.tril(jnp.ones((len(keys), len(keys)), bool))),)


@_check.arguments
def init(key: Array, config: GPTConfig) -> Params:
    """Random weights: a tree of float32 arrays.

    Raises:
        ValueError: key is not a single typed key.
    """
    _check.key(key)
    tokens = jnp.zeros((1, token_size(config.dim)), jnp.float32)
    return _Transformer(config).init(key, tokens, jnp.zeros(1, jnp.int32), _causal, 1)["params"]


@_check.arguments
def apply(params: Params, config: GPTConfig, tokens: Array) -> Array:
    """Forward pass of the full token matrix; what is emitted at a token depends on it and on those before it alone.

    Args:
        params: weights.
        config: their shapes.
        tokens: Z, shape (e, l), one column a token (:mod:`ttc_jax.tokens`).

    Returns:
        Return the output at every token, shape (l, d): the next state, or logits of the high values with a binary head. At the
        tokens of examples it means nothing.

    Raises:
        ValueError: tokens have another number of rows than 2 d + 2, or there are more than ``max_tokens``.

    Example:
        >>> config = GPTConfig(dim=3, max_tokens=12, num_layers=1, width=8, num_heads=2)
        >>> apply(init(jax.random.key(0), config), config, jnp.ones((8, 5))).shape
        (5, 3)
    """
    return _emit(params, config, tokens, np.shape(tokens)[-1])


@_check.arguments
def next_states(params: Params, config: GPTConfig, context: Context, states: Array) -> Array:
    """Return the next state after each state of a chain, given its earlier states: one forward pass, as in training.

    Args:
        params: weights.
        config: their shapes.
        context: inputs (n, d) and targets (n,).
        states: w_0 .. w_{T-1}, shape (T, d).

    Returns:
        Next states, or logits with a binary head, shape (T, d).

    Raises:
        ValueError: a shape is wrong, or n + T is above ``max_tokens``.
    """
    _check.shape("states", states, (None, config.dim))
    tokens = jnp.concatenate([context_tokens(context), jax.vmap(state_token, out_axes=1)(states)], axis=1)
    return _emit(params, config, tokens, len(states))


class KeysValues(NamedTuple):
    """Keys and values (l, h, k) of tokens already read, at one layer."""

    keys: Array
    values: Array


Cache = tuple[KeysValues, ...]
"""Keys and values at every layer."""


@_check.arguments
def read_context(params: Params, config: GPTConfig, context: Context) -> Cache:
    """Keys and values of a context, which no state changes; ValueError if it is longer than ``max_tokens`` less one state."""
    tokens = context_tokens(context)
    _check.shape("tokens", tokens, (token_size(config.dim), None))
    _check_length(config, tokens.shape[1] + 1)
    read: list[KeysValues] = []

    def arrange(layer, keys, values):
        read.append(KeysValues(keys, values))
        return _causal(layer, keys, values)

    _run(params, config, tokens.T, jnp.arange(tokens.shape[1]), arrange, 1)
    return tuple(read)


@_check.arguments
def no_thoughts(config: GPTConfig, num_thoughts: int, dtype: Any) -> Cache:
    """Room for the keys and values of as many states."""
    room = jnp.zeros((num_thoughts, config.num_heads, config.width // config.num_heads), dtype)
    return (KeysValues(room, room),) * config.num_layers


@_check.arguments
def next_state(
    params: Params, config: GPTConfig, context: Cache, thoughts: Cache, place: Array, state: Array
) -> tuple[Array, Cache]:
    """Return the next state after one more state, from cached keys and values, in O(l) instead of O(l^2) per state.

    Args:
        params: weights.
        config: their shapes.
        context: keys and values of the examples, as :func:`read_context` gives them.
        thoughts: room for the chain's states, those before ``place`` filled.
        place: number of states before this one; may be traced.
        state: shape (d,).

    Returns:
        Return the output, (d,), NaN if there is no room for the state, and the thoughts including this state.
    """
    num_examples, room = len(context[0].keys), len(thoughts[0].keys)
    written: list[KeysValues] = []
    places = jnp.arange(room)
    own, seen = (places == place)[:, None, None], places[None] <= place

    def arrange(layer, keys, values):
        # A choice, not an update in place: with a place for each of many chains, that would be a scatter.
        pairs = zip((keys, values), thoughts[layer], strict=True)
        written.append(KeysValues(*(jnp.where(own, new, old) for new, old in pairs)))
        return Piece(context[layer].keys, context[layer].values, jnp.ones((1, num_examples), bool)), Piece(
            written[-1].keys, written[-1].values, seen
        )

    emitted = _run(params, config, state_token(state)[None], jnp.reshape(num_examples + place, (1,)), arrange, 1)[0]
    return jnp.where(place < room, emitted, jnp.nan), tuple(written)


def _emit(params: Params, config: GPTConfig, tokens: Array, num_emitted: int) -> Array:
    """The forward pass of the full token matrix, read at its last tokens."""
    _check.shape("tokens", tokens, (token_size(config.dim), None))
    _check_length(config, tokens.shape[1])
    return _run(params, config, tokens.T, jnp.arange(tokens.shape[1]), _causal, num_emitted)


def _run(params: Params, config: GPTConfig, tokens: Array, places: Array, arrange: Arrange, num_emitted: int) -> Array:
    _check.weights("params", params)
    emitted: Any = _Transformer(config).apply({"params": params}, tokens, places, arrange, num_emitted)
    return emitted


def _check_length(config: GPTConfig, length: int) -> None:
    if length > config.max_tokens:
        raise ValueError(f"context and states must have at most max_tokens = {config.max_tokens} tokens together, got {length}")
