r"""Binary coefficients sampled once, at the end of a noisy chain of thought: a closed form of one sample and of a vote.

A coefficient is b = +1 or -1 in units of half the gap h between the two values around their midpoint.
"""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from theory._arguments import Count, Real, check_below, checked
from theory._evaluate import evaluate
from theory._quadrature import normal_rule
from theory.answers.voting import majority
from theory.binary._sampler import SAMPLER_DOMAINS, Link, prob_of_high
from theory.chains.isotropic import bits_of, geometric_sum, nodes_of
from theory.chains.spectrum import spectral_rule


@checked(
    dim=Count(1),
    num_examples=Count(1),
    num_steps=Count(0),
    step_size=Real(),
    label_noise_std=Real(0.0),
    decoding_noise_std=Real(0.0),
    num_candidates=Count(1),
    **SAMPLER_DOMAINS,
)
def sampled_end_error(
    dim: ArrayLike,
    num_examples: ArrayLike,
    *,
    num_steps: ArrayLike,
    step_size: ArrayLike,
    label_noise_std: ArrayLike,
    decoding_noise_std: ArrayLike,
    inverse_temperature: ArrayLike,
    num_candidates: ArrayLike = 1,
    link: Link = "logistic",
    low: ArrayLike = -1.0,
    high: ArrayLike = 1.0,
    prob_high: ArrayLike = 0.5,
) -> np.ndarray | Array:
    r"""Bit error of the majority of N binary samples, each drawn at the end of a separate noisy chain of T steps.

    A chain starts at the prior's mean b_0 = 2 rho - 1 and is shared by the candidates up to its decoding noise. With A and Q of
    :mod:`theory.chains.isotropic`, <.> the Marchenko-Pastur average and a_k = <(1 - eta x)^{kT}>, a coefficient's field given b
    is

        u ~ N(b - a_1 (b - b_0),  (1 - b_0^2) (a_2 - a_1^2) + (sigma^2 / (h^2 n)) <x Q(x)^2>)

    for all candidates, and each adds N(0, (tau / h)^2 <sum_{s<T} (1 - eta x)^{2s}>). The vote errs with probability
    E_u P(Bin(N, p(u)) > N/2), ties counting one half, p(u) the probability that one sample is wrong. For large N that falls to
    the probability that the field is on the wrong side: votes cannot beat the context. Error O(1/d). All arguments but ``link``
    broadcast.

    Args:
        dim: d >= 1.
        num_examples: n >= 1.
        num_steps: T >= 0.
        step_size: eta, finite.
        label_noise_std: sigma >= 0.
        decoding_noise_std: tau >= 0.
        inverse_temperature: beta >= 0; infinite for the more probable value.
        num_candidates: N >= 1.
        link: how a field u becomes the probability of the high value: logistic, sigmoid(2 beta u + log(rho / (1 - rho))), or
            clipped_linear, clip(rho + beta (u - (2 rho - 1)) / 2, 0, 1).
        low: the smaller value of a coefficient.
        high: the larger one.
        prob_high: rho, strictly between 0 and 1.

    Raises:
        ValueError: an argument is out of range.

    Source: Gaussian fields of a rotationally invariant linear iteration.

    Example:
        >>> chain = dict(num_steps=8, step_size=0.4, label_noise_std=3.0, decoding_noise_std=0.3, inverse_temperature=2.0)
        >>> sampled_end_error(100, 200, **chain, num_candidates=np.array([1, 9, 99])).round(4).tolist()
        [0.1125, 0.0143, 0.0024]
    """
    low = check_below("low", low, "high", high, strictly=True)
    chain = num_steps, step_size, label_noise_std, decoding_noise_std
    return evaluate(
        _end_formula,
        *(dim, num_examples, *chain, inverse_temperature, num_candidates, low, high, prob_high),
        link=link,
        num_nodes=nodes_of(num_steps),
        num_bits=bits_of(num_steps),
    )


def _end_formula(dim, num_examples, steps, step, label_std, tau, beta, number, low, high, rho, *, link, num_nodes, num_bits):
    values = jnp.broadcast_arrays(dim, num_examples, steps, step, label_std, tau, beta, number, low, high, rho)
    return jnp.vectorize(functools.partial(_end_of_one, link=link, num_nodes=num_nodes, num_bits=num_bits))(*values)


def _end_of_one(dim, num_examples, steps, step, label_std, tau, beta, number, low, high, rho, *, link, num_nodes, num_bits):
    half_gap, start = (high - low) / 2, 2 * rho - 1
    rule = spectral_rule(dim, num_examples, num_nodes)
    ratio = 1 - step * rule.nodes
    power, power_sum = geometric_sum(ratio, steps, num_bits)
    _, square_sum = geometric_sum(ratio**2, steps, num_bits)

    def average(values):
        return jnp.sum(rule.leading * values)

    first, second = average(power), average(power**2)
    shared_var = (1 - start**2) * (second - first**2)
    shared_var += label_std**2 / (half_gap**2 * num_examples) * average(rule.nodes * (step * power_sum) ** 2)
    own_var = (tau / half_gap) ** 2 * average(square_sum)

    def error(truth):
        shared_std, own_std = (jnp.sqrt(jnp.maximum(variance, 1e-30)) for variance in (shared_var, own_var))
        mean = truth - first * (truth - start)
        centre, ends = _steepest(beta, rho, link)
        shared, shared_weights = normal_rule((centre - mean) / shared_std, (ends - mean) / shared_std)
        shared = mean + shared_std * shared
        own, own_weights = normal_rule((centre - shared) / own_std, (ends[:, None] - shared) / own_std)
        right = jnp.sum(own_weights * prob_of_high(shared[:, None] + own_std * own, beta, rho, link), axis=-1)
        wrong = jnp.where(truth > 0, 1 - right, right)
        return jnp.sum(shared_weights * majority(jnp.clip(wrong, 0.0, 1.0), number))

    return rho * error(1.0) + (1 - rho) * error(-1.0)


def _steepest(beta, rho, link):
    """The field at which votes turn, both values being equally probable, and two at which the probability may have a kink."""
    if link == "logistic":
        middle = jnp.where(beta > 0, (jnp.log1p(-rho) - jnp.log(rho)) / (2 * jnp.where(beta > 0, beta, 1.0)), 0.0)
        return middle, jnp.stack([middle, middle])
    mean, width = 2 * rho - 1, 2 / jnp.maximum(beta, 1e-3)
    return mean + (0.5 - rho) * width, jnp.stack([mean - rho * width, mean + (1 - rho) * width])
