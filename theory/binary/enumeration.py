r"""Small problems with binary coefficients exactly: the law of a chain's answer over all 2^d vectors, and what N of them give.

A chain whose every thought is sampled from the last one is a Markov chain on those vectors. Given the context it is known
exactly; only the average over contexts is drawn.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from theory._arguments import Domain, Instance, Number, OneOf, Real, Size, Sizes, check_below, checked, described
from theory._evaluate import evaluate
from theory.answers.best_of_n import best_value
from theory.answers.voting import LARGEST_NUMBER, majority, plurality
from theory.bayes.limits import LARGEST_ENUMERATION, is_high_of_all
from theory.binary._sampler import SAMPLER_DOMAINS, Link, prob_of_high
from theory.results import Estimate
from theory.selection.over_contexts import ContextLoss, HeldOutLoss, Oracle

_SINGLE: dict[str, Domain] = {
    name: replace(domain, shape=()) if isinstance(domain, Real) else domain for name, domain in SAMPLER_DOMAINS.items()
}
_BATCH = 2**19  # entries of the laws of halves evaluated together


class AnswerLaw(NamedTuple):
    """Law of one answer.

    Attributes:
        vectors: all coefficient vectors, shape (2^d, d).
        probabilities: of each, shape (2^d,).
    """

    vectors: Any
    probabilities: Any


class MajorityVote(NamedTuple):
    """Every coefficient takes the value that most candidates give it."""


class PluralityVote(NamedTuple):
    """The vector that most candidates give as a whole."""


Chooser = MajorityVote | PluralityVote | Oracle | ContextLoss | HeldOutLoss
Measure = Literal["bit_error", "exact_recovery"]


@checked(
    inputs=Real(shape=("n", "d")),
    targets=Real(shape=("n",)),
    num_steps=Size(),
    step_size=Real(shape=()),
    **_SINGLE,
)
def answer_law(
    inputs: ArrayLike,
    targets: ArrayLike,
    *,
    num_steps: int,
    step_size: ArrayLike,
    inverse_temperature: ArrayLike,
    link: Link = "logistic",
    low: ArrayLike = -1.0,
    high: ArrayLike = 1.0,
    prob_high: ArrayLike = 0.5,
) -> AnswerLaw:
    r"""Law of the last thought of a chain whose every thought is sampled and fed back, given the context.

        P(w_{t+1} = v | w_t) = prod_i P(v_i | u_i),   u = w_t + eta X^T (y - X w_t) / n,   w_0 = the prior's mean

    Args:
        inputs: X, shape (n, d) with d at most 12; may be traced.
        targets: y, shape (n,); may be traced.
        num_steps: T >= 1, a plain integer.
        step_size: eta, finite, a number.
        inverse_temperature: beta >= 0, a number; infinite for the more probable value.
        link: as in :func:`theory.sampled_chain`.
        low: the smaller value of a coefficient.
        high: the larger one.
        prob_high: the prior's probability of the larger one, strictly between 0 and 1.

    Returns:
        AnswerLaw, the vectors in the order of binary numbers, the first coefficient changing slowest.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: the chain's definition, as a Markov chain.

    Example:
        >>> law = answer_law([[1.0]], [0.9], num_steps=1, step_size=0.5, inverse_temperature=1.0)
        >>> law.probabilities.round(4).tolist()  # 1 / (1 + exp(2 * 0.45))
        [0.2891, 0.7109]
    """
    dim = np.shape(inputs)[1]
    if dim > LARGEST_ENUMERATION:
        raise ValueError(f"inputs must have at most {LARGEST_ENUMERATION} columns to enumerate all coefficients, got {dim}")
    low = check_below("low", low, "high", high, strictly=True)
    scalars = step_size, inverse_temperature, low, high, prob_high
    return evaluate(_law_formula, inputs, targets, *scalars, core_dims=(2, 1), num_steps=num_steps, link=link)


@checked(
    dim=Size(1, LARGEST_ENUMERATION),
    num_examples=Size(),
    choosers=Instance((tuple,)),
    measure=OneOf(get_args(Measure)),
    num_steps=Size(),
    step_size=Real(),
    label_noise_std=Real(0.0),
    num_candidates=Sizes(),
    **SAMPLER_DOMAINS,
    num_contexts=Size(8),
    seed=Size(0),
)
def expected_answer_errors(
    dim: int,
    num_examples: int,
    choosers: tuple[Chooser, ...],
    *,
    measure: Measure = "bit_error",
    num_steps: int,
    step_size: ArrayLike,
    label_noise_std: ArrayLike,
    inverse_temperature: ArrayLike,
    num_candidates: tuple[int, ...],
    link: Link = "logistic",
    low: ArrayLike = -1.0,
    high: ArrayLike = 1.0,
    prob_high: ArrayLike = 0.5,
    num_contexts: int = 1024,
    seed: int = 0,
) -> Estimate:
    r"""Error of one answer made of N sampled chains, averaged over contexts of isotropic inputs; exact given each context.

    For a verifier, the candidate of the smallest score, ties broken at random (:func:`theory.answers.best_answer_value` of the
    law of :func:`answer_law`); the oracle's score is the number of wrong coefficients. For the majority, the mean over
    coefficients of P(Bin(N, p_i) > N/2), p_i the probability that one candidate has coefficient i wrong; ties count one half.
    For the plurality, :func:`theory.plurality_accuracy` of the law. Contexts are drawn, the same for every chooser, number and
    setting.

    Args:
        dim: d from 1 to 12.
        num_examples: n >= 1.
        choosers: a tuple of :class:`MajorityVote`, :class:`PluralityVote`, :class:`Oracle` without noise, :class:`ContextLoss`
            and :class:`HeldOutLoss`.
        measure: ``bit_error``, unknown for a plurality, or ``exact_recovery``, unknown for a majority.
        num_steps: T >= 1, a plain integer.
        step_size: eta, finite.
        label_noise_std: sigma >= 0.
        inverse_temperature: beta >= 0; infinite for the more probable value.
        num_candidates: the numbers N >= 1, plain integers.
        link: as in :func:`theory.sampled_chain`.
        low: the smaller value of a coefficient.
        high: the larger one.
        prob_high: strictly between 0 and 1.
        num_contexts: contexts drawn, at least 8.
        seed: of the contexts, >= 0.

    Returns:
        Mean and standard error, each of the broadcast shape of the scalars plus (len(choosers), len(num_candidates)).

    Raises:
        ValueError: an argument is out of range.

    Source: enumeration.

    Example:
        >>> chain = dict(num_steps=4, step_size=0.5, label_noise_std=1.0, inverse_temperature=1.0, num_contexts=256)
        >>> errors = expected_answer_errors(4, 8, (MajorityVote(), Oracle()), **chain, num_candidates=(1, 9))
        >>> errors.mean.round(2).tolist()
        [[0.27, 0.13], [0.27, 0.02]]
    """
    _check_choosers(choosers, measure, max(num_candidates))
    low = check_below("low", low, "high", high, strictly=True)
    held_out = tuple(chooser.num_examples for chooser in choosers if isinstance(chooser, HeldOutLoss))
    draws = _draws(dim, num_examples, max(held_out, default=0), num_contexts, seed)
    # With their types: named tuples of different types are equal if their fields are.
    kinds = tuple((type(chooser), *chooser) for chooser in choosers)
    static = {"choosers": kinds, "measure": measure, "numbers": num_candidates, "num_steps": num_steps, "link": link}
    scalars = step_size, label_noise_std, inverse_temperature, low, high, prob_high
    return evaluate(_errors_formula, *draws, *scalars, core_dims=(3, 2, 2, 3, 2), **static)


def _check_choosers(choosers: tuple[Chooser, ...], measure: str, most: int) -> None:
    if isinstance(choosers, Chooser) or not choosers:
        raise ValueError(f"choosers must be a tuple of at least one chooser, got {described(choosers)}")
    unknown = MajorityVote if measure == "exact_recovery" else PluralityVote
    for chooser in choosers:
        if not isinstance(chooser, Chooser) or isinstance(chooser, unknown):
            raise ValueError(f"choosers must be ones whose {measure} is known, got {described(chooser)}")
        if isinstance(chooser, Oracle) and Number(0.0)("noise_std of an Oracle in choosers", chooser.noise_std) != 0:
            raise ValueError(f"choosers must not have a noisy oracle, got noise_std = {chooser.noise_std:g}")
        if isinstance(chooser, PluralityVote) and most > LARGEST_NUMBER:
            raise ValueError(f"num_candidates of a PluralityVote must be at most {LARGEST_NUMBER}, got {most}")
        if isinstance(chooser, HeldOutLoss):
            Size()("num_examples of a HeldOutLoss in choosers", chooser.num_examples)


def _draws(dim: int, num_examples: int, num_held_out: int, num_contexts: int, seed: int) -> tuple[np.ndarray, ...]:
    """Inputs, noise, uniform numbers for the coefficients, and held-out inputs and noise of every context."""
    generator, held = np.random.default_rng([seed, 2]), np.random.default_rng([seed, 3])
    # One held-out example of every context after the other, so that fewer are the first of more.
    fresh = np.swapaxes(held.normal(size=(num_held_out, num_contexts, dim + 1)), 0, 1)
    return (
        generator.normal(size=(num_contexts, num_examples, dim)),
        generator.normal(size=(num_contexts, num_examples)),
        generator.uniform(size=(num_contexts, dim)),
        fresh[..., :dim],
        fresh[..., dim],
    )


def _products(chances: Array) -> Array:
    """Probabilities (..., 2^d) of all vectors whose coefficients are independently high with chances (..., d)."""
    total = jnp.ones((*chances.shape[:-1], 1))
    for place in range(chances.shape[-1]):
        chance = chances[..., place, None, None]
        both = jnp.concatenate([1 - chance, chance], axis=-1)  # (..., 1, 2)
        total = (total[..., None] * both).reshape(*total.shape[:-1], -1)
    return total


def _law_formula(inputs, targets, step, beta, low, high, rho, *, num_steps, link):
    num_examples, dim = inputs.shape
    is_high = jnp.asarray(is_high_of_all(dim))
    vectors = low + (high - low) * is_high
    middle, half_gap = (low + high) / 2, (high - low) / 2

    def halves(states):
        """Laws of the first and of the second half of the next thought, (s, 2^(d/2)) each, after states (s, d)."""
        fields = states + step / num_examples * (targets - states @ inputs.T) @ inputs
        chances = prob_of_high((fields - middle) / half_gap, beta, rho, link)
        return _products(chances[:, : dim // 2]), _products(chances[:, dim // 2 :])

    def after(law, first, second):
        """The law of the next thought, (2^d,): given a state, its halves are independent."""
        return ((law[:, None] * first).T @ second).ravel()

    start = after(jnp.ones(1), *halves(jnp.full((1, dim), low + (high - low) * rho)))
    laws = halves(vectors)
    return AnswerLaw(vectors, jax.lax.fori_loop(1, num_steps, lambda _, law: after(law, *laws), start))


def _errors_formula(*arguments, choosers, measure, numbers, num_steps, link):
    draws, scalars = arguments[:5], jnp.broadcast_arrays(*arguments[5:])
    given = functools.partial(_errors_given_context, choosers=choosers, measure=measure, numbers=numbers)
    size = max(1, _BATCH // 2 ** (draws[0].shape[2] * 3 // 2))
    size = 1 if any(kind is PluralityVote for kind, *_ in choosers) else size  # whose own work is large

    def at(point):
        step, label_std, beta, low, high, rho = point

        def of(draw):
            inputs, noise, uniform, held_inputs, held_noise = draw
            truth = (uniform < rho).astype(noise.dtype)
            coefficients = low + (high - low) * truth
            seen = inputs, inputs @ coefficients + label_std * noise
            fresh = held_inputs, held_inputs @ coefficients + label_std * held_noise
            law = _law_formula(*seen, step, beta, low, high, rho, num_steps=num_steps, link=link)
            return given(law, truth, seen, fresh)

        errors = jax.lax.map(of, draws, batch_size=size)  # (contexts, choosers, numbers)
        return jnp.mean(errors, axis=0), jnp.std(errors, axis=0, ddof=1) / np.sqrt(errors.shape[0])

    mean, error = jax.lax.map(at, tuple(scalar.ravel() for scalar in scalars))
    shape = *scalars[0].shape, *mean.shape[1:]
    return Estimate(mean.reshape(shape), error.reshape(shape))


def _errors_given_context(law, truth, seen, fresh, *, choosers, measure, numbers):
    """Errors (choosers, numbers) of the candidates of one context."""
    wrong = jnp.abs(jnp.asarray(is_high_of_all(truth.size)) - truth)  # (2^d, d)
    share = jnp.mean(wrong, axis=1)
    values = share if measure == "bit_error" else (share == 0).astype(share.dtype)
    asked = jnp.asarray(numbers, share.dtype)

    def loss(examples):
        inputs, targets = examples
        return jnp.mean((targets - law.vectors @ inputs.T) ** 2, axis=1)

    def of(kind, *fields):
        if kind is MajorityVote:
            return jnp.mean(majority((law.probabilities @ wrong)[:, None], asked), axis=0)
        if kind is PluralityVote:
            ordered = law.probabilities[jnp.argsort(share)]  # the correct answer first
            return jnp.stack([plurality(ordered, number=number) for number in numbers])
        if kind is HeldOutLoss:
            scores = loss(tuple(part[: fields[0]] for part in fresh))
        else:
            scores = loss(seen) if kind is ContextLoss else share
        return best_value(law.probabilities, scores, values, asked)

    return jnp.stack([of(*chooser) for chooser in choosers])
