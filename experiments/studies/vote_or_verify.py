"""With as many candidates, when does a majority vote beat a verifier's choice?"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.families import enumerated, selection
from experiments.families.enumerated import AnswersConfig
from experiments.run.study import Study

QUICK = AnswersConfig(
    num_tasks=16_384,
    label_noise_std=(0.5, 1.5, 4.0),
    num_candidates=(1, 3, 5, 9, 17, 33),
    held_out_examples=(2, 8),
)


def vote_wins(one: xr.Dataset, verifier: str, kind: str) -> list[int]:
    """The numbers of candidates at which the vote errs less than the verifier's choice, by more than two standard errors."""
    vote, choice = (one.sel(chooser=name) for name in (enumerated.MAJORITY.name, verifier))
    error = {"measured": "standard_error", "predicted": "model_error"}[kind]
    # Both see the same tasks, which makes this wider than the error of their difference.
    margin = 2 * np.hypot(vote[error], choice[error])
    return one["num_candidates"].to_numpy()[(vote[kind] + margin < choice[kind]).to_numpy()].tolist()


def findings(data: xr.Dataset) -> dict:
    """Where the vote wins."""
    return {
        "num_candidates at which the vote wins": [
            {
                "verifier": str(verifier),
                "label_noise_std": float(noise),
                **{
                    kind: vote_wins(data.sel(label_noise_std=noise).isel(inverse_temperature=0), str(verifier), kind)
                    for kind in ("measured", "predicted")
                },
            }
            for noise in data["label_noise_std"].to_numpy()
            for verifier in data["chooser"].to_numpy()
            if verifier not in (enumerated.MAJORITY.name, selection.ORACLE.name)
        ]
    }


def draw(data: xr.Dataset) -> Figure:
    """Bit error against the number of candidates for the vote and every verifier, one panel a label noise."""
    legend = "one answer of $N$ candidates by"
    return enumerated.draw_against_numbers(data, ylabel="bit error", yscale="log", legend=legend)


STUDY = Study(
    name="vote-or-verify",
    question="With as many candidates, when does a majority vote beat a verifier's choice?",
    formula=(
        r"$\mathrm{vote}: E_{\mathrm{context}}\,\frac{1}{d}\sum_i P(\mathrm{Bin}(N, p_i) > N/2),\quad$"
        r"$\mathrm{choice}: E_{\mathrm{context}}\sum_v \mathrm{err}(v)\,P(v\ \mathrm{has\ the\ best\ score\ of}\ N)$"
    ),
    presets=enumerated.presets(QUICK),
    predict=enumerated.predict_bit_error,
    measure=enumerated.measure_bit_error,
    draw=draw,
    findings=findings,
    odd_settings=(
        {"num_candidates": (3,)},
        {"label_noise_std": (0.5,), "held_out_examples": (1, 2, 4, 8)},
    ),
)
