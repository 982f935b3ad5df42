"""Argument checks shared by the public functions: one line that names the argument, its value and what is allowed.

Ranges are checked where the value is known; a traced value (inside jit, vmap or grad) is let through.
"""

from __future__ import annotations

import operator

import jax
import numpy as np


def integer(name: str, value, *, minimum: int) -> int:
    """`value` as an int of at least `minimum`; ValueError otherwise."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}") from None
    if number < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    return number


def integers(name: str, values, *, minimum: int) -> tuple[int, ...]:
    """`values` as a non-empty tuple of integers of at least `minimum`; ValueError otherwise."""
    numbers = tuple(integer(name, value, minimum=minimum) for value in values)
    if not numbers:
        raise ValueError(f"{name} must list at least one integer, got none")
    return numbers


def real(name: str, value, *, minimum: float = -np.inf, maximum: float = np.inf, open_ends: bool = False) -> None:
    """ValueError unless every entry of `value` is a finite number in the range (ends excluded if `open_ends`)."""
    if isinstance(value, jax.core.Tracer):
        return
    allowed = _allowed(minimum, maximum, open_ends)
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be {allowed}, got {value!r}") from None
    inside = (numbers > minimum) & (numbers < maximum) if open_ends else (numbers >= minimum) & (numbers <= maximum)
    wrong = numbers[~(np.isfinite(numbers) & inside)]
    if wrong.size:
        raise ValueError(f"{name} must be {allowed}, got {wrong.flat[0]:g}")


def finite(name: str, array) -> None:
    """ValueError if a concrete `array` holds NaN or infinity."""
    if isinstance(array, jax.core.Tracer):
        return
    values = np.asarray(array)
    if not np.isfinite(values).all():
        where = np.argwhere(~np.isfinite(values))[0].tolist()
        raise ValueError(f"{name} must be finite, got {values[tuple(where)]} at index {where}")


def shape(name: str, array, expected: tuple[int | None, ...]) -> None:
    """ValueError unless `array` has the `expected` shape; None stands for any length."""
    actual = np.shape(array)
    if len(actual) != len(expected) or any(e is not None and a != e for a, e in zip(actual, expected, strict=True)):
        wanted = "(" + ", ".join("any" if e is None else str(e) for e in expected) + ("," if len(expected) == 1 else "") + ")"
        raise ValueError(f"{name} must have shape {wanted}, got {actual}")


def _allowed(minimum: float, maximum: float, open_ends: bool) -> str:
    if np.isinf(maximum):
        if np.isinf(minimum):
            return "finite"
        return f"finite and {'above' if open_ends else 'at least'} {minimum:g}"
    return f"{'strictly ' if open_ends else ''}between {minimum:g} and {maximum:g}"
