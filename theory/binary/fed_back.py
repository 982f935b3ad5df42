r"""Binary coefficients sampled after every step of a chain of thought, and fed back: dynamical mean-field theory.

A coefficient is b = +1 or -1 in units of half the gap h between the two values around their midpoint, and s^2 =
sigma^2 / (h^2 d) the label noise. The averages are over simulated coordinates: they have no derivatives.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from theory._arguments import Count, Flag, Real, Size, Sizes, check_below, checked
from theory._evaluate import evaluate
from theory.binary._sampler import SAMPLER_DOMAINS, Link, prob_of_high

_GROUPS = 16
_KNOWN = 1e-3  # pivots below this share of the largest variance are sampling error


class SampledChain(NamedTuple):
    """Predicted errors of a binary chain at every step.

    Attributes:
        bit_error: probability that a coefficient of one candidate is wrong, shape (..., T + 1).
        bit_error_std: standard error of ``bit_error``.
        vote_error: the same for the coordinate-wise majority of N candidates, shape (..., T + 1, len(num_candidates)).
        vote_error_std: standard error of ``vote_error``.
    """

    bit_error: Any
    bit_error_std: Any
    vote_error: Any
    vote_error_std: Any


@checked(
    dim=Count(1),
    num_examples=Count(1),
    num_steps=Size(0),
    step_size=Real(),
    label_noise_std=Real(0.0),
    num_candidates=Sizes(),
    **SAMPLER_DOMAINS,
    memory=Flag(),
    num_coordinates=Size(10 * _GROUPS),
    seed=Size(0),
)
def sampled_chain(
    dim: ArrayLike,
    num_examples: ArrayLike,
    *,
    num_steps: int,
    step_size: ArrayLike,
    label_noise_std: ArrayLike,
    inverse_temperature: ArrayLike,
    num_candidates: tuple[int, ...] = (1,),
    link: Link = "logistic",
    low: ArrayLike = -1.0,
    high: ArrayLike = 1.0,
    prob_high: ArrayLike = 0.5,
    memory: bool = True,
    num_coordinates: int = 100_000,
    seed: int = 0,
) -> SampledChain:
    r"""Errors of chains whose every thought is a binary sample of the transformer's output, in large dimension.

    Dynamical mean-field theory: with e_t = b - w_t, C_e(t, s) = E e_t e_s, the response G(t, s) = E dw_t / du_s and its memory
    Gamma = (I + gamma eta G)^{-1}, gamma = d / n, a coefficient obeys

        u_t = w_t + eta sum_{s<=t} Gamma(t, s) e_s + eta sqrt(gamma) zeta_t,   Cov zeta = Gamma (C_e + s^2) Gamma^T,
        w_{t+1} = sample(u_t),   w_0 = 2 rho - 1

    and G follows from Stein's identity, E[w_{t+1} zeta_s] = eta sqrt(gamma) sum_r Cov(zeta_s, zeta_r) G(t + 1, r). Candidates
    of one context share the part of zeta whose covariance has the C_e between two candidates in place of C_e, and are
    independent given that part and b. All averages are over ``num_coordinates`` simulated coefficients in 16 independent
    groups, each with order parameters of its own, whose scatter is the standard error. The noise of the order parameters biases
    a group by one over its size; a jackknife over the group and its halves removes this bias. A finite dimension adds O(1/d).
    Scalars broadcast, plain or traced; the same seed draws the same numbers everywhere.

    Args:
        dim: d >= 1; only d / n and sigma^2 / d matter.
        num_examples: n >= 1.
        num_steps: T >= 0, a plain integer.
        step_size: eta, finite.
        label_noise_std: sigma >= 0.
        inverse_temperature: beta >= 0; infinite for the more probable value.
        num_candidates: the numbers of votes N >= 1, plain integers; the largest one is simulated side by side.
        link: how a field u becomes the probability of the high value: logistic, sigmoid(2 beta u + log(rho / (1 - rho))), or
            clipped_linear, clip(rho + beta (u - (2 rho - 1)) / 2, 0, 1).
        low: the smaller value of a coefficient.
        high: the larger one.
        prob_high: rho, strictly between 0 and 1.
        memory: False sets Gamma to the identity: what a theory without response would predict, for comparison.
        num_coordinates: simulated coefficients, at least 160.
        seed: of the simulated coefficients.

    Returns:
        SampledChain; step 0 is the initial state, which errs where its nearest value is wrong (one half at the midpoint).

    Raises:
        ValueError: an argument is out of range, or a derivative is asked for.

    Source: dynamical mean-field theory of iterations with a random matrix; Bolthausen (2014), Celentano, Cheng and Montanari
        (2021) for its proof.

    Example:
        >>> chain = dict(num_steps=3, step_size=0.6, label_noise_std=np.sqrt(250.0), inverse_temperature=2.0)
        >>> sampled_chain(1000, 2000, **chain, num_coordinates=16_000).bit_error.round(2).tolist()
        [0.5, 0.18, 0.15, 0.13]
    """
    low = check_below("low", low, "high", high, strictly=True)
    scalars = dim, num_examples, step_size, label_noise_std, inverse_temperature, low, high, prob_high, seed
    static: dict[str, Any] = {"numbers": num_candidates, "num_steps": num_steps, "link": link, "memory": memory}
    return evaluate(_chain_formula, *scalars, **static, num_coordinates=num_coordinates)


def _chain_formula(*scalars, numbers, num_steps, link, memory, num_coordinates):
    values = jnp.broadcast_arrays(*scalars)
    size = -(-num_coordinates // (2 * _GROUPS))  # of half a group

    def of_one(one):
        dim, num_examples, step, label_std, beta, low, high, rho, seed = one
        noise = label_std**2 / (((high - low) / 2) ** 2 * dim)
        setting = dim / num_examples, step, noise, beta, rho
        # Unsigned: a signed seed would be 64 bits wide here and 32 in a caller's program.
        keys = jax.random.split(jax.random.key(seed.astype(jnp.uint32), impl="threefry2x32"), (_GROUPS, 2))
        of_group = functools.partial(_unbiased_group, setting, numbers, num_steps, link, memory, size)
        errors = jax.lax.map(of_group, keys)
        return [(jnp.mean(error, 0), jnp.std(error, 0, ddof=1) / np.sqrt(_GROUPS)) for error in errors]

    (bit, bit_std), (vote, vote_std) = jax.lax.map(of_one, tuple(jnp.ravel(value) for value in values))
    shape = values[0].shape
    return SampledChain(*(_sampled(leaf.reshape(*shape, *leaf.shape[1:])) for leaf in (bit, bit_std, vote, vote_std)))


@jax.custom_jvp
def _sampled(value):
    """``value``, an average over samples: they jump where a derivative would have to follow them."""
    return value


@_sampled.defjvp
def _(values, tangents):
    raise ValueError("sampled_chain must not be differentiated: it averages samples; compare values of one seed instead")


def _unbiased_group(setting, numbers, num_steps, link, remembers, size, keys):
    """Errors of a group of two halves, twice those of the whole group less the mean of those of its halves.

    The noise of the order parameters gives errors a bias of one over the number of coefficients, which this difference removes
    up to the square of that.
    """
    given = setting, numbers, num_steps, link, remembers, size
    whole = _group(keys, *given)
    halves = jax.lax.map(lambda key: _group(key[None], *given), keys)
    return jax.tree.map(lambda all_, half: 2 * all_ - jnp.mean(half, axis=0), whole, halves)


def _group(keys, setting, numbers, num_steps, link, remembers, size):
    """Bit errors (T + 1,) and vote errors (T + 1, numbers) of coefficients that share their order parameters.

    There are ``size`` coefficients for each key, whose random numbers do not depend on the other keys.
    """
    gamma, step, noise, beta, rho = setting
    replicas = max(numbers)
    truth_keys, steps_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    start = 2 * rho - 1
    # The share of +1 is that of the prior, up to rounding.
    places = (jnp.arange(size) + _drawn(jax.random.uniform, truth_keys, truth_keys.shape).reshape(-1, 1)) / size
    truth, size = jnp.where(places < rho, 1.0, -1.0).ravel(), size * len(keys)
    scale = step * jnp.sqrt(gamma)
    times = jnp.arange(num_steps + 1)

    def advance(carry, time):
        errors, shared_draws, own_draws, own_cov, pair_cov, response, state = carry
        known = (times[:, None] <= time) & (times <= time)
        memory = jnp.linalg.inv(jnp.eye(num_steps + 1) + remembers * gamma * response)  # unit lower triangular
        shared_root = _root(jnp.where(known, memory @ (pair_cov + noise) @ memory.T, 0.0))
        own_root = _root(jnp.where(known, memory @ (own_cov - pair_cov) @ memory.T, 0.0))

        of_time = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, time), 3))(steps_keys)
        shared_keys, own_keys, sample_keys = jnp.moveaxis(of_time, 1, 0)
        shared_draws = shared_draws.at[time].set(_drawn(jax.random.normal, shared_keys, (size,)))
        if replicas > 1:
            own_draws = own_draws.at[time].set(_drawn(jax.random.normal, own_keys, (replicas, size)))
        noises = jnp.tensordot(shared_root[time], shared_draws, 1) + jnp.tensordot(own_root[time], own_draws, 1)
        field = state + step * jnp.tensordot(memory[time], errors, 1) + scale * noises

        chance = prob_of_high(field, beta, rho, link)
        wrong = jnp.where(truth > 0, 1 - chance, chance)
        state = jnp.where(_drawn(jax.random.uniform, sample_keys, chance.shape) < chance, 1.0, -1.0)
        error, mean_error = truth - state, truth - (2 * chance - 1)  # the second averages the sample

        # What a perturbation of u_s, s <= time, changes in the next state.
        with_shared = jnp.mean(shared_draws[:, None, :] * (2 * chance - 1), axis=(1, 2))
        with_own = jnp.mean(own_draws * (2 * chance - 1), axis=(1, 2))
        total = shared_root @ shared_root.T + own_root @ own_root.T
        covariance = shared_root @ with_shared + own_root @ with_own
        response = response.at[time + 1].set(_solve(total, covariance) / jnp.sqrt(gamma))

        own_row = jnp.mean(errors * mean_error, axis=(1, 2))
        pair_row = _of_pairs(errors, mean_error) if replicas > 1 else own_row
        own_end = 4 * jnp.mean(wrong)
        pair_end = _of_pairs(mean_error[None], mean_error)[0] if replicas > 1 else own_end
        own_cov = _bordered(own_cov, own_row, own_end, time + 1)
        pair_cov = _bordered(pair_cov, pair_row, pair_end, time + 1)
        errors = errors.at[time + 1].set(error)
        observed = jnp.mean(wrong), _vote_errors(jnp.sum(error != 0, axis=0), replicas, numbers)
        return (errors, shared_draws, own_draws, own_cov, pair_cov, response, state), observed

    room = jnp.zeros((num_steps + 1, num_steps + 1))
    first = jnp.broadcast_to(truth - start, (replicas, size))
    cov = room.at[0, 0].set(jnp.mean(first[0] ** 2))
    errors = jnp.zeros((num_steps + 1, replicas, size)).at[0].set(first)
    draws = jnp.zeros((num_steps + 1, size)), jnp.zeros((num_steps + 1, replicas if replicas > 1 else 1, size))
    carry = errors, *draws, cov, cov, room, jnp.full((replicas, size), start)
    bits, votes = jax.lax.scan(advance, carry, times[:-1])[1]
    at_start = jnp.where(start == 0, 0.5, jnp.minimum(rho, 1 - rho))
    votes_at_start = jnp.full((1, len(numbers)), at_start)
    return jnp.concatenate([at_start[None], bits]), jnp.concatenate([votes_at_start, votes])


def _drawn(draw, keys, shape):
    """Random numbers, an equal share of the last dimension from each key.

    They have 32 bits: numbers of 64 bits do not exist in a caller's program without them.
    """
    parts = [draw(key, (*shape[:-1], shape[-1] // len(keys)), jnp.float32) for key in keys]
    return jnp.concatenate(parts, axis=-1).astype(float)


def _bordered(matrix, row, end, place):
    """``matrix`` with the covariances of a new time at row and column ``place``."""
    row = row.at[place].set(end)
    return matrix.at[place].set(row).at[:, place].set(row)


def _of_pairs(errors, other):
    """Mean of errors[s, i] * other[j] over coefficients and pairs of different candidates i, j; shape (times,)."""
    replicas, size = other.shape
    together = jnp.tensordot(jnp.sum(errors, axis=1), jnp.sum(other, axis=0), 1)
    same = jnp.tensordot(errors, other, 2)
    return (together - same) / (replicas * (replicas - 1) * size)


def _root(matrix):
    """Lower triangular L with the diagonal of L L^T that of ``matrix``, and its other entries as far as they are known.

    A nearly dependent time has a pivot below sampling error, and what its column would say of later times is noise: they keep
    their variance, and not their share of that column.
    """
    size = matrix.shape[0]
    floor = _KNOWN * jnp.max(jnp.diagonal(matrix))

    def column(place, carry):
        left, root = carry
        pivot = left[place, place]
        below = jnp.where((jnp.arange(size) > place) & (pivot > floor), left[:, place], 0.0)
        new = below / jnp.sqrt(jnp.where(pivot > floor, pivot, 1.0))
        root = root.at[:, place].set(new.at[place].set(jnp.sqrt(jnp.maximum(pivot, 0.0))))
        return left - new[:, None] * new, root

    return jax.lax.fori_loop(0, size, column, (matrix, jnp.zeros_like(matrix)))[1]


def _solve(matrix, right):
    """The solution of a positive semidefinite system in the directions whose variance is above sampling error."""
    values, vectors = jnp.linalg.eigh(matrix)
    usable = values > _KNOWN * jnp.max(jnp.diagonal(matrix))
    return vectors @ (jnp.where(usable, 1 / jnp.where(usable, values, 1.0), 0.0) * (vectors.T @ right))


def _vote_errors(num_wrong, replicas, numbers):
    """Probability that the majority of N of the simulated candidates, drawn at random, is wrong; over coefficients."""
    wrong = np.arange(replicas + 1.0)
    table = []
    for number in numbers:
        drawn = np.arange(number + 1.0)[:, None]
        # Number of wrong ones among N candidates drawn without replacement: hypergeometric.
        chance = stats.hypergeom.pmf(drawn, replicas, wrong, number)
        lost = np.where(2 * drawn > number, 1.0, np.where(2 * drawn == number, 0.5, 0.0))
        table.append(np.sum(chance * lost, axis=0))
    counts = jnp.bincount(num_wrong, length=replicas + 1) / num_wrong.size
    return np.stack(table) @ counts
