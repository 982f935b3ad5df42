"""How figures look: one style, colours that survive colour blindness and grey print, axes labelled in words."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

AXIS_LABELS = {
    "step_size": "step size $\\eta$",
    "label_noise_std": "label noise $\\sigma$",
    "decoding_noise_std": "decoding noise $\\tau$",
    "num_steps": "number of steps $T$",
    "num_candidates": "number of averaged candidates $N$",
}
RISK_LABEL = "excess risk"

# Tol's high-contrast colours for the three terms of the risk: apart in grey print too.
TERM_COLORS = {"bias": "#004488", "label_noise": "#DDAA33", "decoding_noise": "#BB5566"}
# Tol's bright colours, for kinds that have no order.
KIND_COLORS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#AA3377", "#66CCEE")
BEST_MARKS: dict[str, dict[str, Any]] = {
    "predicted": {"marker": "o", "markersize": 9, "markerfacecolor": "none", "color": "black", "linestyle": "", "zorder": 5},
    "measured": {"marker": "x", "markersize": 5, "markeredgewidth": 1.6, "color": "black", "linestyle": "", "zorder": 6},
}
_STYLE: Any = {
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "svg.fonttype": "path",
    "svg.hashsalt": "ttc-jax",
}


@contextmanager
def style() -> Iterator[None]:
    """The project's style, within the block."""
    with mpl.rc_context(_STYLE):
        yield


def panels(num: int, *, width: float = 7.2, height: float = 3.0, **options: Any) -> tuple[Figure, Sequence[Axes]]:
    """A figure with a row of panels. No pyplot: nothing global, nothing to close."""
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(1, num, squeeze=False, **options)[0]
    return figure, list(axes)


def ordered(values: Any) -> list[tuple[Any, Any, str]]:
    """Each value with its colour, dark to light without the palest end, and its marker."""
    colors = [mpl.colormaps["viridis"](place) for place in np.linspace(0.05, 0.8, len(values))]
    return list(zip(values, colors, itertools.cycle("osD^vP")))


def distinct(names: Sequence[str]) -> list[tuple[str, Any, str]]:
    """Each name with a colour and a marker that tell kinds apart, not an order."""
    return [
        (name, color, marker) for name, color, marker in zip(names, itertools.cycle(KIND_COLORS), itertools.cycle("osD^vP"))
    ]


def number_ticks(axes: Axes, values: Any) -> None:
    """Ticks of a log x-axis at the values, every other one where they are many, none too near to the one before."""
    candidates = [value for value in values[:: 1 + len(values) // 7] if value > 0]
    shown: list[Any] = candidates[:1]
    for value in candidates[1:]:
        if np.log(value / shown[-1]) >= np.log(candidates[-1] / candidates[0]) / 9:
            shown.append(value)
    axes.set_xticks(shown, labels=[f"{value:.4g}" for value in shown])
    axes.set_xticks([], minor=True)


def plain_log_ticks(axes: Axes) -> None:
    """Ticks of a log y-axis at 1, 2 and 5 times powers of ten, written as plain numbers."""
    axes.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())


def curve(axes: Axes, data: xr.Dataset, dim: str, *, color: Any, marker: str, label: str | None = None) -> None:
    """Predicted line and measured points with error bars of two standard errors, along ``dim``; the rest is scalar.

    Points that are not judged are hollow, and their stretch of the line is dashed.
    """
    x, judged = data[dim].to_numpy(), data["judged"].to_numpy().astype(bool)
    predicted = data["predicted"].to_numpy()
    axes.plot(x, np.where(judged, predicted, np.nan), color=color)
    axes.plot([], [], color=color, marker=marker, label=label)
    if not judged.all():
        axes.plot(x, predicted, color=color, linestyle="--", linewidth=0.8)
    points(axes, x, data, color=color, marker=marker)


def points(axes: Axes, x: np.ndarray, data: xr.Dataset, *, color: Any, marker: str) -> None:
    """Measured points at places ``x`` with error bars of two standard errors; hollow where they are not judged."""
    judged = data["judged"].to_numpy().astype(bool)
    for mask, face in ((judged, color), (~judged, "white")):
        axes.errorbar(
            x[mask],
            data["measured"].to_numpy()[mask],
            yerr=2 * data["standard_error"].to_numpy()[mask],
            fmt=marker,
            color=color,
            markerfacecolor=face,
            capsize=1.5,
            elinewidth=0.8,
        )


def key(
    figure: Figure,
    axes: Axes | None,
    title: str | None,
    *,
    also: Axes | None = None,
    line: str | None = "predicted",
    marks: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """One legend below the panels: the curves of ``axes`` and ``also``, what lines and points mean, and further ``marks``."""
    handles, labels = axes.get_legend_handles_labels() if axes is not None else ([], [])
    if also is not None:
        more_handles, more_labels = also.get_legend_handles_labels()
        handles, labels = [*handles, *more_handles], [*labels, *more_labels]
    meanings: dict[str, Mapping[str, Any]] = {
        **({line: {}} if line else {}),
        "measured ($\\pm 2$ s.e.)": {"marker": "o", "linestyle": "", "markersize": 4},
        **(marks or {}),
    }
    handles += [Line2D([], [], **{"color": "0.3", **look}) for look in meanings.values()]
    ncols = int(figure.get_figwidth() / 1.6)  # columns as wide as the longest words
    figure.legend(handles, [*labels, *meanings], title=title, loc="outside lower center", ncols=ncols)


def held_fixed(figure: Figure, data: xr.Dataset) -> None:
    """Say above the panels of a study of chains what every point has in common."""
    config = json.loads(data.attrs["config"])
    symbols = {name: label.split()[-1] for name, label in AXIS_LABELS.items()}
    fixed = [f"{symbols[name]} = {data[name].item():g}" for name in AXIS_LABELS if data[name].ndim == 0 or data[name].size == 1]
    state(figure, ", ".join([f"$d$ = {config['dim']}", f"$n$ = {config['num_examples']}", *fixed]))


def state(figure: Figure, words: str) -> None:
    """A line above the panels that says what every point has in common."""
    figure.suptitle(words, fontsize=8, color="0.35")
