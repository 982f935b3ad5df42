"""Argument checks shared by the public functions: one line that names the argument, its value and what is allowed.

Ranges are checked where the value is known; a traced value (inside jit, vmap or grad) is let through.
"""

from __future__ import annotations

import operator

import jax
import numpy as np


def integer(name: str, value, *, minimum: int) -> int:
    """`value` as an int from `minimum` to 2**31 - 1; ValueError otherwise."""
    if isinstance(value, jax.core.Tracer):
        raise ValueError(f"{name} fixes a shape and must be a plain integer, got a value traced by jit, vmap or grad")
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}") from None
    if not minimum <= number < 2**31:
        raise ValueError(f"{name} must be an integer of at least {minimum} and below 2**31, got {value!r}")
    return number


def integers(name: str, values, *, minimum: int) -> tuple[int, ...]:
    """`values` as a non-empty tuple of integers of at least `minimum`; ValueError otherwise."""
    if np.ndim(values) != 1 or len(values) == 0:
        raise ValueError(f"{name} must list at least one integer, got {values!r}")
    return tuple(integer(name, value, minimum=minimum) for value in values)


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


def scalar(name: str, value, *, minimum: float = -np.inf, maximum: float = np.inf, open_ends: bool = False) -> None:
    """ValueError unless `value` is one finite number in the range; a traced one is only asked for its shape."""
    if np.ndim(value) != 0:
        raise ValueError(f"{name} must be a single number, got shape {np.shape(value)}")
    real(name, value, minimum=minimum, maximum=maximum, open_ends=open_ends)


def finite(name: str, array) -> None:
    """ValueError if a concrete `array` holds NaN or infinity."""
    if isinstance(array, jax.core.Tracer):
        return
    values = np.asarray(array)
    if not np.isfinite(values).all():
        where = np.argwhere(~np.isfinite(values))[0].tolist()
        raise ValueError(f"{name} must be finite, got {values[tuple(where)]} at index {where}")


def one_of(name: str, value, kinds: tuple[type, ...]) -> None:
    """ValueError unless `value` is an instance of one of the `kinds`."""
    if not isinstance(value, kinds):
        described = repr(value) if len(repr(value)) < 40 else f"a {type(value).__name__}"
        raise ValueError(f"{name} must be {' or '.join(kind.__name__ for kind in kinds)}, got {described}")


def key(value) -> None:
    """ValueError unless `value` is one typed key."""
    if not (isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key) and value.shape == ()):
        described = f"shape {np.shape(value)} of {value.dtype}" if isinstance(value, jax.Array) else repr(value)
        raise ValueError(f"key must be a single typed key (jax.random.key), got {described}")


def shape(name: str, array, expected: tuple[int | None, ...]) -> None:
    """ValueError unless `array` has the `expected` shape; None stands for any length."""
    actual = np.shape(array)
    if len(actual) != len(expected) or any(e is not None and a != e for a, e in zip(actual, expected, strict=True)):
        wanted = "(" + ", ".join("any" if e is None else str(e) for e in expected) + ("," if len(expected) == 1 else "") + ")"
        raise ValueError(f"{name} must have shape {wanted}, got {actual}")


def _allowed(minimum: float, maximum: float, open_ends: bool) -> str:
    if np.isinf(maximum):
        if np.isinf(minimum):
            return "a finite number"
        return f"finite and {'above' if open_ends else 'at least'} {minimum:g}"
    return f"{'strictly ' if open_ends else ''}between {minimum:g} and {maximum:g}"
