"""Does a softmax transformer trained on thoughts reason like its teacher, and how near does it come to ridge regression?"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
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
class LearnedChainConfig(TransformerConfig):
    """Settings of the study of a transformer trained on the thoughts of gradient descent."""

    dim: int = 4
    """Number of coefficients d."""
    num_examples: int = 16
    """Number of in-context examples n."""
    label_noise_std: float = 1.0
    """Standard deviation of the noise in the targets."""
    decoding_noise_std: tuple[float, ...] = (0.0, 0.1)
    """Standard deviations of the noise injected into every coordinate of every thought when it is measured."""
    num_steps: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 10, 12)
    """Chain lengths T at which it is measured."""
    num_candidates: tuple[int, ...] = (1, 4, 16)
    """Numbers of averaged candidates N."""
    trained_steps: int = 6
    """Thoughts of the teacher that it is trained on."""
    step_size: float = 0.3
    """Step size of the teacher, gradient descent."""
    trained_noise_std: float = 0.1
    """Standard deviation of the noise in the thoughts that it is trained on."""


QUICK = LearnedChainConfig(num_tasks=8192, num_heads=2)
AXES = ("decoding_noise_std", "num_steps", "num_candidates")


def model(config: LearnedChainConfig, num_steps: int) -> GPTConfig:
    """Return the transformer with room for this number of thoughts; its weights do not depend on it."""
    return trained.transformer(config, config.dim, config.num_examples + num_steps)


def training_config(config: LearnedChainConfig) -> training.TrainingConfig:
    """Teacher forcing on noisy gradient descent."""
    objective = training.Objective("teacher", config.trained_steps, config.step_size, config.trained_noise_std)
    return trained.course(
        config, model(config, config.trained_steps), ttc_jax.TaskConfig(config.dim, config.num_examples), objective
    )


def _axes(config: LearnedChainConfig) -> dict[str, np.ndarray]:
    return {name: np.sort(getattr(config, name)) for name in AXES}


@functools.lru_cache(maxsize=4)
def predict(config: LearnedChainConfig) -> Prediction:
    """Return the risk of Bayes-optimal ridge regression, a lower bound, and the teacher's risk."""
    trained.check(config, {"decoding_noise_std": 0.0, "num_steps": 0, "num_candidates": 1})
    training_config(config)
    axes = _axes(config)
    noise, steps, number = np.meshgrid(*axes.values(), indexing="ij", sparse=True)
    sizes = config.dim, config.num_examples
    limit = theory.bayes.expected_ridge_risk(*sizes, label_noise_std=config.label_noise_std)
    teacher = theory.expected_risk(
        *sizes,
        num_steps=steps,
        step_size=config.step_size,
        label_noise_std=config.label_noise_std,
        decoding_noise_std=noise,
        num_candidates=number,
    ).total
    shape = teacher.shape
    return Prediction(
        terms={"limit": np.full(shape, limit.mean)},
        model_error=np.full(shape, limit.standard_error),
        judged=np.ones(shape, bool),
        beside={"teacher": teacher},
        reference="risk of Bayes-optimal ridge regression",
    )


def measure(config: LearnedChainConfig, seed: int, engine: Engine) -> Measurement:
    """Train, then let the transformer read its own thoughts on fresh tasks; one rollout serves all lengths and numbers."""
    noise, axes = np.array([config.label_noise_std]), _axes(config)
    params = trained.weights(seed, training_config(config), noise, engine)
    asked = "num_steps", "num_candidates"
    result = engine.sweep(
        trained.measurement_key(seed),
        _measurement(config),
        {"decoding_noise_std": axes["decoding_noise_std"]},
        reused_axes={name: axes[name] for name in asked},
        params=params,
        num_tasks=config.num_tasks,
    )
    return Measurement(axes, result.mean, result.standard_error, result.effective_tasks)


@functools.lru_cache(maxsize=8)
def _measurement(config: LearnedChainConfig) -> Callable[..., Any]:
    """Risks of one task at one decoding noise, shape (num_steps, num_candidates)."""
    task_config, axes = training_config(config).task, _axes(config)
    asked: dict[str, Any] = {name: tuple(axes[name].tolist()) for name in ("num_steps", "num_candidates")}

    longer = model(config, max(1, *config.num_steps))

    def risks(key, params, decoding_noise_std):
        own = jax.tree.map(lambda leaf: leaf[0], params)
        task_key, chain_key = jax.random.split(key)
        task = ttc_jax.sample_task(task_key, task_config, label_noise_std=config.label_noise_std)
        decoder = ttc_jax.decoders.gpt(own, longer)
        return ttc_jax.averaged_risk(chain_key, task, decoder, **asked, decoding_noise_std=decoding_noise_std)

    return risks


