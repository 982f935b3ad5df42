"""What checkpoints and stores of sweeps share: whose a folder is, one writer at a time, files that are whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import jax
import numpy as np
from jax import Array

LOCK = ".lock"
UNFINISHED = ".unfinished"
"""Suffix of a file that is being written."""


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of what numbers depend on."""
    return {package: importlib.metadata.version(package) for package in packages}


def key_description(keys: Array) -> dict[str, Any]:
    """Typed keys as plain values."""
    return {"keys": np.asarray(jax.random.key_data(keys)).tolist(), "generator": str(jax.random.key_impl(keys))}


def differences(found: dict[str, Any], own: dict[str, Any]) -> str:
    """What differs between two descriptions, in words; empty if nothing does."""
    flat = [dict(_flat(description)) for description in (found, own)]
    names = [name for name in flat[0] | flat[1] if flat[0].get(name) != flat[1].get(name)]
    return ", ".join(f"{name} is {flat[0].get(name)} instead of {flat[1].get(name)}" for name in names)


def _flat(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _flat(value, f"{prefix}.{name}".removeprefix(".").removeprefix("config."))
    else:
        yield prefix, values


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
    """Such a file in one go; OSError if it cannot be written."""
    with whole(path) as file:
        file.write(data)


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
