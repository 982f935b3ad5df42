"""Decoders: what one step of a chain of thought is.

Three decoders take the same gradient step and give the same chain for the same key: :func:`full_attention` (the transformer
reads the whole token matrix at every step; the reference), :func:`cached_attention` (the same transformer with cached keys and
values) and :func:`gram` (the d x d recursion). Two are made of trained weights, :func:`looped_attention`
and :func:`gpt`; :func:`preconditioned` takes a step with a matrix for a step size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ttc_jax import _check
from ttc_jax.models import gpt as gpt_model
from ttc_jax.models import linear_attention
from ttc_jax.models.gpt import GPTConfig
from ttc_jax.models.linear_attention import KeyValueCache, LinearAttentionConfig, LinearAttentionParams
from ttc_jax.tasks import SIGNS, BinaryPrior, Context
from ttc_jax.tokens import context_tokens, read_state, state_row, state_token, token_size


class Coefficients(NamedTuple):
    """How a decoder that emits a thought coefficient by coefficient reads and writes one, without a whole step for each.

    Attributes:
        begin: ``begin(shared, memory, state) -> scratch``, where a thought starts out from the last state.
        read: ``read(shared, scratch, place) -> field``, entry ``place`` of what ``step`` would return for the thought as it is.
        write: ``write(shared, scratch, place, value) -> scratch`` with that coefficient of the thought replaced.
    """

    begin: Callable[[Any, Any, Array], Any]
    read: Callable[[Any, Any, Array], Array]
    write: Callable[[Any, Any, Array, Array], Any]


class Decoder(NamedTuple):
    """Step of a chain. Two functions, ``start`` and ``step``, turn your own model into a decoder.

    Attributes:
        start: ``start(context, num_steps) -> (shared, memory)``. ``shared`` is computed once per context,
            serves every chain and never changes; ``memory`` is the initial memory of one chain (an empty tuple if none).
        step: ``step(shared, memory, state) -> (next state before noise, memory)`` for one state (d,).
        coefficients: a faster way to sample token by token than one ``step`` a coefficient, if there is one.
        prior: if ``step`` returns a field that must be sampled, not a state: the prior that its sampler must have.

    Example:
        Gradient descent with momentum, whose memory is the velocity.

        >>> from ttc_jax import TaskConfig, rollout, sample_task
        >>> def start(context, num_steps):
        ...     return context, jnp.zeros(context.inputs.shape[1])
        >>> def step(context, velocity, state):
        ...     gradient = context.inputs.T @ (context.targets - context.inputs @ state) / context.targets.size
        ...     velocity = 0.5 * velocity + 0.2 * gradient
        ...     return state + velocity, velocity
        >>> task = sample_task(jax.random.key(0), TaskConfig(dim=3, num_examples=8))
        >>> rollout(jax.random.key(1), task.context, Decoder(start, step), num_steps=5, decoding_noise_std=0.1).shape
        (6, 3)
    """

    start: Callable[[Context, int], tuple[Any, Any]]
    step: Callable[[Any, Any, Array], tuple[Array, Any]]
    coefficients: Coefficients | None = None
    prior: BinaryPrior | None = None


@_check.arguments
def full_attention(params: LinearAttentionParams) -> Decoder:
    """Append the state as a token, run the layer on the full token matrix, read the last column; O(l^2 e) a step.

    Appended states attend to one another unless the weights are those of ``preconditioned_step``: weights that were trained to
    read every state alone with its context belong into :func:`looped_attention`.
    """

    def start(context, num_steps):
        tokens = context_tokens(context)
        room = jnp.zeros((tokens.shape[0], num_steps), tokens.dtype)
        return context.targets.shape[0], (jnp.concatenate([tokens, room], axis=1), jnp.asarray(tokens.shape[1]))

    def step(num_examples, memory, state):
        tokens, place = memory
        tokens = jax.lax.dynamic_update_slice_in_dim(tokens, state_token(state)[:, None], place, axis=1)
        output = linear_attention.apply(params, tokens, num_examples)
        column = jax.lax.dynamic_index_in_dim(output, place, axis=1, keepdims=False)
        return read_state(column), (tokens, place + 1)

    return Decoder(start, step)


@_check.arguments
def cached_attention(params: LinearAttentionParams) -> Decoder:
    """Only the newest token attends, to cached keys and values of the context and of all earlier states; O(l e) a step.

    Any weights give the chain of :func:`full_attention`, whose caution about trained ones holds here too.
    """

    def start(context, num_steps):
        num_examples, dim = context.inputs.shape
        examples = linear_attention.cache_tokens(params, context_tokens(context))
        room = jnp.zeros((num_steps, token_size(dim)), examples.keys.dtype)
        return (examples, num_examples), (KeyValueCache(room, room), jnp.asarray(0))

    def step(shared, memory, state):
        examples, num_examples = shared
        thoughts, place = memory
        token = state_token(state)
        output = linear_attention.apply_cached(params, (examples, thoughts), token, num_examples)
        return read_state(output), (linear_attention.write(thoughts, params, token, place), place + 1)

    def begin(shared, memory, state):
        examples, _ = shared
        token = state_token(state)
        caches = (examples, memory[0])
        # The scores of the tokens read, and the query's own product with the key-query matrix.
        return token, tuple(cache.keys @ token for cache in caches), memory[0], params.key_query @ token

    def read(shared, scratch, place):
        examples, num_examples = shared
        token, scores, thoughts, product = scratch
        row = state_row(token, place)
        attended = scores[0] @ examples.values[:, row] + scores[1] @ thoughts.values[:, row]
        return token[row] + (attended + (params.value[row] @ token) * (token @ product)) / num_examples

    def write(shared, scratch, place, value):
        examples, _ = shared
        token, scores, thoughts, product = scratch
        row = state_row(token, place)
        change = value - token[row]
        scores = tuple(old + change * cache.keys[:, row] for old, cache in zip(scores, (examples, thoughts), strict=True))
        return token.at[row].set(value), scores, thoughts, product + change * params.key_query[:, row]

    return Decoder(start, step, Coefficients(begin, read, write))


@_check.arguments
def looped_attention(params: LinearAttentionParams, config: LinearAttentionConfig) -> Decoder:
    """Apply the layer ``num_loops`` times to the context and the state; the chain's earlier states are not read."""

    def step(context, memory, state):
        return linear_attention.next_states(params, config, context, state[None])[0], memory

    return Decoder(lambda context, num_steps: (context, ()), step)


