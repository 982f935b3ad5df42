"""Figure, findings and command of the results of recorded samples."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.page import figures
from experiments.records.analysis import COVERAGE, LENGTH, NAME, RecordConfig
from experiments.records.prices import BEST, CHECKED, STOPPED, VOTE, Way
from experiments.run.study import Presentation

_LEAST_GAIN = 0.005
_ROUNDING = 1e-6


def draw(data: xr.Dataset) -> Figure:
    """Coverage, votes and choices, and accuracy by length, as far as they are known."""
    parts = [_draw_coverage]
    parts += [_draw_choices] if "num_votes" in data.dims else []
    parts += [_draw_spending] if data.sizes["way"] else []
    parts += [_draw_lengths] if _series(data, LENGTH)[0].size else []
    figure, panels = figures.panels(len(parts), width=3.6 * len(parts))
    for part, panel in zip(parts, panels, strict=True):
        part(panel, data)
    figures.state(
        figure, f"lines and bands: predicted from {data.attrs['budget']} samples of a problem, 90 %; points: measured, ±2 s.e."
    )
    return figure


def _draw_coverage(panel: Axes, data: xr.Dataset) -> None:
    color = figures.KIND_COLORS[0]
    panel.fill_between(data["k"], data["coverage_low"], data["coverage_high"], color="0.85")
    further = data["predicted_k"]
    panel.fill_between(
        further, data["coverage_predicted_low"], data["coverage_predicted_high"], color=color, alpha=0.25, linewidth=0
    )
    panel.plot(further, data["coverage_predicted"], color=color, label=f"predicted from {data.attrs['budget']}")
    panel.plot(data["k"], data["coverage"], color="0.2", linestyle="--", label="measured, all samples")
    numbers, mean, error, _ = _series(data, COVERAGE)
    panel.errorbar(numbers, mean, 2 * error, fmt="o", color="black", label="measured, the others")
    panel.set(xscale="log", xlabel="number of samples $k$", ylabel="pass@k", title="at least one is right")
    figures.number_ticks(panel, _powers_of_two(further))
    panel.legend()


def _powers_of_two(values: xr.DataArray) -> np.ndarray:
    """From one to the largest of the values."""
    return 2 ** np.arange(int(values.max()).bit_length())


def _draw_choices(panel: Axes, data: xr.Dataset) -> None:
    color = figures.KIND_COLORS[0]
    further = data["num_votes"]
    low, high = data["votes_predicted_low"], data["votes_predicted_high"]
    panel.fill_between(further, low, high, color=color, alpha=0.25, linewidth=0)
    panel.plot(further, data["votes_predicted"], color=color)
    kinds = {"vote": VOTE, "best by score": BEST}
    for name, color, marker in figures.distinct(list(kinds)):
        numbers, mean, error, predicted = _series(data, kinds[name])
        if numbers.size:
            panel.plot([], [], color=color, marker=marker, label=name)
            panel.errorbar(numbers, mean, 2 * error, fmt=marker, color=color)
            if kinds[name] == BEST:
                panel.plot(numbers, predicted, color=color)
    panel.set(xscale="log", xlabel="number of samples $N$", ylabel="accuracy", title="one is chosen")
    figures.number_ticks(panel, _powers_of_two(further))
    panel.legend(loc="upper left")


def _draw_spending(panel: Axes, data: xr.Dataset) -> None:
    """Accuracy against cost: predicted lines, measured points, and rings where nothing cheaper is as good."""
    priced = _priced(data)
    kinds = {"vote": VOTE, "vote that stops": STOPPED, "best by score": BEST, "checked one by one": CHECKED}
    for name, color, marker in figures.distinct(list(kinds)):
        own = [one for one in priced if one["way"].startswith(kinds[name])]
        if not own:
            continue
        panel.plot([one["cost"] for one in own], [one["accuracy"] for one in own], color=color)
        panel.plot([], [], color=color, marker=marker, label=name)
        rows = data.sel(way=[one["way"] for one in own if one["measured cost"] is not None])
        costs = [one["measured cost"] for one in own if one["measured cost"] is not None]
        panel.errorbar(costs, rows["way_measured_accuracy"], 2 * rows["way_measured_accuracy_error"], fmt=marker, color=color)
    best = frontier(data)
    panel.plot(
        [one["cost"] for one in best],
        [one["accuracy"] for one in best],
        **{**figures.BEST_MARKS["predicted"], "markersize": 8, "label": "best at its price"},
    )
    panel.set(xlabel="cost of a problem", ylabel="accuracy", title="what a price buys")
    if all(one["cost"] > 0 for one in priced):
        panel.set_xscale("log")
    panel.legend()


def _draw_lengths(panel: Axes, data: xr.Dataset) -> None:
    parts, mean, error, predicted = _series(data, LENGTH)
    panel.plot(parts, predicted, color=figures.KIND_COLORS[0], label=f"of the first {data.attrs['budget']}")
    panel.errorbar(parts, mean, 2 * error, fmt="o", color="black", label="measured, the others")
    panel.set(xlabel="fifth of a problem's samples, by length", ylabel="accuracy", title="from shorter to longer")
    panel.set_ylim(bottom=0)
    panel.legend()


def _series(data: xr.Dataset, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of samples, measured, standard error and predicted of one kind of quantity."""
    names = [str(name) for name in data["quantity"].to_numpy()]
    places = [place for place, name in enumerate(names) if name.startswith(kind)]
    numbers = np.array([int(names[place].removeprefix(kind)) for place in places], int)
    measured, error, predicted = (data[name].to_numpy()[places] for name in ("measured", "standard_error", "predicted"))
    return numbers, measured, error, predicted


