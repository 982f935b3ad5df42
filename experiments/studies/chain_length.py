"""How long should a noisy chain of thought be, and how does averaging change that?"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.families import chains
from experiments.families.chains import ChainConfig
from experiments.page import figures
from experiments.run.study import Study

QUICK = ChainConfig(
    num_tasks=3072,
    decoding_noise_std=(0.02, 0.05, 0.1),
    num_steps=tuple(range(31)),
    num_candidates=(1, 16),
)


def findings(data: xr.Dataset) -> dict:
    """Measured and predicted best length at each noise and number of candidates."""
    data = data.isel(step_size=0, label_noise_std=0)
    measured, predicted = (chains.best_length(data, name) for name in ("measured", "predicted"))
    return {
        "best num_steps": [
            {
                "decoding_noise_std": float(noise),
                "num_candidates": int(number),
                "measured": int(measured.sel(decoding_noise_std=noise, num_candidates=number)),
                "predicted": int(predicted.sel(decoding_noise_std=noise, num_candidates=number)),
            }
            for noise in data["decoding_noise_std"].to_numpy()
            for number in data["num_candidates"].to_numpy()
        ]
    }


def draw(data: xr.Dataset) -> Figure:
    """Risk against length at each number of candidates, with the best lengths; then the terms of one curve."""
    data = data.isel(step_size=0, label_noise_std=0)
    noises, numbers = data["decoding_noise_std"].to_numpy(), data["num_candidates"].to_numpy()
    figure, axes = figures.panels(len(numbers) + 1, width=max(7.2, 2.6 * (len(numbers) + 1)), height=3.4, sharey=True)
    for panel, number in zip(axes[:-1], numbers, strict=True):
        for noise, color, marker in figures.ordered(noises):
            one = data.sel(decoding_noise_std=noise, num_candidates=number)
            figures.curve(panel, one, "num_steps", color=color, marker=marker, label=f"{noise:g}")
            for variable, look in figures.BEST_MARKS.items():
                best = chains.best_length(one, variable)
                panel.plot(best, one[variable].sel(num_steps=best), **look)
        panel.set_title(f"$N$ = {number}" + (" candidate" if number == 1 else " candidates, averaged"))

    last = data.isel(decoding_noise_std=-1, num_candidates=0)
    steps, bottom = last["num_steps"].to_numpy(), np.zeros(last.sizes["num_steps"])
    for term, color in figures.TERM_COLORS.items():
        top = bottom + last[f"predicted_{term}"].to_numpy()
        axes[-1].fill_between(steps, bottom, top, color=color, alpha=0.8, linewidth=0, label=term.replace("_", " "))
        bottom = top
    axes[-1].set_title(f"terms at $\\tau$ = {noises[-1]:g}, $N$ = {numbers[0]}")
    axes[-1].legend(loc="upper right", frameon=True, framealpha=0.9, edgecolor="none")
    axes[0].set_ylabel(figures.RISK_LABEL)
    axes[0].set_ylim(0, 1.1 * float(data["predicted"].isel(num_steps=0).max()))
    for panel in axes:
        panel.set_xscale("symlog", linthresh=2, linscale=0.5)
        panel.set_xlim(-0.2, 1.08 * steps.max())
        panel.set_xticks(
            ticks := [t for t in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if t <= steps.max()], labels=map(str, ticks)
        )
        panel.set_xticks([], minor=True)
        panel.set_xlabel(figures.AXIS_LABELS["num_steps"])
    marks = {f"{variable} best length": look for variable, look in figures.BEST_MARKS.items()}
    figures.held_fixed(figure, data)
    figures.key(figure, axes[0], figures.AXIS_LABELS["decoding_noise_std"], marks=marks)
    return figure


STUDY = Study(
    name="chain-length",
    question="How long should a noisy chain of thought be, and how does averaging candidates change that?",
    formula=chains.RISK_FORMULA,
    presets={"quick": QUICK, "standard": replace(QUICK, num_tasks=65_536), "full": replace(QUICK, num_tasks=1_048_576)},
    predict=functools.partial(chains.predict, drawn=("decoding_noise_std", "num_steps", "num_candidates")),
    measure=chains.measure,
    draw=draw,
    findings=findings,
    tested={"num_tasks": 2048},
    odd_settings=chains.ODD_SETTINGS,
)
