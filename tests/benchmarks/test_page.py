"""The page of the benchmarks: what it holds, and what happens when one crashes."""

import ast
import json
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks.__main__ import main, names, title

STUB = '''"""A stub of a benchmark.

With more to say.
"""
import numpy as np
from benchmarks.timing import Table

def tables():
    rows = [("one way", np.float32(0.5), 1000), ("another", float("nan"), np.int64(7))]
    yield Table("First", ("", "ms", "tasks"), rows, "A note.")
'''
CRASHING = '''"""It crashes."""
from benchmarks.timing import Table

def tables():
    yield Table("Before", ("", "ms"), [("this", 1.0)])
    raise RuntimeError("no such luck")
'''


@pytest.fixture
def stubs(tmp_path, monkeypatch):
    """A package of three benchmarks, of which the first crashes and the second cannot be imported."""
    monkeypatch.setattr(benchmarks, "__path__", [str(tmp_path)])
    for name, source in {"crashing": CRASHING, "missing": "import no_such_package", "stub": STUB}.items():
        (tmp_path / f"{name}.py").write_text(source)
    yield
    for name in ("crashing", "missing", "stub"):
        sys.modules.pop(f"benchmarks.{name}", None)
        vars(benchmarks).pop(name, None)


def test_page_and_json_hold_what_a_benchmark_yields(stubs, tmp_path, capsys):
    assert main(["stub", "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "benchmarks.json").read_text())
    assert report["command"] == f"python -m benchmarks stub --out {tmp_path / 'out'}"
    assert {"python", "jax", "jaxlib", "numpy"} <= set(report["versions"])
    assert report["machine"]["devices"]
    (entry,) = report["benchmarks"]
    assert (entry["name"], entry["title"], entry["seconds"] >= 0) == ("stub", "A stub of a benchmark", True)
    rows = [["one way", 0.5, 1000], ["another", None, 7]]
    assert entry["tables"] == [{"title": "First", "columns": ["", "ms", "tasks"], "rows": rows, "note": "A note."}]
    page, printed = (tmp_path / "out" / "benchmarks.md").read_text(), capsys.readouterr().out
    for line in ("## A stub of a benchmark", "### First", "| one way | 0.5 | 1 000 |", "| another |   – |     7 |", "A note."):
        assert line in page.splitlines()
        assert line in printed.splitlines()
    assert "With more to say." in page.splitlines()


def test_crash_is_reported_and_the_others_run(stubs, tmp_path):
    assert main(["--out", str(tmp_path / "out")]) == 1
    entries = json.loads((tmp_path / "out" / "benchmarks.json").read_text())["benchmarks"]
    found = {entry["name"]: [(table["title"], table["note"]) for table in entry["tables"]] for entry in entries}
    assert found == {
        "crashing": [("Before", ""), ("Failed", "RuntimeError: no such luck")],
        "missing": [("Failed", "ModuleNotFoundError: No module named 'no_such_package'")],
        "stub": [("First", "A note.")],
    }
    assert "no such luck" in (tmp_path / "out" / "benchmarks.md").read_text()


def test_unknown_name_is_one_line(stubs, tmp_path, capsys):
    assert main(["stub", "nonsense", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "nonsense" in error
    assert "crashing, missing, stub" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_list_runs_nothing(stubs, capsys):
    assert main(["--list"]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert lines == [["crashing", "It crashes"], ["missing", "missing"], ["stub", "A stub of a benchmark"]]


@pytest.mark.parametrize("name", names())
def test_every_benchmark_has_a_title_and_tables(name):
    assert title(name) not in ("", name)
    tree = ast.parse((Path(benchmarks.__file__).parent / f"{name}.py").read_text())
    assert "tables" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
