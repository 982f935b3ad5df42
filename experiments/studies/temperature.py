"""At which temperature should thoughts be sampled: for one candidate, for a vote, for the best of many?"""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.families import enumerated
from experiments.families.enumerated import AnswersConfig
from experiments.page import figures
from experiments.run.study import Prediction, Study

QUICK = AnswersConfig(num_tasks=16_384, inverse_temperature=(0.5, 1.0, 2.0, 4.0, 8.0, 16.0))


def predict(config: AnswersConfig) -> Prediction:
    """The bit error of one candidate, and what votes and choices among many change."""
    return enumerated.predict_bit_error(config, temperatures_drawn=True)


def curves(data: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """Names and values of what one answer is made of: one candidate where it was simulated, then the most by every way."""
    numbers = data["num_candidates"].to_numpy()
    found = [(str(name), data.sel(chooser=name).isel(num_candidates=-1)) for name in data["chooser"].to_numpy()]
    if numbers[0] == 1 and len(numbers) > 1:
        found.insert(0, ("one candidate", data.isel(chooser=0, num_candidates=0)))
    return found


def best(one: xr.Dataset, kind: str) -> float:
    """The inverse temperature of least error among those listed."""
    return float(one["inverse_temperature"][int(np.argmin(one[kind].to_numpy()))])


def nearly_best(one: xr.Dataset) -> list[float]:
    """The inverse temperatures whose measured error is within two standard errors of the least one."""
    mean, error = one["measured"].to_numpy(), one["standard_error"].to_numpy()
    least = np.argmin(mean)
    return one["inverse_temperature"].to_numpy()[mean - mean[least] <= 2 * np.hypot(error, error[least])].tolist()


def findings(data: xr.Dataset) -> dict:
    """The best inverse temperature of every way to make one answer, of those listed."""
    return {
        "best inverse_temperature": [
            {"answer": name, "label_noise_std": float(noise), "measured": nearly_best(one), "predicted": best(one, "predicted")}
            for noise in data["label_noise_std"].to_numpy()
            for name, one in curves(data.sel(label_noise_std=noise))
        ]
    }


def draw(data: xr.Dataset) -> Figure:
    """Bit error against the inverse temperature for every way, with the best of each; one panel a label noise."""
    config = json.loads(data.attrs["config"])
    noises, betas = data["label_noise_std"].to_numpy(), data["inverse_temperature"].to_numpy()
    figure, axes = figures.panels(len(noises), width=max(5.6, 3.2 * len(noises)), height=4.0, sharey=True)
    for panel, noise in zip(axes, noises, strict=True):
        found = curves(data.sel(label_noise_std=noise))
        for (name, one), (_, color, marker) in zip(found, figures.distinct([name for name, _ in found]), strict=True):
            figures.curve(panel, one, "inverse_temperature", color=color, marker=marker, label=name)
            for kind, mark in figures.BEST_MARKS.items():
                where = best(one, kind)
                panel.plot(where, float(one[kind].sel(inverse_temperature=where)), **mark)
        panel.set(xscale="log", yscale="log", xlabel="inverse temperature $\\beta$", title=f"$\\sigma$ = {noise:g}")
        figures.number_ticks(panel, betas)
        figures.plain_log_ticks(panel)
    axes[0].set_ylabel("bit error")
    figures.state(figure, enumerated.setting(config))
    marks = {f"best, {kind}": {**mark, "markersize": 6} for kind, mark in figures.BEST_MARKS.items()}
    figures.key(figure, axes[0], f"one candidate, or one answer of {int(data['num_candidates'].max())} by", marks=marks)
    return figure


STUDY = Study(
    name="temperature",
    question="At which temperature should thoughts be sampled: for one candidate, for a vote, for the best of many?",
    formula=(
        r"$P(w_{t+1}=v\,|\,w_t) = \prod_i p_\beta(v_i u_i),\quad u = w_t + \frac{\eta}{n}X^\top(y - X w_t),\quad$"
        r"$E\,\mathrm{err} = E_{\mathrm{context}}\sum_v P(v\ \mathrm{chosen\ of}\ N)\,\mathrm{err}(v)$"
    ),
    presets=enumerated.presets(QUICK),
    predict=predict,
    measure=enumerated.measure_bit_error,
    draw=draw,
    findings=findings,
    odd_settings=(
        {"num_candidates": (5,)},
        {"label_noise_std": (0.5, 1.0), "inverse_temperature": tuple(range(1, 13))},
    ),
)
