"""Argument checks of the public functions: one line that names the argument, its value and what is allowed.

:func:`arguments` checks the kind of every argument by its annotation; the functions below check ranges and shapes. A traced
value (inside jit, vmap or grad) cannot raise: outside the range it becomes NaN, which the results then are.
"""

from __future__ import annotations

import functools
import inspect
import operator
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, Union

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_PLAIN = (int, float, str, bool)
_SHOWN = 60  # characters of a value in a message


def arguments(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Check the kind of every argument by its annotation before each call.

    An argument named ``key`` must be one typed key, and ``keys`` an array of them. An ``Array`` must hold real numbers, and a
    list becomes an array. A number must be real, an instance of its class, and a function callable. Anything else is left to
    the function itself.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # Python's own message names the function
        kinds = _kinds(function)
        for name, value in bound.arguments.items():
            if value is None and signature.parameters[name].default is None:
                continue
            bound.arguments[name] = _of_kind(name, value, kinds.get(name, Any))
        return function(*bound.args, **bound.kwargs)

    return call


@functools.cache
def _kinds(function: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(function)


def _of_kind(name: str, value: Any, kind: Any) -> Any:
    """``value``, checked to be of the annotated kind."""
    options = typing.get_args(kind) if typing.get_origin(kind) in (Union, types.UnionType) else (kind,)
    options = tuple(option for option in options if option is not type(None))
    classes = tuple(one for one in options if isinstance(one, type) and one is not Any and one not in _PLAIN)
    if name == "key":
        key(value)
    elif name == "keys":
        keys(value)
    elif kind == ArrayLike or options == tuple(typing.get_args(ArrayLike)):
        _numbers(name, value, "a real number")
    elif options == (jax.Array,):
        return array(name, value)
    elif len(classes) == len(options):
        one_of(name, value, classes)
    elif Callable in (origins := [typing.get_origin(option) for option in options]) and not callable(value):
        raise ValueError(f"{name} must be a function, got {described(value)}")
    elif Mapping in origins and not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a dictionary, got {described(value)}")
    elif bool in options:
        flag(name, value)
    return value


def weights(name: str, value: Any) -> None:
    """ValueError unless ``value`` is a dictionary of weights, or a named tuple of them."""
    if not isinstance(value, Mapping | tuple):
        raise ValueError(f"{name} must be a dictionary of weights, got {described(value)}")
    for leaf in jax.tree.leaves(value):
        array(name, leaf)


def array(name: str, value: Any) -> Any:
    """``value`` as an array of real numbers; ValueError otherwise."""
    if isinstance(value, list | tuple) and any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
        try:
            value = jnp.asarray(value)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be an array of real numbers, got {described(value)}") from None
    numbers = _numbers(name, value, "an array of real numbers")
    return value if isinstance(value, jax.Array | np.ndarray) else jnp.asarray(numbers)


def _numbers(name: str, value: Any, allowed: str) -> Any:
    """``value`` as an array of the same type, or the traced value; ValueError unless it holds real numbers."""
    try:
        leaves = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(leaf, np.ma.MaskedArray | bool | np.bool_) for leaf in leaves):
            raise TypeError
        numbers = value if isinstance(value, jax.core.Tracer) else np.asarray(float(value) if type(value) is int else value)
        is_number = jax.dtypes.issubdtype(numbers.dtype, np.integer) or jax.dtypes.issubdtype(numbers.dtype, np.floating)
        if not is_number or np.issubdtype(numbers.dtype, np.timedelta64):  # NumPy takes durations for integers
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be {allowed}, got {described(value)}") from None
    return numbers


def described(value: Any) -> str:
    """``value`` in a few printable characters of one line."""
    if isinstance(value, np.ma.MaskedArray):
        return f"a masked array of shape {value.shape}"
    if isinstance(value, jax.core.Tracer):
        return f"a value of type {value.dtype} traced by jit, vmap or grad"
    if isinstance(value, jax.Array | np.ndarray):
        return f"an array of type {value.dtype} and shape {value.shape}"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, list | tuple | dict):
        text = ascii(value)
        return text if len(text) <= _SHOWN else f"a {type(value).__name__} of length {len(value)}"
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        text = ascii(value)
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return f"an object of type {type(value).__name__}"