def findings(data: xr.Dataset) -> dict[str, Any]:
    """Return measured coverage, predictions from the first samples, and the accuracy by length."""
    fewest, asked = int(data["k"][-1]), json.loads(data.attrs["config"])["predict"]
    found: dict[str, Any] = {
        "law of success rates": data.attrs["law"],
        f"pass@{fewest} of all samples": float(data["coverage"][-1]),
    }
    for k in sorted({fewest, asked or fewest}):
        one = data.sel(predicted_k=k)
        names = {"estimate": "coverage_predicted", "low": "coverage_predicted_low", "high": "coverage_predicted_high"}
        found[f"pass@{k} predicted from {data.attrs['budget']}, 90 % interval"] = {
            name: float(one[variable]) for name, variable in names.items()
        }
    if "num_votes" in data.dims:
        last = data.isel(num_votes=-1)
        names = {"estimate": "votes_predicted", "low": "votes_predicted_low", "high": "votes_predicted_high"}
        found[f"vote of {int(last['num_votes'])} predicted from {data.attrs['budget']}, 90 % interval"] = {
            name: float(last[variable]) for name, variable in names.items()
        }
    if outside := _outside(data):
        found["measured outside the 90 % interval"] = outside
    if data.sizes["way"]:
        found["what is worth its price"] = frontier(data)
        found |= {"votes that stop when their leader is certain": stops} if (stops := _stops(data)) else {}
        found |= _advice(data)
    parts, mean, error, _ = _series(data, LENGTH)
    if parts.size:
        ends = {"shortest": 0, "longest": -1}
        found["accuracy by length"] = {end: f"{mean[place]:.3f} ± {error[place]:.3f}" for end, place in ends.items()}
    return found


def _outside(data: xr.Dataset) -> list[dict[str, str]]:
    """Return every measured pass@k and vote outside its predicted interval."""
    shown: list[tuple[str, float, float, float]] = []
    for k in np.intersect1d(data["k"], data["predicted_k"]):
        one = data.sel(k=k, predicted_k=k)
        measured, low, high = (float(one[f"coverage{part}"]) for part in ("", "_predicted_low", "_predicted_high"))
        shown.append((f"{COVERAGE}{k}", measured, low, high))
    for number in data["num_votes"].to_numpy() if "num_votes" in data.dims else []:
        if (name := f"{VOTE}{number}") in data["way"]:
            one = data.sel(num_votes=number, way=name)
            parts = ("way_measured_accuracy", "votes_predicted_low", "votes_predicted_high")
            measured, low, high = (float(one[part]) for part in parts)
            shown.append((name, measured, low, high))
    return [
        {"quantity": name, "measured": f"{value:.3f}", "interval": f"{low:.3f} to {high:.3f}"}
        for name, value, low, high in shown
        if not np.isnan(value) and not low - _ROUNDING <= value <= high + _ROUNDING
    ]


