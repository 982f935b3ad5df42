"""Verifiers: a score of one candidate, smaller is better."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ttc_jax import _check
from ttc_jax.tasks import Context
from ttc_jax.tokens import check_context


def context_loss(candidate: Array, context: Context) -> Array:
    """Mean squared error of a candidate (d,) on its own context: ``mean_j (y_j - x_j.w)^2``, a scalar.

    Raises:
        ValueError: the candidate's length is not the inputs' dimension.
    """
    check_context(context)
    _check.shape("candidate", candidate, (context.inputs.shape[1],))
    return jnp.mean((context.targets - context.inputs @ candidate) ** 2)
