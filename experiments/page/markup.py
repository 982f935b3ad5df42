"""Format values, durations, formulas and figures for the page."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure


def words(value: Any, digits: int = 6) -> str:
    """Return a value in words: lists and dictionaries too."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {words(entry, digits)}" for name, entry in value.items())
    if isinstance(value, list):
        between = "; " if any(isinstance(entry, dict) for entry in value) else ", "
        return between.join(words(entry, digits) for entry in value)
    if value is None:
        return "not set"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def share(z: float, threshold: float) -> str:
    """Return the length of a bar of z, in percent; the threshold is at its middle."""
    return f"{float(np.clip(np.nan_to_num(50 * z / threshold), 0, 100)):.0f}%"


def is_table(value: Any) -> bool:
    """Return whether a value is a list of rows with the same names."""
    rows = value if isinstance(value, list) else []
    return bool(rows) and all(isinstance(row, dict) and list(row) == list(rows[0]) for row in rows)


def formula_figure(text: str) -> Figure:
    """Draw a formula, each of its parts on its own line."""
    lines = text.replace("$$", "$\n$").replace(r",\quad$", ",$").replace(r"$\quad", "$")
    figure = Figure(figsize=(0.1, 0.1))
    figure.text(0, 0, lines, fontsize=15, linespacing=1.7, math_fontfamily="stix")
    return figure


def svg(figure: Figure, **options: Any) -> Markup:
    """Return a figure as the address of an image that holds it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None}, **options)
    return data_address("image/svg+xml", buffer.getvalue())


def data_address(kind: str, content: bytes) -> Markup:
    """Return an address that holds its content; base64 needs no escaping."""
    return Markup(f"data:{kind};base64,{base64.b64encode(content).decode()}")
