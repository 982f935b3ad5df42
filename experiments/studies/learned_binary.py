"""Does a transformer with a binary head know what it does not know, and what do votes of its samples reach?"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import theory
import ttc_jax
from experiments.families import fed_back, trained
from experiments.families.trained import TransformerConfig
from experiments.page import figures
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study, countable
from ttc_jax import aggregation, training
from ttc_jax.models.gpt import GPTConfig

NUM_BINS = 10
"""Bins of the probabilities whose calibration is measured."""


@dataclass(frozen=True)
class LearnedBinaryConfig(TransformerConfig):
    """Settings of the study of transformers that emit the probabilities of binary coefficients, +1 or -1."""

    dim: int = 4
    """Number of coefficients d, at most 12."""
    num_examples: int = 8
    """Number of in-context examples n."""
    label_noise_std: tuple[float, ...] = (1.5, 3.0)
    """Standard deviations of the noise in the targets, one model each."""
    num_candidates: tuple[int, ...] = (1, 3, 9, 33)
    """Numbers of sampled candidates N in a vote, odd."""


QUICK = LearnedBinaryConfig(num_tasks=32_768)


def model(config: LearnedBinaryConfig) -> GPTConfig:
    """Each of the transformers."""
    return trained.transformer(config, config.dim, config.num_examples + 1, head="binary")


def training_config(config: LearnedBinaryConfig) -> training.TrainingConfig:
    """Cross-entropy of the coefficients given the context alone."""
    return trained.course(
        config, model(config), ttc_jax.TaskConfig(config.dim, config.num_examples, prior=ttc_jax.BinaryPrior())
    )


@functools.lru_cache(maxsize=4)
def limits(config: LearnedBinaryConfig) -> theory.bayes.BinaryBayesEstimate:
    """The Bayes limits at each noise, and votes of posterior samples."""
    return theory.bayes.expected_binary_bayes(
        config.dim,
        config.num_examples,
        label_noise_std=np.sort(config.label_noise_std),
        num_candidates=tuple(np.sort(config.num_candidates).tolist()),
        num_contexts=16_384,
    )


def predict(config: LearnedBinaryConfig) -> Prediction:
    """Return the Bayes limit of the bit error, and the error of votes of exact posterior samples."""
    trained.check(config, {"label_noise_std": 0.0, "num_candidates": 1})
    fed_back.check_odd(config.num_candidates)
    training_config(config)
    found = limits(config)
    shape = found.vote_error.mean.shape
    limit = np.broadcast_to(found.bit_error.mean[:, None], shape)
    return Prediction(
        terms={"limit": limit},
        model_error=np.broadcast_to(found.bit_error.standard_error[:, None], shape),
        judged=countable(limit, config.num_tasks),
        beside={"posterior_samples": found.vote_error.mean},
        reference="Bayes limit of the bit error",
    )


def measure(config: LearnedBinaryConfig, seed: int, engine: Engine) -> Measurement:
    """Train all models at once; then each samples its candidates on fresh tasks, and its probabilities are checked."""
    noises, numbers = np.sort(config.label_noise_std), tuple(np.sort(config.num_candidates).tolist())
    params = trained.weights(seed, training_config(config), noises, engine)
    result = engine.sweep(
        trained.measurement_key(seed),
        _measurement(config),
        {},
        reused_axes={"label_noise_std": noises, "quantity": np.arange(len(numbers) + 1 + 3 * NUM_BINS)},
        params=params,
        num_tasks=config.num_tasks,
    )
    axes = {"label_noise_std": noises, "num_candidates": np.array(numbers)}
    votes = slice(0, len(numbers))
    details = _details(config, result, len(numbers))
    mean, error, effective = (part[:, votes] for part in (result.mean, result.standard_error, result.effective_tasks))
    return Measurement(axes, mean, error, effective, details)


@functools.lru_cache(maxsize=8)
def _measurement(config: LearnedBinaryConfig) -> Callable[..., Any]:
    """Errors of votes, code length, and sums in bins of one task, shape (models, quantities)."""
    task_config, numbers = training_config(config).task, tuple(np.sort(config.num_candidates).tolist())
    sampler = ttc_jax.BinarySampler(1.0)

    def observed(key, params):
        task_key, sample_key = jax.random.split(key)

        def of(own, label_noise_std):
            task = ttc_jax.sample_task(task_key, task_config, label_noise_std=label_noise_std)
            decoder = ttc_jax.decoders.gpt(own, model(config))
            chain = {"num_candidates": max(numbers), "num_steps": 1, "sampler": sampler}
            candidates = ttc_jax.sample_candidates(sample_key, task.context, decoder, **chain)
            votes = aggregation.prefix_majority_votes(candidates, numbers)
            errors = jax.vmap(ttc_jax.bit_error, (0, None))(votes, task)

            field, _ = decoder.step(*decoder.start(task.context, 1), jnp.zeros(config.dim))
            chance, is_high = sampler.probability(field), task.coefficients > 0
            length = -sampler.log_probability(field, task.coefficients) / config.dim
            place = jnp.clip(jnp.floor(chance * NUM_BINS), 0, NUM_BINS - 1).astype(int)
            share = jax.nn.one_hot(place, NUM_BINS)  # (d, bins)
            weights = jnp.ones(config.dim), chance, is_high - chance
            bins = [jnp.mean(share * weight[:, None], axis=0) for weight in weights]
            return jnp.concatenate([errors, length[None], *bins])

        return jax.vmap(of)(params, jnp.asarray(np.sort(config.label_noise_std), jnp.float32))

    return observed


def _details(config: LearnedBinaryConfig, result: ttc_jax.SweepResult, first: int) -> dict[str, xr.DataArray]:
    """Cross-entropy with its limit, and in each bin of probabilities their share, their mean and how often they came true.

    A bin's standard error is that of the mean over tasks of outcome minus probability, over the bin's share.
    """
    noises, edges = result.axes["label_noise_std"], np.arange(NUM_BINS) / NUM_BINS
    entropy = limits(config).cross_entropy
    share, said, missed = np.split(result.mean[:, first + 1 :], 3, axis=1)
    stray = result.standard_error[:, -NUM_BINS:]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "cross_entropy": result.mean[:, first],
            "cross_entropy_standard_error": result.standard_error[:, first],
            "cross_entropy_limit": entropy.mean,
            "cross_entropy_limit_standard_error": entropy.standard_error,
            "share": share,
            "mean_probability": said / share,
            "came_true": (said + missed) / share,
            "came_true_standard_error": stray / share,
        }
    coords = {"label_noise_std": noises, "bin": edges}
    dims = tuple(coords)
    return {
        name: xr.DataArray(values, {dim: coords[dim] for dim in dims[: values.ndim]}, dims[: values.ndim])
        for name, values in found.items()
    }


def _well_met(one: xr.Dataset, config: dict[str, Any]) -> np.ndarray:
    """The bins that enough coefficients of a model have fallen into."""
    return one["share"].to_numpy() * config["num_tasks"] * config["dim"] >= _FEWEST


def findings(data: xr.Dataset) -> dict:
    """Return for each model the error of the most votes, the cross-entropy, their limits, and the calibration error."""
    config = json.loads(data.attrs["config"])
    rows = []
    for noise in data["label_noise_std"].to_numpy():
        one = data.sel(label_noise_std=noise)
        last = one.isel(num_candidates=-1)
        used = one.isel(bin=_well_met(one, config))
        missed = (used["came_true"] - used["mean_probability"]).to_numpy()
        if missed.size == 0:
            continue
        rows.append(
            {
                "label noise": float(noise),
                f"vote of {int(last['num_candidates'])}": float(last["measured"]),
                "standard error": float(last["standard_error"]),
                "Bayes limit": float(last["predicted"]),
                "cross-entropy over its limit": float(one["cross_entropy"] / one["cross_entropy_limit"]),
                "standard error of that": float(
                    np.hypot(one["cross_entropy_standard_error"], one["cross_entropy_limit_standard_error"])
                    / one["cross_entropy_limit"]
                ),
                "largest calibration error of a bin": float(np.abs(missed).max()),
                "standard error there": float(used["came_true_standard_error"].to_numpy()[np.argmax(np.abs(missed))]),
            }
        )
    return {"each model": rows}


def draw(data: xr.Dataset) -> Figure:
    """Bit error of the vote against the number of candidates, and how often each probability came true."""
    config = json.loads(data.attrs["config"])
    noises, numbers = data["label_noise_std"].to_numpy(), data["num_candidates"].to_numpy()
    figure, (votes, calibration) = figures.panels(2, width=8.0, height=4.0)
    for noise, color, marker in figures.ordered(noises):
        one = data.sel(label_noise_std=noise)
        votes.axhline(float(one["predicted"][0]), color=color, linestyle=":")
        figures.curve(
            votes,
            one.assign(predicted=one["beside_posterior_samples"]),
            "num_candidates",
            color=color,
            marker=marker,
            label=f"{noise:g}",
        )
        used = one.isel(bin=_well_met(one, config))
        x, y, error = (used[name].to_numpy() for name in ("mean_probability", "came_true", "came_true_standard_error"))
        calibration.errorbar(x, y, yerr=2 * error, fmt=marker, color=color, capsize=1.5, elinewidth=0.8)
    calibration.plot([0, 1], [0, 1], color="0.3", linewidth=0.8, zorder=0)
    calibration.set(xlabel="probability emitted for +1", ylabel="share of +1 among the coefficients", aspect="equal")
    votes.set(xscale="log", yscale="log", xlabel="number of votes $N$", ylabel="bit error of the majority")
    figures.plain_log_ticks(votes)
    figures.number_ticks(votes, numbers)
    figures.state(
        figure, f"$d$ = {config['dim']}, $n$ = {config['num_examples']}, {config['training_steps']} steps of training"
    )
    marks: dict[str, dict[str, Any]] = {"Bayes limit": {"linestyle": ":"}}
    title, line = figures.AXIS_LABELS["label_noise_std"], "votes of posterior samples, predicted"
    figures.key(figure, votes, title, line=line, marks=marks)
    return figure


_FEWEST = 100  # coefficients in a bin that is drawn
LARGE = replace(QUICK, dim=8, num_examples=12, num_layers=4, width=64)
STUDY = Study(
    name="learned-binary",
    question="Does a transformer with a binary head know what it does not know, and what do votes of its samples reach?",
    formula=r"$P(\mathrm{wrong}) \geq E\,\min(p, 1-p),\quad p = P(w^*_i = 1\,|\,X, y)$",
    presets={
        "quick": QUICK,
        "standard": replace(LARGE, num_tasks=262_144, training_steps=20_000, batch_size=256, learning_rate=0.001),
        "full": replace(LARGE, num_tasks=2_097_152, training_steps=200_000, batch_size=512, learning_rate=0.0005),
    },
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    tested={"training_steps": 500, "label_noise_std": (3.0,), "num_candidates": (1, 9)},
    odd_settings=(
        {"label_noise_std": (1.0,), "num_candidates": (1,)},
        {"label_noise_std": (0.5, 1.0, 2.0, 4.0, 8.0), "num_candidates": (1, 3, 5, 7, 9, 11, 13, 33, 101)},
    ),
)
