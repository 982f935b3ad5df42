"""Chains of thought: noise injected at every step or binary coefficients sampled, one chain or many side by side.

    w_0 = initial state,   w_{t+1} = step(w_t) + decoding_noise_std * xi_t,   xi_t ~ N(0, I)

and with a :class:`ttc_jax.sampling.BinarySampler` w_{t+1} is a sample of that field, fed back as the next thought. What
``step`` is, a decoder says (:mod:`ttc_jax.decoders`). :func:`collapsed_candidates` draws last states of noisy gradient-descent
chains from their exact law, without walking them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ttc_jax import _check
from ttc_jax.decoders import Decoder, gradient_map, whole_steps
from ttc_jax.normals import standard_normal
from ttc_jax.sampling import BinarySampler
from ttc_jax.tasks import Context
from ttc_jax.tokens import check_context


@_check.arguments
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
        >>> from ttc_jax import TaskConfig, sample_task
        >>> from ttc_jax.decoders import gram
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


@_check.arguments
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


@_check.arguments
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


@_check.arguments
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
    """Draw the last states of noisy gradient-descent chains at once, from their exact Gaussian law given the context.

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
    step_size = _check.scalar("step_size", step_size)
    contraction, drift = gradient_map(context, step_size)
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
    if decoder.prior is not None and (sampler is None or sampler.prior != decoder.prior):
        found = None if sampler is None else sampler.prior
        raise ValueError(f"sampler must be a BinarySampler of the decoder's prior, {decoder.prior}, got that of {found}")
    shared, memory = decoder.start(context, max(num_steps, 1))  # a loop of no steps is traced all the same
    is_quiet = not isinstance(decoding_noise_std, jax.core.Tracer) and not np.any(decoding_noise_std)
    noise_key, sample_key = (key, key) if sampler is None else jax.random.split(key)
    step = _thought(decoder, sampler)
    if num_candidates is not None:
        state = jnp.broadcast_to(state, (num_candidates, *state.shape))
        memory = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_candidates, *jnp.shape(leaf))), memory)
        step = jax.vmap(step, in_axes=(None, 0, 0, 0, 0))

    def advance(carry, index):
        state, memory = carry
        # Noise that is known to be none is not drawn.
        noise = None if is_quiet else noise_std * standard_normal(noise_key, state.shape, index=index, dtype=state.dtype)
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
        return _plus(moved.astype(state.dtype), noise), memory

    def noisy(shared, memory, state, noise, uniform):
        return field(shared, memory, state, noise)

    def sampled(shared, memory, state, noise, uniform):
        moved, memory = field(shared, memory, state, noise)
        return sampler.at(uniform, moved), memory

    def token_by_token(shared, memory, state, noise, uniform):
        begin, read, write = decoder.coefficients or whole_steps(decoder)

        def emit(place, carry):
            scratch, thought = carry
            noise_here = None if noise is None else noise[place]
            value = sampler.at(uniform[place], _plus(read(shared, scratch, place), noise_here)).astype(thought.dtype)
            return write(shared, scratch, place, value), thought.at[place].set(value)

        _, thought = jax.lax.fori_loop(0, state.size, emit, (begin(shared, memory, state), state))
        return thought, step(shared, memory, state)[1]

    if sampler is None:
        return noisy
    return token_by_token if sampler.token_by_token else sampled


def _plus(field: Array, noise: Array | None) -> Array:
    return field if noise is None else field + noise


def _checked(step):
    """Return ``step`` with a check of what it returns."""

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
    decoding_noise_std = _check.scalar("decoding_noise_std", decoding_noise_std, minimum=0.0)
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
