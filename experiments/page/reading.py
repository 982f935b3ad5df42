"""Results of a run read back: nothing of a received or damaged file is believed before it has been checked.

``SHA256SUMS`` beside the files has their hashes, in the format of ``sha256sum``. ``data.nc`` is read into memory once, within a
size limit. Its layout is checked before its arrays are read: an HDF5 file may link to other files, and may declare arrays
that are far larger than itself.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import xarray as xr

from experiments.run.errors import UserError, printable
from ttc_jax import _files

DATA = "data.nc"
SUMS = "SHA256SUMS"
MOST_BYTES = 2**27  # of a file of results, and of all arrays in it
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")  # of SHA256SUMS
_MOST_ENTRIES = 4096  # strings of an array, values of an attribute
_MOST_POINTS = 10**5  # of a grid, where all points are drawn
_DIMENSIONS = "DIMENSION_LIST"  # attribute of the format: references to the coordinates of an array
_OPTIONAL_VARIABLES = {"effective_tasks"}
_VARIABLES = ("measured", "standard_error", "predicted", "model_error", "judged")


class _Refused(ValueError):
    """Content that no run of this package writes; the message is a whole clause."""


class Results(NamedTuple):
    """Results of a run.

    Attributes:
        data: labelled arrays.
        content: bytes of the file.
        has_hash: whether a stored hash confirms them.
    """

    data: xr.Dataset
    content: bytes
    has_hash: bool


def read(folder: Path) -> xr.Dataset:
    """Return the labelled results of a run; UserError as :func:`load`."""
    return load(folder).data


def load(folder: Path) -> Results:
    """Return the results of a run.

    Raises:
        UserError: there are none, or the file is damaged, links to others, is too large or lacks something.
    """
    path = folder / DATA
    try:
        content, known = _files.read(path, MOST_BYTES), hashes(folder).get(DATA, set())
        if known and _files.digest(content) not in known:
            raise _Refused(f"its hash is not the one in {SUMS}")
        with h5py.File(io.BytesIO(content), "r") as file:
            _check_layout(file, len(content))
        # Times are not decoded: results have none.
        plain = {"decode_times": False, "decode_timedelta": False}
        dataset = xr.load_dataset(io.BytesIO(content), engine="h5netcdf", **plain)
        _check_content(dataset)
    except FileNotFoundError as error:
        raise UserError(f"{path} must be a result file, and is none") from error
    except Exception as error:  # the libraries raise many kinds on a damaged file
        raise UserError(f"{path} must be an intact result file of this package, but {_reason(error)}") from error
    return Results(dataset, content, bool(known))


def hashes(folder: Path) -> dict[str, set[str]]:
    """Return the hashes of each file that ``SHA256SUMS`` in a folder lists; none if there is no such file.

    A file that was being replaced when its writer was killed has two: the old one and the new one.
    """
    found: dict[str, set[str]] = {}
    for line in filter(None, map(_LINE.fullmatch, _lines(folder))):
        found.setdefault(line[2], set()).add(line[1])
    return found


def lists_only(folder: Path, names: Collection[str]) -> bool:
    """Return whether each line of ``SHA256SUMS`` in a folder is the hash of one of these files; true if there is no file."""
    if not (folder / SUMS).exists():
        return True
    lines = _lines(folder)
    return bool(lines) and all((found := _LINE.fullmatch(line)) and found[2] in names for line in lines)


def _lines(folder: Path) -> list[str]:
    try:
        return _files.read(folder / SUMS, _files.MOST_JSON_BYTES).decode().splitlines()
    except (OSError, ValueError):
        return []


def settings(path: Path) -> dict[str, Any] | None:
    """Return the settings of the run whose description is in a file; None if there is no file.

    Raises:
        UserError: the file is not the description of a run.
    """
    try:
        found = _files.read_json(path)
        flat(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} must be the description of a run, but {_reason(error)}") from error
    return found


def flat(run: dict[str, Any]) -> dict[str, Any]:
    """Return all settings of a run by name; ValueError if one has a wrong type."""
    for name in ("config", "seed", "study"):
        _ATTRIBUTES[name](f"entry {name}", run.get(name))
    texts = {name: run.get(name, "{}") for name in ("execution", "versions")}
    for name, text in texts.items():
        _object(f"entry {name}", text)
    versions = {f"version of {name}": value for name, value in json.loads(texts["versions"]).items()}
    settings = {**json.loads(run["config"]), **json.loads(texts["execution"]), **versions}
    return {**settings, "seed": int(run["seed"]), "study": run["study"]}


def _reason(error: Exception) -> str:
    if isinstance(error, _Refused):
        return printable(error, 300)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(f"it cannot be read ({type(error).__name__}: {reason})", 300)


def _check_layout(file: h5py.File, num_bytes: int) -> None:
    """Raise _Refused unless all arrays and attributes are in the file itself, uncompressed, and of bounded size."""
    remaining = MOST_BYTES - _bytes_of_attributes("the file", file, MOST_BYTES, num_bytes)
    for name in file:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise _Refused(f"{printable(name, 60)} is a link to elsewhere")
        item = file[name]
        if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
            raise _Refused(f"{printable(name, 60)} is not an array in the file itself")
        if item.id.get_create_plist().get_nfilters():
            raise _Refused(f"{printable(name, 60)} is compressed")
        remaining -= _bytes_of_attributes(name, item, remaining, num_bytes)
        remaining -= item.size * item.dtype.itemsize
        if remaining < 0:
            raise _Refused(f"its arrays are larger than {MOST_BYTES} bytes")
        if item.dtype.kind not in "biufSO" or (item.dtype.kind == "O" and not h5py.check_string_dtype(item.dtype)):
            raise _Refused(f"{printable(name, 60)} has values of type {item.dtype}")
        if item.dtype.kind == "O":
            remaining -= _bytes_of_strings(name, item, remaining)


def _bytes_of_strings(name: str, item: h5py.Dataset, remaining: int) -> int:
    """Return the total length of strings, read one by one: many entries may point at the same long one."""
    if item.size > _MOST_ENTRIES:
        raise _Refused(f"{printable(name, 60)} has more than {_MOST_ENTRIES} strings")
    total = 0
    for place in np.ndindex(item.shape):
        total += len(item[place])
        if total > remaining:
            raise _Refused(f"its strings are longer than {MOST_BYTES} bytes")
    return total


def _bytes_of_attributes(name: str, item: Any, remaining: int, num_bytes: int) -> int:
    """Return a bound on the total size of attributes.

    Entries of variable length may all point at the same long one. HDF5 tells no length without a read, which may never end in a
    damaged file. The bound on each is therefore the size of the file.
    """
    total = 0
    for attribute in item.attrs:
        found = h5py.h5a.open(item.id, attribute.encode())
        if found.shape is None:  # an empty text
            continue
        kind, count, owner = found.get_type(), math.prod(found.shape), printable(name, 60)
        is_text = isinstance(kind, h5py.h5t.TypeStringID)
        if count > (1 if is_text else _MOST_ENTRIES):
            most = "one text" if is_text else f"{_MOST_ENTRIES} values"
            raise _Refused(f"{owner} has an attribute of more than {most}")
        if is_text and kind.is_variable_str():
            total += num_bytes
        elif not is_text and (kind.detect_class(h5py.h5t.VLEN) or kind.detect_class(h5py.h5t.STRING)):
            if attribute != _DIMENSIONS or count * num_bytes > MOST_BYTES:
                raise _Refused(f"{owner} has an attribute of variable length")
        else:
            total += found.get_storage_size()
        if total > remaining:
            raise _Refused(f"its attributes are larger than {MOST_BYTES} bytes")
    return total


def _check_content(dataset: xr.Dataset) -> None:
    """Raise _Refused unless a dataset has the variables and attributes of a run, of their types and shapes."""
    for name, check in _ATTRIBUTES.items():
        if name not in dataset.attrs:
            raise _Refused(f"attribute {name} is missing")
        check(f"attribute {name}", dataset.attrs[name])
    for name, check in _OPTIONAL_ATTRIBUTES.items():
        if name in dataset.attrs:
            check(f"attribute {name}", dataset.attrs[name])
    for name in (*_VARIABLES, *(_OPTIONAL_VARIABLES & set(dataset))):
        if name not in dataset:
            raise _Refused(f"variable {name} is missing")
        variable = dataset[name]
        if variable.dtype.kind not in "iuf" or variable.size == 0 or variable.dims != dataset["measured"].dims:
            raise _Refused(f"variable {name} must be numbers on the dimensions of measured")
    if dataset["measured"].size > _MOST_POINTS:
        raise _Refused(f"it has more than {_MOST_POINTS} points")
    for dim in dataset["measured"].dims:
        if dim not in dataset.coords:
            raise _Refused(f"dimension {printable(dim, 60)} has no coordinates")


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise _Refused(f"{name} must be a text, got {printable(repr(value), 60)}")


def _count(least: int, most: int) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value <= most:
            raise _Refused(f"{name} must be a whole number from {least} to {most}, got {printable(repr(value), 60)}")

    return check


def _seconds(name: str, value: Any) -> None:
    if not isinstance(value, int | float | np.integer | np.floating) or not 0 <= value < math.inf:
        raise _Refused(f"{name} must be a finite number of at least 0, got {printable(repr(value), 60)}")


def _degrees(name: str, value: Any) -> None:
    if not isinstance(value, int | float | np.integer | np.floating) or not value >= 0:
        raise _Refused(f"{name} must be a number of at least 0, got {printable(repr(value), 60)}")


def _json(name: str, value: Any) -> Any:
    _text(name, value)
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise _Refused(f"{name} must be JSON ({type(error).__name__})") from error


def _object(name: str, value: Any) -> None:
    """Raise _Refused unless a text is a JSON object of plain values and of lists of them."""
    found = _json(name, value)
    if not isinstance(found, dict):
        raise _Refused(f"{name} must be a JSON object, got {printable(value, 60)}")
    for key, entry in found.items():
        for one in entry if isinstance(entry, list) else [entry]:
            if not isinstance(one, None | bool | int | float | str):
                raise _Refused(f"{name} must hold plain values, got {printable(repr(one), 60)} at {printable(key, 60)}")


def _texts(name: str, value: Any) -> None:
    found = _json(name, value)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise _Refused(f"{name} must be a JSON list of texts, got {printable(value, 60)}")


_ATTRIBUTES: dict[str, Callable[[str, Any], None]] = {
    "study": _text,
    "config": _object,
    "seed": _count(0, 2**32 - 1),
    "warnings": _texts,
    "versions": _object,
    "device": _text,
    "wall_time_s": _seconds,
}
_OPTIONAL_ATTRIBUTES: dict[str, Callable[[str, Any], None]] = {
    "degrees_of_freedom": _degrees,
    "execution": _object,
    "num_looks": _count(1, 2**63 - 1),
    "num_tasks": _count(0, 2**63 - 1),
    "num_resumed": _count(0, 2**63 - 1),
    "reference": _text,
}
