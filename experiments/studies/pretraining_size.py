"""How many prompts, and of how many tasks, does linear attention have to be trained on?"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import theory
from experiments.families import infinite_dimension
from experiments.page import figures
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study
from ttc_jax import training
from ttc_jax.normals import standard_normal

ENDLESS = 1e9
"""Prompts over d^2 that are as good as infinitely many."""
FRESH = "one a prompt"
_NUM_DIMS = 3


@dataclass(frozen=True)
class PretrainingSizeConfig:
    """Settings of the study of linear attention trained on few prompts."""

    num_tasks: int
    """Number of independent training runs of the largest dimension, at least 2; smaller ones have more, as 1/d^2."""
    dim: tuple[int, ...] = (8, 16, 32)
    """Numbers of coefficients d, at least three; the three largest are extrapolated."""
    examples_per_coefficient: float = 2.0
    """In-context examples of a prompt for each coefficient, n / d."""
    tasks_per_coefficient: tuple[float, ...] = (0.5, 2.0)
    """Numbers of different tasks trained on, over d; a new task in every prompt is simulated too."""
    prompts_per_weight: tuple[float, ...] = (0.25, 0.5, 0.875, 1.125, 2.0, 4.0)
    """Numbers of prompts trained on, over the d^2 weights; other than 1."""
    label_noise_std: float = 0.3
    """Standard deviation of the noise in the targets, of which the signal has standard deviation 1."""
    test_contexts_per_weight: int = 4
    """Contexts of new tasks that a run is tested on, over d^2."""


QUICK = PretrainingSizeConfig(num_tasks=72)


def _ratios(config: PretrainingSizeConfig) -> np.ndarray:
    return np.sort(config.prompts_per_weight)


def _diversities(config: PretrainingSizeConfig) -> np.ndarray:
    return np.append(np.sort(config.tasks_per_coefficient), np.inf)


def risks(config: PretrainingSizeConfig, diversities: np.ndarray, ratios: Any) -> np.ndarray:
    """Excess risk in infinite dimension, on axes (training_tasks, prompts_per_weight)."""
    noise = config.label_noise_std**2
    return (
        theory.ridgeless_icl_risk(config.examples_per_coefficient, diversities[:, None], np.atleast_1d(ratios), noise) - noise
    )


@functools.lru_cache(maxsize=4)
def predict(config: PretrainingSizeConfig) -> Prediction:
    """The risk after endless training, and what few prompts and few tasks add, in infinite dimension.

    With b prompts the risk has a factor 1/|b - d^2|, and so corrections of that size. Not judged is where they exceed 1/d.
    """
    _check(config)
    ratios, diversities = _ratios(config), _diversities(config)
    risk = risks(config, diversities, ratios)
    fresh = risks(config, diversities[-1:], ratios)
    endless = risks(config, diversities[-1:], ENDLESS)
    smallest = np.sort(config.dim)[-_NUM_DIMS]
    holds = np.abs(ratios - 1) * smallest >= 1
    near = ", ".join(f"{ratio:g}" for ratio in ratios[~holds])
    shape = (len(config.dim) + 1, *risk.shape)
    return Prediction(
        terms={
            "endless_training": np.broadcast_to(endless, shape),
            "few_prompts": np.broadcast_to(fresh - endless, shape),
            "few_tasks": np.broadcast_to(risk - fresh, shape),
        },
        model_error=np.zeros(shape),
        judged=infinite_dimension.judged(len(config.dim), np.broadcast_to(holds, risk.shape)),
        warnings=(f"prompts_per_weight {near}: within 1/{smallest} of 1, the peak; not judged",) if near else (),
        wrong={"with_endless_prompts": np.broadcast_to(risks(config, diversities, ENDLESS), shape)},
    )


def _check(config: PretrainingSizeConfig) -> None:
    for name, least in (("num_tasks", 2), ("test_contexts_per_weight", 1)):
        if getattr(config, name) < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {getattr(config, name)}")
    if not 0 <= config.label_noise_std < np.inf:
        raise ValueError(f"label_noise_std must be finite and at least 0, got {config.label_noise_std:g}")
    if min(config.dim, default=1) < 1:
        raise ValueError(f"dim must be integers of at least 1, got {min(config.dim)}")
    infinite_dimension.check_lists(config, least_dims=_NUM_DIMS)
    infinite_dimension.check_whole(config, "examples_per_coefficient")
    infinite_dimension.check_whole(config, "tasks_per_coefficient")
    infinite_dimension.check_whole(config, "prompts_per_weight", power=2)
    if 1 in config.prompts_per_weight:
        raise ValueError("prompts_per_weight must not be 1, where the error is infinite, got 1")


def measure(config: PretrainingSizeConfig, seed: int, engine: Engine) -> Measurement:
    """Train and test at every dimension; a run's prompts serve every number of them, with its tasks chosen anew."""
    names = [*(f"{ratio:g} d" for ratio in _diversities(config)[:-1]), FRESH]
    reused = {"training_tasks": np.array(names), "prompts_per_weight": _ratios(config)}
    return infinite_dimension.measure_typical(
        config, seed, engine, _measurement, {}, reused, concentration=2, num_dims=_NUM_DIMS
    )


