"""How often is the exact answer chosen among N binary candidates, and how good must the verifier be?"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import theory
from experiments import answers, choosers, figures
from experiments.answers import AnswersConfig
from experiments.study import Measurement, Prediction, Study

QUICK = AnswersConfig(
    num_tasks=16_384,
    label_noise_std=(0.5, 1.5),
    inverse_temperature=(1.0,),
    num_candidates=(1, 2, 4, 8, 16, 32, 64),
    held_out_examples=(4, 16),
)


@functools.lru_cache(maxsize=4)
def predict(config: AnswersConfig) -> Prediction:
    """The success of one candidate, and what choosing adds; as a wrong one, contexts that are all equally hard.

    With p the success of one candidate in a context, the oracle's is the average of 1 - (1 - p)^N over contexts, which is less
    than that of the average p.
    """
    ways = answers.verifiers(config)

    def wrong(single, chosen):
        same, row = chosen.copy(), ways.index(choosers.ORACLE)
        same[..., row, :] = theory.expected_pass_at_k(single[..., row, :], np.array(answers.numbers(config)))
        return {"with_contexts_equally_hard": same}

    return answers.predict(config, ways, "exact_recovery", wrong)


def measure(config: AnswersConfig, seed: int, progress: Callable[[int], None]) -> Measurement:
    """Simulate every noise with the same tasks."""
    return answers.measure(config, seed, progress, answers.verifiers(config), "exact_recovery")


def findings(data: xr.Dataset) -> dict:
    """What one candidate and the most candidates reach under every verifier."""
    numbers = data["num_candidates"].to_numpy()
    return {
        f"exact recovery of {numbers[-1]} candidates": [
            {
                "verifier": str(name),
                "label_noise_std": float(noise),
                **{
                    kind: float(data[kind].sel(chooser=name, label_noise_std=noise).isel(inverse_temperature=0)[-1])
                    for kind in ("measured", "predicted")
                },
            }
            for noise in data["label_noise_std"].to_numpy()
            for name in data["chooser"].to_numpy()
        ]
    }


def draw(data: xr.Dataset) -> Figure:
    """Exact recovery against the number of candidates for every verifier, one panel a label noise."""
    config = json.loads(data.attrs["config"])
    noises, betas = data["label_noise_std"].to_numpy(), data["inverse_temperature"].to_numpy()
    figure, axes = figures.panels(len(noises), width=max(5.0, 3.2 * len(noises)), height=3.6, sharey=True)
    for panel, noise in zip(axes, noises, strict=True):
        for name, color, marker in figures.distinct([str(name) for name in data["chooser"].to_numpy()]):
            one = data.sel(label_noise_std=noise, chooser=name, inverse_temperature=betas[0])
            figures.curve(panel, one, "num_candidates", color=color, marker=marker, label=name)
        panel.set(xscale="log", xlabel="number of candidates $N$", title=f"$\\sigma$ = {noise:g}", ylim=(0, 1))
        figures.number_ticks(panel, data["num_candidates"].to_numpy())
    axes[0].set_ylabel("exact recovery")
    figures.state(figure, f"{answers.setting(config)}, $\\beta$ = {betas[0]:g}")
    figures.key(figure, axes[0], "best of $N$ by")
    return figure


STUDY = Study(
    name="binary-best-of-n",
    question="How often is the exact answer chosen among N binary candidates, and how good must the verifier be?",
    formula=(
        r"$P(\mathrm{exact}) = E_{\mathrm{context}}\,[S_*^N - S_{*+}^N]\,p_*/(S_*-S_{*+}),\quad$"
        r"$S_* = P(\mathrm{score}\geq s(w^*)),\quad \mathrm{oracle}: E\,[1-(1-p_*)^N]$"
    ),
    presets={
        "quick": QUICK,
        "standard": replace(QUICK, num_tasks=262_144, num_contexts=65_536),
        "full": replace(QUICK, num_tasks=4_194_304, num_contexts=262_144, dim=8, num_examples=11),
    },
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
)
