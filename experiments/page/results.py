"""Files that a run leaves in its folder: data.nc, figure.png and .pdf, verdict.json; put there when all four are ready."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import xarray as xr

from experiments.page import figures, reading
from experiments.page.reading import DATA, SUMS, read
from experiments.run import agreement
from experiments.run.agreement import Verdict
from experiments.run.errors import UserError, printable
from experiments.run.study import Presentation, versions
from ttc_jax import _files

__all__ = ["DATA", "FILES", "SWEEPS", "claimed", "find", "locked", "read", "unfinished", "write"]

SWEEPS = "sweeps"  # folder of completed chunks, of a finished run too
_RUN = "run.json"  # description of the run that they are part of
_WORKSHOP = ".unfinished-"
FILES = ("figure.png", "figure.pdf", "verdict.json", DATA)  # the data last: a folder that has them has a complete run
unfinished: set[Path] = set()  # folders of files not yet in their place


@contextlib.contextmanager
def claimed(folder: Path, attributes: dict[str, Any], overwrite: bool) -> Iterator[Path]:
    """Hold ``folder`` for one run, and yield the folder of its sweeps.

    Raises:
        UserError: the folder cannot be written, another run has it, or it holds files that the run would replace and
            ``overwrite`` is not set.
    """
    with locked("out", folder):
        check_free(folder, attributes, overwrite)
        for leftover in folder.glob(f"{_WORKSHOP}*"):  # of a run that was killed: its lock is free
            shutil.rmtree(leftover, ignore_errors=True)
        sweeps = folder / SWEEPS
        with _writing(folder):
            sweeps.mkdir(exist_ok=True)
            _files.remove_unfinished(sweeps)
            _files.write(sweeps / _RUN, json.dumps({**attributes, "versions": json.dumps(versions())}).encode())
        yield sweeps


@contextlib.contextmanager
def locked(name: str, folder: Path, seconds: float = 0.0) -> Iterator[None]:
    """Hold a folder that can be written, against other runs; ``name`` is the argument that names the folder.

    Raises:
        UserError: the folder cannot be made or written, or another run holds its lock for longer than ``seconds``.
    """
    lock = filelock.FileLock(folder / _files.LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        lock.acquire(timeout=seconds)
    except filelock.Timeout as error:
        raise UserError(f"{name} must be a folder that no other run writes to, got {folder}, where one is running") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise UserError(f"{name} must be a folder that can be written, got {folder} ({_reason(error)})") from error
    try:
        _files.remove_unfinished(folder)
        yield
    finally:
        lock.release()


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or printable(error, 200)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Make a failed access to the folder within this block a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"out must be a folder that can be written, got {folder} ({_reason(error)})") from error


def check_free(folder: Path, attributes: dict[str, Any], overwrite: bool) -> None:
    """Raise UserError if a folder cannot be read, or holds files that a run with these attributes would replace unasked."""
    with _writing(folder):
        _check_kinds(folder)
        if not overwrite:
            _check_foreign(folder, attributes)


def _check_kinds(folder: Path) -> None:
    """Raise UserError if a folder is in the place of a file, or a file in that of the folder of sweeps."""
    for name in (*FILES, SUMS, f"{SWEEPS}/{_RUN}"):
        if (folder / name).is_dir():
            raise UserError(f"out must be a folder where {name} can be written, got {folder}, in which it is a folder; move it")
    if (folder / SWEEPS).exists() and not (folder / SWEEPS).is_dir():
        raise UserError(f"out must be a folder where {SWEEPS} is a folder, got {folder}, in which it is a file; move it")


def _check_foreign(folder: Path, attributes: dict[str, Any]) -> None:
    """Raise UserError if a folder holds files of other origin, or results with other settings."""
    try:
        found = reading.settings(folder / SWEEPS / _RUN)
        if (folder / DATA).exists():
            found = read(folder).attrs
    except UserError as error:
        raise UserError(f"{error}; add --overwrite to replace it") from error
    known = reading.hashes(folder)
    foreign = [name for name in FILES if (folder / name).exists() and not _is_known(folder / name, known.get(name, set()))]
    if foreign:
        what = f"whose {foreign[0]} was changed since the run" if foreign[0] in known else f"with {foreign[0]}"
        raise UserError(f"out must be a folder without other files, got {folder}, {what}; --overwrite replaces it")
    if not reading.lists_only(folder, FILES):
        raise UserError(f"out must be a folder without other files, got {folder}, with {SUMS}; --overwrite replaces it")
    has_results = (folder / DATA).exists() or any((folder / SWEEPS).glob("*/*.chunk"))
    if found is not None and has_results and (different := _differences(found, attributes)):
        run = "run" if (folder / DATA).exists() else "unfinished run"
        raise UserError(
            f"out must be a folder without other results, got {folder}, whose {run} has {', '.join(different)}; "
            "name another --out, or add --overwrite"
        )


def _is_known(path: Path, known: set[str]) -> bool:
    try:
        return bool(known) and _files.digest(_files.read(path, reading.MOST_BYTES)) in known
    except OSError:
        return False


def _differences(found: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Return the settings that differ between two runs, with both values."""
    before, now = reading.flat(found), reading.flat({**asked, "versions": json.dumps(versions())})
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return [printable(f"{name} {before.get(name)} instead of {now.get(name)}", 200) for name in names]


