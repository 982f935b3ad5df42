"""Which way of choosing among candidates is best, and from how many candidates on?"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.families import selection
from experiments.families.selection import Chooser, Setting
from experiments.page import figures
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study


@dataclass(frozen=True)
class BestOfNConfig:
    """Settings of the study of choosing among candidates."""

    num_tasks: int
    """Number of independent tasks, at least 2."""
    dim: tuple[int, ...] = (4, 10, 20)
    """Numbers of coefficients d."""
    examples_per_coefficient: float = 2.0
    """In-context examples for each coefficient, n / d."""
    step_size: float = 0.3
    """Step size of the gradient step."""
    label_noise_std: float = 0.5
    """Standard deviation of the noise in the targets."""
    decoding_noise_std: float = 0.07
    """Standard deviation of the noise injected into every coordinate of every thought."""
    num_steps: int = 10
    """Chain length T."""
    num_candidates: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """Numbers of candidates N."""
    verifier_noise_std: float = 0.3
    """Standard deviation of the noise on the noisy oracle's score."""
    held_out_examples: int = 20
    """Fresh examples m of the held-out loss."""
    num_contexts: int = 256
    """Contexts over which the exact risk given a context is averaged."""
    context_seed: int = 0
    """Seed of those contexts."""


QUICK = BestOfNConfig(num_tasks=4096)


def chosen_by(config: BestOfNConfig) -> tuple[Chooser, ...]:
    """The ways of choosing, in the order of the figure's curves."""
    noisy, held_out = selection.noisy_oracle(config.verifier_noise_std), selection.held_out(config.held_out_examples)
    distinct = dict.fromkeys((selection.AVERAGE, selection.ORACLE, noisy, selection.CONTEXT_LOSS, held_out))
    return tuple(distinct)


def _settings(config: BestOfNConfig) -> list[Setting]:
    """The setting of each panel."""
    chain = config.num_steps, config.step_size, config.label_noise_std, config.decoding_noise_std
    return [Setting(dim, round(dim * config.examples_per_coefficient), *chain) for dim in sorted(config.dim)]


@functools.lru_cache(maxsize=4)
def predict(config: BestOfNConfig) -> Prediction:
    """The risk of one candidate, and what choosing among N changes; with two wrong formulas of the study's own."""
    selection.check(config)
    numbers, ways = tuple(sorted(config.num_candidates)), chosen_by(config)
    if not 0 < config.examples_per_coefficient < np.inf:
        raise ValueError(f"examples_per_coefficient must be finite and above 0, got {config.examples_per_coefficient}")
    settings = _settings(config)
    for setting in settings:
        selection.check_stable(setting)
    drawn: dict[str, Any] = {"num_contexts": config.num_contexts, "seed": config.context_seed}
    noisy = selection.noisy_oracle(config.verifier_noise_std)

    def wrong(risk):
        made = {}
        if noisy != selection.ORACLE:
            made["without_the_verifier's_noise"] = quiet = risk.copy()
            quiet[:, ways.index(noisy)] = risk[:, ways.index(selection.ORACLE)]
        if 10 in config.dim and 64 in numbers:
            made["Gaussian_form_at_d_=_10,_N_=_64"] = gaussian = risk.copy()
            place = sorted(config.dim).index(10)
            for row, way in enumerate(ways):
                form = selection.predict(settings[place], way, (64,), **drawn, gaussian=True)
                gaussian[place, row, numbers.index(64)] = form.risk[0]
        return made

    return selection.predict_all(settings, ways, numbers, wrong, **drawn)


def measure(config: BestOfNConfig, seed: int, engine: Engine) -> Measurement:
    """Simulate the chains once for each dimension."""
    axis, numbers = {"dim": np.array(sorted(config.dim))}, tuple(sorted(config.num_candidates))
    asked = _settings(config), chosen_by(config), numbers
    return selection.measure_all(seed, axis, *asked, engine, num_tasks=config.num_tasks)


def crossing(data: xr.Dataset, variable: str) -> float | None:
    """Return the N at which the oracle starts to beat the average, interpolated in logarithms; None if out of range."""
    oracle, average = (data[variable].sel(chooser=name).to_numpy() for name in ("oracle", "average"))
    ratio = np.log(oracle / average)
    numbers = np.log(data["num_candidates"].to_numpy())
    worse = np.flatnonzero((ratio >= 0) & (numbers > 0))
    if ratio[-1] >= 0:
        return None
    if not worse.size:
        return float(np.exp(numbers[min(1, numbers.size - 1)]))
    last = worse[-1]
    share = ratio[last] / (ratio[last] - ratio[last + 1])
    return float(np.exp(numbers[last] + share * (numbers[last + 1] - numbers[last])))


def findings(data: xr.Dataset) -> dict:
    """Return the crossing of averaging and the oracle; None where it is beyond the listed numbers."""
    crossings = [
        {"dim": int(dim), **{name: crossing(data.sel(dim=dim), name) for name in ("measured", "predicted")}}
        for dim in data["dim"].to_numpy()
    ]
    return {"N from which the oracle beats the average": crossings}


def draw(data: xr.Dataset) -> Figure:
    """Risk against the number of candidates for every way of choosing, one panel a dimension, with the crossing."""
    dims, names = data["dim"].to_numpy(), [str(name) for name in data["chooser"].to_numpy()]
    figure, axes = figures.panels(len(dims), width=max(5.0, 2.5 * len(dims)), height=3.6, sharey=True)
    for panel, dim in zip(axes, dims, strict=True):
        for name, color, marker in figures.distinct(names):
            figures.curve(panel, data.sel(dim=dim, chooser=name), "num_candidates", color=color, marker=marker, label=name)
        where = crossing(data.sel(dim=dim), "predicted")
        if where is not None:
            panel.axvline(where, color="0.3", linestyle=":", zorder=0)
        panel.set(xscale="log", yscale="log", xlabel="number of candidates $N$", title=f"$d$ = {dim}")
        figures.plain_log_ticks(panel)
        figures.number_ticks(panel, data["num_candidates"].to_numpy())
    axes[0].set_ylabel(figures.RISK_LABEL)
    config = json.loads(data.attrs["config"])
    figures.state(
        figure,
        f"$n/d$ = {config['examples_per_coefficient']:g}, $T$ = {config['num_steps']}, $\\eta$ = {config['step_size']:g}, "
        f"$\\sigma$ = {config['label_noise_std']:g}, $\\tau$ = {config['decoding_noise_std']:g}",
    )
    marks = {"oracle beats average, predicted": {"linestyle": ":"}}
    figures.key(figure, axes[0], "one estimate of $N$ candidates by", marks=marks)
    return figure


STUDY = Study(
    name="best-of-n",
    question="Which way of choosing among candidates is best, and from how many candidates on?",
    formula=(
        r"$E\,R = N\,E_{\mathrm{context}}\int g(s)\,(1-F(s))^{N-1}\,ds,$"
        r"$\quad F(s) = P(\mathrm{score} \leq s),\quad g(s) = E[R;\,\mathrm{score} = s]$"
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
    tested={"dim": (10,)},
    odd_settings=(
        {"dim": (4,), "num_candidates": (1,), "num_contexts": 8},
        {"dim": (4, 5, 6, 8), "verifier_noise_std": 0.0, "num_contexts": 8},
    ),
)
