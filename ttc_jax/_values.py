"""Validation of values from files; an error is one line, however large the value is."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np

_MAX_RATINGS = 2**24


def shown(value: Any) -> str:
    """A value in one short line, however large it is."""
    return " ".join(_SHORT.repr(value).split())


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 40
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 4
_SHORT.maxlevel = 2


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=True)
    return type(one) is type(other) and bool(one == other)


def is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def count(name: str, value: Any, allowed: str, maximum: int) -> int:
    if not (is_integer(value) and 0 <= value <= maximum):
        raise ValueError(f"{name} must be {allowed}, got {shown(value)}")
    return int(value)


def _is_text(value: Any) -> bool:
    """Whether a value is a string that UTF-8 can hold: JSON can also spell halves of a surrogate pair."""
    try:
        return isinstance(value, str) and (value.isascii() or bool(value.encode()))
    except UnicodeEncodeError:
        return False


def identifier(value: Any) -> str | int:
    if is_integer(value) and -(2**63) <= value < 2**63:
        return int(value)
    if not _is_text(value):
        raise ValueError(f"problem must be a string or an integer of 64 bits, got {shown(value)}")
    return str(value)


def gold(value: Any) -> str | None:
    if value is not None and not (_is_text(value) and value):
        raise ValueError(f"gold must be a string that is not empty, or null, got {shown(value)}")
    return None if value is None else str(value)


def texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list | tuple):
        raise ValueError(f"answers must be a list of strings, got {shown(values)}")
    for index, value in enumerate(values):
        if not _is_text(value):
            raise ValueError(f"answers must be a list of strings, got {shown(value)} at index {index}")
    return tuple(map(str, values))


def _listed(name: str, values: Any, kind: str, types: tuple[type, ...], allowed: str) -> Any:
    """A list, or an array of one axis, whose entries have one of the types, as the array that it is."""
    if not isinstance(values, list | tuple):
        values = np.asarray(values)
        if values.ndim != 1 or (values.size and values.dtype.kind not in kind):
            raise ValueError(f"{name} must be a list of {allowed}, got {shown(values.tolist())}")
        return np.array(values)
    wrong = {found for found in set(map(type, values)) if not issubclass(found, types) or (found is bool and bool not in types)}
    if wrong:
        index = next(index for index, value in enumerate(values) if type(value) in wrong)
        raise ValueError(f"{name} must be a list of {allowed}, got {shown(values[index])} at index {index}")
    try:
        return np.array(values, float)
    except OverflowError:
        raise ValueError(f"{name} must be a list of {allowed}, got an integer above them all") from None


def _numbers(name: str, values: Any, allowed: str = "finite numbers") -> np.ndarray:
    numbers = _listed(name, values, "iuf", (int, float, np.integer, np.floating), allowed).astype(float)
    _refuse(name, numbers, ~np.isfinite(numbers), allowed)
    return numbers


def _flags(name: str, values: Any) -> np.ndarray:
    allowed = "flags 0 or 1"
    flags = _listed(name, values, "biu", (int, np.integer, bool, np.bool_), allowed)
    _refuse(name, flags, (flags != 0) & (flags != 1), allowed)
    return flags.astype(bool)


def _lengths(name: str, values: Any) -> np.ndarray:
    allowed = "whole numbers from 0 and below 2**53"
    lengths = _numbers(name, values, allowed)
    _refuse(name, lengths, (lengths != np.floor(lengths)) | (lengths < 0) | (lengths >= 2**53), allowed)
    return lengths.astype(np.int64)


def _refuse(name: str, values: np.ndarray, is_wrong: np.ndarray, allowed: str) -> None:
    if is_wrong.any():
        index = int(is_wrong.argmax())
        raise ValueError(f"{name} must be a list of {allowed}, got {values[index]:g} at index {index}")


def _ratings(name: str, values: Any) -> np.ndarray:
    """Return rows of ratings as a table; shorter rows are filled with NaN."""
    if not isinstance(values, list | tuple):
        values = np.asarray(values)
        if values.ndim != 2 or values.dtype.kind not in "iuf":
            raise ValueError(f"{name} must be a list of lists of finite numbers, got {shown(values.tolist())}")
        values = rows(values.astype(float))
    listed = [_numbers(f"{name}[{index}]", row) for index, row in enumerate(values)]
    width = max(map(len, listed), default=0)
    if len(listed) * width > _MAX_RATINGS:
        # A short line can name a huge table: one long row, and many that are empty.
        raise ValueError(f"{name} must fill a table of at most {_MAX_RATINGS} entries, got {len(listed)} times {width}")
    table = np.full((len(listed), width), np.nan)
    for index, row in enumerate(listed):
        table[index, : len(row)] = row
    return table


def rows(table: np.ndarray) -> list[list[float]]:
    """The rows of a table without the NaN at their ends."""
    repeats = (~np.isnan(table) * np.arange(1, table.shape[1] + 1)).max(axis=1, initial=0)
    return [row[:length] for row, length in zip(table.tolist(), repeats, strict=True)]


PER_SAMPLE: dict[str, Callable[[str, Any], np.ndarray]] = {
    "correct": _flags,
    "scores": _numbers,
    "ratings": _ratings,
    "lengths": _lengths,
}