@_check.arguments
def gpt(params: Any, config: GPTConfig, *, prior: BinaryPrior = SIGNS) -> Decoder:
    """The softmax transformer with cached keys and values; every state is appended as a token.

    With a binary head it gives the field of which ``BinarySampler(beta, prior)`` samples the model's own probabilities at
    beta = 1, and sharper or flatter ones at another inverse temperature.

    Args:
        params: weights.
        config: their shapes; a chain of T steps on n examples needs ``max_tokens`` of at least n + T.
        prior: of a binary head, the values of a coefficient and the probability that its logits are measured against.

    Raises:
        ValueError: from ``start``, if the chain would need more than ``max_tokens``.
    """
    _check.weights("params", params)

    def start(context, num_steps):
        num_examples = context.targets.shape[0]
        if num_examples + num_steps > config.max_tokens:
            raise ValueError(
                f"context and num_steps must have at most max_tokens = {config.max_tokens} tokens together, "
                f"got {num_examples} + {num_steps}"
            )
        examples = gpt_model.read_context(params, config, context)
        return examples, (gpt_model.no_thoughts(config, num_steps, examples[0].keys.dtype), jnp.asarray(0))

    def step(examples, memory, state):
        thoughts, place = memory
        emitted, thoughts = gpt_model.next_state(params, config, examples, thoughts, place, state)
        if config.head == "binary":
            half_gap, log_odds = (prior.high - prior.low) / 2, math.log(prior.prob_high / (1 - prior.prob_high))
            emitted = prior.low + half_gap + half_gap / 2 * (emitted - log_odds)
        return emitted, (thoughts, place + 1)

    return Decoder(start, step, prior=prior if config.head == "binary" else None)


@_check.arguments
def gram(step_size: ArrayLike) -> Decoder:
    """The gradient step from the context's Gram matrix G = X^T X / n alone: w + step_size (X^T y / n - G w); O(d^2) a step."""
    step_size = _check.scalar("step_size", step_size)

    def start(context, num_steps):
        del num_steps
        return gradient_map(context, step_size), ()

    def step(shared, memory, state):
        contraction, drift = shared
        return contraction @ state + drift, memory

    def read(shared, thought, place):
        contraction, drift = shared
        return contraction[place] @ thought + drift[place]

    coefficients = Coefficients(
        begin=lambda shared, memory, state: state,
        read=read,
        write=lambda shared, thought, place, value: thought.at[place].set(value),
    )
    return Decoder(start, step, coefficients)


@_check.arguments
def whole_steps(decoder: Decoder) -> Coefficients:
    """Return the coefficients of any decoder: one whole step per coefficient, which reads a single entry."""
    return Coefficients(
        begin=lambda shared, memory, state: (memory, state),
        read=lambda shared, scratch, place: decoder.step(shared, *scratch)[0][place],
        write=lambda shared, scratch, place, value: (scratch[0], scratch[1].at[place].set(value)),
    )


@_check.arguments
def gradient_map(context: Context, step_size: ArrayLike) -> tuple[Array, Array]:
    """The step as an affine map w -> contraction @ w + drift."""
    step_size = _check.scalar("step_size", step_size)
    num_examples, dim = context.inputs.shape
    rate = jnp.asarray(step_size, context.inputs.dtype) / num_examples
    gram_matrix = context.inputs.T @ context.inputs
    return jnp.eye(dim, dtype=gram_matrix.dtype) - rate * gram_matrix, rate * (context.inputs.T @ context.targets)


@_check.arguments
def preconditioned(preconditioner: Array) -> Decoder:
    """The gradient step with a matrix P (d, d) for a step size, from the examples themselves: w + P X^T (y - X w) / n; O(n d).

    It equals :func:`cached_attention` with ``linear_attention.preconditioned_step(P)`` as weights.
    """
    _check.shape("preconditioner", preconditioner, (None, None))
    _check.shape("preconditioner", preconditioner, (np.shape(preconditioner)[0],) * 2)

    def step(context, memory, state):
        residuals = context.targets - context.inputs @ state
        return state + preconditioner @ (context.inputs.T @ residuals) / residuals.size, memory

    return Decoder(lambda context, num_steps: (context, ()), step)
