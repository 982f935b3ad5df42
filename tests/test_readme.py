"""The README's examples run and print what it says, and its commands and figures exist."""

import re
import shlex
from pathlib import Path

import pytest

from experiments import studies

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_print_what_they_say(number, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[number], f"README example {number}", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    promised = re.findall(r"^# (.*)$", EXAMPLES[number], re.MULTILINE)
    assert promised
    assert printed == promised


def test_there_is_an_example_of_each_library():
    assert ["import theory" in example for example in EXAMPLES] == [True, True, True, False, True, True, False, True]
    assert ["import ttc_jax" in example for example in EXAMPLES] == [False, False, False, True, True, True, True, False]


def test_linked_files_exist():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if not link.startswith("http")]
    assert links
    assert all((ROOT / link).is_file() for link in links)


def test_commands_exist():
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)).splitlines()
    for line in filter(None, blocks):
        program, command, *rest = shlex.split(line, comments=True)
        if program == "make":
            assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        else:
            assert program == "ttc"
            assert command in {"list", "run", "replay", "recorded", "report", "doctor"}
            assert command not in ("run", "replay") or rest[0] in studies.names()


def test_every_study_is_in_the_gallery():
    assert all(f"[{name}](docs/{name}.png)" in TEXT for name in studies.names())


def test_no_placeholder_is_left():
    assert not re.findall(r"\b(?:TBD|BENCH|MEM|[ZC]\d)\b", TEXT)
