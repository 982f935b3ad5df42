"""Errors of an estimate."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from ttc_jax import _check
from ttc_jax.tasks import SIGNS, BinaryPrior, Task


@_check.arguments
def excess_risk(estimate: Array, task: Task) -> Array:
    """Excess risk ``(w - w*)^T H (w - w*)`` of an estimate (d,) over the risk of the true coefficients, a scalar.

    Raises:
        ValueError: the estimate's length is not the task's dimension.
    """
    _check.shape("estimate", estimate, task.coefficients.shape)
    return jnp.sum(task.eigenvalues * (estimate - task.coefficients) ** 2)


@_check.arguments
def bit_error(estimate: Array, task: Task, *, prior: BinaryPrior = SIGNS) -> Array:
    """Share of the coefficients whose nearer value is not the task's, a scalar; one exactly between counts one half.

    Args:
        estimate: shape (d,); with a NaN in it the error is NaN.
        task: a task with binary coefficients; traced ones that are not of the prior give NaN.
        prior: has the two values of a coefficient.

    Raises:
        ValueError: the estimate's length is not the task's dimension, or a coefficient is not a value of the prior.

    Example:
        >>> import jax
        >>> from ttc_jax import BinaryPrior, TaskConfig, sample_task
        >>> task = sample_task(jax.random.key(0), TaskConfig(dim=4, num_examples=8, prior=BinaryPrior()))
        >>> float(bit_error(-0.3 * task.coefficients, task))
        1.0
    """
    side = _sides(estimate, task, prior)
    return jnp.mean((1 - side) / 2)


@_check.arguments
def exact_recovery(estimate: Array, task: Task, *, prior: BinaryPrior = SIGNS) -> Array:
    """One if the nearer value of every coefficient is the task's, else zero, a scalar; arguments as in :func:`bit_error`.

    Raises:
        ValueError: the estimate's length is not the task's dimension.
    """
    side = _sides(estimate, task, prior)
    return jnp.where(jnp.isnan(side).any(), jnp.nan, jnp.all(side > 0).astype(side.dtype))


def _sides(estimate: Array, task: Task, prior: BinaryPrior) -> Array:
    """+1 where the estimate is on the side of the truth, -1 where it is not, 0 between."""
    _check.shape("estimate", estimate, task.coefficients.shape)
    middle, half_gap = (prior.low + prior.high) / 2, (prior.high - prior.low) / 2
    places = (task.coefficients - middle) / half_gap
    is_value = jnp.abs(jnp.abs(places) - 1) < _ROUNDING
    if not isinstance(is_value, jax.core.Tracer) and not is_value.all():
        wrong = float(task.coefficients[jnp.argmin(is_value)])
        raise ValueError(f"task must have coefficients of the prior, {prior.low:g} and {prior.high:g}, got {wrong:g}")
    return jnp.where(is_value, jnp.sign(estimate - middle) * jnp.sign(places), jnp.nan)


_ROUNDING = 1e-3  # of a coefficient of half precision, in half-gaps
