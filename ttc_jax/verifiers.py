"""Verifiers: a score of one candidate, smaller is better."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ttc_jax import _check
from ttc_jax.normals import standard_normal
from ttc_jax.risk import excess_risk
from ttc_jax.tasks import Context, Task, sample_context
from ttc_jax.tokens import check_context


@_check.arguments
def oracle(candidate: Array, task: Task) -> Array:
    """The excess risk itself, ``(w - w*)^T H (w - w*)`` of a candidate (d,), a scalar: what no real verifier knows.

    Raises:
        ValueError: the candidate's length is not the task's dimension.
    """
    _check.shape("candidate", candidate, task.coefficients.shape)
    return excess_risk(candidate, task)


@_check.arguments
def noisy_oracle(key: Array, candidate: Array, task: Task, *, noise_std: ArrayLike) -> Array:
    """The excess risk read with an error: ``(w - w*)^T H (w - w*) + noise_std * eps``, eps ~ N(0, 1).

    Args:
        key: one typed key, this candidate's own: candidates that share a key share their error.
        candidate: w, shape (d,).
        task: the task whose coefficients are w*.
        noise_std: standard deviation of the error, >= 0; may be traced.

    Returns:
        The score, a scalar; it may be negative.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Example:
        >>> import jax
        >>> from ttc_jax import TaskConfig, sample_task
        >>> task = sample_task(jax.random.key(0), TaskConfig(dim=3, num_examples=8))
        >>> keys = jax.random.split(jax.random.key(1), 5)
        >>> jax.vmap(lambda key, w: noisy_oracle(key, w, task, noise_std=0.1))(keys, jnp.zeros((5, 3))).shape
        (5,)
    """
    noise_std = _check.scalar("noise_std", noise_std, minimum=0.0)
    risk = oracle(candidate, task)
    return risk + jnp.asarray(noise_std, risk.dtype) * standard_normal(key, (), dtype=risk.dtype)


@_check.arguments
def context_loss(candidate: Array, context: Context) -> Array:
    """Mean squared error of a candidate (d,) on its own context: ``mean_j (y_j - x_j.w)^2``, a scalar.

    Raises:
        ValueError: the candidate's length is not the inputs' dimension, or the context is malformed or empty.
    """
    return _mean_squared_error("context", candidate, context)


@_check.arguments
def held_out_loss(candidate: Array, examples: Context) -> Array:
    """Mean squared error of a candidate (d,) on m examples that it has not seen, a scalar.

    Over fresh examples (:func:`sample_held_out`) its mean is the excess risk plus the variance of the label noise.

    Raises:
        ValueError: the candidate's length is not the inputs' dimension, or the examples are malformed or none.

    Example:
        >>> import jax
        >>> from ttc_jax import TaskConfig, sample_task
        >>> task = sample_task(jax.random.key(0), TaskConfig(dim=3, num_examples=8))
        >>> examples = sample_held_out(jax.random.key(1), task, 16)
        >>> jax.vmap(held_out_loss, in_axes=(0, None))(jnp.zeros((5, 3)), examples).shape
        (5,)
    """
    return _mean_squared_error("examples", candidate, examples)


@_check.arguments
def sample_held_out(key: Array, task: Task, num_examples: int) -> Context:
    """Draw ``num_examples`` >= 1 fresh examples of a task, with the task's own label noise: inputs (m, d), targets (m,).

    Raises:
        ValueError: num_examples is not a positive integer, or key is not a single typed key.
    """
    return sample_context(key, task.coefficients, task.eigenvalues, num_examples, label_noise_std=task.label_noise_std)


def _mean_squared_error(name: str, candidate: Array, examples: Context) -> Array:
    """``mean_j (y_j - x_j.w)^2`` over examples that the caller knows as ``name``."""
    check_context(examples, name)
    _check.shape("candidate", candidate, (examples.inputs.shape[1],))
    return jnp.mean((examples.targets - examples.inputs @ candidate) ** 2)
