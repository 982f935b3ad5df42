"""From files of recorded samples to results and a page; damaged files and bad names are one line."""

import json
import os
import re
from pathlib import Path

import pytest

from experiments.command import cli
from experiments.page import results
from experiments.run.errors import printable
from tests.experiments.page.made import said
from tests.experiments.records.recorded import simulated
from ttc_jax.records import jsonl
from ttc_jax.records.jsonl import Problem

pytestmark = pytest.mark.usefixtures("elsewhere", "quick_intervals")


def test_the_command_leaves_results_and_a_page(rng, capsys):
    jsonl.write("mine.jsonl", simulated(rng, 150, 24))
    command = ["recorded", "mine.jsonl", "--budget", "8", "--predict", "100"]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert re.match(r"mine: agrees; largest z", said)
    folder = Path("results/mine")
    assert {path.name for path in folder.iterdir()} >= {"data.nc", "figure.png", "figure.pdf", "verdict.json"}
    data = results.read(folder)
    assert data.attrs["budget"] == 8
    verdict = json.loads((folder / "verdict.json").read_text())
    assert "pass@100 predicted from 8, 90 % interval" in verdict["findings"]
    page = Path("results/report.html").read_text()
    assert "id='mine'" in page
    assert "What do a few recorded samples" in page
    assert "ttc recorded mine.jsonl --budget 8 --predict 100" in page
    assert cli.main([*command[:2], "--budget", "9"]) == 2  # other results are not replaced unasked
    assert "budget 8 instead of 9" in capsys.readouterr().err
    assert cli.main([*command[:2], "--budget", "9", "--overwrite"]) == 0


def test_damaged_lines_stop_or_are_left_out(rng, capsys):
    jsonl.write("mine.jsonl", simulated(rng, 30, 10, scores=False))
    with open("mine.jsonl", "a") as file:
        file.write('{"problem": "broken", "answers": 3}\n')
    assert cli.main(["recorded", "mine.jsonl"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "mine.jsonl, line 31: answers must be" in line
    assert "--skip-damaged" in line
    assert cli.main(["recorded", "mine.jsonl", "--skip-damaged"]) == 0
    assert "line 31" in capsys.readouterr().err
    verdict = json.loads(Path("results/mine/verdict.json").read_text())
    assert verdict["warnings"] == ["damaged lines left out: 1"]
    assert "ttc recorded mine.jsonl --skip-damaged" in Path("results/report.html").read_text()


@pytest.mark.parametrize("files", [["nowhere.jsonl"], ["a/x.jsonl", "b/x.jsonl"], []])
def test_bad_files_are_one_line(files, capsys):
    assert cli.main(["recorded", *files]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_all_files_are_read_before_the_first_is_analysed(capsys):
    jsonl.write("good.jsonl", [Problem(number, gold="1", answers=("1", "2")) for number in range(9)])
    Path("bad.jsonl").write_text("{}\n")
    for wrong in ("bad.jsonl", "none.jsonl", os.fsdecode(b"bad\xff.jsonl"), "report.html.jsonl", ".jsonl"):
        if not Path(wrong).exists() and wrong != "none.jsonl":
            Path(wrong).write_bytes(Path("good.jsonl").read_bytes())
        assert cli.main(["recorded", "good.jsonl", wrong]) == 2
        assert printable(wrong) in said(capsys)
    assert cli.main(["recorded", "good.jsonl", "more.jsonl", "other/good.json"]) == 2
    assert "differ without their endings, got good.jsonl and other/good.json; rename one" in said(capsys)
    assert not Path("results").exists()
