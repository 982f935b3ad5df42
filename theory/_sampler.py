r"""How a field becomes a binary sample, and the checks of the arguments that chains of such samples share.

In units of half the gap between the two values around their midpoint, a field u becomes b = +1 or -1 by

    logistic           P(+1) = 1 / (1 + exp(-2 beta u - log(rho / (1 - rho))))     the posterior, for a field of variance 1/beta
    clipped_linear     P(+1) = clip(rho + beta (u - (2 rho - 1)) / 2, 0, 1)        a sample with mean u, for beta = 1

so that beta = 0 samples the prior, and beta = infinity rounds the field at zero or at the prior's mean.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from theory._evaluate import check_broadcast, check_count, check_real, check_values

Link = Literal["logistic", "clipped_linear"]


def check_sampler(dim: ArrayLike, num_examples: ArrayLike, link: str, scalars: dict[str, Any]) -> None:
    """ValueError unless the arguments that all binary chains share are in range."""
    check_count("dim", dim, minimum=1)
    check_count("num_examples", num_examples, minimum=1)
    if link not in get_args(Link):
        raise ValueError(f"link must be one of {', '.join(get_args(Link))}, got {link!r}")
    check_real("step_size", scalars["step_size"])
    check_real("label_noise_std", scalars["label_noise_std"], minimum=0.0)
    beta = scalars["inverse_temperature"]
    if not isinstance(beta, jax.core.Tracer):
        check_real("inverse_temperature", np.where(np.isposinf(beta), 0.0, beta), minimum=0.0)
    check_values(scalars["low"], scalars["high"])
    check_real("prob_high", scalars["prob_high"], minimum=0.0, maximum=1.0, open_ends=True)
    check_broadcast(dim=dim, num_examples=num_examples, **scalars)


def prob_of_high(field: Array, beta: Array, rho: Array, link: str) -> Array:
    """Probability of the larger value, given the field in units of half the gap."""
    is_greedy = jnp.isinf(beta)
    finite = jnp.where(is_greedy, 1.0, beta)
    if link == "logistic":
        centre = jnp.zeros_like(rho)
        soft = jax.nn.sigmoid(2 * finite * field + jnp.log(rho) - jnp.log1p(-rho))
    else:
        centre = 2 * rho - 1
        soft = jnp.clip(rho + finite * (field - centre) / 2, 0.0, 1.0)
    rounded = jnp.where(field == centre, rho, (field > centre).astype(field.dtype))
    return jnp.where(is_greedy, rounded, soft)
