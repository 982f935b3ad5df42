"""Does linear attention learn the weights that theory says, and what are they worth at other lengths and covariances?"""

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
from experiments.page import figures
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study
from ttc_jax import training
from ttc_jax.models import linear_attention
from ttc_jax.models.linear_attention import LinearAttentionConfig
from ttc_jax.sweep import Moments

OWN, SHIFTED = "trained on", "reversed"
"""The covariance of the inputs at test: that of training, or its eigenvalues in reverse order."""


@dataclass(frozen=True)
class TrainedLinearAttentionConfig:
    """Settings of the study of one layer of linear attention with all its weights trained."""

    num_tasks: int
    """Number of independent tasks of each test length on which every model is measured, at least 2."""
    num_models: int = 64
    """Models trained from different seeds, the independent units, at least 2."""
    eigenvalues: tuple[float, ...] = (1.5, 1.0, 0.5)
    """Variances of the inputs in training."""
    num_examples: int = 9
    """Number of in-context examples n in training."""
    test_examples: tuple[int, ...] = (3, 9, 27, 81)
    """Numbers of in-context examples m at test."""
    label_noise_std: float = 0.5
    """Standard deviation of the noise in the targets."""
    training_steps: int = 1500
    """Steps of the optimizer."""
    batch_size: int = 64
    """Tasks of each step and model."""
    learning_rate: float = 0.02
    """Peak learning rate."""


QUICK = TrainedLinearAttentionConfig(num_tasks=512)


def training_config(config: TrainedLinearAttentionConfig) -> training.TrainingConfig:
    """Prediction of the coefficients from the context alone."""
    dim = len(config.eigenvalues)
    task = ttc_jax.TaskConfig(dim, config.num_examples, ttc_jax.GivenSpectrum(config.eigenvalues))
    return trained.course(config, LinearAttentionConfig(dim), task)


def quantities(config: TrainedLinearAttentionConfig) -> list[str]:
    """Names of the measured quantities of each model: entries of its matrix, and risks."""
    places = np.ndindex(len(config.eigenvalues), len(config.eigenvalues))
    entries = [f"P[{row + 1},{column + 1}]" for row, column in places]
    return entries + [f"risk, {test}, m = {length}" for test in (OWN, SHIFTED) for length in np.sort(config.test_examples)]


@functools.lru_cache(maxsize=4)
def predict(config: TrainedLinearAttentionConfig) -> Prediction:
    """The matrix of least risk and its risk, as what they were with endless contexts and what few examples change."""
    trained.check(config, {"test_examples": 1})
    if min(config.eigenvalues, default=0.0) <= 0:
        raise ValueError(f"eigenvalues must list positive numbers, at least one, got {list(config.eigenvalues)}")
    training_config(config)
    found = _predicted(config, config.num_examples, np.sort(config.test_examples), config.label_noise_std)
    endless = _predicted(config, 10**9, np.full(len(config.test_examples), 10**9), config.label_noise_std)
    noiseless = _predicted(config, config.num_examples, np.sort(config.test_examples), 0.0)
    return Prediction(
        terms={"endless_contexts": endless, "few_examples": found - endless},
        model_error=np.zeros(found.shape),
        judged=np.ones(found.shape, bool),
        wrong={"without_label_noise": noiseless} if config.label_noise_std > 0 else {},
    )


def _predicted(config: TrainedLinearAttentionConfig, num_examples: int, lengths: np.ndarray, noise: float) -> np.ndarray:
    """Every quantity in order."""
    spectrum = np.array(config.eigenvalues)
    matrix = np.diag(theory.pretraining.trained_attention(spectrum, num_examples, label_noise_std=noise))
    risks = [
        theory.pretrained_attention_risk(
            spectrum, num_examples, label_noise_std=noise, test_eigenvalues=test, test_examples=lengths
        )
        for test in (spectrum, spectrum[::-1])
    ]
    return np.concatenate([matrix.ravel(), *risks])


def measure(config: TrainedLinearAttentionConfig, seed: int, engine: Engine) -> Measurement:
    """Train each model from a separate seed, read its matrix and measure its risk on separate tasks."""
    noises = np.full(config.num_models, config.label_noise_std)
    params = trained.weights(seed, training_config(config), noises, engine)
    keys = jax.random.split(trained.measurement_key(seed), config.num_models)
    moments = Moments.of(np.asarray(_measurement(config)(keys, params)))
    engine.fewest_tasks = config.num_models  # the models are the independent units
    return Measurement({"quantity": np.array(quantities(config))}, moments.mean, moments.standard_error)


