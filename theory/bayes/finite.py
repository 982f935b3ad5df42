r"""The limits of every decoder at finite size: exact given the context, averaged over drawn contexts of standard normal inputs.

Given a context, the least risk of Gaussian coefficients is the trace of their posterior covariance, and the posterior of binary
ones is enumerated.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import xlogy
from numpy.typing import ArrayLike

from theory._arguments import Real, Size, Sizes, check_below, checked
from theory._evaluate import evaluate
from theory.answers.voting import majority
from theory.bayes.limits import LARGEST_ENUMERATION, enumerate_posterior
from theory.results import Estimate

_BATCH = 64  # contexts evaluated together; bounds the memory


class BinaryBayesEstimate(NamedTuple):
    """Limits for binary coefficients, averaged over contexts.

    Attributes:
        bit_error: least share of wrong coefficients.
        vote_error: the same of a majority vote of N samples of the posterior, coefficient by coefficient, one entry a number.
        cross_entropy: least mean of -log P(coefficient), in nats: the entropy of a coefficient given the context.
        excess_risk: of the posterior mean, summed over the d coefficients.
    """

    bit_error: Estimate
    vote_error: Estimate
    cross_entropy: Estimate
    excess_risk: Estimate


@checked(
    dim=Size(),
    num_examples=Size(),
    label_noise_std=Real(0.0, open_ends=True),
    signal_var=Real(0.0, open_ends=True),
    num_contexts=Size(8),
    seed=Size(0),
)
def expected_ridge_risk(
    dim: int,
    num_examples: int,
    *,
    label_noise_std: ArrayLike,
    signal_var: ArrayLike | None = None,
    num_contexts: int = 16_384,
    seed: int = 0,
) -> Estimate:
    r"""Least excess risk of any estimate of Gaussian coefficients w* ~ N(0, psi I), at any size: that of ridge regression.

        E R = E tr (X^T X / sigma^2 + I / psi)^{-1}

    :func:`theory.gaussian_bayes_risk` is its expansion in large dimension, which needs no contexts.

    Args:
        dim: d >= 1, a plain integer.
        num_examples: n >= 1, a plain integer.
        label_noise_std: sigma > 0.
        signal_var: psi > 0; 1/d if None. Broadcasts with sigma.
        num_contexts: contexts drawn, at least 8; every noise uses the same contexts.
        seed: of the contexts, >= 0.

    Returns:
        Mean and standard error over contexts, each of the broadcast shape.

    Raises:
        ValueError: an argument is out of range.

    Source: conjugacy of the Gaussian prior.

    Example:
        >>> risk = expected_ridge_risk(4, 8, label_noise_std=np.array([0.5, 1.0]))
        >>> risk.mean.round(2).tolist(), bool(risk.standard_error.max() < 0.001)
        ([0.19, 0.43], True)
    """
    signal_var = 1 / dim if signal_var is None else signal_var
    inputs = np.random.default_rng([seed, 4]).normal(size=(num_contexts, num_examples, dim))
    eigenvalues = np.zeros((num_contexts, dim))
    eigenvalues[:, : min(dim, num_examples)] = np.linalg.svd(inputs, compute_uv=False) ** 2
    return evaluate(_ridge_formula, eigenvalues, label_noise_std, signal_var, core_dims=(2,))


@checked(
    dim=Size(1, LARGEST_ENUMERATION),
    num_examples=Size(),
    label_noise_std=Real(0.0, open_ends=True),
    num_candidates=Sizes(),
    low=Real(),
    high=Real(),
    prob_high=Real(0.0, 1.0, open_ends=True),
    num_contexts=Size(8),
    seed=Size(0),
)
def expected_binary_bayes(
    dim: int,
    num_examples: int,
    *,
    label_noise_std: ArrayLike,
    num_candidates: tuple[int, ...] = (1,),
    low: ArrayLike = -1.0,
    high: ArrayLike = 1.0,
    prob_high: ArrayLike = 0.5,
    num_contexts: int = 4096,
    seed: int = 0,
) -> BinaryBayesEstimate:
    r"""Limits for up to 12 binary coefficients, by enumeration of their posterior given each context.

    With p the posterior probability of the high value of a coefficient and M_N(p) the probability that a majority of N samples
    is high (ties count one half),

        bit error = E min(p, 1 - p),   vote error = E [p (1 - M_N(p)) + (1 - p) M_N(p)],
        cross-entropy = -E [p log p + (1 - p) log(1 - p)],   excess risk = (high - low)^2 E sum_i p_i (1 - p_i)

    Args:
        dim: d from 1 to 12, a plain integer.
        num_examples: n >= 1, a plain integer.
        label_noise_std: sigma > 0; the scalars broadcast.
        num_candidates: the numbers N >= 1, plain integers.
        low: the smaller value of a coefficient.
        high: the larger one.
        prob_high: strictly between 0 and 1.
        num_contexts: contexts drawn, at least 8; every setting uses the same contexts.
        seed: of the contexts, >= 0.

    Returns:
        Means and standard errors over contexts, of the broadcast shape of the scalars; votes have one more dimension, of N.

    Raises:
        ValueError: an argument is out of range.

    Source: Bayes' rule.

    Example:
        >>> limits = expected_binary_bayes(4, 8, label_noise_std=2.0, num_candidates=(1, 33))
        >>> float(limits.bit_error.mean.round(2)), limits.vote_error.mean.round(2).tolist()
        (0.12, [0.17, 0.12])
    """
    low = check_below("low", low, "high", high, strictly=True)
    generator = np.random.default_rng([seed, 5])
    draws = (
        generator.normal(size=(num_contexts, num_examples, dim)),
        generator.normal(size=(num_contexts, num_examples)),
        generator.uniform(size=(num_contexts, dim)),
    )
    scalars = label_noise_std, low, high, prob_high
    return evaluate(_binary_formula, *draws, *scalars, core_dims=(3, 2, 2), numbers=num_candidates)


def _averaged(values: Array) -> Estimate:
    """Mean and standard error over contexts, the first dimension."""
    return Estimate(jnp.mean(values, axis=0), jnp.std(values, axis=0, ddof=1) / np.sqrt(len(values)))


def _ridge_formula(eigenvalues: Array, label_noise_std: Array, signal_var: Array) -> Estimate:
    noise, signal = jnp.broadcast_arrays(label_noise_std, signal_var)
    found = jax.lax.map(
        lambda point: _averaged(jnp.sum(1 / (eigenvalues / point[0] ** 2 + 1 / point[1]), axis=1)),
        (noise.ravel(), signal.ravel()),
    )
    return Estimate(*(part.reshape(noise.shape) for part in found))


def _binary_formula(inputs, noise, uniform, *scalars, numbers):
    points = jnp.broadcast_arrays(*scalars)
    asked = jnp.asarray(numbers, float)

    def at(point):
        label_std, low, high, rho = point

        def of(draw):
            inputs, noise, uniform = draw
            targets = inputs @ jnp.where(uniform < rho, high, low) + label_std * noise
            chance = enumerate_posterior(inputs, targets, *point).prob_high
            votes = majority(chance[:, None], asked)
            wrong = chance[:, None] * (1 - votes) + (1 - chance[:, None]) * votes
            entropy = -xlogy(chance, chance) - xlogy(1 - chance, 1 - chance)
            variance = (high - low) ** 2 * jnp.sum(chance * (1 - chance))
            return jnp.minimum(chance, 1 - chance).mean(), wrong.mean(axis=0), entropy.mean(), variance

        return tuple(map(_averaged, jax.lax.map(of, (inputs, noise, uniform), batch_size=_BATCH)))

    found = jax.lax.map(at, tuple(values.ravel() for values in points))
    shape = points[0].shape
    return BinaryBayesEstimate(*(Estimate(*(part.reshape(*shape, *part.shape[1:]) for part in one)) for one in found))
