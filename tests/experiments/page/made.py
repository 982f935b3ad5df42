"""Results of one short run: copied, rewritten, and the one line with which a command refuses them."""

import shutil
from pathlib import Path

from experiments.page import reading
from tests.experiments.commands import QUIET

RUN = ["run", "averaging", *QUIET]


def copied(made, name="averaging"):
    """A copy of the run in the folder of results."""
    return Path(shutil.copytree(made, Path("results") / name))


def rewritten(folder, data):
    """The folder with other results, which are received without a hash."""
    (folder / reading.SUMS).unlink(missing_ok=True)
    data.to_netcdf(folder / reading.DATA, engine="h5netcdf")
    return folder


def said(capsys):
    """The one line of complaint."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ttc: ")
    assert line.isprintable()
    assert len(line) < 1200
    return line
