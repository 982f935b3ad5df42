r"""How a field becomes a binary sample, and the checks of the arguments that chains of such samples share.

In units of half the gap between the two values around their midpoint, a field u becomes b = +1 or -1 by

    logistic           P(+1) = 1 / (1 + exp(-2 beta u - log(rho / (1 - rho))))     the posterior, for a field of variance 1/beta
    clipped_linear     P(+1) = clip(rho + beta (u - (2 rho - 1)) / 2, 0, 1)        a sample with mean u, for beta = 1

so that beta = 0 samples the prior, and beta = infinity rounds the field at zero or at the prior's mean. A field within 1e-9 of
that place is a tie, which samples the prior: rounding would decide it otherwise.
"""

from __future__ import annotations

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import Array

from theory._arguments import Domain, OneOf, Real

Link = Literal["logistic", "clipped_linear"]


SAMPLER_DOMAINS: dict[str, Domain] = {
    "inverse_temperature": Real(0.0, infinite=True),
    "link": OneOf(get_args(Link)),
    "low": Real(),
    "high": Real(),
    "prob_high": Real(0.0, 1.0, open_ends=True),
}


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
    is_tie = jnp.abs(field - centre) < _TIE
    rounded = jnp.where(is_tie, rho, (field > centre).astype(field.dtype))
    return jnp.where(is_greedy, rounded, soft)


_TIE = 1e-9  # in units of half the gap
