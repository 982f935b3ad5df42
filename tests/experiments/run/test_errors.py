"""Exit statuses, and foreign text on one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.run.errors import printable


def test_a_defect_has_an_exit_status_of_its_own():
    code = "from experiments import studies; from experiments.command import cli; studies.names = lambda: 1 / 0; cli.console()"
    process = subprocess.run(
        [sys.executable, "-c", code, "list"], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    assert process.returncode == 70
    assert "ZeroDivisionError" in process.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a b c"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u202eb", "a\\u202eb"),
        (os.fsdecode(b"\xff"), "\\udcff"),
        ("é 値", "é 値"),
    ],
)
def test_foreign_text_is_one_printable_line(text, shown):
    assert printable(text) == shown
    assert printable("x" * 3_000_000, 10) == "x" * 10 + "... (3000000 characters)"
