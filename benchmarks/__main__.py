"""All tables on one page: ``python -m benchmarks``, or only some: ``python -m benchmarks NAME ...``.

Writes ``benchmarks.json`` and ``benchmarks.md``. A benchmark is a module of this package: the first line of its docstring is
its title, its function ``tables()`` yields the tables. Exit status: 0, or 1 if a benchmark crashed, or 2 if the input is wrong.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.metadata
import importlib.util
import json
import math
import os
import pkgutil
import platform
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

import benchmarks
from benchmarks.timing import Table

SHARED_MODULES = {"__main__", "timing"}
# Return environment variables that change the speed.
TELLING_VARIABLES = ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "XLA_FLAGS")


def names() -> list[str]:
    """The benchmarks there are."""
    return sorted({module.name for module in pkgutil.iter_modules(benchmarks.__path__)} - SHARED_MODULES)


def title(name: str) -> str:
    """First line of a benchmark's docstring."""
    return docstring(name).splitlines()[0].removesuffix(".")


def docstring(name: str) -> str:
    """Return the docstring of a benchmark without running it; its name if it has none."""
    spec = importlib.util.find_spec(f"benchmarks.{name}")
    return (spec and spec.origin and ast.get_docstring(ast.parse(Path(spec.origin).read_text()))) or name


def run(name: str) -> tuple[dict[str, Any], bool]:
    """One benchmark's entry, printed as it goes, and whether it ran to its end."""
    print(f"\n## {title(name)}", flush=True)
    started, tables, is_complete = time.perf_counter(), [], True
    try:
        for table in importlib.import_module(f"benchmarks.{name}").tables():
            tables.append(plain(table))
            print(f"\n{markdown_table(tables[-1])}", flush=True)
    except Exception as error:
        traceback.print_exc()
        is_complete = False
        tables.append(plain(Table("Failed", (), (), f"{type(error).__name__}: {error}".splitlines()[0])))
    return {"name": name, "title": title(name), "tables": tables, "seconds": time.perf_counter() - started}, is_complete


def plain(table: Table) -> dict[str, Any]:
    """A table as JSON holds it; what is not a finite number is null."""

    def value(cell):
        cell = cell.item() if isinstance(cell, np.generic) else cell
        return None if isinstance(cell, float) and not math.isfinite(cell) else cell

    rows = [[value(cell) for _, cell in zip(table.columns, row, strict=True)] for row in table.rows]
    return {"title": table.title, "columns": list(table.columns), "rows": rows, "note": table.note}


def surroundings() -> dict[str, Any]:
    """The machine and the versions."""
    processor = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        models = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        processor = models[0] if models else processor
    machine = {
        "cpu": processor,
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
        "environment": {name: os.environ[name] for name in TELLING_VARIABLES if name in os.environ},
    }
    versions = {"python": platform.python_version()}
    for package in ("jax", "jaxlib", "numpy", "torch"):
        if importlib.util.find_spec(package):
            versions[package] = importlib.metadata.version(package)
    return {"machine": machine, "versions": versions}


def markdown_table(table: dict[str, Any]) -> str:
    """One table of the page, padded so that it can be read as text too."""
    lines = [f"### {table['title']}"]
    if table["columns"]:
        cells = [table["columns"], *([shown(value) for value in row] for row in table["rows"])]
        widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
        sides = [str.ljust, *[str.rjust] * (len(widths) - 1)]
        padded = [[side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)] for row in cells]
        rule = ["-" * width if place == 0 else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
        lines += ["", *(f"| {' | '.join(row)} |" for row in (padded[0], rule, *padded[1:]))]
    return "\n".join([*lines, *(["", table["note"]] if table["note"] else [])])


def shown(value: Any) -> str:
    """A number to three digits, a large one whole."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else str(value)


def markdown(report: dict[str, Any]) -> str:
    """The page."""
    machine = report["machine"]
    variables = [f"{name}={value}" for name, value in machine["environment"].items()]
    parts = [
        "# Benchmarks",
        f"`{report['command']}`, {report['date']}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; devices of JAX: {', '.join(machine['devices'])}; "
        + ", ".join([*(f"{name} {version}" for name, version in report["versions"].items()), *variables]),
        "A ratio is one of medians in one process, whose alternatives took turns, unless a table says otherwise.",
    ]
    for benchmark in report["benchmarks"]:
        about = docstring(benchmark["name"]).partition("\n")[2].strip()
        parts += [f"## {benchmark['title']}", *filter(None, [about]), *map(markdown_table, benchmark["tables"])]
        parts.append(f"(`{benchmark['name']}`, {benchmark['seconds']:.0f} s)")
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks and write the page; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time ttc-jax; write benchmarks.json and .md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run (all if none is named)")
    parser.add_argument("--list", action="store_true", help="show the benchmarks and end")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder to write to (%(default)s)")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in names()]:
        print(f"benchmarks: no benchmark is called {', '.join(unknown)}; there are {', '.join(names())}", file=sys.stderr)
        return 2
    if options.list:
        for name in names():
            print(f"{name:12}{title(name)}")
        return 0
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"benchmarks: --out {options.out} is not a folder to write to: {error.strerror}", file=sys.stderr)
        return 2

    entries: list[dict[str, Any]] = []
    report = {
        "command": shlex.join(["python", "-m", "benchmarks", *arguments]),
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        **surroundings(),
        "benchmarks": entries,
    }
    status = 0
    for name in options.names or names():
        entry, is_complete = run(name)
        entries.append(entry)
        status = status if is_complete else 1
        # After each one, so that an interruption loses no more than the one under way.
        (options.out / "benchmarks.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
        (options.out / "benchmarks.md").write_text(markdown(report))
    print(f"\nwrote {options.out / 'benchmarks.json'} and {options.out / 'benchmarks.md'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