@functools.lru_cache(maxsize=32)
def _measurement(config: PretrainingSizeConfig, dim: int):
    """Logarithm of the excess risk of one run on new tasks, shape (training_tasks, prompts_per_weight)."""
    sizes = [round(ratio * dim**2) for ratio in _ratios(config)]
    pools = [round(ratio * dim) for ratio in _diversities(config)[:-1]]
    num_prompts, num_tests = sizes[-1], config.test_contexts_per_weight * dim**2
    first_test = max(num_prompts, *pools)
    num_examples = round(config.examples_per_coefficient * dim)

    def context(key, coefficients):
        return training.sample_correlation(key, coefficients, num_examples, label_noise_std=config.label_noise_std)

    def log_risks(key):
        task_key, choice_key, context_key, query_key = jax.random.split(key, 4)
        tasks = standard_normal(task_key, (first_test + num_tests, dim)) / np.sqrt(dim)
        places = jax.random.uniform(choice_key, (num_prompts,))
        chosen = [jnp.minimum((places * count).astype(int), count - 1) for count in pools]
        tested = first_test + jnp.arange(num_tests)
        rows = jnp.stack([jnp.concatenate([choice, tested]) for choice in (*chosen, jnp.arange(num_prompts))])
        contexts = jax.vmap(jax.vmap(context), (None, 0))(jax.random.split(context_key, rows.shape[1]), tasks[rows])
        draws = standard_normal(query_key, (num_prompts, dim + 1))
        queries, noise = draws[:, :dim], config.label_noise_std * draws[:, dim]

        def risks_of(given):
            coefficients, seen = given
            labels = jnp.sum(queries * coefficients[:num_prompts], axis=1) + noise
            fits = [training.fit_from_labels(queries[:size], seen[:size], labels[:size]) for size in sizes]
            missed = [seen[num_prompts:] @ weights.T - coefficients[num_prompts:] for weights in fits]
            return jnp.mean(jnp.sum(jnp.stack(missed) ** 2, axis=2), axis=1)

        # One choice of tasks after the other: the fits of few tasks take more steps, for which the others would wait.
        return jnp.log(jax.lax.map(risks_of, (tasks[rows], contexts)))

    return log_risks


def findings(data: xr.Dataset) -> dict:
    """Return the peak of the risk and the risk after the most prompts, for each number of tasks."""
    limit = data.sel(dim=infinite_dimension.EXTRAPOLATED)
    kinds = ("measured", "predicted")
    return {
        "by training tasks": {
            str(name): {
                "prompts_per_weight of the highest risk": {kind: float(one[kind].idxmax()) for kind in kinds},
                "highest risk": {kind: float(one[kind].max()) for kind in kinds},
                "risk after the most prompts": {kind: float(one[kind][-1]) for kind in kinds},
            }
            for name in data["training_tasks"].to_numpy()
            for one in [limit.sel(training_tasks=name)]
        }
    }


