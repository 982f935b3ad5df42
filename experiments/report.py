"""One self-contained page about a folder of results: every figure, formula and verdict."""

from __future__ import annotations

import base64
import html
import importlib.resources
import json
import shlex
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import xarray as xr

from experiments import agreement, figures, markup, record, results, studies
from experiments.agreement import Verdict
from experiments.errors import UserError
from experiments.study import Study

_TITLE = "Test-time compute: predicted and measured"
# Nothing may be loaded from anywhere, which browsers then see to.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
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
_LONG = 12  # rows of a table that not everybody wants to pass


@dataclass(frozen=True)
class _Run:
    """One folder of results, read and judged. The page's own ids have a slash, which no folder's name has."""

    place: int
    folder: Path
    data: xr.Dataset
    verdict: Verdict

    @property
    def name(self) -> str:
        return html.escape(self.folder.name)

    @property
    def link(self) -> str:
        return f"#{quote(self.folder.name)}"

    @property
    def study(self) -> Study:
        return studies.load(self.data.attrs["study"])

    @property
    def seconds(self) -> float:
        return float(self.data.attrs["wall_time_s"])


def write(folder: Path) -> Path:
    """Write ``report.html`` into a folder of results.

    Raises:
        UserError: the folder holds no results, a file is damaged, or the page cannot be written.
    """
    runs, sections = [], []
    for place, run_folder in enumerate(results.find(folder), start=1):
        dataset = results.read(run_folder)
        try:
            run = _Run(place, run_folder, dataset, agreement.judge(dataset))
            sections.append(_section(run))
        except (LookupError, ValueError, TypeError) as error:
            path = run_folder / results.DATA
            message = f"{path} must be a result file of this package, but it cannot be drawn ({error})"
            raise UserError(" ".join(message.split())) from error
        runs.append(run)
    path = folder / "report.html"
    try:
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(_page(runs, sections), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"DIR must be a folder that can be written, got {folder} ({error.strerror})") from error
    return path


def _page(runs: list[_Run], sections: list[str]) -> str:
    style, script = (
        importlib.resources.files("experiments").joinpath(name).read_text("utf-8") for name in ("page.css", "page.js")
    )
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv=Content-Security-Policy content="{_POLICY}">'
        "<meta name=viewport content='width=device-width, initial-scale=1'><meta name=color-scheme content='light dark'>"
        f"<title>{_TITLE}</title>\n<style>\n{style}</style></head>\n<body>\n{_head(runs)}\n<main>\n"
        + "\n".join(sections)
        + "\n</main>\n<footer>Made by ttc-jax. <a class=screen href='#/contents'>Back to the contents</a></footer>\n"
        "<dialog id='/zoom' aria-label='Enlarged figure'><form method=dialog><span></span>"
        "<button type=button data-factor=0.8 aria-label='Smaller'>&minus;</button>"
        "<button type=button data-factor=1.25 aria-label='Larger'>+</button>"
        "<button aria-label='Close'>&times;</button></form><div tabindex=0></div></dialog>\n"
        f"<script>\n{script}</script>\n</body></html>\n"
    )


def _head(runs: list[_Run]) -> str:
    """Title, what came out in one line, how to read it, and the contents."""
    counts = Counter(run.verdict.outcome for run in runs)
    outcomes = ", ".join(
        f"<span class={outcome}>{counts[outcome]} {words[counts[outcome] > 1]}</span>"
        for outcome, words in _OUTCOMES.items()
        if counts[outcome]
    )
    number = f"{len(runs)} {'study' if len(runs) == 1 else 'studies'}"
    rows = "".join(
        f"<tr><th scope=row><a href='{run.link}'>{run.name}</a></th><td>{html.escape(run.study.question)}</td>"
        f"<td class='verdict {run.verdict.outcome}'>{run.verdict.outcome}</td><td class=number>{_against(run.verdict)}</td>"
        f"<td class=number>{markup.duration(run.seconds)}</td></tr>\n"
        for run in runs
    )
    return (
        f"<header><h1>{_TITLE}</h1>"
        "<p class=lead>What formulas say that longer chains, more candidates and better choices bring, beside what was "
        "measured.</p>"
        f"<p class=summary>{number}: {outcomes}. Measured in {markup.duration(sum(run.seconds for run in runs))}.</p>"
        f"<p class=note>{_READING}{_READING_GAPS if any(run.verdict.reference for run in runs) else ''}</p></header>\n"
        "<nav id='/contents' aria-label=Contents><div class=scroll><table><thead><tr><th scope=col>study</th>"
        "<th scope=col>question</th><th scope=col>verdict</th><th scope=col class=number>largest z / threshold</th>"
        f"<th scope=col class=number>time</th></tr></thead><tbody>\n{rows}</tbody></table></div></nav>"
    )