def findings(data: xr.Dataset) -> dict:
    """The teacher's best thought within the trained range at each noise and number of candidates, and the gap there.

    It is chosen by prediction, not by what was measured, whose least would be too good.
    """
    within = data.sel(num_steps=data["num_steps"] <= json.loads(data.attrs["config"])["trained_steps"])
    if within["num_steps"].size == 0:
        return {}
    rows = []
    for noise in within["decoding_noise_std"].to_numpy():
        for number in within["num_candidates"].to_numpy():
            one = within.sel(decoding_noise_std=noise, num_candidates=number)
            best = one.isel(num_steps=int(np.argmin(one["beside_teacher"].to_numpy())))
            limit = float(best["predicted"])
            rows.append(
                {
                    "decoding noise": float(noise),
                    "candidates": int(number),
                    "thoughts": int(best["num_steps"]),
                    "gap to ridge": float(best["measured"]) / limit - 1,
                    "standard error": float(np.hypot(best["standard_error"], best["model_error"])) / limit,
                    "gap of the teacher there, predicted": float(best["beside_teacher"]) / limit - 1,
                }
            )
    return {"within the trained range": rows}


def draw(data: xr.Dataset) -> Figure:
    """Risk against the number of thoughts for each number of candidates, one panel a decoding noise."""
    config = json.loads(data.attrs["config"])
    noises, steps = data["decoding_noise_std"].to_numpy(), data["num_steps"].to_numpy()
    figure, axes = figures.panels(len(noises), width=max(5.6, 3.3 * len(noises)), height=3.7, sharey=True)
    for panel, noise in zip(axes, noises, strict=True):
        for number, color, marker in figures.ordered(data["num_candidates"].to_numpy()):
            one = data.sel(decoding_noise_std=noise, num_candidates=number)
            one = one.assign(predicted=one["beside_teacher"])
            figures.curve(panel, one, "num_steps", color=color, marker=marker, label=f"{number}")
        panel.axhline(float(data["predicted"].min()), color="black", linestyle=":")
        panel.axvspan(min(1, steps[0]) - 0.5, config["trained_steps"] + 0.5, color="0.93", zorder=0)
        panel.set(yscale="log", xlabel="number of thoughts $T$", title=f"decoding noise $\\tau$ = {noise:g}")
        panel.set_xticks(steps[:: 1 + len(steps) // 10])
        figures.plain_log_ticks(panel)
    axes[0].set_ylabel(figures.RISK_LABEL)
    figures.state(
        figure,
        f"$d$ = {config['dim']}, $n$ = {config['num_examples']}, $\\sigma$ = {config['label_noise_std']:g}, "
        f"teacher: $\\eta$ = {config['step_size']:g}, {config['training_steps']} steps of training",
    )
    marks: dict[str, dict[str, Any]] = {
        "best possible: ridge": {"linestyle": ":", "color": "black"},
        "thoughts trained on": {"linewidth": 8, "color": "0.93"},
    }
    figures.key(figure, axes[0], figures.AXIS_LABELS["num_candidates"], line="the teacher, predicted", marks=marks)
    return figure


LARGE = replace(QUICK, dim=8, num_layers=4, width=64, num_heads=4, step_size=0.25)
STUDY = Study(
    name="learned-chain",
    question="Does a transformer trained on thoughts reason like its teacher, and how near does it come to ridge regression?",
    formula=(
        r"$E\,R \geq E\,\mathrm{tr}(X^T X/\sigma^2 + d\,I)^{-1},\quad$"
        r"$\mathrm{teacher:}\ w \leftarrow w + \frac{\eta}{n} X^T(y - Xw) + \tau\xi$"
    ),
    presets={
        "quick": QUICK,
        "standard": replace(LARGE, num_tasks=8192, training_steps=6000, learning_rate=0.002),
        "full": replace(LARGE, num_tasks=262_144, training_steps=50_000, batch_size=512, learning_rate=0.001),
    },
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    tested={"training_steps": 500, "num_steps": (1, 6), "num_candidates": (1, 4)},
    odd_settings=(
        {"decoding_noise_std": (0.1,), "num_steps": (3,), "num_candidates": (1,)},
        {"decoding_noise_std": (0.0, 0.1, 0.2), "num_steps": tuple(range(20)), "num_candidates": (1, 2, 4, 8, 16)},
    ),
)
