"""How often is the exact answer chosen among N binary candidates, and how good must the verifier be?"""

from __future__ import annotations

import functools

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import theory
from experiments.families import enumerated, selection
from experiments.families.enumerated import AnswersConfig
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study

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
    ways = enumerated.verifiers(config)

    def wrong(single, chosen):
        same, row = chosen.copy(), ways.index(selection.ORACLE)
        same[..., row, :] = theory.answers.expected_pass_at_k(single[..., row, :], np.array(enumerated.numbers(config)))
        return {"with_contexts_equally_hard": same}

    return enumerated.predict(config, ways, "exact_recovery", wrong)


def measure(config: AnswersConfig, seed: int, engine: Engine) -> Measurement:
    """Simulate every noise with the same tasks."""
    return enumerated.measure(config, seed, engine, enumerated.verifiers(config), "exact_recovery")


def findings(data: xr.Dataset) -> dict:
    """Return the errors of one candidate and of the most candidates under every verifier."""
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
    figure = enumerated.draw_against_numbers(data, ylabel="exact recovery", yscale="linear", legend="best of $N$ by")
    figure.axes[0].set_ylim(0, 1)
    return figure


STUDY = Study(
    name="binary-best-of-n",
    question="How often is the exact answer chosen among N binary candidates, and how good must the verifier be?",
    formula=(
        r"$P(\mathrm{exact}) = E_{\mathrm{context}}\,[S_*^N - S_{*+}^N]\,p_*/(S_*-S_{*+}),\quad$"
        r"$S_* = P(\mathrm{score}\geq s(w^*)),\quad \mathrm{oracle}: E\,[1-(1-p_*)^N]$"
    ),
    presets=enumerated.presets(QUICK),
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    odd_settings=(
        {"num_candidates": (1,)},
        {"label_noise_std": (0.1, 1.0, 10.0), "held_out_examples": (1, 2, 4, 8)},
    ),
)