def _against(verdict: Verdict) -> str:
    """The largest z and the threshold, in numbers and as a bar."""
    if verdict.num_points == 0:
        return "nothing judged"
    bar = markup.bar(verdict.largest_z, verdict.threshold)
    return f"{verdict.largest_z:.2f} / {verdict.threshold:.2f} <span class={verdict.outcome}>{bar}</span>"


def _section(run: _Run) -> str:
    study, outcome, figure = run.study, run.verdict.outcome, f"/figure/{run.place}"
    with figures.style():
        drawn, formula = markup.svg(study.draw(run.data)), markup.svg(markup.formula_figure(study.formula), pad_inches=0.02)
    warnings = "".join(
        f"<p class=warning><b>Warning:</b> {html.escape(text)}.</p>" for text in json.loads(run.data.attrs["warnings"])
    )
    findings = study.findings(run.data)
    return (
        f"<section id='{run.name}' aria-labelledby='/title/{run.place}'>"
        f"<header><h2 id='/title/{run.place}'>{run.name}</h2><span class='verdict {outcome}'>{outcome}</span>"
        "<a class=screen href='#/contents'>&uarr; Contents</a></header>"
        f"<p class=question>{html.escape(study.question)}</p>"
        f"<div class=formula><img src='{formula}' alt='{html.escape(study.formula)}'></div>{warnings}"
        f"<figure id='{figure}'><a href='#{figure}' title='Enlarge'><img src='{drawn}' alt='{_alternative(run)}'></a>"
        f"<figcaption><b>Figure {run.place}.</b> {_caption(run)}</figcaption></figure>"
        f"<h3>Verdict</h3>{_verdict(run.verdict)}"
        + (f"<h3>Findings</h3>{_findings(findings)}" if findings else "")
        + f"<h3>Make it again</h3><pre><code>{html.escape(command(run.data))}</code></pre>"
        f"<p class=facts>{_timing(run)}</p><p class=facts>{_downloads(run, figure)}</p>"
        "<details class=settings><summary>Settings and versions</summary>"
        f"{markup.pairs(_settings(run.data))}</details></section>"
    )


def _caption(run: _Run) -> str:
    points, judged = run.data["judged"].size, run.verdict.num_points
    how_many = "all" if judged == points else judged or "none"
    what = "measured, and the limit," if run.verdict.reference else "measured and predicted"
    return f"{run.name}: {what} at {points} points, of which {how_many} are judged."


def _alternative(run: _Run) -> str:
    """The figure in words: over what, from where to where."""
    measured = run.data["measured"]
    over = [f"{dim} {_ends(run.data[dim].to_numpy())}" for dim in measured.dims if measured.sizes[dim] > 1]
    values = (f"{name} {_ends(run.data[name].to_numpy())}" for name in ("measured", "predicted"))
    text = f"Figure of {run.folder.name}: {', '.join(values)}" + (f"; over {', '.join(over)}" if over else "")
    return html.escape(text)


def _ends(values: np.ndarray) -> str:
    if values.dtype.kind not in "iuf":
        return ", ".join(map(str, values.flat))
    finite = values[np.isfinite(values)]
    return f"from {finite.min():.4g} to {finite.max():.4g}" if finite.size else "not finite"


