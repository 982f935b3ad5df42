"""Chains of thought: noise injected at every step or binary coefficients sampled, and faster forms of the noisy chain.

    w_0 = initial state,   w_{t+1} = step(w_t) + decoding_noise_std * xi_t,   xi_t ~ N(0, I)

and with a :class:`ttc_jax.sampling.BinarySampler` w_{t+1} is a sample of that field, fed back as the next thought.

A :class:`Decoder` says what ``step`` is. Three decoders take the same gradient step and give the same chain for the same
key: :func:`full_attention` (the transformer reads the whole token matrix at every step; the reference),
:func:`cached_attention` (the same transformer with cached keys and values) and :func:`gram` (the d x d recursion).
:func:`collapsed_candidates` draws last states of that chain from their exact law, without walking it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ttc_jax import _check
from ttc_jax.models import linear_attention
from ttc_jax.models.linear_attention import KeyValueCache, LinearAttentionParams
from ttc_jax.normals import standard_normal
from ttc_jax.sampling import BinarySampler
from ttc_jax.tasks import Context
from ttc_jax.tokens import check_context, context_tokens, read_state, state_row, state_token, token_size


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
    """How a chain moves; a model of one's own becomes a decoder by giving these two functions.

    Attributes:
        start: ``start(context, num_steps) -> (shared, memory)``. What is computed once a context: ``shared`` serves every
            chain and never changes, ``memory`` is the initial memory of one chain (an empty tuple if there is none).
        step: ``step(shared, memory, state) -> (next state before noise, memory)`` for one state (d,).
        coefficients: a faster way to sample token by token than one ``step`` a coefficient, if there is one.

    Example:
        Gradient descent with momentum, whose memory is the velocity.

        >>> from ttc_jax.tasks import TaskConfig, sample_task
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


def full_attention(params: LinearAttentionParams) -> Decoder:
    """Append the state as a token, run the layer on the full token matrix, read the last column; O(l^2 e) a step."""

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


def cached_attention(params: LinearAttentionParams) -> Decoder:
    """Only the newest token attends, to cached keys and values of the context and of all earlier states; O(l e) a step."""

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


def gram(step_size: ArrayLike) -> Decoder:
    """The gradient step from the context's Gram matrix G = X^T X / n alone: w + step_size (X^T y / n - G w); O(d^2) a step."""
    _check.scalar("step_size", step_size)

    def start(context, num_steps):
        del num_steps
        return _gradient_map(context, step_size), ()

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


def rollout(
    key: Array,
    context: Context,
    decoder: Decoder,
    *,
    num_steps: int,
    decoding_noise_std: ArrayLike = 0.0,
    sampler: BinarySampler | None = None,
    initial_state: Array | None = None,
) -> Array:
    """One chain.

    Args:
        key: one typed key; the noise of step t is array number t of :func:`ttc_jax.normals.standard_normal`.
        context: inputs (n, d) and targets (n,).
        decoder: how the chain moves.
        num_steps: T >= 0, static.
        decoding_noise_std: tau >= 0, of the noise added to the decoder's output; may be traced.
        sampler: with one, the noisy output is a field from which the next thought is sampled; the key is then split in two,
            for the noise and for the samples.
        initial_state: w_0, shape (d,); the mean of the sampler's prior if None, zeros without one.

    Returns:
        States w_0 .. w_T, shape (T + 1, d); the last one is the candidate.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Example:
        >>> from ttc_jax.tasks import TaskConfig, sample_task
        >>> task = sample_task(jax.random.key(0), TaskConfig(dim=3, num_examples=8))
        >>> rollout(jax.random.key(1), task.context, gram(0.4), num_steps=5, decoding_noise_std=0.1).shape
        (6, 3)

        Binary thoughts, each sampled from the transformer's output on the one before.

        >>> rollout(jax.random.key(1), task.context, gram(0.4), num_steps=5, sampler=BinarySampler(2.0))[-1].tolist()
        [-1.0, -1.0, -1.0]
    """
    chain = num_steps, decoding_noise_std, sampler, initial_state
    start, walk = _walk(key, context, decoder, None, *chain, lambda state, step: state)
    return jnp.concatenate([start[None], walk])