def write(folder: Path, dataset: xr.Dataset, presentation: Presentation) -> Verdict:
    """Judge and draw a finished run and write its files, each replaced only when all are ready.

    Raises:
        UserError: a file cannot be written, for want of room say; files of an earlier run are kept.
    """
    verdict = agreement.judge(dataset)
    with _writing(folder):
        workshop = Path(tempfile.mkdtemp(dir=folder, prefix=_WORKSHOP))
        unfinished.add(workshop)
        try:
            dataset.to_netcdf(workshop / DATA, engine="h5netcdf")
            with figures.style():
                figure = presentation.draw(dataset)
                figure.savefig(workshop / "figure.png", dpi=150)
                figure.savefig(workshop / "figure.pdf", metadata={"CreationDate": None})
            report = {
                "study": presentation.name,
                "question": presentation.question,
                **verdict.as_dict(),
                "findings": presentation.findings(dataset),
                "warnings": json.loads(dataset.attrs["warnings"]),
                "decoder": json.loads(dataset.attrs["config"]).get("decoder"),
                "config": json.loads(dataset.attrs["config"]),
                **{name: dataset.attrs[name] for name in ("seed", "num_tasks", "num_looks", "device", "wall_time_s")},
                "versions": json.loads(dataset.attrs["versions"]),
            }
            (workshop / "verdict.json").write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
            _put(workshop, folder)
        finally:
            shutil.rmtree(workshop, ignore_errors=True)
            unfinished.discard(workshop)
    return verdict


def _put(workshop: Path, folder: Path) -> None:
    """Move the files to their place; until all have moved, the hashes of old and new ones are both on record."""
    new = {name: {_files.digest((workshop / name).read_bytes())} for name in FILES}
    old = reading.hashes(folder)
    _note_hashes(folder, {name: new[name] | old.get(name, set()) for name in FILES})
    for name in FILES:
        os.replace(workshop / name, folder / name)
    _note_hashes(folder, new)


def _note_hashes(folder: Path, hashes: dict[str, set[str]]) -> None:
    lines = [f"{value}  {name}\n" for name, values in hashes.items() for value in sorted(values)]
    _files.write(folder / SUMS, "".join(lines).encode())


def find(folder: Path) -> list[Path]:
    """Return the run folders in ``folder``, or the folder itself if it is one.

    Raises:
        UserError: there are none.
    """
    try:
        runs = [folder] if (folder / DATA).exists() else sorted(path.parent for path in folder.glob(f"*/{DATA}"))
    except (OSError, ValueError) as error:
        raise UserError(f"DIR must be a folder that can be read, got {folder} ({_reason(error)})") from error
    if not runs:
        raise UserError(f"DIR must be a folder of results (STUDY/{DATA}), got {folder}")
    return runs
