"""One answer from N sampled chains, compared with the enumeration of all answers; shared by studies of small binary problems.

The thoughts of a chain are sampled and fed back. Given a context the prediction is exact at the simulated dimension; its only
error is that of the contexts over which it is averaged. Events that are too rare to be counted are not judged.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import theory
import ttc_jax
from experiments.families import fed_back, selection
from experiments.families.selection import Chooser
from experiments.page import figures
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, countable
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


def verifiers(config: AnswersConfig) -> tuple[Chooser, ...]:
    """The ways to select, from the least informed one to the oracle."""
    return selection.CONTEXT_LOSS, *map(selection.held_out, sorted(config.held_out_examples)), selection.ORACLE


def numbers(config: AnswersConfig) -> tuple[int, ...]:
    """The numbers of candidates in order."""
    return tuple(sorted(config.num_candidates))


def predict(
    config: AnswersConfig,
    ways: tuple[Chooser, ...],
    measure: theory.binary.Measure,
    wrong: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]],
    *,
    temperatures_drawn: bool = False,
) -> Prediction:
    """Predict the error of one answer: the error of one candidate, plus the change that N candidates make.

    ``wrong`` makes the study's own wrong predictions from that of one candidate (..., 1) and the right ones (..., numbers).
    """
    selection.check(config)
    if MAJORITY in ways:
        fed_back.check_odd(numbers(config))
    found = theory.binary.expected_answer_errors(
        config.dim,
        config.num_examples,
        tuple(theory.binary.MajorityVote() if way.verifier is None else way.verifier for way in ways),
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
        # Errors of one task come together, and the contexts too must have met the rare ones.
        judged=countable(chosen, config.num_tasks) & (found.standard_error[..., 1:] < 0.2 * np.minimum(chosen, 1 - chosen)),
        warnings=tuple(_warnings(config, temperatures_drawn)),
        wrong=wrong(single, chosen),
    )


def _warnings(config: AnswersConfig, temperatures_drawn: bool) -> Iterator[str]:
    """What is not drawn."""
    count = len(config.inverse_temperature)
    if count > 1 and not temperatures_drawn:
        yield f"inverse_temperature has {count} values, of which the figure shows one; the data file and the verdict have all"


def measure(
    config: AnswersConfig,
    seed: int,
    engine: Engine,
    ways: tuple[Chooser, ...],
    measure: theory.binary.Measure,
) -> Measurement:
    """Errors on axes (label_noise_std, inverse_temperature, chooser, num_candidates); one set of chains a task serves all."""
    axes = {"label_noise_std": np.sort(config.label_noise_std), "inverse_temperature": np.sort(config.inverse_temperature)}
    result = engine.sweep(
        jax.random.key(seed),
        _measurement(config, ways, measure),
        axes,
        reused_axes={"chooser": np.arange(len(ways)), "num_candidates": numbers(config)},
        num_tasks=config.num_tasks,
    )
    axes |= {"chooser": np.array([way.name for way in ways]), "num_candidates": np.array(numbers(config))}
    return Measurement(axes, result.mean, result.standard_error, result.effective_tasks)


@functools.lru_cache(maxsize=8)
def _measurement(config: AnswersConfig, ways: tuple[Chooser, ...], measure: theory.binary.Measure) -> Callable[..., Any]:
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
            scores = selection.scores(jax.random.fold_in(score_key, position), way, candidates, task)
            return aggregation.prefix_best_of_n(own[:, None], scores, sizes)[:, 0]

        return jnp.stack([of(position, way) for position, way in enumerate(ways)])

    return errors


def votes_and_choices(config: AnswersConfig) -> tuple[Chooser, ...]:
    """The majority vote and every way to select."""
    return MAJORITY, *verifiers(config)


@functools.lru_cache(maxsize=4)
def predict_bit_error(config: AnswersConfig, temperatures_drawn: bool = False) -> Prediction:
    """The bit error of one candidate, and what votes and choices among many change.

    A wrong prediction is that of a vote whose candidates err independently, as if they did not share their context.
    """

    def wrong(single, chosen):
        independent = chosen.copy()
        independent[..., 0, :] = theory.majority_accuracy(single[..., 0, :], np.array(numbers(config)))
        return {"with_independent_candidates": independent}

    return predict(config, votes_and_choices(config), "bit_error", wrong, temperatures_drawn=temperatures_drawn)


def measure_bit_error(config: AnswersConfig, seed: int, engine: Engine) -> Measurement:
    """Simulate every point with the same tasks; the vote and the verifiers see the same candidates."""
    return measure(config, seed, engine, votes_and_choices(config), "bit_error")


def presets(quick: AnswersConfig) -> dict[str, AnswersConfig]:
    """The settings of a study by preset name; the full one is of larger problems."""
    larger: dict[str, Any] = {"dim": 8, "num_examples": 11}
    return {
        "quick": quick,
        "standard": replace(quick, num_tasks=262_144, num_contexts=65_536),
        "full": replace(quick, num_tasks=4_194_304, num_contexts=262_144, **larger),
    }


def draw_against_numbers(data: xr.Dataset, *, ylabel: str, yscale: str, legend: str) -> Figure:
    """The measured quantity against the number of candidates for every way, one panel a label noise."""
    config = json.loads(data.attrs["config"])
    noises, betas = data["label_noise_std"].to_numpy(), data["inverse_temperature"].to_numpy()
    figure, axes = figures.panels(len(noises), width=max(5.6, 2.7 * len(noises)), height=3.8, sharey=True)
    for panel, noise in zip(axes, noises, strict=True):
        for name, color, marker in figures.distinct([str(name) for name in data["chooser"].to_numpy()]):
            one = data.sel(label_noise_std=noise, chooser=name, inverse_temperature=betas[0])
            figures.curve(panel, one, "num_candidates", color=color, marker=marker, label=name)
        panel.set(xscale="log", yscale=yscale, xlabel="number of candidates $N$", title=f"$\\sigma$ = {noise:g}")
        figures.number_ticks(panel, data["num_candidates"].to_numpy())
        if yscale == "log":
            figures.plain_log_ticks(panel)
    axes[0].set_ylabel(ylabel)
    figures.state(figure, f"{setting(config)}, $\\beta$ = {betas[0]:g}")
    figures.key(figure, axes[0], legend)
    return figure


def setting(config: dict[str, Any]) -> str:
    """Return the settings that all points of a finished run share, for the line above its figure."""
    return (
        f"$d$ = {config['dim']}, $n$ = {config['num_examples']}, $T$ = {config['num_steps']}, $\\eta$ = {config['step_size']:g}"
    )
