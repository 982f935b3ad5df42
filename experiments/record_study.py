"""How a record is drawn and summed up; in form a study, so that files, verdict and page are those of the studies."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import figures
from experiments.errors import UserError
from experiments.record import BEST, COVERAGE, NAME, VOTE
from experiments.study import Study


def draw(data: xr.Dataset) -> Figure:
    """Coverage, votes and choices, and accuracy by length, as far as they are known."""
    parts = [_draw_coverage]
    parts += [_draw_choices] if _series(data, VOTE)[0].size else []
    parts += [_draw_lengths] if "accuracy_by_length" in data else []
    figure, panels = figures.panels(len(parts), width=3.6 * len(parts))
    for part, panel in zip(parts, panels, strict=True):
        part(panel, data)
    return figure


def _draw_coverage(panel: Axes, data: xr.Dataset) -> None:
    color = figures.KIND_COLORS[0]
    panel.fill_between(data["k"], data["coverage_low"], data["coverage_high"], color="0.85")
    panel.plot(data["k"], data["coverage"], color="0.4", label="measured, all samples")
    further = data["predicted_k"]
    panel.fill_between(
        further, data["coverage_predicted_low"], data["coverage_predicted_high"], color=color, alpha=0.25, linewidth=0
    )
    panel.plot(further, data["coverage_predicted"], color=color, label=f"predicted from {data.attrs['budget']}")
    numbers, mean, error, _ = _series(data, COVERAGE)
    panel.errorbar(numbers, mean, error, fmt="o", color="black", label="measured, the others")
    panel.set(xscale="log", xlabel="number of samples $k$", ylabel="pass@k", title="at least one is right")
    panel.legend()


def _draw_choices(panel: Axes, data: xr.Dataset) -> None:
    kinds = {"vote": VOTE, "best by score": BEST}
    for name, color, marker in figures.distinct(list(kinds)):
        numbers, mean, error, predicted = _series(data, kinds[name])
        if numbers.size:
            panel.plot(numbers, predicted, color=color, label=f"{name}, predicted")
            panel.errorbar(numbers, mean, error, fmt=marker, color=color, label="measured")
    panel.set(xscale="log", xlabel="number of samples $N$", ylabel="accuracy", title="one is chosen")
    panel.legend(loc="upper left")


def _draw_lengths(panel: Axes, data: xr.Dataset) -> None:
    mean = data["accuracy_by_length"].to_numpy()
    panel.errorbar(np.arange(1, len(mean) + 1), mean, data["accuracy_by_length_error"], fmt="o-", color="black")
    panel.set(xlabel="fifth of a problem's samples, by length", ylabel="accuracy", title="from shorter to longer")
    panel.set_ylim(bottom=0)


def _series(data: xr.Dataset, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of samples, measured, standard error and predicted of one kind of quantity."""
    names = [str(name) for name in data["quantity"].to_numpy()]
    places = [place for place, name in enumerate(names) if name.startswith(kind)]
    numbers = np.array([int(names[place].removeprefix(kind)) for place in places], int)
    measured, error, predicted = (data[name].to_numpy()[places] for name in ("measured", "standard_error", "predicted"))
    return numbers, measured, error, predicted


def findings(data: xr.Dataset) -> dict[str, Any]:
    """What all samples show, what the first ones predict for as many and more, and what length has to do with it."""
    fewest, furthest = int(data["k"][-1]), int(data["predicted_k"][-1])
    found: dict[str, Any] = {f"pass@{fewest} of all samples": float(data["coverage"][-1])}
    for k in sorted({fewest, furthest}):
        one = data.sel(predicted_k=k)
        names = {"estimate": "coverage_predicted", "low": "coverage_predicted_low", "high": "coverage_predicted_high"}
        found[f"pass@{k} predicted from {data.attrs['budget']}, 90 % interval"] = {
            name: float(one[variable]) for name, variable in names.items()
        }
    if "stopping" in data:
        kinds = ("samples used", "accuracy", "accuracy of all votes")
        columns = (data[name].to_numpy() for name in ("stopping", "stopping_standard_error"))
        stops = {name: f"{mean:.3f} ± {error:.3f}" for name, mean, error in zip(kinds, *columns, strict=True)}
        stops["samples used, predicted"] = f"{float(data['stopping_predicted']):.3f}"
        found["votes that stop when their leader is certain"] = stops
        found["what is worth its price"] = frontier(data)
    if "accuracy_by_length" in data:
        mean, error = (data[name].to_numpy() for name in ("accuracy_by_length", "accuracy_by_length_error"))
        ends = {"shortest": 0, "longest": -1}
        found["accuracy by length"] = {end: f"{mean[place]:.3f} ± {error[place]:.3f}" for end, place in ends.items()}
    return found


def frontier(data: xr.Dataset) -> list[dict[str, Any]]:
    """Ways to choose one answer that no cheaper one is predicted to match, by cost for each problem."""
    config = json.loads(data.attrs["config"])
    prices = {VOTE: config["price"], BEST: config["price"] + config["verifier_price"]}
    ways = []
    for kind, price in prices.items():
        for number, measured, _, predicted in zip(*_series(data, kind), strict=True):
            ways.append((price * number, -predicted, measured, f"{kind}{number}"))
    kept: list[dict[str, Any]] = []
    for cost, negative, measured, way in sorted(ways):
        if not kept or -negative > kept[-1]["predicted"]:
            kept.append({"way": way, "cost": float(cost), "predicted": float(-negative), "measured": float(measured)})
    return kept


def _not_run(*_: Any) -> Any:
    raise UserError("study recorded must be run on files, by ttc recorded FILE")


STUDY = Study(
    name=NAME,
    question="What do a few recorded samples of a language model predict about many?",
    formula=r"$\mathrm{pass@}k = 1 - \int (1-p)^k\, dG(p)$",
    presets={},
    predict=_not_run,
    measure=_not_run,
    draw=draw,
    findings=findings,
)