def rollout_candidates(
    key: Array,
    context: Context,
    decoder: Decoder,
    *,
    num_candidates: int,
    num_steps: int,
    decoding_noise_std: ArrayLike = 0.0,
    sampler: BinarySampler | None = None,
    initial_state: Array | None = None,
    observe: Callable[[Array, Any], Any] = lambda states, step: states,
) -> Any:
    """Independent chains of one context, walked side by side and observed at every step.

    Only what ``observe`` returns is kept, so that a risk at every step of long chains costs no memory. The chains' noise comes
    from one key, array t of shape (N, d) for step t: N is part of what fixes the numbers, T is not.

    Args:
        key: one typed key.
        context: inputs (n, d) and targets (n,).
        decoder: how each chain moves.
        num_candidates: N >= 1, static.
        num_steps: T >= 0, static.
        decoding_noise_std: tau >= 0; may be traced.
        sampler: as in :func:`rollout`.
        initial_state: w_0 of every chain, shape (d,); as in :func:`rollout` if None.
        observe: ``observe(states, step)``, a function of the N states of one step, shape (N, d), and of the number of steps
            taken, 0..T, to any tree of arrays.

    Returns:
        The observations of steps 0..T, stacked along a new leading axis of length T + 1.

    Raises:
        ValueError: an argument has the wrong shape or range.
    """
    num_candidates = _check.integer("num_candidates", num_candidates, minimum=1)
    chain = num_steps, decoding_noise_std, sampler, initial_state
    start, walk = _walk(key, context, decoder, num_candidates, *chain, observe)
    first = observe(start, jnp.asarray(0))
    return jax.tree.map(lambda first, rest: jnp.concatenate([jnp.asarray(first)[None], rest]), first, walk)


def sample_candidates(
    key: Array,
    context: Context,
    decoder: Decoder,
    *,
    num_candidates: int,
    num_steps: int,
    decoding_noise_std: ArrayLike = 0.0,
    sampler: BinarySampler | None = None,
    initial_state: Array | None = None,
) -> Array:
    """The last states of :func:`rollout_candidates`, shape (N, d), with nothing else kept."""
    num_candidates = _check.integer("num_candidates", num_candidates, minimum=1)
    chain = num_steps, decoding_noise_std, sampler, initial_state
    return _walk(key, context, decoder, num_candidates, *chain, None)[0]


def collapsed_candidates(
    key: Array,
    context: Context,
    *,
    step_size: ArrayLike,
    num_candidates: int,
    num_steps: int,
    decoding_noise_std: ArrayLike,
    initial_state: Array | None = None,
) -> Array:
    """Last states of noisy gradient-descent chains, drawn in one go from their exact Gaussian law given the context.

    With A = I - eta X^T X / n:  w_T ~ N(A^T w_0 + eta sum_{s<T} A^s X^T y / n,  tau^2 sum_{s<T} A^{2s}), the powers and sums
    by repeated doubling, so that T steps cost O(d^3 log T) a context and O(d^2) a candidate.

    Args:
        key: one typed key.
        context: inputs (n, d) and targets (n,).
        step_size: eta, finite; may be traced.
        num_candidates: N >= 1, static.
        num_steps: T >= 0, static.
        decoding_noise_std: tau >= 0; may be traced.
        initial_state: w_0, shape (d,); zeros if None.

    Returns:
        Candidates, shape (N, d).

    Raises:
        ValueError: an argument has the wrong shape or range.
    """
    num_candidates = _check.integer("num_candidates", num_candidates, minimum=1)
    context, num_steps, noise_std, state = _check_chain(key, context, num_steps, decoding_noise_std, initial_state)
    _check.scalar("step_size", step_size)
    contraction, drift = _gradient_map(context, step_size)
    power, power_sum = _geometric_sum(contraction, num_steps)
    mean = power @ state + power_sum @ drift
    if num_steps == 0:
        return jnp.broadcast_to(mean, (num_candidates, mean.size))
    _, covariance = _geometric_sum(contraction @ contraction, num_steps)  # at least the identity: its s = 0 term
    noise = standard_normal(key, (num_candidates, mean.size), dtype=mean.dtype)
    return mean[None, :] + noise_std * noise @ jnp.linalg.cholesky(covariance).T


def _walk(key, context, decoder, num_candidates, num_steps, decoding_noise_std, sampler, initial_state, observe):
    """Walk one chain (num_candidates None) or several.

    Returns the first state(s) and the observations of steps 1..T, or, with ``observe`` None, the last state(s) and None.
    """
    if sampler is not None:
        _check.one_of("sampler", sampler, (BinarySampler,))
        check_context(context)
        if initial_state is None:
            initial_state = jnp.full(jnp.shape(context.inputs)[1:], sampler.prior.mean)
    context, num_steps, noise_std, state = _check_chain(key, context, num_steps, decoding_noise_std, initial_state)
    _check.one_of("decoder", decoder, (Decoder,))
    shared, memory = decoder.start(context, max(num_steps, 1))  # a loop of no steps is traced all the same
    noise_key, sample_key = (key, key) if sampler is None else jax.random.split(key)
    step = _thought(decoder, sampler)
    if num_candidates is not None:
        state = jnp.broadcast_to(state, (num_candidates, *state.shape))
        memory = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_candidates, *jnp.shape(leaf))), memory)
        step = jax.vmap(step, in_axes=(None, 0, 0, 0, 0))

    def advance(carry, index):
        state, memory = carry
        noise = noise_std * standard_normal(noise_key, state.shape, index=index, dtype=state.dtype)
        uniform = (
            None if sampler is None else jax.random.uniform(jax.random.fold_in(sample_key, index), state.shape, state.dtype)
        )
        state, memory = step(shared, memory, state, noise, uniform)
        return (state, memory), None if observe is None else observe(state, index + 1)

    (last, _), walk = jax.lax.scan(advance, (state, memory), jnp.arange(num_steps))
    return last if observe is None else state, walk


