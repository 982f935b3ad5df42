"""What is measured on an estimate."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ttc_jax import _check
from ttc_jax.tasks import Task


def excess_risk(estimate: Array, task: Task) -> Array:
    """Excess risk ``(w - w*)^T H (w - w*)`` of an estimate (d,) over the risk of the true coefficients, a scalar.

    Raises:
        ValueError: the estimate's length is not the task's dimension.
    """
    _check.shape("estimate", estimate, task.coefficients.shape)
    return jnp.sum(task.eigenvalues * (estimate - task.coefficients) ** 2)
