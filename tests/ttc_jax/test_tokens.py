"""Columns of the token matrix: their blocks, and columns that are refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from ttc_jax import Context
from ttc_jax.tokens import context_tokens, read_state, state_token, token_size

DIM, EXAMPLES = 5, 9


def test_tokens_have_the_documented_blocks(context):
    tokens = np.asarray(context_tokens(context))
    assert tokens.shape == (token_size(DIM), EXAMPLES)
    np.testing.assert_array_equal(tokens[:DIM], np.asarray(context.inputs).T)
    np.testing.assert_array_equal(tokens[DIM], context.targets)
    assert not tokens[DIM + 1 :].any()
    token = np.asarray(state_token(jnp.arange(1.0, DIM + 1)))
    np.testing.assert_array_equal(token, [0] * (DIM + 1) + [1, 2, 3, 4, 5] + [1])
    np.testing.assert_array_equal(read_state(jnp.asarray(token)), np.arange(1.0, DIM + 1))


BAD = [
    (lambda: context_tokens(Context(jnp.ones((4, 3)), jnp.ones(5))), "targets"),
    (lambda: context_tokens(Context(jnp.ones(4), jnp.ones(4))), "inputs"),
    (lambda: context_tokens(Context(jnp.full((4, 3), np.nan), jnp.ones(4))), "inputs"),
    (lambda: state_token(jnp.ones((2, 2))), "state"),
]


@pytest.mark.parametrize(("call", "name"), BAD)
def test_bad_input_is_named(call, name):
    assert_named(call, name, "")
