"""How large a step can a thought take before some contexts diverge?"""

from __future__ import annotations

import functools
from dataclasses import replace

import xarray as xr
from matplotlib.figure import Figure

import theory
from experiments.families import chains
from experiments.families.chains import ChainConfig
from experiments.page import figures
from experiments.run.study import Study

QUICK = ChainConfig(
    num_tasks=4096,
    step_size=(0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.44, 0.49, 0.55, 0.6, 0.64, 0.68),
    num_steps=(1, 4, 16),
)


def edges(data: xr.Dataset) -> tuple[float, float]:
    """The largest stable step of the run's sizes, and the edge that it tends to in large dimension."""
    dim, num_examples = chains.sizes(data)
    finite = theory.largest_stable_step(dim, num_examples, chains.DIVERGENCE_LEVEL)
    return float(finite), 2 / (1 + (dim / num_examples) ** 0.5) ** 2


def findings(data: xr.Dataset) -> dict:
    """The predicted edges."""
    finite, infinite = edges(data)
    return {"largest stable step": finite, "edge in large dimension": infinite}


def draw(data: xr.Dataset) -> Figure:
    """Risk against step size at each chain length, up to the step at which contexts begin to diverge and beyond."""
    data = data.isel(label_noise_std=0, decoding_noise_std=0, num_candidates=0)
    figure, (panel,) = figures.panels(1, width=5.2, height=3.6)
    lengths = data["num_steps"].to_numpy()
    for length, color, marker in figures.ordered(lengths):
        figures.curve(panel, data.sel(num_steps=length), "step_size", color=color, marker=marker, label=f"{length}")
    finite, infinite = edges(data)
    right = max(float(data["step_size"].max()), infinite) * 1.06
    panel.axvspan(finite, right, color="0.93", zorder=0)
    panel.axvline(finite, color="0.3", linestyle=":")
    panel.axvline(infinite, color="0.3", linestyle="--", linewidth=0.9)
    panel.set(xlim=(0, right), yscale="log", xlabel=figures.AXIS_LABELS["step_size"], ylabel=figures.RISK_LABEL)
    stable = data["predicted"].where(data["step_size"] < infinite, drop=True)  # what diverges leaves the picture
    low, high = (float(stable.min()), float(stable.max())) if stable.size else (0.1, 1.0)
    panel.set_ylim(0.7 * low, 8 * high)
    figures.plain_log_ticks(panel)
    for edge, words, side in (
        (finite, "largest stable step, predicted", "right"),
        (infinite, "edge for $d \\to \\infty$", "left"),
    ):
        panel.annotate(
            words,
            (edge, 0.98),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if side == "right" else 3, 0),
            textcoords="offset points",
            rotation=90,
            ha=side,
            va="top",
            fontsize=8,
            color="0.3",
        )
    marks = {"not judged": {"marker": "o", "linestyle": "--", "linewidth": 0.8, "markersize": 4, "markerfacecolor": "white"}}
    figures.held_fixed(figure, data)
    figures.key(figure, panel, figures.AXIS_LABELS["num_steps"], marks=marks)
    return figure


STUDY = Study(
    name="step-size",
    question="How large a step can a thought take before some contexts diverge?",
    formula=chains.RISK_FORMULA
    + "\n"
    + r"$P(\mathrm{a\ context\ diverges}) = P(\lambda_{\max} > 2/\eta) \approx 1 - F_1((2n/\eta-\mu_{nd})/s_{nd})$",
    presets={"quick": QUICK, "standard": replace(QUICK, num_tasks=65_536), "full": replace(QUICK, num_tasks=1_048_576)},
    predict=functools.partial(chains.predict, drawn=("step_size", "num_steps")),
    measure=chains.measure,
    draw=draw,
    findings=findings,
    odd_settings=chains.ODD_SETTINGS,
)
