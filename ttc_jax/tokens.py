"""The context and the states of a chain as columns of a token matrix.

A token has 2 d + 2 rows, in four blocks: inputs (d), target (1), state (d), flag (1). Example j is the column
``(x_j, y_j, 0, 0)`` and a state w is the column ``(0, 0, w, 1)``. A column of zeros is an empty place: it changes nothing.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from ttc_jax import _check
from ttc_jax.tasks import Context


@_check.arguments
def token_size(dim: int) -> int:
    """Number of rows e = 2 d + 2 of a token."""
    return 2 * dim + 2


@_check.arguments
def blocks(dim: int) -> tuple[slice, int, slice, int]:
    """The rows of a token that hold the inputs, the target, the state and the flag."""
    return slice(0, dim), dim, slice(dim + 1, 2 * dim + 1), 2 * dim + 1


@_check.arguments
def context_tokens(context: Context) -> Array:
    """Token matrix (e, n) of a context.

    Raises:
        ValueError: inputs are not (n, d) or targets not (n,).

    Example:
        >>> context_tokens(Context(jnp.ones((5, 3)), jnp.zeros(5))).shape
        (8, 5)
    """
    check_context(context)
    num_examples, dim = context.inputs.shape
    inputs, target, _, _ = blocks(dim)
    tokens = jnp.zeros((token_size(dim), num_examples), context.inputs.dtype)
    return tokens.at[inputs].set(context.inputs.T).at[target].set(context.targets)


@_check.arguments
def state_token(state: Array) -> Array:
    """Token (e,) of a state (d,)."""
    _check.shape("state", state, (None,))
    (dim,) = state.shape
    _, _, rows, flag = blocks(dim)
    return jnp.zeros(token_size(dim), state.dtype).at[rows].set(state).at[flag].set(1.0)


@_check.arguments
def read_state(token: Array) -> Array:
    """The state (d,) held by a token (e,)."""
    _, _, rows, _ = blocks((token.shape[0] - 2) // 2)
    return token[rows]


@_check.arguments
def state_row(token: Array, place: Array) -> Array:
    """The row of a token (e,) that holds coefficient number ``place`` of its state."""
    _, _, rows, _ = blocks((token.shape[0] - 2) // 2)
    return rows.start + place


def check_context(context: Context, name: str = "context") -> None:
    """ValueError unless this is a Context whose inputs are (n, d), n >= 1, targets (n,), and both, where concrete, finite."""
    _check.one_of(name, context, (Context,))
    _check.shape("inputs", context.inputs, (None, None))
    if np.shape(context.inputs)[0] == 0:
        raise ValueError(f"{name} must hold at least one example, got 0")
    _check.shape("targets", context.targets, np.shape(context.inputs)[:1])
    _check.finite("inputs", context.inputs)
    _check.finite("targets", context.targets)
