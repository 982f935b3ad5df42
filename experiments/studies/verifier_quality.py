"""How good must a verifier be, and when do more candidates start to hurt?"""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.families import selection
from experiments.families.selection import Chooser, Setting
from experiments.page import figures
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study


@dataclass(frozen=True)
class VerifierQualityConfig:
    """Settings of the study of imperfect verifiers."""

    num_tasks: int
    """Number of independent tasks, at least 2."""
    dim: int = 10
    """Number of coefficients d."""
    num_examples: int = 20
    """Number of in-context examples n."""
    step_size: float = 0.3
    """Step size of the gradient step."""
    label_noise_std: tuple[float, ...] = (0.5, 2.0)
    """Standard deviations of the noise in the targets, which a loss on examples mistakes for signal."""
    decoding_noise_std: float = 0.1
    """Standard deviation of the noise injected into every coordinate of every thought."""
    num_steps: int = 10
    """Chain length T."""
    num_candidates: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """Numbers of candidates N."""
    verifier_noise_std: tuple[float, ...] = (0.0, 0.1, 0.3, 1.0, 3.0)
    """Standard deviations of the noise on the oracle's score."""
    held_out_examples: tuple[int, ...] = (1, 2, 5, 20, 100)
    """Numbers m of fresh examples of the held-out loss."""
    num_contexts: int = 256
    """Contexts over which the exact risk given a context is averaged."""
    context_seed: int = 0
    """Seed of those contexts."""


QUICK = VerifierQualityConfig(num_tasks=4096)
DRAWN = (2, 16, 128)
"""Numbers of candidates shown against a verifier's quality, as near as the run has them."""


def chosen_by(config: VerifierQualityConfig) -> tuple[Chooser, ...]:
    """The verifiers: the oracle with more and more noise, held-out losses on more and more examples, the context's own loss."""
    noisy = [selection.noisy_oracle(noise_std) for noise_std in sorted(config.verifier_noise_std)]
    return (*noisy, *map(selection.held_out, sorted(config.held_out_examples)), selection.CONTEXT_LOSS)


def _settings(config: VerifierQualityConfig) -> list[Setting]:
    """The setting of each label noise."""
    fixed = config.dim, config.num_examples, config.num_steps, config.step_size
    return [Setting(*fixed, noise, config.decoding_noise_std) for noise in sorted(config.label_noise_std)]


@functools.lru_cache(maxsize=4)
def predict(config: VerifierQualityConfig) -> Prediction:
    """The risk of one candidate, and what choosing among N changes; without the verifier's noise as a wrong formula."""
    selection.check(config)
    numbers, ways, settings = tuple(sorted(config.num_candidates)), chosen_by(config), _settings(config)
    selection.check_stable(settings[0])

    def wrong(risk):
        if len(config.verifier_noise_std) == 1:
            return {}
        without_noise = risk.copy()  # every noisy oracle predicted as the least noisy one
        without_noise[:, : len(config.verifier_noise_std)] = risk[:, :1]
        return {"without_the_verifier's_noise": without_noise}

    drawn = {"num_contexts": config.num_contexts, "seed": config.context_seed}
    return selection.predict_all(settings, ways, numbers, wrong, **drawn)


def measure(config: VerifierQualityConfig, seed: int, engine: Engine) -> Measurement:
    """Simulate the chains once for each label noise."""
    axis, numbers = {"label_noise_std": np.array(sorted(config.label_noise_std))}, tuple(sorted(config.num_candidates))
    asked = _settings(config), chosen_by(config), numbers
    return selection.measure_all(seed, axis, *asked, engine, num_tasks=config.num_tasks)


def findings(data: xr.Dataset) -> dict:
    """Verifiers under which many candidates are worse than one, and the best number of candidates of those that turn."""
    worse, turning = [], []
    for noise in data["label_noise_std"].to_numpy():
        for name in data["chooser"].to_numpy():
            one = data.sel(label_noise_std=noise, chooser=name)
            where = {"verifier": str(name), "label_noise_std": float(noise)}
            ratio = {kind: float(one[kind][-1] / one[kind][0]) for kind in ("measured", "predicted")}
            if ratio["predicted"] > 1:
                worse.append({**where, **ratio})
            best = {
                kind: int(data["num_candidates"][int(np.argmin(one[kind].to_numpy()))]) for kind in ("measured", "predicted")
            }
            if best["predicted"] < int(data["num_candidates"].max()):
                turning.append({**where, **best})
    return {
        "risk of the most candidates over that of one, where above one": worse,
        "best num_candidates, where not the most": turning,
    }