def integer(name: str, value, *, minimum: int) -> int:
    """`value` as an int from `minimum` to 2**31 - 1; ValueError otherwise."""
    if isinstance(value, jax.core.Tracer):
        raise ValueError(f"{name} fixes a shape and must be a plain integer, got a value traced by jit, vmap or grad")
    try:
        if isinstance(value, bool | np.bool_) or (isinstance(value, jax.Array | np.ndarray) and value.dtype == bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {described(value)}") from None
    if not minimum <= number < 2**31:
        raise ValueError(f"{name} must be an integer of at least {minimum} and below 2**31, got {described(number)}")
    return number


def integers(name: str, values, *, minimum: int) -> tuple[int, ...]:
    """`values` as a non-empty tuple of integers of at least `minimum`; ValueError otherwise."""
    listed = isinstance(values, list | tuple | range) or (isinstance(values, jax.Array | np.ndarray) and values.ndim == 1)
    if not listed or len(values) == 0:
        raise ValueError(f"{name} must list at least one integer, got {described(values)}")
    return tuple(integer(name, value, minimum=minimum) for value in values)


def real(
    name: str,
    value,
    *,
    minimum: float = -np.inf,
    maximum: float = np.inf,
    open_ends: bool = False,
    infinite: bool = False,
):
    """`value`, of numbers in the range (ends excluded if `open_ends`): ValueError otherwise, NaN if traced.

    Infinite numbers are outside the range unless `infinite`.
    """
    allowed = _allowed(minimum, maximum, open_ends, infinite)
    numbers = _numbers(name, value, allowed)
    if isinstance(value, jax.core.Tracer):
        known = (value > minimum) & (value < maximum) if open_ends else (value >= minimum) & (value <= maximum)
        return jnp.where(known & (infinite | jnp.isfinite(value)), value.astype(jnp.result_type(value, float)), jnp.nan)
    numbers = np.asarray(numbers, dtype=float)
    inside = (numbers > minimum) & (numbers < maximum) if open_ends else (numbers >= minimum) & (numbers <= maximum)
    wrong = numbers[~(inside & (infinite | np.isfinite(numbers)))]
    if wrong.size:
        raise ValueError(f"{name} must be {allowed}, got {shown(wrong.flat[0])}")
    return value


def shown(number: float) -> str:
    """A number in few digits, if these are exact, or else in all."""
    short = f"{number:g}"
    return short if float(short) == number or number != number else repr(float(number))


def scalar(
    name: str,
    value,
    *,
    minimum: float = -np.inf,
    maximum: float = np.inf,
    open_ends: bool = False,
    infinite: bool = False,
):
    """`value`, one number, as in :func:`real`."""
    numbers = _numbers(name, value, _allowed(minimum, maximum, open_ends, infinite))
    if np.ndim(numbers) != 0:
        raise ValueError(f"{name} must be a single number, got shape {np.shape(numbers)}")
    return real(name, value, minimum=minimum, maximum=maximum, open_ends=open_ends, infinite=infinite)


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
        raise ValueError(f"{name} must be {' or '.join(kind.__name__ for kind in kinds)}, got {described(value)}")


def choice(name: str, value, options: tuple[str, ...]) -> None:
    """ValueError unless `value` is one of the words in `options`."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}, got {described(value)}")


def flag(name: str, value) -> None:
    """ValueError unless `value` is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {described(value)}")


def key(value) -> None:
    """ValueError unless `value` is one typed key."""
    if not (isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key) and value.shape == ()):
        raise ValueError(f"key must be a single typed key (jax.random.key), got {described(value)}")


def keys(value) -> None:
    """ValueError unless `value` is an array of typed keys, one dimension."""
    if not (isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key) and value.ndim == 1):
        raise ValueError(f"keys must be a list of typed keys (jax.random.split), got {described(value)}")


def shape(name: str, array, expected: tuple[int | None, ...]) -> None:
    """ValueError unless `array` has the `expected` shape; None allows any length."""
    try:
        actual = np.shape(array)
    except ValueError:
        raise ValueError(f"{name} must be an array, got a list whose entries differ in shape") from None
    if len(actual) != len(expected) or any(e is not None and a != e for a, e in zip(actual, expected, strict=True)):
        wanted = "(" + ", ".join("any" if e is None else str(e) for e in expected) + ("," if len(expected) == 1 else "") + ")"
        raise ValueError(f"{name} must have shape {wanted}, got {actual}")


def _allowed(minimum: float, maximum: float, open_ends: bool, infinite: bool) -> str:
    if infinite:
        return f"at least {minimum:g}"
    if np.isinf(maximum):
        if np.isinf(minimum):
            return "a finite number"
        return f"finite and {'above' if open_ends else 'at least'} {minimum:g}"
    return f"{'strictly ' if open_ends else ''}between {minimum:g} and {maximum:g}"
