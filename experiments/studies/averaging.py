"""What does averaging more candidates buy, and where does it stop?"""

from __future__ import annotations

import functools
from dataclasses import replace

import xarray as xr
from matplotlib.figure import Figure

from experiments.families import chains
from experiments.families.chains import ChainConfig
from experiments.page import figures
from experiments.run.study import Study

QUICK = ChainConfig(
    num_tasks=3072,
    label_noise_std=(0.1, 0.5),
    decoding_noise_std=(0.02, 0.05, 0.1, 0.2),
    num_steps=(10,),
    num_candidates=(1, 2, 4, 8, 16, 32),
)


def draw(data: xr.Dataset) -> Figure:
    """Risk against the number of candidates, one panel a label noise, with the floor that no number passes."""
    data = data.isel(step_size=0, num_steps=-1)
    label_noises, noises = data["label_noise_std"].to_numpy(), data["decoding_noise_std"].to_numpy()
    figure, axes = figures.panels(len(label_noises), width=max(5.0, 3.4 * len(label_noises)), height=3.4, sharey=True)
    for panel, label_noise in zip(axes, label_noises, strict=True):
        one_panel = data.sel(label_noise_std=label_noise)
        for noise, color, marker in figures.ordered(noises):
            one = one_panel.sel(decoding_noise_std=noise)
            figures.curve(panel, one, "num_candidates", color=color, marker=marker, label=f"{noise:g}")
        terms = one_panel.isel(decoding_noise_std=0, num_candidates=0)
        floor = float(terms["predicted_bias"] + terms["predicted_label_noise"])
        panel.axhline(floor, color="0.3", linestyle=":")
        panel.annotate(
            "floor: bias + label noise",
            (0.04, floor),
            xycoords=("axes fraction", "data"),
            xytext=(0, -10),
            textcoords="offset points",
            fontsize=8,
            color="0.3",
        )
        panel.set(xscale="log", yscale="log", xlabel=figures.AXIS_LABELS["num_candidates"])
        figures.plain_log_ticks(panel)
        panel.set_xticks(data["num_candidates"].to_numpy(), labels=[str(n) for n in data["num_candidates"].to_numpy()])
        panel.set_xticks([], minor=True)
        panel.set_title(f"label noise $\\sigma$ = {label_noise:g}")
    axes[0].set_ylabel(figures.RISK_LABEL)
    floors = data["predicted_bias"] + data["predicted_label_noise"]
    axes[0].set_ylim(bottom=0.6 * float(floors.min()))
    figures.held_fixed(figure, data)
    figures.key(figure, axes[0], figures.AXIS_LABELS["decoding_noise_std"])
    return figure


STUDY = Study(
    name="averaging",
    question="What does averaging more candidates buy, and where does it stop?",
    formula=(
        r"$E\,R_N = \mathrm{bias} + \mathrm{label\ noise}"
        r" + \frac{\tau^2 d}{N}\,\langle\sum_{s<T}(1-\eta\lambda)^{2s}\rangle"
        r" \;\longrightarrow\; \mathrm{bias} + \mathrm{label\ noise}$"
    ),
    presets={"quick": QUICK, "standard": replace(QUICK, num_tasks=65_536), "full": replace(QUICK, num_tasks=1_048_576)},
    predict=functools.partial(chains.predict, drawn=("label_noise_std", "decoding_noise_std", "num_candidates")),
    measure=chains.measure,
    draw=draw,
    tested={"num_tasks": 2048},
    odd_settings=chains.ODD_SETTINGS,
)
