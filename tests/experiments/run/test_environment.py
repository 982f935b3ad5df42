"""Surroundings of a command: bad ones are one line, and its output is its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.command import cli
from tests.experiments.commands import FILES, QUIET, files

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cli.main(["run", "averaging", *QUIET, "--out", "~/mine"]) == 0
    assert files(tmp_path / "home/mine/averaging") == FILES


CONSOLE = [sys.executable, "-P", "-c", "import ttc_start; ttc_start.console()"]
HASTY = "import os, ttc_start; ttc_start._hidden = lambda: os.kill(os.getpid(), 2); ttc_start.console()"
SURROUNDINGS = {  # command, environment, output, status, and words of the one line
    "a hidden package": ([*CONSOLE, "list"], {"PYTHONPATH": "."}, "pipe", 2, "experiments must be .*, but .* hides it"),
    "precision": ([*CONSOLE, "list"], {"JAX_ENABLE_X64": "banana"}, "pipe", 2, "JAX_ENABLE_X64"),
    "flags": ([*CONSOLE, "list"], {"XLA_FLAGS": "--banana"}, "pipe", 2, "XLA_FLAGS .* --banana"),
    "platform": ([*CONSOLE, "doctor"], {"JAX_PLATFORMS": "bad"}, "pipe", 2, "JAX must find a device"),
    "closed output": ([*CONSOLE, "--help"], {}, "closed", 74, "standard output must be open"),
    "full output": ([*CONSOLE, "--help"], {}, "/dev/full", 74, "No space left on device"),
    "broken output": ([*CONSOLE, "--help"], {}, "broken", 74, "Broken pipe"),
    "Ctrl-C while starting": ([sys.executable, "-P", "-c", HASTY], {}, "pipe", 130, "interrupted"),
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_bad_surroundings_are_one_line(name):
    command, environment, output, status, words = SURROUNDINGS[name]
    Path("experiments").mkdir()
    reader, writer = os.pipe()
    target = {"pipe": subprocess.PIPE, "/dev/full": 3, "closed": None, "broken": writer}[output]
    if output == "/dev/full":
        target = os.open("/dev/full", os.O_WRONLY)
    os.close(reader)
    if output == "closed":
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    process = subprocess.run(
        command, env={**os.environ, **environment}, stdout=target, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    (line,) = process.stderr.splitlines()
    assert re.match(f"ttc: .*{words}", line), line
    assert process.returncode == status
    assert not process.stdout or status == 2


def test_what_libraries_print_is_no_output():
    code = "import os; from experiments.run import environment; environment.own_output(); os.write(1, b'noise'); print('own')"
    code += "; import matplotlib"  # whose backend is the user's business elsewhere
    environment = {**os.environ, "MPLBACKEND": "banana"}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert (process.stdout, process.stderr) == ("own\n", "noise")
