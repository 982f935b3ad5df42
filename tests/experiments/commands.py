"""Arguments of short runs of the command, and what a run leaves."""

import re
from pathlib import Path

from experiments.command import cli
from experiments.page import results

SMALL = ["--num-tasks", "40", "--num-steps", "0", "3", "--decoding-noise-std", "0.1", "--num-candidates", "1", "2"]
QUIET = [*SMALL[:3], "3", *SMALL[5:]]  # one number of steps: nothing to warn about before the verdict
# Fast runs of studies that are not about chains alone, and the dimensions of their results.
DRAWN = ["--num-tasks", "40", "--num-contexts", "8"]
SAMPLED = ["--num-tasks", "40", "--num-steps", "1", "3", "--dim", "20", "30", "--num-coordinates", "160"]
TAUGHT = ["--training-steps", "3", "--batch-size", "4"]
SMALL_GPT = [*TAUGHT, "--num-layers", "1", "--width", "8", "--num-heads", "2"]
OPTIONS = {
    "best-of-n": [*DRAWN, "--num-candidates", "1", "2", "--dim", "4"],
    "binary-chain": [*SAMPLED, "--inverse-temperature", "1.0"],
    "covariance": ["--num-tasks", "40", "--num-steps", "0", "3", "--exponent", "1.0", "--num-examples", "24", "--dim", "12"],
    "learned-binary": ["--num-tasks", "800", *SMALL_GPT, "--dim", "2", "--label-noise-std", "3", "--num-candidates", "1", "3"],
    "trained-linear-attention": ["--num-tasks", "40", *TAUGHT, "--num-models", "3", "--test-examples", "3"],
}
FILES = ["SHA256SUMS", "data.nc", "figure.pdf", "figure.png", "verdict.json"]


def files(folder):
    """The results in a folder: what is seen of it, but for what its sweeps keep."""
    return sorted(path.name for path in Path(folder).iterdir() if path.name != results.SWEEPS and path.name[0] != ".")


def assert_refused(arguments, pattern, capsys, folder):
    """The command says one line of this pattern, exits with status two and leaves no file."""
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("ttc: ")
    assert re.search(pattern, line), line
    assert not list(folder.rglob("*.*"))
