"""One self-contained page about a folder of results: every figure, formula and verdict."""

from __future__ import annotations

import base64
import html
import io
import json
import shlex
from dataclasses import asdict
from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from experiments import agreement, figures, record, results, studies
from experiments.agreement import Verdict
from experiments.errors import UserError

_CSS = """
:root { color-scheme: light dark; --line: #8885; --good: #1a7f37; --bad: #c1272d; --open: #9a6700; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
img { max-width: 100%; background: white; border-radius: 6px; } img.formula { padding: .4rem .6rem; max-height: 5rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; } td, th { border-bottom: 1px solid var(--line);
padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; font-variant-numeric: tabular-nums; }
section { border-top: 1px solid var(--line); margin-top: 2.5rem; } code { font-size: .9em; }
.agrees { color: var(--good); } .disagrees { color: var(--bad); } .inconclusive { color: var(--open); }
"""


def write(folder: Path) -> Path:
    """Write ``report.html`` into a folder of results.

    Raises:
        UserError: the folder holds no results, a file is damaged, or the page cannot be written.
    """
    judged, sections = [], []
    for run in results.find(folder):
        dataset = results.read(run)
        try:
            verdict = agreement.judge(dataset)
            sections.append(_section(run, dataset, verdict))
        except (LookupError, ValueError, TypeError) as error:
            message = f"{run / results.DATA} must be a result file of this package, but it cannot be drawn ({error})"
            raise UserError(" ".join(message.split())) from error
        judged.append((run.name, dataset, verdict))
    rows = "".join(
        f"<tr><td><a href='#{html.escape(name)}'>{html.escape(name)}</a></td>"
        f"<td>{html.escape(studies.load(dataset.attrs['study']).question)}</td>"
        f"<td class={verdict.outcome}>{verdict.outcome}</td></tr>"
        for name, dataset, verdict in judged
    )
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Test-time compute: predicted and measured</title><style>{_CSS}</style>"
        "<h1>Test-time compute: predicted and measured</h1>"
        f"<table><tr><th>study<th>question<th>verdict</tr>{rows}</table>" + "".join(sections) + "</html>\n"
    )
    path = folder / "report.html"
    try:
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(page, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"DIR must be a folder that can be written, got {folder} ({error.strerror})") from error
    return path


def _section(run: Path, dataset: xr.Dataset, verdict: Verdict) -> str:
    name = html.escape(run.name)
    study = studies.load(dataset.attrs["study"])
    with figures.style():
        figure, formula = _svg(study.draw(dataset)), _svg(_formula(study.formula))
    warnings = "".join(
        f"<p class=inconclusive>Warning: {html.escape(text)}.</p>" for text in json.loads(dataset.attrs["warnings"])
    )
    settings = {**json.loads(dataset.attrs["config"]), "seed": dataset.attrs["seed"], "device": dataset.attrs["device"]}
    settings["wall time"] = f"{dataset.attrs['wall_time_s']:.1f} s"
    gaps = {
        f"{name} gap": f"{gap['relative']:.1%} ± {gap['standard_error']:.1%}, at {_words(gap['point'])}"
        for name, gap in verdict.gaps.items()
    }
    if gaps:
        gaps = {"no closed form; measured against": verdict.reference, **gaps}
    verdict_rows = {
        "points judged": verdict.num_points,
        **gaps,
        "largest z below the limit" if gaps else "largest z": f"{verdict.largest_z:.2f}, at {_words(verdict.worst_point)}",
        "threshold": f"{verdict.threshold:.2f}",
        **{
            f"control: {name}": f"z = {largest:.1f}, {'rejected' if largest >= verdict.threshold else 'not rejected'}"
            for name, largest in verdict.controls.items()
        },
    }
    findings = {name: _words(value) for name, value in study.findings(dataset).items()}
    return (
        f"<section id='{name}'><h2>{name}: <span class={verdict.outcome}>{verdict.outcome}</span></h2>"
        f"<p>{html.escape(study.question)}</p><img class=formula src='{formula}' alt='{html.escape(study.formula)}'>{warnings}"
        f"<p><img src='{figure}' alt='Figure of {name}'></p>{_table(verdict_rows)}"
        + (f"<h3>Findings</h3>{_table(findings)}" if findings else "")
        + f"<p><code>{html.escape(command(dataset))}</code> &middot; {_download(run)}</p>"
        + "<details><summary>Settings and versions</summary>"
        + _table({**settings, **json.loads(dataset.attrs["versions"])})
        + "</details></section>"
    )


def command(dataset: xr.Dataset) -> str:
    """The command that makes these results again, with what differs from the defaults as options."""
    attributes = dataset.attrs
    settings = {**json.loads(attributes["config"]), **json.loads(attributes.get("execution", "{}")), "seed": attributes["seed"]}
    if attributes["study"] == record.NAME:
        file, digest = settings.pop("file"), settings.pop("sha256")
        words, usual = ["ttc", "recorded", file], asdict(record.RecordConfig(file, digest))
    else:
        words, usual = ["ttc", "run", attributes["study"]], asdict(studies.load(attributes["study"]).presets["quick"])
    usual = json.loads(json.dumps({"seed": 0, **usual}))
    for name, value in settings.items():
        if value is not None and value != usual.get(name):
            words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return shlex.join(words)


def _download(run: Path) -> str:
    """A link that holds the data file."""
    data = base64.b64encode((run / results.DATA).read_bytes()).decode()
    return f"<a download='{html.escape(run.name)}.nc' href='data:application/x-netcdf;base64,{data}'>{results.DATA}</a>"


def _table(rows: dict) -> str:
    cells = (f"<tr><th>{html.escape(str(name))}<td>{html.escape(str(value))}</tr>" for name, value in rows.items())
    return f"<table>{''.join(cells)}</table>"


def _words(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(entry)}" for name, entry in value.items())
    if isinstance(value, list):
        return "; ".join(map(_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _formula(text: str) -> Figure:
    figure = Figure(figsize=(0.1, 0.1))
    figure.text(0, 0, text, fontsize=14)
    return figure


def _svg(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
