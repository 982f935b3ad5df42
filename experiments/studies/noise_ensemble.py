"""How near does direct prediction by a softmax transformer come to the best estimate at each label noise?"""

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
from experiments.families import trained
from experiments.families.trained import TransformerConfig
from experiments.page import figures
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study
from ttc_jax import training
from ttc_jax.models.gpt import GPTConfig


@dataclass(frozen=True)
class NoiseEnsembleConfig(TransformerConfig):
    """Settings of the study of an ensemble of transformers, one a label noise, trained in one vmapped program."""

    dim: int = 2
    """Number of coefficients d."""
    num_examples: int = 6
    """Number of in-context examples n."""
    label_noise_std: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    """Standard deviations of the noise in the targets, one model each."""


QUICK = NoiseEnsembleConfig(num_tasks=65_536, training_steps=1000)


def model(config: NoiseEnsembleConfig) -> GPTConfig:
    """Each of the transformers."""
    return trained.transformer(config, config.dim, config.num_examples + 1)


def training_config(config: NoiseEnsembleConfig) -> training.TrainingConfig:
    """Prediction of the coefficients from the context alone."""
    return trained.course(config, model(config), ttc_jax.TaskConfig(config.dim, config.num_examples))


def _noises(config: NoiseEnsembleConfig) -> np.ndarray:
    return np.sort(config.label_noise_std)


@functools.lru_cache(maxsize=4)
def predict(config: NoiseEnsembleConfig) -> Prediction:
    """Return the risks of Bayes-optimal ridge regression and of the best linear attention at each noise."""
    trained.check(config, {"label_noise_std": 0.0})
    training_config(config)
    noises, sizes = _noises(config), (config.dim, config.num_examples)
    limit = theory.bayes.expected_ridge_risk(*sizes, label_noise_std=noises, num_contexts=65_536)
    linear = theory.pretrained_attention_risk(np.ones(config.dim), config.num_examples, label_noise_std=noises)
    return Prediction(
        terms={"limit": limit.mean},
        model_error=limit.standard_error,
        judged=np.ones(len(noises), bool),
        beside={"linear_attention": linear},
        reference="risk of Bayes-optimal ridge regression",
    )


def measure(config: NoiseEnsembleConfig, seed: int, engine: Engine) -> Measurement:
    """Train all models at once; then each meets the same fresh tasks at its own noise."""
    noises = _noises(config)
    params = trained.weights(seed, training_config(config), noises, engine)
    result = engine.sweep(
        trained.measurement_key(seed),
        _measurement(config),
        {},
        reused_axes={"label_noise_std": noises},
        params=params,
        num_tasks=config.num_tasks,
    )
    return Measurement(result.axes, result.mean, result.standard_error, result.effective_tasks)


@functools.lru_cache(maxsize=8)
def _measurement(config: NoiseEnsembleConfig) -> Callable[..., Any]:
    """Risks of one task, shape (models,)."""
    task_config = training_config(config).task

    def risks(key, params):
        task_key, chain_key = jax.random.split(key)

        def of(own, label_noise_std):
            task = ttc_jax.sample_task(task_key, task_config, label_noise_std=label_noise_std)
            decoder = ttc_jax.decoders.gpt(own, model(config))
            return ttc_jax.excess_risk(ttc_jax.rollout(chain_key, task.context, decoder, num_steps=1)[-1], task)

        return jax.vmap(of)(params, jnp.asarray(_noises(config), jnp.float32))

    return risks


def findings(data: xr.Dataset) -> dict:
    """Gap to the limit of every model, and of the best linear attention, whose risk is known."""
    rows = []
    for noise in data["label_noise_std"].to_numpy():
        one = data.sel(label_noise_std=noise)
        limit = float(one["predicted"])
        rows.append(
            {
                "label noise": float(noise),
                "gap to ridge": float(one["measured"]) / limit - 1,
                "standard error": float(np.hypot(one["standard_error"], one["model_error"])) / limit,
                "gap of linear attention, predicted": float(one["beside_linear_attention"]) / limit - 1,
            }
        )
    return {"each model": rows}


def draw(data: xr.Dataset) -> Figure:
    """Risk relative to the limit against the label noise."""
    config = json.loads(data.attrs["config"])
    noises = data["label_noise_std"].to_numpy()
    figure, (panel,) = figures.panels(1, width=5.8, height=4.2)
    relative = {name: data[name] / data["predicted"] for name in ("measured", "standard_error", "beside_linear_attention")}
    ((_, color, marker),) = figures.distinct(["softmax transformer"])
    figures.points(panel, noises, data.assign(relative), color=color, marker=marker)
    panel.plot(noises, relative["beside_linear_attention"].to_numpy(), color="0.3", linestyle="--")
    panel.axhline(1.0, color="black", linestyle=":")
    panel.set(xscale="log", yscale="log", xlabel=figures.AXIS_LABELS["label_noise_std"], ylabel="excess risk over the least")
    figures.plain_log_ticks(panel)
    figures.number_ticks(panel, noises)
    figures.state(
        figure, f"$d$ = {config['dim']}, $n$ = {config['num_examples']}, {config['training_steps']} steps of training"
    )
    marks: dict[str, dict[str, Any]] = {
        "least: ridge": {"linestyle": ":", "color": "black"},
        "best linear attention, predicted": {"linestyle": "--"},
    }
    figures.key(figure, None, None, line=None, marks=marks)
    return figure


LARGE = replace(
    QUICK, dim=8, num_examples=16, num_layers=4, width=64, label_noise_std=tuple(2.0**power for power in range(-2, 2))
)
STUDY = Study(
    name="noise-ensemble",
    question="How near does direct prediction by a softmax transformer come to ridge regression at each label noise?",
    formula=r"$E\,R \geq E\,\mathrm{tr}(X^T X/\sigma^2 + d\,I)^{-1}$",
    presets={
        "quick": QUICK,
        "standard": replace(LARGE, num_tasks=262_144, training_steps=20_000, batch_size=256, learning_rate=0.001),
        "full": replace(
            LARGE,
            num_tasks=1_048_576,
            label_noise_std=tuple((2.0 ** np.linspace(-3, 1, 8)).tolist()),
            training_steps=200_000,
            batch_size=512,
            learning_rate=0.0005,
        ),
    },
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    tested={"training_steps": 500, "label_noise_std": (1.0, 2.0)},
    odd_settings=(
        {"label_noise_std": (1.0,)},
        {"label_noise_std": tuple(np.linspace(0.2, 4.0, 12))},
    ),
)