def draw(data: xr.Dataset) -> Figure:
    """Risk against prompts, extrapolated, with its peak; and how that of a new task in every prompt tends there."""
    stored = json.loads(data.attrs["config"])
    settings: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
    config = PretrainingSizeConfig(**settings)
    ratios, diversities, names = _ratios(config), _diversities(config), data["training_tasks"].to_numpy()
    lowest, highest = min(ratios[0], 0.5), max(ratios[-1], 2.0)
    sides = np.geomspace(lowest, 0.98, 100), np.geomspace(1.02, highest, 100)
    figure, (left, right) = figures.panels(2, width=7.4, height=3.7, sharey=True)
    for diversity, (name, color, marker) in zip(diversities, figures.ordered(names), strict=True):
        for panel in (left, right) if name == FRESH else (left,):
            for side in sides:
                panel.plot(side, risks(config, np.array([diversity]), side)[0], color=color)
        left.plot([], [], color=color, marker=marker, label=str(name).replace(" d", " $d$"))
        one = data.sel(dim=infinite_dimension.EXTRAPOLATED, training_tasks=name)
        figures.points(left, ratios, one, color=color, marker=marker)
    for dim, color, marker in figures.ordered(data["dim"].to_numpy()[:-1]):
        figures.points(right, ratios, data.sel(dim=dim, training_tasks=FRESH), color=color, marker=marker)
        right.plot([], [], color=color, linestyle="", marker=marker, markerfacecolor="white", label=f"$d$ = {dim}")
    right.legend(loc="upper right")
    left.set(title="extrapolated to $d \\to \\infty$", ylabel="typical excess risk on new tasks")
    right.set(title="a new task in every prompt")
    for panel in (left, right):
        panel.axvline(1, color="0.5", linestyle=":", zorder=0)
        panel.set(xscale="log", yscale="log", xlabel="prompts over weights $b/d^2$")
        figures.number_ticks(panel, 2.0 ** np.arange(np.floor(np.log2(lowest)), np.ceil(np.log2(highest)) + 1))
        figures.plain_log_ticks(panel)
    figures.state(figure, f"$n/d$ = {config.examples_per_coefficient:g}, $\\sigma$ = {config.label_noise_std:g}")
    marks = {"not judged": {"marker": "o", "linestyle": "", "markersize": 4, "markerfacecolor": "white"}}
    figures.key(figure, left, "different training tasks", marks=marks)
    return figure


STUDY = Study(
    name="pretraining-size",
    question="How many prompts, and of how many tasks, does linear attention have to be trained on?",
    formula=(
        r"$\tau>1:\ (k-\frac{1}{\tau-1})(1+x)(xm)^2 + \frac{3-2\tau}{\tau-1}mx^2"
        r" + [\frac{1+\rho}{\tau-1}m+1]x + \frac{\rho m}{\tau-1}+\rho,$"
        r"$\quad x = (1+\rho)\frac{d}{n},\ \rho=\sigma^2,\ \tau=b/d^2$"
    ),
    presets={
        "quick": QUICK,
        "standard": replace(QUICK, num_tasks=256, dim=(12, 24, 48)),
        "full": replace(QUICK, num_tasks=1024, dim=(16, 32, 64, 128)),
    },
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    tested={"num_tasks": 48, "prompts_per_weight": (0.25, 4.0), "tasks_per_coefficient": (0.5,)},
    odd_settings=(
        {"prompts_per_weight": (0.5,), "tasks_per_coefficient": (1.0,)},
        {"prompts_per_weight": (0.9375, 1.0625), "tasks_per_coefficient": (0.25, 0.5, 1.0, 2.0), "dim": (8, 16, 24, 32, 64)},
    ),
)
