"""Training: linear attention fitted to contexts whose coefficients are known.

The layer's estimate from a context is P X^T y / n, and what it needs to see of one is therefore X^T y / n alone.
"""

from __future__ import annotations

import jax
import numpy as np
from jax import Array

from ttc_jax import _check
from ttc_jax.tasks import Context
from ttc_jax.tokens import check_context


def correlation(context: Context) -> Array:
    """What a linear layer sees of a context, ``X^T y / n`` (d,): minus the gradient of half its mean squared error at zero.

    Raises:
        ValueError: inputs are not (n, d) or targets not (n,).
    """
    check_context(context)
    return context.inputs.T @ context.targets / context.targets.size


def fit_preconditioner(correlations: Array, coefficients: Array) -> Array:
    """The matrix P of least squared error of ``P X^T y / n`` over contexts of known coefficients.

    ``ttc_jax.models.linear_attention.preconditioned_step(P)`` are the weights of the layer that takes this step.

    Args:
        correlations: X^T y / n of every context, shape (b, d), b >= d.
        coefficients: of every context, shape (b, d).

    Returns:
        P, shape (d, d).

    Raises:
        ValueError: an argument has the wrong shape, or there are fewer contexts than coefficients.

    Example:
        >>> from ttc_jax import TaskConfig, sample_task
        >>> config = TaskConfig(dim=3, num_examples=50)
        >>> tasks = jax.vmap(lambda key: sample_task(key, config))(jax.random.split(jax.random.key(0), 4000))
        >>> matrix = fit_preconditioner(jax.vmap(correlation)(tasks.context), tasks.coefficients)
        >>> [round(float(entry), 1) for entry in matrix.diagonal()]  # n / (n + d + 1)
        [0.9, 0.9, 0.9]
    """
    _check.shape("correlations", correlations, (None, None))
    _check.shape("coefficients", coefficients, np.shape(correlations))
    count, dim = np.shape(correlations)
    if count < dim:
        raise ValueError(f"correlations must be of at least d = {dim} contexts, got {count}")
    gram = correlations.T @ correlations
    return jax.scipy.linalg.solve(gram, correlations.T @ coefficients, assume_a="pos").T
