"""What the studies of small binary problems share: one answer made of N sampled chains, against the enumeration of all answers.

The thoughts of a chain are sampled and fed back. Given a context the prediction is exact at the simulated dimension; its only
error is that of the contexts over which it is averaged, and every point is judged.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import theory
import ttc_jax
from experiments import choosers
from experiments.choosers import Chooser
from experiments.study import Measurement, Prediction
from ttc_jax import aggregation

MAJORITY = Chooser("majority vote", None)


@dataclass(frozen=True)
class AnswersConfig:
    """Settings of a study of binary answers, +1 or -1, to problems small enough to enumerate."""

    num_tasks: int
    """Number of independent tasks, at least 2."""
    dim: int = 6
    """Number of coefficients d, at most 12."""
    num_examples: int = 8
    """Number of in-context examples n."""
    label_noise_std: tuple[float, ...] = (1.0,)
    """Standard deviations of the noise in the targets."""
    step_size: float = 0.4
    """Step size of the gradient step."""
    inverse_temperature: tuple[float, ...] = (1.0,)
    """Inverse temperatures of the samples."""
    link: Literal["logistic", "clipped_linear"] = "logistic"
    """How the transformer's output becomes a probability."""
    num_steps: int = 6
    """Chain length T."""
    num_candidates: tuple[int, ...] = (1, 33)
    """Numbers of candidates N."""
    held_out_examples: tuple[int, ...] = (4,)
    """Fresh examples m of each held-out loss."""
    num_contexts: int = 8192
    """Contexts over which the exact errors given a context are averaged."""
    context_seed: int = 0
    """Seed of those contexts."""
    chunk_size: int = 512
    """Tasks evaluated together; bounds the memory."""


def verifiers(config: AnswersConfig) -> tuple[Chooser, ...]:
    """The ways to select, from the least informed one to the oracle."""
    return choosers.CONTEXT_LOSS, *map(choosers.held_out, sorted(config.held_out_examples)), choosers.ORACLE


def numbers(config: AnswersConfig) -> tuple[int, ...]:
    """The numbers of candidates in order."""
    return tuple(sorted(config.num_candidates))


def predict(
    config: AnswersConfig,
    ways: tuple[Chooser, ...],
    measure: theory.Measure,
    wrong: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]],
) -> Prediction:
    """What one candidate gives, and what making one answer of N changes.

    ``wrong`` makes the study's own wrong predictions from that of one candidate (..., 1) and the right ones (..., numbers).
    """
    choosers.check(config)
    if even := [number for number in numbers(config) if MAJORITY in ways and number % 2 == 0]:
        raise ValueError(f"num_candidates must be odd, so that no vote is tied, got {even[0]}")
    found = theory.expected_answer_errors(
        config.dim,
        config.num_examples,
        tuple(theory.MajorityVote() if way.verifier is None else way.verifier for way in ways),
        measure=measure,
        num_steps=config.num_steps,
        step_size=config.step_size,
        label_noise_std=np.sort(config.label_noise_std)[:, None],
        inverse_temperature=np.sort(config.inverse_temperature),
        link=config.link,
        num_candidates=(1, *numbers(config)),
        num_contexts=config.num_contexts,
        seed=config.context_seed,
    )
    single, chosen = found.mean[..., :1], found.mean[..., 1:]
    return Prediction(
        terms={"one_candidate": np.broadcast_to(single, chosen.shape), "choice": chosen - single},
        model_error=found.standard_error[..., 1:],
        judged=np.ones(chosen.shape, bool),
        wrong=wrong(single, chosen),
    )


def measure(
    config: AnswersConfig,
    seed: int,
    progress: Callable[[int], None],
    ways: tuple[Chooser, ...],
    measure: theory.Measure,
) -> Measurement:
    """Errors on axes (label_noise_std, inverse_temperature, chooser, num_candidates); one set of chains a task serves all."""
    axes = {"label_noise_std": np.sort(config.label_noise_std), "inverse_temperature": np.sort(config.inverse_temperature)}
    result = ttc_jax.sweep(
        jax.random.key(seed),
        _measurement(config, ways, measure),
        axes,
        reused_axes={"chooser": np.arange(len(ways)), "num_candidates": numbers(config)},
        num_tasks=config.num_tasks,
        chunk_size=config.chunk_size,
        progress=progress,
    )
    axes |= {"chooser": np.array([way.name for way in ways]), "num_candidates": np.array(numbers(config))}
    return Measurement(axes, result.mean, result.standard_error)


@functools.lru_cache(maxsize=8)
def _measurement(config: AnswersConfig, ways: tuple[Chooser, ...], measure: theory.Measure) -> Callable[..., Any]:
    """Errors of one task, shape (choosers, num_candidates)."""
    task_config = ttc_jax.TaskConfig(config.dim, config.num_examples, prior=ttc_jax.BinaryPrior())
    sizes = numbers(config)
    error_of = jax.vmap({"bit_error": ttc_jax.bit_error, "exact_recovery": ttc_jax.exact_recovery}[measure], (0, None))

    def errors(key, *, label_noise_std, inverse_temperature):
        task_key, chain_key, score_key = jax.random.split(key, 3)
        task = ttc_jax.sample_task(task_key, task_config, label_noise_std=label_noise_std)
        candidates = ttc_jax.sample_candidates(
            chain_key,
            task.context,
            ttc_jax.decoders.gram(config.step_size),
            num_candidates=max(sizes),
            num_steps=config.num_steps,
            sampler=ttc_jax.BinarySampler(inverse_temperature, link=config.link),
        )
        own = error_of(candidates, task)

        def of(position, way):
            if way == MAJORITY:
                return error_of(aggregation.prefix_majority_votes(candidates, sizes), task)
            scores = choosers.scores(jax.random.fold_in(score_key, position), way, candidates, task)
            return aggregation.prefix_best_of_n(own[:, None], scores, sizes)[:, 0]

        return jnp.stack([of(position, way) for position, way in enumerate(ways)])

    return errors


def with_independent_candidates(config: AnswersConfig, ways: tuple[Chooser, ...]) -> Callable[..., dict[str, np.ndarray]]:
    """The wrong predictions of a vote whose candidates err independently, as if they did not share their context."""

    def wrong(single, chosen):
        independent, row = chosen.copy(), ways.index(MAJORITY)
        independent[..., row, :] = theory.majority_accuracy(single[..., row, :], np.array(numbers(config)))
        return {"with_independent_candidates": independent}

    return wrong


def setting(config: dict[str, Any]) -> str:
    """What every point of a finished run has in common, for the line above its figure."""
    return (
        f"$d$ = {config['dim']}, $n$ = {config['num_examples']}, $T$ = {config['num_steps']}, $\\eta$ = {config['step_size']:g}"
    )
