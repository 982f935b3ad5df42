"""How a field becomes a thought of binary coefficients: a probability for every coefficient, and a sample of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ttc_jax import _check
from ttc_jax.tasks import BinaryPrior

Link = Literal["logistic", "clipped_linear"]


@dataclass(frozen=True)
class BinarySampler:
    """Turns a field u, the transformer's output, into coefficients of two values around a midpoint m with half-gap h.

        logistic          P(high) = 1 / (1 + exp(-2 beta (u - m) / h - log(rho / (1 - rho))))
        clipped_linear    P(high) = clip(rho + beta (u - mean) / (2 h), 0, 1)

    with rho the prior's probability of the high value and ``mean`` the prior's mean. The first is the posterior of a field that
    is the truth plus Gaussian noise of variance h^2 / beta; its threshold is m - h log(rho / (1 - rho)) / (2 beta). The second,
    at beta = 1, has the field as its mean. At beta = 0 both sample the prior; at beta = infinity (greedy decoding) the first
    rounds at m, the second at the prior's mean, and a field exactly there is sampled from the prior.

    Attributes:
        inverse_temperature: beta >= 0, may be infinite; may be traced.
        prior: the two values and the probability of the high one.
        link: which of the two.
        token_by_token: whether the coefficients of a thought are sampled one after another, the field of each recomputed with
            those already sampled in place, as a language model emits tokens; otherwise all are sampled from one field.

    Raises:
        ValueError: an attribute is out of range.

    Example:
        >>> [round(float(chance), 3) for chance in BinarySampler(2.0).probability(jnp.array([-1.0, 0.0, 1.0]))]
        [0.018, 0.5, 0.982]
    """

    inverse_temperature: ArrayLike = float("inf")
    prior: BinaryPrior = field(default_factory=BinaryPrior)
    link: Link = "logistic"
    token_by_token: bool = False

    def __post_init__(self):
        beta = _check.scalar("inverse_temperature", self.inverse_temperature, minimum=0.0, infinite=True)
        object.__setattr__(self, "inverse_temperature", beta)
        _check.one_of("prior", self.prior, (BinaryPrior,))
        _check.choice("link", self.link, get_args(Link))
        _check.flag("token_by_token", self.token_by_token)

    def probability(self, field: Array) -> Array:
        """Probability of the high value, elementwise in the field."""
        prior = self.prior
        dtype = jnp.result_type(field, float)
        field, beta = jnp.asarray(field, dtype), jnp.asarray(self.inverse_temperature, dtype)
        is_greedy = jnp.isinf(beta)
        finite = jnp.where(is_greedy, 1.0, beta)
        if self.link == "logistic":
            threshold = (prior.high + prior.low) / 2
            log_odds = jnp.log(prior.prob_high / (1 - prior.prob_high))
            soft = jax.nn.sigmoid(4 * finite * (field - threshold) / (prior.high - prior.low) + log_odds)
        else:
            threshold = prior.mean
            soft = jnp.clip(prior.prob_high + finite * (field - threshold) / (prior.high - prior.low), 0.0, 1.0)
        rounded = jnp.where(field == threshold, prior.prob_high, (field > threshold).astype(dtype))
        return jnp.where(jnp.isnan(field), jnp.nan, jnp.where(is_greedy, rounded, soft))

    def sample(self, key: Array, field: Array) -> Array:
        """One sample of every coefficient, independent given the field; NaN where the field is NaN.

        Args:
            key: one typed key.
            field: u, any shape.
        """
        _check.key(key)
        return self.at(jax.random.uniform(key, jnp.shape(field), jnp.result_type(field, float)), field)

    def at(self, uniform: Array, field: Array) -> Array:
        """The sample that uniform variables in [0, 1) choose."""
        chance = self.probability(field)
        chosen = jnp.where(uniform < chance, self.prior.high, self.prior.low).astype(chance.dtype)
        return jnp.where(jnp.isnan(chance), jnp.nan, chosen)

    def log_probability(self, field: Array, thought: Array) -> Array:
        """Log-probability of a thought (d,) whose coefficients were sampled from the field (d,), a scalar; NaN if either is."""
        _check.shape("thought", thought, jnp.shape(field))
        chance = self.probability(field)
        chosen = jnp.where(thought > (self.prior.high + self.prior.low) / 2, chance, 1 - chance)
        possible = chosen > 0
        each = jnp.where(possible, jnp.log(jnp.where(possible, chosen, 1.0)), -jnp.inf)
        return jnp.sum(jnp.where(jnp.isnan(thought) | jnp.isnan(chance), jnp.nan, each))
