"""One linear self-attention layer, and the parameters that make it a gradient step.

    f(Z) = Z + V Z (Z^T W Z) / n

with tokens Z (e, l), value matrix V (e, e), key-query matrix W (e, e) and n the number of examples. With the parameters of
:func:`gradient_step` the last column, a state w, becomes w + (step_size / n) X^T (y - X w): one step of gradient descent on
the squared error of the context. State columns score zero against each other, so a chain may append every state as a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ttc_jax import _check
from ttc_jax.normals import standard_normal
from ttc_jax.tasks import Context
from ttc_jax.tokens import blocks, context_tokens, read_state, state_token, token_size


class LinearAttentionParams(NamedTuple):
    """Weights of the layer: ``value`` V (e, e) and ``key_query`` W (e, e)."""

    value: Array
    key_query: Array


@dataclass(frozen=True)
class LinearAttentionConfig:
    """A layer to be trained, with all its weights free.

    Attributes:
        dim: number of coefficients d.
        num_loops: how many times a step applies the layer to the examples and the state.

    Raises:
        ValueError: an attribute is not a positive integer.
    """

    dim: int
    num_loops: int = 1

    def __post_init__(self):
        for name in ("dim", "num_loops"):
            object.__setattr__(self, name, _check.integer(name, getattr(self, name), minimum=1))


class KeyValueCache(NamedTuple):
    """Cached quantities of the tokens that were read, one row per token: ``keys`` W^T z (l, e) and ``values`` V z (l, e)."""

    keys: Array
    values: Array


@_check.arguments
def init(key: Array, config: LinearAttentionConfig) -> LinearAttentionParams:
    """Random weights N(0, 0.04 / e) to be trained; ValueError if key is not a single typed key.

    They are small because a loop is a polynomial of degree 3^num_loops in the tokens, which must start near the identity.
    """
    size = token_size(config.dim)
    return LinearAttentionParams(*standard_normal(key, (2, size, size)) * (0.2 / np.sqrt(size)))


@_check.arguments
def gradient_step(dim: int, step_size: ArrayLike, dtype=None) -> LinearAttentionParams:
    """Parameters whose forward pass is one gradient step of size ``step_size``.

    Args:
        dim: number of coefficients d.
        step_size: eta, finite; may be traced.
        dtype: floating dtype; the session's default if None.

    Raises:
        ValueError: dim is not a positive integer, or step_size is not finite.

    Source: von Oswald et al., "Transformers learn in-context by gradient descent" (2023), Proposition 1.
    """
    dim = _check.integer("dim", dim, minimum=1)
    step_size = _check.scalar("step_size", step_size)
    return preconditioned_step(jnp.asarray(step_size) * jnp.eye(dim, dtype=dtype))


@_check.arguments
def preconditioned_step(preconditioner: Array) -> LinearAttentionParams:
    """Parameters whose forward pass is ``w + preconditioner @ X^T (y - X w) / n``.

    Args:
        preconditioner: P, shape (d, d); ``step_size * identity`` gives plain gradient descent.

    Raises:
        ValueError: the preconditioner is not square or not finite.
    """
    _check.shape("preconditioner", preconditioner, (None, None))
    dim = np.shape(preconditioner)[0]
    _check.shape("preconditioner", preconditioner, (dim, dim))
    _check.finite("preconditioner", preconditioner)
    preconditioner = jnp.asarray(preconditioner)
    inputs, target, state, flag = blocks(dim)
    zeros = jnp.zeros((token_size(dim), token_size(dim)), preconditioner.dtype)
    key_query = zeros.at[inputs, state].set(jnp.eye(dim, dtype=preconditioner.dtype)).at[target, flag].set(-1.0)
    return LinearAttentionParams(value=zeros.at[state, inputs].set(-preconditioner), key_query=key_query)


@_check.arguments
def preconditioner(params: LinearAttentionParams) -> Array:
    """The matrix P (d, d) by which any weights multiply X^T y / n in the step from the state zero.

    With V and W in the blocks (inputs x, target y, state w, flag f), P = V_wx W_yf + V_wy W_xf^T. The step has further terms,
    quadratic in the inputs or in the targets, that trained weights lack; for :func:`preconditioned_step` this is its argument.
    """
    inputs, target, state, flag = blocks((params.value.shape[0] - 2) // 2)
    own = params.value[state, inputs] * params.key_query[target, flag]
    return own + jnp.outer(params.value[state, target], params.key_query[inputs, flag])


@_check.arguments
def apply(params: LinearAttentionParams, tokens: Array, num_examples: int) -> Array:
    """Forward pass f(Z) of the full token matrix.

    Args:
        params: weights.
        tokens: Z, shape (e, l).
        num_examples: n, the number of example columns (not of all columns).

    Returns:
        f(Z), shape (e, l).

    Raises:
        ValueError: tokens and params have different numbers of rows, or num_examples is not a positive integer.
    """
    _check_size(params, tokens)
    num_examples = _check.integer("num_examples", num_examples, minimum=1)
    scores = tokens.T @ params.key_query @ tokens  # (l, l)
    return tokens + params.value @ tokens @ scores / num_examples


@_check.arguments
def loop(params: LinearAttentionParams, tokens: Array, num_examples: int, *, num_loops: int) -> Array:
    """The looped transformer f(f(..f(Z))): the same layer applied ``num_loops`` times to the full token matrix.

    With the weights of :func:`gradient_step` the state takes ``num_loops`` gradient steps, and the examples stay as they are.

    Args:
        params: weights.
        tokens: Z, shape (e, l).
        num_examples: n, the number of example columns.
        num_loops: how many times, at least 1.

    Returns:
        Tokens, shape (e, l).

    Raises:
        ValueError: as in :func:`apply`, or num_loops is not a positive integer.

    Source: Giannou et al., "Looped transformers as programmable computers" (2023).
    """
    num_loops = _check.integer("num_loops", num_loops, minimum=1)
    return jax.lax.fori_loop(0, num_loops, lambda _, tokens: apply(params, tokens, num_examples), tokens)


@_check.arguments
def next_states(params: LinearAttentionParams, config: LinearAttentionConfig, context: Context, states: Array) -> Array:
    """Return the next state after each of the ``states`` (T, d), each read alone with its context, shape (T, d).

    Raises:
        ValueError: a shape is wrong.
    """
    _check.shape("states", states, (None, config.dim))
    examples = context_tokens(context)

    def follow(state):
        tokens = jnp.concatenate([examples, state_token(state)[:, None]], axis=1)
        return read_state(loop(params, tokens, context.targets.size, num_loops=config.num_loops)[:, -1])

    return jax.vmap(follow)(states)


@_check.arguments
def cache_tokens(params: LinearAttentionParams, tokens: Array) -> KeyValueCache:
    """Keys and values of tokens (e, l), computed once."""
    _check_size(params, tokens)
    return KeyValueCache(keys=tokens.T @ params.key_query, values=tokens.T @ params.value.T)


@_check.arguments
def apply_cached(params: LinearAttentionParams, caches: tuple[KeyValueCache, ...], token: Array, num_examples: int) -> Array:
    """The column of f(Z) that belongs to one query token, from cached keys and values.

    Args:
        params: weights.
        caches: keys and values of every token of Z but the query itself, in any number of pieces.
        token: the query, shape (e,).
        num_examples: n, the number of example columns.

    Returns:
        Column of f(Z), shape (e,).
    """
    if not (isinstance(caches, tuple) and all(isinstance(cache, KeyValueCache) for cache in caches)):
        raise ValueError(f"caches must be a tuple of KeyValueCache, got {_check.described(caches)}")
    _check.shape("token", token, params.value.shape[:1])
    num_examples = _check.scalar("num_examples", num_examples, minimum=1)
    own = cache_tokens(params, token[:, None])
    attended = sum((cache.keys @ token) @ cache.values for cache in (*caches, own))
    return token + attended / num_examples


@_check.arguments
def write(cache: KeyValueCache, params: LinearAttentionParams, token: Array, place: Array) -> KeyValueCache:
    """``cache`` with the key and value of ``token`` (e,) at row ``place``."""
    _check.shape("token", token, params.value.shape[:1])
    _check.shape("place", place, ())
    new = cache_tokens(params, token[:, None])
    update = jax.lax.dynamic_update_slice_in_dim
    return KeyValueCache(*(update(rows, row, place, axis=0) for rows, row in zip(cache, new, strict=True)))


def _check_size(params: LinearAttentionParams, tokens: Array) -> None:
    size = params.value.shape[0]
    _check.shape("key_query", params.key_query, (size, size))
    _check.shape("tokens", tokens, (size, None))
