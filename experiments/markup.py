"""Values, tables, bars, formulas and figures as HTML."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure


def words(value: Any, digits: int = 6) -> str:
    """A value in words: lists and dictionaries too."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {words(entry, digits)}" for name, entry in value.items())
    if isinstance(value, list):
        between = "; " if any(isinstance(entry, dict) for entry in value) else ", "
        return between.join(words(entry, digits) for entry in value)
    if value is None:
        return "not set"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """A time as people say it."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def bar(z: float, threshold: float) -> str:
    """A bar of z with a mark at the threshold, which is its middle."""
    share = float(np.clip(50 * z / threshold, 0, 100))
    return f"<span class=bar style='--share:{share:.0f}%' aria-hidden=true></span>"


def pairs(rows: dict[str, Any]) -> str:
    """A table of names and values."""
    cells = (
        f"<tr><th scope=row>{html.escape(str(name))}</th><td>{html.escape(words(value))}</td></tr>"
        for name, value in rows.items()
    )
    return f"<div class=scroll><table class=pairs><tbody>{''.join(cells)}</tbody></table></div>"


def is_table(value: Any) -> bool:
    """Whether a value is a list of rows with the same names."""
    rows = value if isinstance(value, list) else []
    return bool(rows) and all(isinstance(row, dict) and list(row) == list(rows[0]) for row in rows)


def columns(rows: list[dict[str, Any]]) -> str:
    """A table with a column for each name."""
    head = "".join(f"<th scope=col>{html.escape(str(name))}</th>" for name in rows[0])
    cells = ([html.escape("–" if value is None else words(value, 4)) for value in row.values()] for row in rows)
    body = (f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in cells)
    return f"<div class=scroll><table class=columns><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"


def formula_figure(text: str) -> Figure:
    """A formula, each of its parts on a line of its own."""
    lines = text.replace("$$", "$\n$").replace(r",\quad$", ",$").replace(r"$\quad", "$")
    figure = Figure(figsize=(0.1, 0.1))
    figure.text(0, 0, lines, fontsize=15, linespacing=1.7, math_fontfamily="stix")
    return figure


def svg(figure: Figure, **options: Any) -> str:
    """A figure as the address of an image that holds it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None}, **options)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
