"""Excess risk of least squares, the limit of a noiseless chain of infinitely many steps; exact at every size."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from theory._arguments import Count, Real, checked, default_signal_var
from theory._evaluate import evaluate


@checked(dim=Count(1), num_examples=Count(1), label_noise_std=Real(0.0), signal_var=Real(0.0))
def least_squares_risk(
    dim: ArrayLike, num_examples: ArrayLike, *, label_noise_std: ArrayLike, signal_var: ArrayLike | None = None
) -> np.ndarray | Array:
    r"""Excess risk of ordinary least squares (d <= n) and of the least-squares solution of minimum norm (d > n).

        E R = max(d - n, 0) psi + sigma^2 min(d, n) / (|n - d| - 1)

    Inputs are standard normal (H = I). The first term is the signal in the directions that no example shows. The label-noise
    term is infinite for |n - d| <= 1, unless the labels are exact. Arguments broadcast.

    Args:
        dim: d >= 1.
        num_examples: n >= 1.
        label_noise_std: sigma >= 0.
        signal_var: psi >= 0, the variance of each coefficient; 1/d if None.

    Returns:
        Excess risk, infinite near d = n.

    Raises:
        ValueError: an argument is out of range.

    Source: mean of the inverse Wishart law; Belkin, Hsu and Xu, SIAM J. Math. Data Sci. 2 (2020), for the minimum norm.

    Example:
        >>> least_squares_risk(20, np.array([10, 20, 40]), label_noise_std=0.5).round(4).tolist()
        [0.7778, inf, 0.2632]
    """
    signal_var = default_signal_var(dim) if signal_var is None else signal_var
    return evaluate(_formula, dim, num_examples, label_noise_std, signal_var)


def _formula(dim, num_examples, label_noise_std, signal_var):
    gap = jnp.abs(num_examples - dim) - 1
    finite = jnp.minimum(dim, num_examples) / jnp.where(gap > 0, gap, 1.0)
    noise = label_noise_std**2 * jnp.where(gap > 0, finite, jnp.inf)
    noise = jnp.where(label_noise_std == 0, 0.0, noise)
    return jnp.maximum(dim - num_examples, 0.0) * signal_var + noise