def _thought(decoder, sampler):
    """The next state of one chain, ``thought(shared, memory, state, noise, uniform) -> (state, memory)``."""
    step = _checked(decoder.step)

    def field(shared, memory, state, noise):
        moved, memory = step(shared, memory, state)
        _check.shape("state returned by decoder.step", moved, state.shape)
        return moved.astype(state.dtype) + noise, memory

    def noisy(shared, memory, state, noise, uniform):
        return field(shared, memory, state, noise)

    def sampled(shared, memory, state, noise, uniform):
        moved, memory = field(shared, memory, state, noise)
        return sampler.at(uniform, moved), memory

    def token_by_token(shared, memory, state, noise, uniform):
        begin, read, write = decoder.coefficients or _whole_steps(decoder)

        def emit(place, carry):
            scratch, thought = carry
            value = sampler.at(uniform[place], read(shared, scratch, place) + noise[place]).astype(thought.dtype)
            return write(shared, scratch, place, value), thought.at[place].set(value)

        _, thought = jax.lax.fori_loop(0, state.size, emit, (begin(shared, memory, state), state))
        return thought, step(shared, memory, state)[1]

    if sampler is None:
        return noisy
    return token_by_token if sampler.token_by_token else sampled


def _whole_steps(decoder: Decoder) -> Coefficients:
    """Coefficients of any decoder: a whole step for each, of which one entry is read."""
    return Coefficients(
        begin=lambda shared, memory, state: (memory, state),
        read=lambda shared, scratch, place: decoder.step(shared, *scratch)[0][place],
        write=lambda shared, scratch, place, value: (scratch[0], scratch[1].at[place].set(value)),
    )


def _checked(step):
    """``step`` with a word about what it must return."""

    def checked(shared, memory, state):
        result = step(shared, memory, state)
        if not isinstance(result, tuple) or len(result) != 2:
            raise ValueError(f"decoder.step must return a pair (state, memory), got {type(result).__name__}")
        return result

    return checked


def _check_chain(key, context, num_steps, decoding_noise_std, initial_state):
    """The arguments that all forms share, checked, with every array in one floating dtype."""
    _check.key(key)
    check_context(context)
    num_steps = _check.integer("num_steps", num_steps, minimum=0)
    _check.scalar("decoding_noise_std", decoding_noise_std, minimum=0.0)
    context = Context(*(jnp.asarray(part) for part in context))
    dtype = jnp.result_type(context.inputs, jnp.float32)
    context = Context(context.inputs.astype(dtype), context.targets.astype(dtype))
    dim = context.inputs.shape[1]
    if initial_state is None:
        state = jnp.zeros(dim, dtype)
    else:
        _check.shape("initial_state", initial_state, (dim,))
        _check.finite("initial_state", initial_state)
        state = jnp.asarray(initial_state, dtype)
    return context, num_steps, jnp.asarray(decoding_noise_std, dtype), state


def _gradient_map(context: Context, step_size: ArrayLike) -> tuple[Array, Array]:
    """The step as an affine map w -> contraction @ w + drift."""
    num_examples, dim = context.inputs.shape
    rate = jnp.asarray(step_size, context.inputs.dtype) / num_examples
    gram_matrix = context.inputs.T @ context.inputs
    return jnp.eye(dim, dtype=gram_matrix.dtype) - rate * gram_matrix, rate * (context.inputs.T @ context.targets)


def _geometric_sum(matrix: Array, count: int) -> tuple[Array, Array]:
    """``matrix**count`` and ``sum_{s<count} matrix**s``, reading the bits of the static count from the top."""
    identity = jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    power, total = identity, jnp.zeros_like(matrix)
    for bit in f"{count:b}":
        total = total + power @ total
        power = power @ power
        if bit == "1":
            total = identity + matrix @ total
            power = matrix @ power
    return power, total