def _verdict(verdict: Verdict) -> str:
    """Every z with its bar: the study's own, and those of its controls."""
    if verdict.num_points == 0:
        return "<p class=facts>No point lies where the formula holds, so nothing was judged.</p>"
    gaps = {
        f"{name} gap": f"{gap['relative']:.1%} ± {gap['standard_error']:.1%}, at {markup.words(gap['point'])}"
        for name, gap in verdict.gaps.items()
    }
    if gaps:
        gaps = {"no closed form; measured against": verdict.reference, **gaps}
    largest = "largest z below the limit" if gaps else "largest z"
    worst = f"{verdict.outcome}, at {markup.words(verdict.worst_point)}"
    rows = [
        _z_row(largest, f"{verdict.largest_z:.2f}", markup.bar(verdict.largest_z, verdict.threshold), worst, verdict.outcome)
    ]
    for name, z in verdict.controls.items():
        words, tone = ("rejected", "") if z >= verdict.threshold else ("not rejected", "inconclusive")
        rows.append(_z_row(f"control: {name}", f"{z:.1f}", markup.bar(z, verdict.threshold), words, tone))
    head = "<th scope=col>prediction</th><th scope=col class=number>z</th><td></td><th scope=col>outcome</th>"
    return (
        f"<p class=facts>Points judged: {verdict.num_points}. Threshold of z: {verdict.threshold:.2f}.</p>"
        + (markup.pairs(gaps) if gaps else "")
        + f"<div class='scroll verdicts'><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _z_row(name: str, z: str, bar: str, words: str, tone: str) -> str:
    return (
        f"<tr class='{tone}'><th scope=row>{html.escape(name)}</th><td class=number>{z}</td>"
        f"<td>{bar}</td><td>{html.escape(words)}</td></tr>"
    )


def _timing(run: _Run) -> str:
    attributes = run.data.attrs
    resumed, tasks = attributes.get("num_resumed", 0), attributes.get("num_tasks", 0)
    kept = f"; {resumed} of {tasks} tasks were there from before" if resumed else ""
    time = f"<time datetime='PT{run.seconds:.1f}S'>{markup.duration(run.seconds)}</time>"
    return f"Measured in {time} on {html.escape(attributes['device'])}{kept}."


def _settings(dataset: xr.Dataset) -> dict[str, Any]:
    attributes = dataset.attrs
    made = {name: attributes[name] for name in ("seed", "device")}
    return {**json.loads(attributes["config"]), **made, **json.loads(attributes["versions"])}


def command(dataset: xr.Dataset) -> str:
    """The command that makes these results again, with what differs from the defaults as options."""
    attributes = dataset.attrs
    settings = {**json.loads(attributes["config"]), **json.loads(attributes.get("execution", "{}")), "seed": attributes["seed"]}
    if attributes["study"] == record.NAME:
        file, digest = settings.pop("file"), settings.pop("sha256")
        words, usual = ["ttc", "recorded", file], asdict(record.RecordConfig(file, digest))
        words += ["--skip-damaged"] if settings.pop("skip_damaged") else []
    else:
        words, usual = ["ttc", "run", attributes["study"]], asdict(studies.load(attributes["study"]).presets["quick"])
    usual = json.loads(json.dumps({"seed": 0, **usual}))
    for name, value in settings.items():
        if value is not None and value != usual.get(name):
            words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return shlex.join(words)


def _downloads(run: _Run, figure: str) -> str:
    """A link that holds the data file, and one that the script lets save the figure."""
    data = (run.folder / results.DATA).read_bytes()
    held = f"data:application/x-netcdf;base64,{base64.b64encode(data).decode()}"
    return (
        f"Download: <a download='{run.name}.nc' href='{held}'>{results.DATA}</a> ({len(data) / 1000:.0f} kB)"
        f"<span class=screen hidden>, <a download='{run.name}.svg' data-figure='{figure}'>figure.svg</a></span>"
    )


def _findings(findings: dict[str, Any]) -> str:
    """What can be said in words as pairs, then each list of rows as a table of its own, closed where it is long."""
    lists = {name: rows for name, rows in findings.items() if markup.is_table(rows)}
    words = {name: markup.words(value, 4) for name, value in findings.items() if name not in lists}
    tables = (
        f"<details {'open' if len(rows) <= _LONG else ''}><summary>{html.escape(name)}</summary>"
        f"{markup.columns(rows)}</details>"
        for name, rows in lists.items()
    )
    return (markup.pairs(words) if words else "") + "".join(tables)
