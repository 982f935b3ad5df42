"""Folders of checkpoints, stores and results: descriptions of origin, atomic writes, bounded reads of regular files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import jax
import numpy as np
from jax import Array

from ttc_jax._values import shown

LOCK = ".lock"
UNFINISHED = ".unfinished"
"""Suffix of a file that is being written."""
MOST_JSON_BYTES = 2**24
"""Size limit of an index."""


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of what numbers depend on."""
    return {package: importlib.metadata.version(package) for package in packages}


def key_description(keys: Array) -> dict[str, Any]:
    """Typed keys as plain values."""
    return {"keys": np.asarray(jax.random.key_data(keys)).tolist(), "generator": str(jax.random.key_impl(keys))}


def differences(found: dict[str, Any], own: dict[str, Any]) -> str:
    """Return the differences between two descriptions in words; empty if there are none."""
    flat = [dict(_flat(description)) for description in (found, own)]
    names = [name for name in flat[0] | flat[1] if flat[0].get(name) != flat[1].get(name)]
    return ", ".join(f"{name} is {shown(flat[0].get(name))} instead of {shown(flat[1].get(name))}" for name in names)


def _flat(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _flat(value, f"{prefix}.{name}".removeprefix(".").removeprefix("config."))
    else:
        yield prefix, values


def read(path: Path, at_most: int) -> bytes:
    """Return the content of a regular file of at most ``at_most`` bytes.

    Raises:
        OSError: the file cannot be read, is not a regular one, or is larger.
    """
    # Without O_NONBLOCK, opening a named pipe would wait for its writer.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if found.st_size > at_most:
            raise OSError(errno.EFBIG, f"{found.st_size} bytes, more than the {at_most} that are read", str(path))
        return file.read(at_most)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a regular file.

    Raises:
        OSError: as :func:`read`.
        ValueError: the file holds something else, or is nested too deeply.
    """
    return parse_object(read(path, MOST_JSON_BYTES))


def parse_object(text: bytes | str) -> dict[str, Any]:
    """Return the JSON object in a text; ValueError if the text holds something else, or is nested too deeply."""
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"JSON must be an object, got {shown(found)}")
    return found


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write that is there as a whole after the block or not at all, also after the power has failed."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        with open(unfinished, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write(path: Path, data: bytes) -> None:
    """Write such a file at once; OSError if it cannot be written."""
    with whole(path) as file:
        file.write(data)


def remove_unfinished(folder: Path) -> None:
    """Remove the files that a killed writer left half written; an entry that cannot be removed stays."""
    for path in folder.glob(f".*{UNFINISHED}"):
        with contextlib.suppress(OSError):  # a folder of the user, say
            path.unlink()


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
