"""What does a majority vote of binary candidates buy, and where does the context stop it?"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import theory
from experiments.families import fed_back, infinite_dimension
from experiments.families.fed_back import BinaryConfig
from experiments.page import figures
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study
from ttc_jax import aggregation

QUICK = BinaryConfig(
    num_tasks=224,
    dim=(150, 500),
    examples_per_coefficient=1.0,
    label_noise_per_coefficient=0.7,
    step_size=0.4,
    inverse_temperature=(1.0,),
    num_steps=(1, 2, 4, 8),
    num_candidates=(1, 3, 5, 9, 17, 33),
    num_coordinates=60_000,
)


def _numbers(config: BinaryConfig) -> tuple[int, ...]:
    return tuple(sorted(config.num_candidates))


@functools.lru_cache(maxsize=4)
def predict(config: BinaryConfig) -> Prediction:
    """The error of one candidate, and what the vote takes away; as a wrong one, candidates that err independently."""
    fed_back.check(config)
    numbers = _numbers(config)
    fed_back.check_odd(numbers)
    chain = fed_back.predicted(config, (1, *numbers))
    shape = (len(config.dim) + 1, *chain.vote_error[..., 1:].shape)
    single, votes = chain.vote_error[..., :1], chain.vote_error[..., 1:]
    return Prediction(
        terms={"one_candidate": np.broadcast_to(single, shape), "vote": np.broadcast_to(votes - single, shape)},
        model_error=np.broadcast_to(chain.vote_error_std[..., 1:], shape),
        judged=fed_back.judged(config.dim, config.num_tasks, votes),
        wrong={
            "with_independent_candidates": np.broadcast_to(theory.majority_accuracy(single, np.array(numbers)), shape),
        },
    )


def measure(config: BinaryConfig, seed: int, engine: Engine) -> Measurement:
    """Simulate every dimension; one rollout serves all numbers of candidates."""
    return fed_back.measure(config, seed, engine, _measurement, {"num_candidates": np.array(_numbers(config))})


def _measurement(config: BinaryConfig, dim: int):
    return fed_back.answers(config, dim, _vote, _numbers(config))


def _vote(key, states, sizes):
    return aggregation.prefix_majority_votes(states, sizes)


def limit(data: xr.Dataset) -> float | None:
    """The Bayes limit of the run's contexts; None without label noise, where it is none of a scalar channel."""
    config = json.loads(data.attrs["config"])
    dim = max(config["dim"])
    noise = config["label_noise_per_coefficient"] * np.sqrt(dim)
    if noise == 0:
        return None
    num_examples = round(dim * config["examples_per_coefficient"])
    return float(theory.binary_bayes_error(dim, num_examples, label_noise_std=noise).bit_error)


def floor(one: xr.Dataset) -> float | None:
    """Return the predicted limit of a vote up to 1 / N^2: the contexts that mislead most candidates; None for a single N."""
    numbers, errors = one["num_candidates"].to_numpy().astype(float), one["predicted"].to_numpy()
    if numbers.size < 2:
        return None
    return float((numbers[-1] * errors[-1] - numbers[-2] * errors[-2]) / (numbers[-1] - numbers[-2]))


def findings(data: xr.Dataset) -> dict:
    """The limit, and what votes of the longest chain reach: the largest, and any."""
    last = data.sel(dim=infinite_dimension.EXTRAPOLATED).isel(num_steps=-1, inverse_temperature=0)
    return {
        "Bayes limit": limit(data),
        "largest vote": {kind: float(last[kind][-1]) for kind in ("measured", "predicted")},
        "floor of votes, predicted": floor(last),
    }


def draw(data: xr.Dataset) -> Figure:
    """Error of the vote against the number of candidates at each chain length, one panel a temperature."""
    config = json.loads(data.attrs["config"])
    data = data.sel(dim=infinite_dimension.EXTRAPOLATED)
    betas, numbers = data["inverse_temperature"].to_numpy(), data["num_candidates"].to_numpy()
    figure, axes = figures.panels(len(betas), width=max(5.6, 3.2 * len(betas)), height=3.6, sharey=True)
    bayes = limit(data)
    for panel, beta in zip(axes, betas, strict=True):
        for steps, color, marker in figures.ordered(data["num_steps"].to_numpy()):
            one = data.sel(inverse_temperature=beta, num_steps=steps)
            figures.curve(panel, one, "num_candidates", color=color, marker=marker, label=f"{steps}")
            if (lowest := floor(one)) is not None and lowest > 0:
                panel.axhline(lowest, color=color, linestyle="--", linewidth=0.8, zorder=0)
        if bayes is not None:
            panel.axhline(bayes, color="0.3", linestyle=":")
        panel.set(xscale="log", yscale="log", xlabel="number of votes $N$", title=f"$\\beta$ = {beta:g}")
        figures.plain_log_ticks(panel)
        figures.number_ticks(panel, numbers)
    axes[0].set_ylabel("bit error of the majority")
    figures.state(
        figure,
        f"$n/d$ = {config['examples_per_coefficient']:g}, $\\eta$ = {config['step_size']:g}, "
        f"$\\sigma/\\sqrt{{d}}$ = {config['label_noise_per_coefficient']:g}, extrapolated to $d \\to \\infty$",
    )
    marks: dict[str, dict[str, Any]] = {
        "floor of votes": {"linestyle": "--", "linewidth": 0.8},
        "Bayes limit": {"linestyle": ":"},
    }
    figures.key(figure, axes[0], figures.AXIS_LABELS["num_steps"], marks=marks)
    return figure


STUDY = Study(
    name="majority-vote",
    question="What does a majority vote of binary candidates buy, and where does the context stop it?",
    formula=(
        r"$P(\mathrm{wrong}) = E_{\zeta,w^*}\,P(\mathrm{Bin}(N, p(\zeta, w^*)) > N/2)"
        r" \;\longrightarrow\; P(p > 1/2)$"
    ),
    presets={
        "quick": QUICK,
        "standard": replace(QUICK, num_tasks=512, num_coordinates=400_000),
        "full": replace(QUICK, num_tasks=8192, num_coordinates=1_600_000),
    },
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    odd_settings=(
        {"num_coordinates": 160, "num_steps": (3,)},
        {"num_coordinates": 160, "inverse_temperature": (0.5, 1.0, 4.0)},
    ),
)
