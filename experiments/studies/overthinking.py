"""When does thinking longer make the answer worse, and what does averaging change?"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields, replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.families import chains
from experiments.families.chains import ChainConfig
from experiments.page import figures
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study


@dataclass(frozen=True)
class OverthinkingConfig(ChainConfig):
    """Settings of the study of chains that are too long: those of a chain, and more than one number of examples."""

    num_examples: tuple[int, ...] = (40, 10)  # type: ignore[assignment]
    """Numbers of in-context examples n; fewer than coefficients leave directions in which noise only accumulates."""


QUICK = OverthinkingConfig(
    num_tasks=2048,
    step_size=(0.15,),
    label_noise_std=(0.25, 1.0, 2.0),
    decoding_noise_std=(0.0, 0.05),
    num_steps=(0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144),
    num_candidates=(1, 4, 16),
    decoder="gram",
)


def _at(config: OverthinkingConfig, num_examples: int) -> ChainConfig:
    """The settings of a chain at one number of examples."""
    settings = {field.name: getattr(config, field.name) for field in fields(ChainConfig)}
    return ChainConfig(**{**settings, "num_examples": num_examples})


def _sizes(config: OverthinkingConfig) -> list[int]:
    if not config.num_examples or len(set(config.num_examples)) < len(config.num_examples):
        raise ValueError(f"num_examples must list distinct values, at least one, got {list(config.num_examples)}")
    return sorted(config.num_examples, reverse=True)


@functools.lru_cache(maxsize=4)
def predict(config: OverthinkingConfig) -> Prediction:
    """The predictions of the chain at each number of examples."""
    drawn = ("label_noise_std", "decoding_noise_std", "num_steps", "num_candidates")
    sizes = _sizes(config)
    parts = [chains.predict(_at(config, size), drawn=drawn) for size in sizes]
    return Prediction(
        terms={
            name: np.stack([np.broadcast_to(part.terms[name], part.judged.shape) for part in parts]) for name in parts[0].terms
        },
        model_error=np.stack([part.model_error for part in parts]),
        judged=np.stack([part.judged for part in parts]),
        warnings=tuple(
            f"num_examples {size}: {words}" for size, part in zip(sizes, parts, strict=True) for words in part.warnings
        ),
    )


def measure(config: OverthinkingConfig, seed: int, engine: Engine) -> Measurement:
    """The measurements of the chain at each number of examples."""
    sizes = _sizes(config)
    engine.expect(len(sizes))
    parts = [chains.measure(_at(config, size), seed, engine) for size in sizes]
    axes = {"num_examples": np.array(sizes), **parts[0].axes}
    return Measurement(
        axes,
        mean=np.stack([part.mean for part in parts]),
        standard_error=np.stack([part.standard_error for part in parts]),
        effective_tasks=np.stack([np.asarray(part.effective_tasks) for part in parts]),
    )


def findings(data: xr.Dataset) -> dict:
    """Best lengths that are shorter than the longest chain, with the risk of the longest over the least."""
    data = data.isel(step_size=0)
    stacked = data.stack(point=("num_examples", "label_noise_std", "decoding_noise_std", "num_candidates"))
    rows = []
    for point in stacked["point"].to_numpy():
        one = stacked.sel(point=point)
        best = {name: int(chains.best_length(one, name)) for name in ("measured", "predicted")}
        if best["predicted"] < int(one["num_steps"].max()):
            size, label, decoding, number = point
            where = {"num_examples": int(size), "label_noise_std": float(label), "decoding_noise_std": float(decoding)}
            harm = float(one["predicted"].isel(num_steps=-1) / one["predicted"].min())
            rows.append({**where, "num_candidates": int(number), **best, "risk of the longest over the least": round(harm, 3)})
    return {"best num_steps": rows}


def draw(data: xr.Dataset) -> Figure:
    """Risk against length, best ones marked: label noise alone, decoding noise with too few examples, both with enough."""
    data = data.isel(step_size=0)
    many, few = int(data["num_examples"].max()), int(data["num_examples"].min())
    labels, noises = data["label_noise_std"].to_numpy(), data["decoding_noise_std"].to_numpy()
    numbers = data["num_candidates"].to_numpy()
    figure, axes = figures.panels(3, width=8.4, height=3.8)
    quiet, noisy, middle = noises[0], noises[-1], labels[len(labels) // 2]
    settings = (
        (
            "label_noise_std",
            labels,
            "$\\sigma$",
            {"num_examples": many, "decoding_noise_std": quiet, "num_candidates": numbers[0]},
        ),
        ("num_candidates", numbers, "$N$", {"num_examples": few, "decoding_noise_std": noisy, "label_noise_std": labels[0]}),
        ("num_candidates", numbers, "$N$", {"num_examples": many, "decoding_noise_std": noisy, "label_noise_std": middle}),
    )
    symbols = {"num_examples": "$n$", "decoding_noise_std": "$\\tau$", "label_noise_std": "$\\sigma$", "num_candidates": "$N$"}
    steps = data["num_steps"].to_numpy()
    for panel, (dim, values, symbol, fixed) in zip(axes, settings, strict=True):
        for value, color, marker in figures.ordered(values):
            one = data.sel({**fixed, dim: value})
            figures.curve(panel, one, "num_steps", color=color, marker=marker, label=f"{symbol} = {value:g}")
            for variable, look in figures.BEST_MARKS.items():
                best = chains.best_length(one, variable)
                panel.plot(best, one[variable].sel(num_steps=best), **look)
        panel.set_title(", ".join(f"{symbols[name]} = {value:g}" for name, value in fixed.items()))
        panel.set_xscale("symlog", linthresh=2, linscale=0.5)
        panel.set_yscale("log")
        figures.plain_log_ticks(panel)
        panel.set_xlim(-0.2, 1.1 * steps.max())
        panel.set_xticks(ticks := [t for t in (0, 1, 3, 10, 30, 100, 300, 1000) if t <= steps.max()], labels=map(str, ticks))
        panel.set_xticks([], minor=True)
        panel.set_xlabel(figures.AXIS_LABELS["num_steps"])
        panel.legend(loc="upper center", fontsize=7)
    axes[0].set_ylabel(figures.RISK_LABEL)
    figures.state(figure, f"$d$ = {chains.sizes(data)[0]}, $\\eta$ = {data['step_size'].item():g}")
    marks = {f"{variable} best length": look for variable, look in figures.BEST_MARKS.items()}
    figures.key(figure, None, None, marks=marks)
    return figure


STUDY = Study(
    name="overthinking",
    question="When does thinking longer make the answer worse, and what does averaging change?",
    formula=chains.RISK_FORMULA,
    presets={"quick": QUICK, "standard": replace(QUICK, num_tasks=65_536), "full": replace(QUICK, num_tasks=1_048_576)},
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    odd_settings=(
        {"num_examples": (40,)},
        {"label_noise_std": (0.5,), "num_candidates": (1, 2, 4, 8)},
    ),
)
