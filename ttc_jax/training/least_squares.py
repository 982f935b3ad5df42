"""Training: linear attention fitted to contexts by least squares, to their coefficients or to the label of one query each.

The layer's estimate from a context is P X^T y / n, and what it needs to see of one is therefore X^T y / n alone.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ttc_jax import _check
from ttc_jax.normals import standard_normal
from ttc_jax.tasks import Context
from ttc_jax.tokens import check_context


@_check.arguments
def correlation(context: Context) -> Array:
    """Statistic of a context that a linear layer reads, ``X^T y / n`` (d,): minus the gradient of half its mean squared error
    at zero.

    Raises:
        ValueError: inputs are not (n, d) or targets not (n,).
    """
    check_context(context)
    return context.inputs.T @ context.targets / context.targets.size


@_check.arguments
def sample_correlation(key: Array, coefficients: Array, num_examples: int, *, label_noise_std: ArrayLike = 0.0) -> Array:
    """Draw ``X^T y / n`` of a context of isotropic inputs from its exact law, without the context: 2 n + d numbers, not n d.

    With u the direction of w*, the targets y = |w*| g + label_noise_std * eps depend on the inputs through g = X u alone, so

        X^T y / n = (g.y / n) u + (|y| / n) (1 - u u^T) z,      g, eps ~ N(0, I_n),  z ~ N(0, I_d).

    Args:
        key: one typed key.
        coefficients: w*, shape (d,).
        num_examples: n, at least 1.
        label_noise_std: standard deviation of the label noise, >= 0; may be traced.

    Returns:
        Shape (d,).

    Raises:
        ValueError: a shape or a range is wrong.

    Example:
        >>> seen = sample_correlation(jax.random.key(0), jnp.array([1.0, 0.0, -1.0]), 100_000)
        >>> [round(abs(float(entry)), 1) for entry in seen]  # w* itself, in so long a context
        [1.0, 0.0, 1.0]
    """
    num_examples = _check.integer("num_examples", num_examples, minimum=1)
    _check.shape("coefficients", coefficients, (None,))
    label_noise_std = _check.scalar("label_noise_std", label_noise_std, minimum=0.0)
    coefficients = jnp.asarray(coefficients)
    coefficients = coefficients.astype(jnp.result_type(coefficients, float))
    draws = standard_normal(key, (2 * num_examples + coefficients.size,), dtype=coefficients.dtype)
    along, noise, across = jnp.split(draws, [num_examples, 2 * num_examples])
    length = jnp.linalg.norm(coefficients)
    direction = coefficients / jnp.where(length > 0, length, 1)  # of no coefficients at all, none
    targets = length * along + jnp.asarray(label_noise_std, draws.dtype) * noise
    across = across - direction * (direction @ across)
    return (direction * (along @ targets) + across * jnp.linalg.norm(targets)) / num_examples


@_check.arguments
def fit_preconditioner(correlations: Array, coefficients: Array) -> Array:
    """The matrix P of least squared error of ``P X^T y / n`` over contexts of known coefficients.

    ``ttc_jax.models.linear_attention.preconditioned_step(P)`` are the weights of the layer that takes this step.

    Args:
        correlations: X^T y / n of every context, shape (b, d), b >= d.
        coefficients: of every context, shape (b, d).

    Returns:
        P, shape (d, d); NaN if the correlations do not span all d directions.

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
    gram = _product(correlations.T, correlations)
    return jax.scipy.linalg.solve(gram, _product(correlations.T, coefficients), assume_a="pos").T


@_check.arguments
def fit_from_labels(queries: Array, correlations: Array, labels: Array, *, tolerance: float = 1e-4) -> Array:
    """The matrix P of least squared error of the labels that it predicts at one query a context, ``x . P X^T y / n``.

    With fewer contexts than the d^2 weights, P has the least norm among those that fit. The prediction is linear in P, with
    features x (X^T y / n)^T. Conjugate gradients for least squares (CGLS) from zero never leave the features' span, and keep
    b d numbers where the features are b d^2. A step is O(b d^2); the nearer b is to d^2 the more it takes, at most 10 d^2.

    Args:
        queries: x of every context, shape (b, d).
        correlations: X^T y / n, shape (b, d).
        labels: at the queries, shape (b,).
        tolerance: of the gradient's norm, relative to that at P = 0, strictly between 0 and 1.

    Returns:
        P, shape (d, d); NaN where a number is not finite.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: Björck, "Numerical Methods for Least Squares Problems" (1996), chapter 7.

    Example:
        >>> draw = lambda seed, *shape: jax.random.normal(jax.random.key(seed), shape)
        >>> queries, seen, weights = draw(0, 40, 3), draw(1, 40, 3), draw(2, 3, 3)
        >>> labels = jnp.sum((queries @ weights) * seen, axis=1)
        >>> bool(jnp.allclose(fit_from_labels(queries, seen, labels), weights, atol=1e-3))
        True
    """
    _check.shape("queries", queries, (None, None))
    count, dim = np.shape(queries)
    _check.shape("correlations", correlations, (count, dim))
    _check.shape("labels", labels, (count,))
    tolerance = _check.scalar("tolerance", tolerance, minimum=0.0, maximum=1.0, open_ends=True)
    given = jnp.asarray(queries), jnp.asarray(correlations), jnp.asarray(labels)
    queries, correlations, labels = (array.astype(jnp.result_type(*given, float)) for array in given)

    def predict(weights):
        return jnp.sum(_product(queries, weights) * correlations, axis=1)

    def transposed(residuals):
        return _product(queries.T, residuals[:, None] * correlations)

    def unfinished(carry):
        *_, squared, steps = carry
        return (squared > tolerance**2 * first) & (steps < 10 * dim**2)

    def improve(carry):
        weights, residuals, direction, squared, steps = carry
        change = predict(direction)
        rate = squared / jnp.sum(change**2)
        residuals = residuals - rate * change
        gradient = transposed(residuals)
        following = jnp.sum(gradient**2)
        return weights + rate * direction, residuals, gradient + following / squared * direction, following, steps + 1

    direction = transposed(labels)
    first = jnp.sum(direction**2)
    weights = jax.lax.while_loop(unfinished, improve, (jnp.zeros_like(direction), labels, direction, first, 0))[0]
    return jnp.where(jnp.isfinite(first * tolerance), weights, jnp.nan)


def _product(left: Array, right: Array) -> Array:
    """At full precision on devices whose default is less: an ill-conditioned fit magnifies what is lost."""
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