def frontier(data: xr.Dataset) -> list[dict[str, Any]]:
    """Ways to come to one answer that are predicted to be right more often than all cheaper ones, by predicted cost.

    More often by half a percent at least: less is within the error of the draws that predict.
    """
    kept: list[dict[str, Any]] = []
    for one in sorted(_priced(data), key=lambda one: (one["cost"], -one["accuracy"])):
        if not kept or one["accuracy"] > kept[-1]["accuracy"] + _LEAST_GAIN:
            kept.append(one)
    return kept


def _priced(data: xr.Dataset) -> list[dict[str, Any]]:
    """Every way with its cost and accuracy, predicted and, where the record reaches so far, measured."""
    config = json.loads(data.attrs["config"])
    found = []
    for name in data["way"].to_numpy():
        one = {field: float(data[f"way_{field}"].sel(way=name)) for field in Way._fields}
        price = config["price"] + (config["verifier_price"] or 0.0) * one["is_checked"]
        row: dict[str, Any] = {"way": str(name), "cost": price * one["samples"], "accuracy": one["accuracy"]}
        known = np.isfinite(one["measured_accuracy"])
        row["measured cost"] = price * one["measured_samples"] if known else None
        words = f"{one['measured_accuracy']:.3f} ± {one['measured_accuracy_error']:.3f}"
        found.append({**row, "measured accuracy": words if known else None})
    return found


def _stops(data: xr.Dataset) -> list[dict[str, str | None]]:
    """Return the savings of votes that stop early, predicted and, where the record is long enough, measured."""
    found = []
    for name in map(str, data["way"].to_numpy()):
        if not name.startswith(STOPPED):
            continue
        number = int(name.removeprefix(STOPPED))
        one, all_ = (data.sel(way=way) for way in (name, f"{VOTE}{number}"))
        saved, measured = (1 - float(one[column]) / number for column in ("way_samples", "way_measured_samples"))
        if saved == 0 and not measured > 0:  # too few for any leader to be certain
            continue
        row: dict[str, str | None] = {"up to": f"{number}", "saved, predicted": f"{saved:.1%}"}
        known = np.isfinite(measured)
        row["saved, measured"] = f"{measured:.1%} ± {float(one['way_measured_samples_error']) / number:.1%}" if known else None
        for words, way in (("accuracy", one), ("accuracy of all votes", all_)):
            mean, error = (float(way[f"way_measured_accuracy{end}"]) for end in ("", "_error"))
            row[f"{words}, measured"] = f"{mean:.3f} ± {error:.3f}" if known else None
        found.append(row)
    return found


def _advice(data: xr.Dataset) -> dict[str, str]:
    """The way whose predicted right answers are worth most beyond their cost, if it is said what one is worth."""
    value = json.loads(data.attrs["config"])["value"]
    if value is None:
        return {}
    priced = _priced(data)
    best = max(priced, key=lambda one: value * one["accuracy"] - one["cost"])
    gain = value * best["accuracy"] - best["cost"]
    what = f"{best['way']}: cost {best['cost']:.4g}, right {best['accuracy']:.1%} of the time"
    said = what if gain > 0 else f"none is worth its cost; the nearest is {what}"
    kind = best["way"].rstrip("0123456789")
    if kind != BEST and best == [one for one in priced if one["way"].startswith(kind)][-1]:
        said += "; this is as far as was looked, and --predict looks further"
    return {f"best if a right answer is worth {value:g}": said}


class _Recorded(Presentation):
    def invocation(self, settings: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
        file, digest = settings.pop("file"), settings.pop("sha256")
        skips = ["--skip-damaged"] if settings.pop("skip_damaged") else []
        return ["ttc", "recorded", file, *skips], asdict(RecordConfig(file, digest))


PRESENTATION = _Recorded(
    name=NAME,
    question="What do a few recorded samples of a language model predict about many?",
    formula=r"$\mathrm{pass@}k = 1 - \int (1-p)^k\, dG(p)$",
    draw=draw,
    findings=findings,
)
