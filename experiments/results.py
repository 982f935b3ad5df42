"""What a run leaves in its folder: data.nc, figure.png and .pdf, verdict.json; put there when all four are ready."""

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

from experiments import agreement, figures, studies
from experiments.agreement import Verdict
from experiments.errors import UserError

DATA = "data.nc"
SWEEPS = "sweeps"  # folder of what the sweeps have measured, of a finished run too
_RUN = "run.json"  # whose that is
_WORKSHOP = ".unfinished-"
FILES = ("figure.png", "figure.pdf", "verdict.json", DATA)  # the data last: where it is, the run is complete
unfinished: set[Path] = set()  # folders of files not yet in their place
_VARIABLES = {"measured", "standard_error", "predicted", "model_error", "judged"}
_ATTRIBUTES = {"study", "config", "seed", "warnings", "versions", "device", "wall_time_s"}


@contextlib.contextmanager
def claimed(folder: Path, attributes: dict[str, Any], overwrite: bool) -> Iterator[Path]:
    """Have ``folder`` for one run alone, having made sure that it may write there; gives the folder of its sweeps.

    Raises:
        UserError: the folder cannot be written, another run has it, or it holds what the run would replace and ``overwrite`` is
            not set.
    """
    _check_writable(folder)
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise UserError(f"out must be a folder that no other run writes to, got {folder}, where one is running") from error
    try:
        _check_free(folder, attributes, overwrite)
        for leftover in folder.glob(f"{_WORKSHOP}*"):  # of a run that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        sweeps = folder / SWEEPS
        _note(sweeps / _RUN, json.dumps(attributes))
        yield sweeps
    finally:
        lock.release()


def _note(path: Path, text: str) -> None:
    """Write a small file in one piece."""
    unfinished = path.with_name(f".{path.name}")
    try:
        path.parent.mkdir(exist_ok=True)
        with open(unfinished, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        raise UserError(f"out must be a folder that can be written, got {path.parent} ({error.strerror})") from error


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"out must be a folder that can be written, got {folder} ({error.strerror})") from error
    for name in FILES:
        if (folder / name).is_dir():
            raise UserError(f"out must be a folder where {name} can be written, got {folder}, in which {name} is a folder")


def _check_free(folder: Path, attributes: dict[str, Any], overwrite: bool) -> None:
    """Nothing in the folder that the run would replace unasked."""
    if overwrite:
        return
    if not (folder / DATA).exists():
        begun = _begun(folder)
        if begun is not None and not _differences(begun, attributes):
            return
        if foreign := [name for name in FILES if (folder / name).exists()]:
            raise UserError(
                f"out must be a folder without other files, got {folder} with {foreign[0]}; --overwrite replaces it"
            )
        if begun is not None and any((folder / SWEEPS).glob("*/*.chunk")):
            _check_same(folder, begun, attributes, "unfinished run")
        return
    try:
        found = read(folder).attrs
    except UserError as error:
        raise UserError(f"{error}; add --overwrite to replace it") from error
    _check_same(folder, found, attributes, "run")


def _begun(folder: Path) -> dict[str, Any] | None:
    """The settings of the run that last had the folder; None if there was none, or nobody can tell."""
    try:
        found = json.loads((folder / SWEEPS / _RUN).read_text())
        _flat(found)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return found


def _check_same(folder: Path, found: dict[str, Any], attributes: dict[str, Any], what: str) -> None:
    if different := _differences(found, attributes):
        raise UserError(
            f"out must be a folder without other results, got {folder}, whose {what} has {', '.join(different)}; "
            "name another --out, or add --overwrite"
        )


def _differences(found: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """The settings in which two runs differ, with both values."""
    before, now = _flat(found), _flat(asked)
    names = sorted(before.keys() | now.keys())
    return [f"{name} {before.get(name)} instead of {now.get(name)}" for name in names if before.get(name) != now.get(name)]


def _flat(run: dict[str, Any]) -> dict[str, Any]:
    """All settings of a run by name."""
    execution = json.loads(run.get("execution", "{}"))
    return {**json.loads(run["config"]), **execution, "seed": int(run["seed"]), "study": run["study"]}


def write(folder: Path, dataset: xr.Dataset) -> Verdict:
    """Judge and draw a finished run and write its files, each replaced only when all are ready."""
    study, verdict = studies.load(dataset.attrs["study"]), agreement.judge(dataset)
    workshop = Path(tempfile.mkdtemp(dir=folder, prefix=_WORKSHOP))
    unfinished.add(workshop)
    try:
        dataset.to_netcdf(workshop / DATA, engine="h5netcdf")
        with figures.style():
            figure = study.draw(dataset)
            figure.savefig(workshop / "figure.png", dpi=150)
            figure.savefig(workshop / "figure.pdf", metadata={"CreationDate": None})
        report = {
            "study": study.name,
            "question": study.question,
            **verdict.as_dict(),
            "findings": study.findings(dataset),
            "warnings": json.loads(dataset.attrs["warnings"]),
            "decoder": json.loads(dataset.attrs["config"]).get("decoder"),
            "config": json.loads(dataset.attrs["config"]),
            **{name: dataset.attrs[name] for name in ("seed", "num_tasks", "num_looks", "device", "wall_time_s")},
            "versions": json.loads(dataset.attrs["versions"]),
        }
        (workshop / "verdict.json").write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
        for name in FILES:
            os.replace(workshop / name, folder / name)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
        unfinished.discard(workshop)
    return verdict


def read(folder: Path) -> xr.Dataset:
    """The labelled results of a run.

    Raises:
        UserError: there are none, or the file is damaged.
    """
    path = folder / DATA
    if not path.is_file():
        raise UserError(f"{path} must be a result file, and is none")
    try:
        dataset = xr.load_dataset(path, engine="h5netcdf")
        missing = (_VARIABLES - set(dataset)) | (_ATTRIBUTES - set(dataset.attrs))
        for name in ("config", "versions", "warnings"):
            json.loads(dataset.attrs.get(name, "null"))
    except Exception as error:  # the reader raises many kinds on a damaged file
        raise UserError(f"{path} must be a complete result file, but it is damaged ({type(error).__name__})") from error
    if missing:
        raise UserError(f"{path} must be a result file of this package, but it lacks {', '.join(sorted(missing))}")
    return dataset


def find(folder: Path) -> list[Path]:
    """The run folders in ``folder``, or the folder itself if it is one.

    Raises:
        UserError: there are none.
    """
    runs = [folder] if (folder / DATA).exists() else sorted(path.parent for path in folder.glob(f"*/{DATA}"))
    if not runs:
        raise UserError(f"DIR must be a folder of results (STUDY/{DATA}), got {folder}")
    return runs
