"""One self-contained page about a folder of results: every figure, formula and verdict.

Results may come from others. The template escapes every value, and the page's policy allows no script but its own.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import xarray as xr
from markupsafe import Markup, escape

from experiments.page import figures, markup, reading, results
from experiments.run import agreement
from experiments.run.agreement import Verdict
from experiments.run.errors import UserError, printable
from experiments.run.study import Presentation
from ttc_jax import _files

PAGE = "report.html"
_TITLE = "Test-time compute: predicted and measured"
_MARK = f"<title>{_TITLE}</title>".encode()  # of a page that this package wrote
_MOST_PAGE_BYTES = 2**30
_MOST_SHOWN = 2000  # characters of a value
_MOST_OF_A_COMMAND = 20_000
_OUTCOMES = {
    "agrees": ("agrees", "agree"),
    "measured": ("measured against a limit", "measured against a limit"),
    "inconclusive": ("inconclusive", "inconclusive"),
    "disagrees": ("disagrees", "disagree"),
}

_READING = (
    "z is the distance of measured and predicted in their standard errors. A study agrees when its largest z is below the "
    "threshold, the mark on the bar, and that of every control, a prediction known to be wrong, is above it."
)
_READING_GAPS = " Where there is no formula but a limit, z is how far the measured lies below it."
_SECONDS_TO_WAIT = 10.0  # for another run that writes to the folder
_LONG = 12  # rows of a table that is closed at first


def check(folder: Path, overwrite: bool) -> None:
    """Raise UserError if the page would replace a file of someone else unasked, or cannot be written."""
    path = folder / PAGE
    try:
        if not path.exists() and not path.is_symlink():
            return
        is_own = path.is_file() and _MARK in _files.read(path, _MOST_PAGE_BYTES)[:4096]
    except OSError as error:
        raise UserError(f"{path} must be a file that can be replaced ({error.strerror})") from error
    if path.is_dir():
        raise UserError(f"{path} must be a file, got a folder; move it")
    if not (is_own or overwrite):
        raise UserError(f"{path} must be a page of this package, got another file; --overwrite replaces it")


def write(folder: Path, presentation: Callable[[str], Presentation], overwrite: bool = False) -> tuple[Path, list[str]]:
    """Write ``report.html`` into a folder of results; return its path, and the results left out, each with its reason.

    Args:
        folder: the folder that holds the folders of results.
        presentation: the presentation of the results of a study, by the study's name; UserError if there is none.
        overwrite: whether another file of that name may be replaced.

    Raises:
        UserError: the folder holds no intact results, or the page cannot be written or is a file of someone else.
    """
    found = results.find(folder)
    check(folder, overwrite)
    runs: list[dict[str, Any]] = []
    left_out = []
    for run_folder in found:
        try:
            runs.append(_run(run_folder, presentation, {run["name"] for run in runs}))
        except UserError as error:
            left_out.append(printable(error))
    if not runs:
        raise UserError(left_out[0])
    path = folder / PAGE
    with results.locked("DIR", folder, seconds=_SECONDS_TO_WAIT):
        try:
            _files.write(path, _page(runs, left_out).encode())
        except OSError as error:
            raise UserError(f"DIR must be a folder that can be written, got {folder} ({error.strerror})") from error
    return path, left_out


def _page(runs: list[dict[str, Any]], left_out: list[str]) -> str:
    files = importlib.resources.files("experiments.page")
    style, script, page = (files.joinpath(f"page.{kind}").read_text("utf-8") for kind in ("css", "js", "html"))
    script = f"\n{script}"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    counts = Counter(run["outcome"] for run in runs)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True, finalize=_shown
    )
    environment.globals.update(words=markup.words, duration=markup.duration)
    return environment.from_string(page).render(
        title=_TITLE,
        # Browsers then load nothing from anywhere, and run no script whose hash is another one.
        policy=Markup(f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"),
        style=Markup(style),
        script=Markup(script),
        counts={name: f"{counts[name]} {words[counts[name] > 1]}" for name, words in _OUTCOMES.items() if counts[name]},
        reading=_READING + (_READING_GAPS if any(run["gaps"] for run in runs) else ""),
        runs=runs,
        left_out=left_out,
        long=_LONG,
    )


def _shown(value: Any) -> Any:
    """Make a value fit to be shown, unless it is markup of this package."""
    return value if isinstance(value, Markup) else printable(value, _MOST_SHOWN)


def _run(folder: Path, presentation: Callable[[str], Presentation], taken: set[str]) -> dict[str, Any]:
    """Read, judge and draw the results in a folder; return what the page shows of them."""
    loaded = reading.load(folder)
    try:
        found = _section(folder, loaded, presentation(loaded.data.attrs["study"]))
    except Exception as error:  # values of any kind, on which a study may fail anywhere
        message = printable(f"({type(error).__name__}: {error})", 300)
        raise UserError(f"{folder / reading.DATA} must be results of this package, but it cannot be drawn {message}") from error
    while found["name"] in taken:
        found["name"] += "'"
    return found


def _section(folder: Path, loaded: reading.Results, study: Presentation) -> dict[str, Any]:
    data, attributes, name = loaded.data, loaded.data.attrs, printable(folder.name, 200)
    verdict = agreement.judge(data)
    with figures.style():
        drawn = markup.svg(study.draw(data))
        formula = markup.svg(markup.formula_figure(study.formula), pad_inches=0.02)
    findings = study.findings(data)
    tables = {said: rows for said, rows in findings.items() if markup.is_table(rows)}
    warnings = [] if loaded.has_hash else [f"no {reading.SUMS} confirms these results, so that damage would not be noticed"]
    return {
        "name": name,
        "question": study.question,
        "outcome": verdict.outcome,
        "largest": f"{verdict.largest_z:.2f} / {verdict.threshold:.2f}" if verdict.num_points else "",
        "share": markup.share(verdict.largest_z, verdict.threshold),
        "seconds": float(attributes["wall_time_s"]),
        "formula": study.formula,
        "formula_image": formula,
        "figure_image": drawn,
        "warnings": [*warnings, *json.loads(attributes["warnings"])],
        "alternative": _alternative(name, data),
        "caption": f"{name}: {_caption(data, verdict)}",
        "num_points": verdict.num_points,
        "threshold": f"{verdict.threshold:.2f}",
        "gaps": _gaps(verdict),
        "rows": list(_rows(verdict)),
        "findings": {said: markup.words(value, 4) for said, value in findings.items() if said not in tables},
        "tables": tables,
        "command": escape(printable(command(data, study), _MOST_OF_A_COMMAND)),
        "device": attributes["device"],
        "num_resumed": int(attributes.get("num_resumed", 0)),
        "num_tasks": int(attributes.get("num_tasks", 0)),
        "content": markup.data_address("application/x-netcdf", loaded.content),
        "data_name": reading.DATA,
        "kilobytes": f"{len(loaded.content) / 1000:.0f}",
        "settings": _settings(data),
    }


def _caption(data: xr.Dataset, verdict: Verdict) -> str:
    points, judged = data["judged"].size, verdict.num_points
    how_many = "all" if judged == points else judged or "none"
    what = "measured, and the limit," if verdict.reference else "measured and predicted"
    return f"{what} at {points} points, of which {how_many} are judged."


def _alternative(name: str, data: xr.Dataset) -> str:
    """Return the figure in words: ranges of the values and of the axes."""
    measured = data["measured"]
    over = [f"{dim} {_ends(data[dim].to_numpy())}" for dim in measured.dims if measured.sizes[dim] > 1]
    values = (f"{variable} {_ends(data[variable].to_numpy())}" for variable in ("measured", "predicted"))
    return f"Figure of {name}: {', '.join(values)}" + (f"; over {', '.join(over)}" if over else "")


def _ends(values: np.ndarray) -> str:
    if values.dtype.kind not in "iuf":
        return ", ".join(map(str, values.flat))
    finite = values[np.isfinite(values)]
    return f"from {finite.min():.4g} to {finite.max():.4g}" if finite.size else "not finite"


def _gaps(verdict: Verdict) -> dict[str, str]:
    """Return the distances to a limit in words; none if there is a formula."""
    gaps = {
        f"{name} gap": f"{gap['relative']:.1%} ± {gap['standard_error']:.1%}, at {markup.words(gap['point'])}"
        for name, gap in verdict.gaps.items()
    }
    return gaps and {"no closed form; measured against": verdict.reference, **gaps}


def _rows(verdict: Verdict) -> Any:
    """Yield every z with its bar: that of the study, and those of its controls."""
    if verdict.num_points == 0:
        yield {"name": "largest z", "z": "", "share": "0%", "words": str(verdict), "tone": verdict.outcome}
        return
    yield {
        "name": "largest z below the limit" if verdict.gaps else "largest z",
        "z": f"{verdict.largest_z:.2f}",
        "share": markup.share(verdict.largest_z, verdict.threshold),
        "words": f"{verdict.outcome}{f' ({verdict.reason})' if verdict.reason else ''}, at {markup.words(verdict.worst_point)}",
        "tone": verdict.outcome,
    }
    for name, z in verdict.controls.items():
        words, tone = ("rejected", "") if z >= verdict.threshold else ("not rejected", "inconclusive")
        share = markup.share(z, verdict.threshold)
        yield {"name": f"control: {name}", "z": f"{z:.1f}", "share": share, "words": words, "tone": tone}


def _settings(dataset: xr.Dataset) -> dict[str, Any]:
    attributes = dataset.attrs
    made = {name: attributes[name] for name in ("seed", "device")}
    return {**json.loads(attributes["config"]), **made, **json.loads(attributes["versions"])}


def command(dataset: xr.Dataset, presentation: Presentation) -> str:
    """Return the command that makes these results again, with the settings that differ from the defaults as options."""
    attributes = dataset.attrs
    settings = {**json.loads(attributes["config"]), **json.loads(attributes.get("execution", "{}")), "seed": attributes["seed"]}
    words, usual = presentation.invocation(settings)
    usual = json.loads(json.dumps({"seed": 0, **usual}))
    for name, value in settings.items():
        if value is not None and value != usual.get(name):
            words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return shlex.join(words)
