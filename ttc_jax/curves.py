"""Risk curves: errors for every number of steps T and of candidates N of one rollout.

The candidates become one estimate by averaging, by selection or by a rule of the caller's, such as a vote; N candidates are
the first N of the largest number listed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ttc_jax import _check
from ttc_jax.aggregation import prefix_best_of_n, prefix_means
from ttc_jax.decoders import Decoder
from ttc_jax.risk import bit_error, exact_recovery, excess_risk
from ttc_jax.rollout import collapsed_candidates, rollout_candidates
from ttc_jax.sampling import BinarySampler
from ttc_jax.tasks import BinaryPrior, Task

Score = Callable[[Array, Array], Array]
"""``score(key, candidates)``: the scores (N,) of the candidates (N, d) of one step, smaller is better."""
_PrefixRisks = Callable[[Array, Any, tuple[int, ...]], Any]
"""``(states, step, sizes)``: risks (len(sizes),), or a tree of such arrays, from the first N of the states (max(sizes), d)."""


@_check.arguments
def averaged_risk(
    key: Array,
    task: Task,
    decoder: Decoder,
    *,
    num_steps: Sequence[int],
    num_candidates: Sequence[int],
    decoding_noise_std: ArrayLike,
) -> Array:
    """Excess risk of the average of N candidates after T steps, for every T and every N listed.

    One rollout serves them all: a step's risk is taken on the way, and N candidates are the first N of the largest number.

    Args:
        key: one typed key for the decoding noise.
        task: the task whose context is decoded.
        decoder: how a chain moves.
        num_steps: the numbers of steps T >= 0, static.
        num_candidates: the numbers of candidates N >= 1, static.
        decoding_noise_std: tau >= 0; may be traced.

    Returns:
        Risks, shape (len(num_steps), len(num_candidates)).

    Raises:
        ValueError: an argument has the wrong shape or range, or a list is empty.

    Example:
        >>> from ttc_jax import TaskConfig, decoders, sample_task
        >>> task = sample_task(jax.random.key(0), TaskConfig(dim=3, num_examples=8))
        >>> chain = dict(num_steps=(0, 5), num_candidates=(1, 4), decoding_noise_std=0.1)
        >>> averaged_risk(jax.random.key(1), task, decoders.gram(0.4), **chain).shape
        (2, 2)
    """
    return _walked(key, task, decoder, _of_means(task), num_steps, num_candidates, decoding_noise_std=decoding_noise_std)


@_check.arguments
def collapsed_averaged_risk(
    key: Array,
    task: Task,
    *,
    step_size: ArrayLike,
    num_steps: Sequence[int],
    num_candidates: Sequence[int],
    decoding_noise_std: ArrayLike,
) -> Array:
    """The same in law as :func:`averaged_risk` of gradient-descent chains, from candidates drawn without walking the chain.

    Every T has its own candidates. Arguments, result and errors as there; ``step_size`` may be traced.
    """
    return _collapsed(key, task, _of_means(task), step_size, num_steps, num_candidates, decoding_noise_std)


@_check.arguments
def selected_risk(
    key: Array,
    task: Task,
    decoder: Decoder,
    score: Score,
    *,
    num_steps: Sequence[int],
    num_candidates: Sequence[int],
    decoding_noise_std: ArrayLike,
) -> Array:
    """Excess risk of the candidate with the best score of N after T steps, for every T and every N listed.

    One rollout serves them all, and only the steps listed are scored. A tie goes to the first candidate: it takes no random
    choice, because scores of noisy candidates have a density, and candidates without noise are all the same.

    Args:
        key: one typed key for the decoding noise and the scores.
        task: the task whose context is decoded.
        decoder: how a chain moves.
        score: ``score(key, candidates)``, scores (N,) of all candidates (N, d) of one step, smaller is better. Every step
            has a key of its own.
        num_steps: the numbers of steps T >= 0, static.
        num_candidates: the numbers of candidates N >= 1, static.
        decoding_noise_std: tau >= 0; may be traced.

    Returns:
        Risks, shape (len(num_steps), len(num_candidates)); NaN where no candidate has a score and a risk.

    Raises:
        ValueError: an argument has the wrong shape or range, a list is empty, or ``score`` returns another shape than (N,).

    Example:
        >>> from ttc_jax import TaskConfig, decoders, sample_task, verifiers
        >>> task = sample_task(jax.random.key(0), TaskConfig(dim=3, num_examples=8))
        >>> chain = dict(num_steps=(0, 5), num_candidates=(1, 4, 16), decoding_noise_std=0.1)
        >>> def loss(key, candidates):
        ...     return jax.vmap(verifiers.context_loss, in_axes=(0, None))(candidates, task.context)
        >>> selected_risk(jax.random.key(1), task, decoders.gram(0.4), loss, **chain).shape
        (2, 3)

        A random verifier uses its key: fresh examples at every step, the same for all candidates.

        >>> def held_out(key, candidates):
        ...     examples = verifiers.sample_held_out(key, task, 16)
        ...     return jax.vmap(verifiers.held_out_loss, in_axes=(0, None))(candidates, examples)
        >>> selected_risk(jax.random.key(1), task, decoders.gram(0.4), held_out, **chain).shape
        (2, 3)
    """
    _check.key(key)
    chain_key, score_key = jax.random.split(key)
    selections = _of_selections(score_key, task, score)
    return _walked(chain_key, task, decoder, selections, num_steps, num_candidates, decoding_noise_std=decoding_noise_std)


@_check.arguments
def collapsed_selected_risk(
    key: Array,
    task: Task,
    score: Score,
    *,
    step_size: ArrayLike,
    num_steps: Sequence[int],
    num_candidates: Sequence[int],
    decoding_noise_std: ArrayLike,
) -> Array:
    """The same in law as :func:`selected_risk` of gradient-descent chains, from candidates drawn without walking the chain.

    Every T has its own candidates. Arguments, result and errors as there; ``step_size`` may be traced.
    """
    _check.key(key)
    chain_key, score_key = jax.random.split(key)
    selections = _of_selections(score_key, task, score)
    return _collapsed(chain_key, task, selections, step_size, num_steps, num_candidates, decoding_noise_std)


class AnswerErrors(NamedTuple):
    """Errors of binary estimates: of one coefficient, of the whole vector, and the excess risk."""

    bit_error: Array
    exact_recovery: Array
    excess_risk: Array


Answer = Callable[[Array, Array, tuple[int, ...]], Array]
"""``answer(key, states, sizes)``: estimates (len(sizes), d) from the first N of the states (max(sizes), d) of one step."""


@_check.arguments
def answer_errors(
    key: Array,
    task: Task,
    decoder: Decoder,
    answer: Answer,
    *,
    num_steps: Sequence[int],
    num_candidates: Sequence[int],
    decoding_noise_std: ArrayLike = 0.0,
    sampler: BinarySampler | None = None,
    initial_state: Array | None = None,
    prior: BinaryPrior | None = None,
) -> AnswerErrors:
    """Errors of a binary answer made of N candidates after T steps, for every T and every N listed, of one rollout.

    Args:
        key: one typed key for the chains and the answers.
        task: a task with binary coefficients.
        decoder: how a chain moves.
        answer: ``answer(key, states, sizes)``, estimates (len(sizes), d) from the first N of the states of one step, for every
            N in sizes. Every step has a separate key.
        num_steps: the numbers of steps T >= 0, static.
        num_candidates: the numbers of candidates N >= 1, static.
        decoding_noise_std: tau >= 0; may be traced.
        sampler: samples every thought, if there is one.
        initial_state: w_0; as in :func:`ttc_jax.rollout` if None.
        prior: has the two values of a coefficient; the sampler's if None, or -1 and +1 without a sampler.

    Returns:
        AnswerErrors, each of shape (len(num_steps), len(num_candidates)).

    Raises:
        ValueError: an argument has the wrong shape or range, a list is empty, or ``answer`` returns another shape.

    Example:
        Majority votes of thoughts that are sampled at every step, and of samples of the last state of noisy chains.

        >>> from ttc_jax import BinaryPrior, BinarySampler, TaskConfig, aggregation, decoders, sample_task
        >>> task = sample_task(jax.random.key(0), TaskConfig(5, 20, prior=BinaryPrior()), label_noise_std=0.5)
        >>> sampler, asked = BinarySampler(2.0), dict(num_steps=(1, 5), num_candidates=(1, 9))
        >>> def vote(key, states, sizes):
        ...     return aggregation.prefix_majority_votes(states, sizes)
        >>> answer_errors(jax.random.key(1), task, decoders.gram(0.4), vote, sampler=sampler, **asked).bit_error.shape
        (2, 2)
        >>> def vote_at_the_end(key, states, sizes):
        ...     return vote(key, sampler.sample(key, states), sizes)
        >>> errors = answer_errors(
        ...     jax.random.key(1), task, decoders.gram(0.4), vote_at_the_end, decoding_noise_std=0.1, **asked
        ... )
        >>> errors.exact_recovery.shape
        (2, 2)
    """
    _check.key(key)
    chain_key, answer_key = jax.random.split(key)
    if prior is None:
        prior = BinaryPrior() if sampler is None else sampler.prior

    def errors(states, step, sizes):
        estimates = answer(jax.random.fold_in(answer_key, step), states, sizes)
        _check.shape("estimates returned by answer", estimates, (len(sizes), task.coefficients.size))

        def of_one(estimate):
            return AnswerErrors(
                bit_error(estimate, task, prior=prior), exact_recovery(estimate, task, prior=prior), excess_risk(estimate, task)
            )

        return jax.vmap(of_one)(estimates)

    chain = {"decoding_noise_std": decoding_noise_std, "sampler": sampler, "initial_state": initial_state}
    return _walked(chain_key, task, decoder, errors, num_steps, num_candidates, **chain)


def _of_means(task: Task) -> _PrefixRisks:
    """Risks of the means of prefixes."""
    return lambda states, step, sizes: _risks(prefix_means(states, sizes), task)


def _of_selections(key: Array, task: Task, score: Score) -> _PrefixRisks:
    """Risks of the best of prefixes; the scores of each step have a key of their own."""

    def prefix_risks(states, step, sizes):
        scores = score(jax.random.fold_in(key, step), states)
        _check.shape("scores returned by score", scores, (max(sizes),))
        # The risk of the best candidate is the best candidate's risk, and one number a candidate is less to select from.
        return prefix_best_of_n(_risks(states, task)[:, None], scores, sizes)[:, 0]

    return prefix_risks


def _walked(
    key: Array,
    task: Task,
    decoder: Decoder,
    prefix_risks: _PrefixRisks,
    num_steps: Sequence[int],
    num_candidates: Sequence[int],
    **chain: Any,
) -> Any:
    """``prefix_risks`` at the listed steps of one rollout; the others are skipped, so that long chains with few are cheap."""
    num_steps = _check.integers("num_steps", num_steps, minimum=0)
    num_candidates = _check.integers("num_candidates", num_candidates, minimum=1)
    listed = np.isin(np.arange(max(num_steps) + 1), num_steps)

    def observe(states, step):
        def asked(states, step):
            return prefix_risks(states, step, num_candidates)

        def skipped(states, step):
            return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(asked, states, step))

        return jax.lax.cond(jnp.asarray(listed)[step], asked, skipped, states, step)

    risks = rollout_candidates(
        key,
        task.context,
        decoder,
        num_candidates=max(num_candidates),
        num_steps=max(num_steps),
        observe=observe,
        **chain,
    )
    return jax.tree.map(lambda leaf: leaf[jnp.asarray(num_steps)], risks)


def _collapsed(
    key: Array,
    task: Task,
    prefix_risks: _PrefixRisks,
    step_size: ArrayLike,
    num_steps: Sequence[int],
    num_candidates: Sequence[int],
    decoding_noise_std: ArrayLike,
) -> Array:
    """``prefix_risks`` of candidates drawn afresh for every listed number of steps."""
    _check.key(key)
    num_steps = _check.integers("num_steps", num_steps, minimum=0)
    num_candidates = _check.integers("num_candidates", num_candidates, minimum=1)

    def risks(steps_key, steps):
        candidates = collapsed_candidates(
            steps_key,
            task.context,
            step_size=step_size,
            num_candidates=max(num_candidates),
            num_steps=steps,
            decoding_noise_std=decoding_noise_std,
        )
        return prefix_risks(candidates, steps, num_candidates)

    keys = jax.random.split(key, len(num_steps))
    return jnp.stack([risks(steps_key, steps) for steps_key, steps in zip(keys, num_steps, strict=True)])


def _risks(estimates: Array, task: Task) -> Array:
    return jax.vmap(excess_risk, in_axes=(0, None))(estimates, task)
