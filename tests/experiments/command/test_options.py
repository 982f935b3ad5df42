"""Options of the commands, as the help shows them."""

import subprocess
import sys
from pathlib import Path


def test_the_installed_command_shows_help_of_a_study():
    command = [sys.executable, "-m", "experiments.command.cli", "run", "averaging", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]).stdout
    for option in ("--preset", "--seed", "--out", "--decoder", "--num-steps", "--label-noise-std"):
        assert option in said
