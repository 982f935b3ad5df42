"""How often is the exact answer chosen among N binary candidates, and how good must the verifier be?"""

from __future__ import annotations

import functools

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import theory
from experiments import answers, choosers
from experiments.answers import AnswersConfig
from experiments.engine import Engine
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


def measure(config: AnswersConfig, seed: int, engine: Engine) -> Measurement:
    """Simulate every noise with the same tasks."""
    return answers.measure(config, seed, engine, answers.verifiers(config), "exact_recovery")


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
    figure = answers.draw_against_numbers(data, ylabel="exact recovery", yscale="linear", legend="best of $N$ by")
    figure.axes[0].set_ylim(0, 1)
    return figure


STUDY = Study(
    name="binary-best-of-n",
    question="How often is the exact answer chosen among N binary candidates, and how good must the verifier be?",
    formula=(
        r"$P(\mathrm{exact}) = E_{\mathrm{context}}\,[S_*^N - S_{*+}^N]\,p_*/(S_*-S_{*+}),\quad$"
        r"$S_* = P(\mathrm{score}\geq s(w^*)),\quad \mathrm{oracle}: E\,[1-(1-p_*)^N]$"
    ),
    presets=answers.presets(QUICK),
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
)