def draw(data: xr.Dataset) -> Figure:
    """Risk relative to one candidate: against the oracle's noise, against held-out examples, and against N for the worst."""
    config = json.loads(data.attrs["config"])
    noises: list[float] = sorted(config["verifier_noise_std"])
    sizes: list[int] = sorted(config["held_out_examples"])
    labels = data["label_noise_std"].to_numpy()
    shown = _relative(data)
    numbers = shown["num_candidates"].to_numpy()
    drawn = sorted({int(numbers[np.abs(np.log(numbers / wanted)).argmin()]) for wanted in DRAWN})
    figure, axes = figures.panels(3, width=8.2, height=3.7, sharey=True)

    groups = (
        (axes[0], [selection.noisy_oracle(noise).name for noise in noises], noises, "noise of the oracle's score $\\nu$"),
        (axes[1], [selection.held_out(size).name for size in sizes], sizes, "held-out examples $m$"),
    )
    for panel, names, values, label in groups:
        one = shown.isel(label_noise_std=0).sel(chooser=names).assign_coords(chooser=values)
        for number, color, marker in figures.ordered(drawn):
            figures.curve(panel, one.sel(num_candidates=number), "chooser", color=color, marker=marker, label=f"$N$ = {number}")
        panel.set(xlabel=label, title=f"$\\sigma$ = {labels[0]:g}")
    axes[0].set_xscale("symlog", linthresh=min([noise for noise in noises if noise] or [1.0]))
    axes[0].set_xticks(noises, labels=[f"{noise:g}" for noise in noises])
    axes[0].set_xticks([], minor=True)
    axes[1].set_xscale("log")
    figures.number_ticks(axes[1], np.array(sizes))

    smallest = selection.held_out(sizes[0]).name
    for name, style in ((selection.CONTEXT_LOSS.name, "o"), (smallest, "s")):
        for noise, color in zip(labels, itertools.cycle(figures.KIND_COLORS), strict=False):
            one = shown.sel(chooser=name, label_noise_std=noise)
            figures.curve(axes[2], one, "num_candidates", color=color, marker=style, label=f"{name}, $\\sigma$ = {noise:g}")
    axes[2].set(xscale="log", xlabel="number of candidates $N$", title="losses that noise misleads")
    figures.number_ticks(axes[2], numbers)
    for panel in axes:
        panel.axhline(1, color="0.3", linestyle=":", zorder=0)
    axes[0].set_ylabel("excess risk / that of one candidate")
    figures.state(
        figure,
        f"$d$ = {config['dim']}, $n$ = {config['num_examples']}, $T$ = {config['num_steps']}, "
        f"$\\eta$ = {config['step_size']:g}, $\\tau$ = {config['decoding_noise_std']:g}",
    )
    figures.key(figure, axes[0], None, also=axes[2], marks={"one candidate": {"linestyle": ":"}})
    return figure


def _relative(data: xr.Dataset) -> xr.Dataset:
    """Measured and predicted risks over the predicted risk of one candidate."""
    parts = ("measured", "standard_error", "predicted")
    return data.assign({name: data[name] / data["predicted_one_candidate"] for name in parts})


STUDY = Study(
    name="verifier-quality",
    question="How good must a verifier be, and when do more candidates start to hurt?",
    formula=(
        r"$E\,R = N\,E_{\mathrm{context}}\int g(s)\,(1-F(s))^{N-1}\,ds,$"
        r"$\quad s(w) = (w-c)^\top V (w-c) + \nu\,\xi$"
    ),
    presets={
        "quick": QUICK,
        "standard": replace(QUICK, num_tasks=65_536, num_contexts=4096),
        "full": replace(QUICK, num_tasks=1_048_576, num_contexts=65_536),
    },
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    tested={"label_noise_std": (2.0,), "held_out_examples": (2, 20)},
    odd_settings=(
        {"label_noise_std": (1.0,), "num_candidates": (1, 2), "num_contexts": 8},
        {"verifier_noise_std": (0.0,), "held_out_examples": (3,), "num_contexts": 8},
    ),
)
