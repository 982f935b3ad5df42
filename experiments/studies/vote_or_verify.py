"""With as many candidates, when does a majority vote beat a verifier's choice?"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace

import xarray as xr
from matplotlib.figure import Figure

from experiments import answers, choosers, figures
from experiments.answers import AnswersConfig
from experiments.study import Measurement, Prediction, Study

QUICK = AnswersConfig(
    num_tasks=16_384,
    label_noise_std=(0.5, 1.5, 4.0),
    num_candidates=(1, 3, 5, 9, 17, 33),
    held_out_examples=(2, 8),
)


def _ways(config: AnswersConfig):
    return answers.MAJORITY, *answers.verifiers(config)


@functools.lru_cache(maxsize=4)
def predict(config: AnswersConfig) -> Prediction:
    """The bit error of one candidate, and what many change; as a wrong one, a vote of candidates that err independently."""
    ways = _ways(config)
    return answers.predict(config, ways, "bit_error", answers.with_independent_candidates(config, ways))


def measure(config: AnswersConfig, seed: int, progress: Callable[[int], None]) -> Measurement:
    """Simulate every noise with the same tasks; the vote and the verifiers see the same candidates."""
    return answers.measure(config, seed, progress, _ways(config), "bit_error")


def vote_wins(one: xr.Dataset, verifier: str, kind: str) -> list[int]:
    """The numbers of candidates above one at which the vote errs less than the verifier's choice."""
    vote, choice = (one[kind].sel(chooser=name).to_numpy() for name in (answers.MAJORITY.name, verifier))
    numbers = one["num_candidates"].to_numpy()
    return numbers[(vote < choice) & (numbers > 1)].tolist()


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
            if verifier not in (answers.MAJORITY.name, choosers.ORACLE.name)
        ]
    }


def draw(data: xr.Dataset) -> Figure:
    """Bit error against the number of candidates for the vote and every verifier, one panel a label noise."""
    config = json.loads(data.attrs["config"])
    noises, betas = data["label_noise_std"].to_numpy(), data["inverse_temperature"].to_numpy()
    figure, axes = figures.panels(len(noises), width=max(5.6, 2.7 * len(noises)), height=3.8)
    for panel, noise in zip(axes, noises, strict=True):
        for name, color, marker in figures.distinct([str(name) for name in data["chooser"].to_numpy()]):
            one = data.sel(label_noise_std=noise, chooser=name, inverse_temperature=betas[0])
            figures.curve(panel, one, "num_candidates", color=color, marker=marker, label=name)
        panel.set(xscale="log", yscale="log", xlabel="number of candidates $N$", title=f"$\\sigma$ = {noise:g}")
        figures.number_ticks(panel, data["num_candidates"].to_numpy())
        figures.plain_log_ticks(panel)
    axes[0].set_ylabel("bit error")
    figures.state(figure, f"{answers.setting(config)}, $\\beta$ = {betas[0]:g}")
    figures.key(figure, axes[0], "one answer of $N$ candidates by")
    return figure


STUDY = Study(
    name="vote-or-verify",
    question="With as many candidates, when does a majority vote beat a verifier's choice?",
    formula=(
        r"$\mathrm{vote}: E_{\mathrm{context}}\,\frac{1}{d}\sum_i P(\mathrm{Bin}(N, p_i) > N/2),\quad$"
        r"$\mathrm{choice}: E_{\mathrm{context}}\sum_v \mathrm{err}(v)\,P(v\ \mathrm{has\ the\ best\ score\ of}\ N)$"
    ),
    presets={
        "quick": QUICK,
        "standard": replace(QUICK, num_tasks=262_144, num_contexts=65_536),
        "full": replace(QUICK, num_tasks=4_194_304, num_contexts=262_144, dim=8, num_examples=11),
    },
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
)