@functools.lru_cache(maxsize=4)
def _measurement(config: TrainedLinearAttentionConfig) -> Callable[..., Any]:
    """Quantities of every model, (models, quantities)."""
    lengths = tuple(np.sort(config.test_examples).tolist())
    task_configs = [
        ttc_jax.TaskConfig(len(config.eigenvalues), length, ttc_jax.GivenSpectrum(spectrum))
        for spectrum in (config.eigenvalues, config.eigenvalues[::-1])
        for length in lengths
    ]

    def of_model(key, params):
        decoder = ttc_jax.decoders.cached_attention(params)

        def risk(key, task_config):
            task_key, chain_key = jax.random.split(key)
            task = ttc_jax.sample_task(task_key, task_config, label_noise_std=config.label_noise_std)
            return ttc_jax.excess_risk(ttc_jax.rollout(chain_key, task.context, decoder, num_steps=1)[-1], task)

        keys = jax.random.split(key, (len(task_configs), config.num_tasks))
        risks = [jnp.mean(jax.vmap(risk, (0, None))(*pair)) for pair in zip(keys, task_configs, strict=True)]
        return jnp.concatenate([linear_attention.preconditioner(params).ravel(), jnp.stack(risks)])

    return jax.jit(lambda keys, params: jax.lax.map(lambda one: of_model(*one), (keys, params)))


def findings(data: xr.Dataset) -> dict:
    """The entry of the matrix that differs most from its prediction, and the risk at each test length."""
    config = json.loads(data.attrs["config"])
    count = len(config["eigenvalues"]) ** 2
    difference = np.abs(data["measured"].to_numpy() - data["predicted"].to_numpy())[:count]
    worst = int(np.argmax(difference))
    return {
        "largest error of an entry": {
            "entry": str(data["quantity"].to_numpy()[worst]),
            "error": float(difference[worst]),
            "standard error": float(data["standard_error"][worst]),
        },
        "risks": {
            str(name): {kind: float(data[kind].sel(quantity=name)) for kind in ("measured", "standard_error", "predicted")}
            for name in data["quantity"].to_numpy()[count:]
        },
    }


def draw(data: xr.Dataset) -> Figure:
    """The learned matrix, entry by entry, and the risk against the test length for each covariance."""
    config = json.loads(data.attrs["config"])
    dim, lengths = len(config["eigenvalues"]), np.sort(config["test_examples"])
    figure, (matrix, risks) = figures.panels(2, width=8.0, height=3.9)
    entries = data.isel(quantity=slice(0, dim**2))
    places = np.arange(dim**2)
    matrix.hlines(entries["predicted"].to_numpy(), places - 0.4, places + 0.4, color="0.3")
    figures.points(matrix, places, entries, color="0.3", marker="o")
    shown = np.arange(0, dim**2, 1 + (dim**2 - 1) // 9)
    matrix.set_xticks(shown, labels=[f"{place // dim + 1},{place % dim + 1}" for place in shown])
    matrix.set(xlabel="entry of the learned matrix $P$", ylabel="value")
    rest = data.isel(quantity=slice(dim**2, None))
    for number, (test, color, marker) in enumerate(figures.distinct([OWN, SHIFTED])):
        one = rest.isel(quantity=slice(number * len(lengths), (number + 1) * len(lengths)))
        one = one.assign_coords(num_examples=("quantity", lengths)).swap_dims(quantity="num_examples")
        figures.curve(risks, one, "num_examples", color=color, marker=marker, label=test)
    risks.set(xscale="log", yscale="log", xlabel="examples at test $m$", ylabel=figures.RISK_LABEL)
    figures.plain_log_ticks(risks)
    figures.number_ticks(risks, lengths)
    figures.state(
        figure,
        f"$\\lambda$ = {', '.join(f'{value:g}' for value in config['eigenvalues'])}; training $n$ = {config['num_examples']}, "
        f"$\\sigma$ = {config['label_noise_std']:g}, {config['num_models']} models",
    )
    figures.key(figure, risks, "covariance of the inputs at test")
    return figure


LARGE = replace(QUICK, eigenvalues=(2.0, 1.5, 1.0, 0.75, 0.5), num_examples=20, test_examples=(5, 10, 20, 40, 80, 160))
STUDY = Study(
    name="trained-linear-attention",
    question="Does linear attention learn the weights that theory says, and what are they worth at other test lengths?",
    formula=(
        r"$P_{ii} = \psi / [(1 + \frac{1}{n})\lambda_i\psi + \frac{1}{n}(\psi\sum_j\lambda_j + \sigma^2)],\quad$"
        r"$E\,R = \sum_i \psi\mu_i(1 - P_{ii}\mu_i)^2"
        r" + \frac{1}{m}[\sum_i\psi\mu_i^3 P_{ii}^2 + \sum_i\mu_i^2 P_{ii}^2(\psi\sum_j\mu_j + \sigma^2)]$"
    ),
    presets={
        "quick": QUICK,
        "standard": replace(LARGE, num_tasks=4096, num_models=128, training_steps=6000, batch_size=256),
        "full": replace(LARGE, num_tasks=16_384, num_models=512, training_steps=20_000, batch_size=1024),
    },
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    tested={"training_steps": 800, "num_models": 32},
    odd_settings=(
        {"eigenvalues": (1.0,), "test_examples": (4,)},
        {"eigenvalues": (2.0, 1.0, 1.0, 0.5, 0.1), "test_examples": (1, 2, 4, 8, 16, 32, 64, 128, 256)},
    ),
)
