"""Argument checks of the public functions: each argument has a declared domain, and one decorator applies all of them.

A plain argument outside its domain raises a ValueError of one line that names the argument, its value and what is allowed.
A traced argument (inside a caller's jit, vmap or grad) cannot raise: an entry outside the domain becomes NaN, and
:func:`theory._evaluate.evaluate` passes NaN on to the result. Checked numbers reach the function as float64 arrays or as traced
values, so that no array of the caller enters a compiled program.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

LARGEST_COUNT = 2**31 - 1
_SUM_ERROR, _TRACED_SUM_ERROR = 1e-6, 1e-5  # of probabilities that sum to one, the latter in single precision
_SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True)
class Real:
    """Finite numbers in a range, plain or traced.

    Attributes:
        minimum: smallest allowed number.
        maximum: largest allowed number.
        open_ends: exclude both ends of the range.
        infinite: allow plus infinity.
        shape: None for a scalar that broadcasts with the other scalars; otherwise the names of the dimensions, of which equal
            names in one call have equal lengths.
        or_scalar: allow one number in place of an array of this shape.
        plain: refuse traced numbers.
        flags: accept True and False as the numbers one and zero.
    """

    minimum: float = -np.inf
    maximum: float = np.inf
    open_ends: bool = False
    infinite: bool = False
    shape: tuple[str, ...] | None = None
    or_scalar: bool = False
    plain: bool = False
    flags: bool = False

    @property
    def allowed(self) -> str:
        return range_text(self.minimum, self.maximum, self.open_ends) + (" or infinite" if self.infinite else "")

    def __call__(self, name: str, value: Any) -> Any:
        if self.flags and _is_of_booleans(value):
            value = np.asarray(value, np.float64)
        numbers = as_numbers(name, check_plain(name, value) if self.plain else value, self.allowed)
        return _inside(name, numbers, self.allowed, functools.partial(self._is_allowed, xp=_module(numbers)))

    def _is_allowed(self, numbers: Any, xp: Any) -> Any:
        above, below = (operator.gt, operator.lt) if self.open_ends else (operator.ge, operator.le)
        inside = above(numbers, self.minimum) & below(numbers, self.maximum) & xp.isfinite(numbers)
        return inside | xp.isposinf(numbers) if self.infinite else inside


@dataclass(frozen=True)
class Count:
    """Whole numbers from a minimum to a maximum, plain or traced; the other attributes are those of :class:`Real`."""

    minimum: int
    maximum: int = LARGEST_COUNT
    shape: tuple[str, ...] | None = None
    or_scalar: bool = False
    plain: bool = False

    @property
    def allowed(self) -> str:
        return count_text(self.minimum, self.maximum)

    def __call__(self, name: str, value: Any) -> Any:
        numbers = as_numbers(name, check_plain(name, value) if self.plain else value, self.allowed)
        floor = _module(numbers).floor
        return _inside(
            name, numbers, self.allowed, lambda one: (one >= self.minimum) & (one <= self.maximum) & (one == floor(one))
        )


@dataclass(frozen=True)
class Number:
    """One plain number in a range, as a float: it fixes the computation and must not be traced."""

    minimum: float = -np.inf
    maximum: float = np.inf
    open_ends: bool = False

    def __call__(self, name: str, value: Any) -> float:
        domain = Real(self.minimum, self.maximum, self.open_ends, plain=True)
        return float(_single(name, value, domain))


@dataclass(frozen=True)
class Size:
    """One plain whole number, as an int: it fixes a shape and must not be traced."""

    minimum: int = 1
    maximum: int = LARGEST_COUNT

    def __call__(self, name: str, value: Any) -> int:
        domain = Count(self.minimum, self.maximum, plain=True)
        return int(_single(name, value, domain))


@dataclass(frozen=True)
class Sizes:
    """At least one plain whole number, or a flat list of them, as a tuple of ints."""

    minimum: int = 1
    maximum: int = LARGEST_COUNT

    def __call__(self, name: str, value: Any) -> tuple[int, ...]:
        numbers = Count(self.minimum, self.maximum, plain=True)(name, value)
        if numbers.ndim > 1 or not numbers.size:
            raise ValueError(f"{name} must be a flat list of at least one integer, got shape {numbers.shape}")
        return tuple(map(int, np.atleast_1d(numbers)))


@dataclass(frozen=True)
class Probabilities:
    """Numbers from zero to one that sum to one, plain or traced."""

    shape = ("k",)
    or_scalar = False
    plain = False

    def __call__(self, name: str, value: Any) -> Any:
        numbers = Real(0.0, 1.0)(name, value)
        if isinstance(numbers, jax.core.Tracer):
            return jnp.where(jnp.abs(jnp.sum(numbers) - 1) <= _TRACED_SUM_ERROR, numbers, jnp.nan)
        total = float(np.sum(numbers))
        if numbers.ndim == 1 and abs(total - 1) > _SUM_ERROR:
            raise ValueError(f"{name} must sum to 1, got {shown(total)}")
        return numbers


@dataclass(frozen=True)
class OneOf:
    """One of a few strings."""

    options: tuple[str, ...]

    def __call__(self, name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in self.options:
            raise ValueError(f"{name} must be one of {', '.join(self.options)}, got {described(value)}")
        return value


@dataclass(frozen=True)
class Flag:
    """True or False."""

    def __call__(self, name: str, value: Any) -> bool:
        if not isinstance(value, bool | np.bool_):
            raise ValueError(f"{name} must be True or False, got {described(value)}")
        return bool(value)


@dataclass(frozen=True)
class Instance:
    """An object of one of a few classes."""

    kinds: tuple[type, ...]

    def __call__(self, name: str, value: Any) -> Any:
        if not isinstance(value, self.kinds):
            raise ValueError(f"{name} must be {' or '.join(kind.__name__ for kind in self.kinds)}, got {described(value)}")
        return value


Domain = Real | Count | Number | Size | Sizes | Probabilities | OneOf | Flag | Instance


def checked(**domains: Domain) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Declare a traceable function, and check its arguments by name before every call.

    An argument whose default is None may be None. Scalars must broadcast together; arrays must have the declared dimensions.
    The function gets the checked values. The decorated function has the attributes ``domains`` and ``kind``, "traceable".
    """
    return _declared("traceable", domains)


def host_only(**domains: Domain) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Declare a function that runs in NumPy on the host: a traced value in any argument is a TypeError.

    Arguments are checked as by :func:`checked`. The attribute ``kind`` of the decorated function is "host-only".
    """
    return _declared("host-only", domains)


def _declared(
    kind: str, domains: Mapping[str, Domain]
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        signature = inspect.signature(function)
        unknown = set(domains) - set(signature.parameters)
        if unknown:
            raise TypeError(f"{function.__name__} has no argument {sorted(unknown)[0]}")
        optional = {name for name in domains if signature.parameters[name].default is None}
        remedy = f"; {function.__name__} runs on the host: call it outside of the transformation"

        @functools.wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:
                return function(*args, **kwargs)  # Python's own message names the function
            bound.apply_defaults()
            given = bound.arguments
            if kind == "host-only":
                for name, value in given.items():
                    check_plain(name, value, remedy)
            for name, domain in domains.items():
                if not (given[name] is None and name in optional):
                    given[name] = domain(name, given[name])
            _check_shapes(domains, given)
            return function(*bound.args, **bound.kwargs)

        call.domains = domains  # type: ignore[attr-defined]
        call.kind = kind  # type: ignore[attr-defined]
        return call

    return decorate


def as_numbers(name: str, value: Any, allowed: str) -> Any:
    """``value`` as a new float64 array or a traced array of the default float type; ValueError unless its entries are real."""
    if isinstance(value, list | tuple):
        leaves = jax.tree.leaves(value, is_leaf=lambda leaf: leaf is None or isinstance(leaf, np.ma.MaskedArray))
        if any(isinstance(leaf, bool | np.bool_ | np.ma.MaskedArray) for leaf in leaves):
            raise ValueError(f"{name} must be {allowed}, got {described(value)}")
        # A list that holds traced numbers becomes one traced array.
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            try:
                value = jnp.asarray(value)
            except (TypeError, ValueError):
                raise ValueError(f"{name} must be {allowed}, got {described(value)}") from None
    if isinstance(value, jax.core.Tracer):
        if not _is_number(value.dtype):
            raise ValueError(f"{name} must be {allowed}, got traced values of type {value.dtype}")
        return value.astype(float)
    try:
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError
        array = np.asarray(value)
        if array.dtype == object and all(type(leaf) is int for leaf in array.flat):  # integers of more than 64 bits
            array = array.astype(np.float64)
        if not _is_number(array.dtype) and array.size:
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be {allowed}, got {described(value)}") from None
    return np.array(array, np.float64)


def described(value: Any) -> str:
    """``value`` in a few printable characters of one line."""
    if isinstance(value, np.ma.MaskedArray):
        return f"a masked array of shape {value.shape}"
    if isinstance(value, jax.core.Tracer):
        return f"a value of type {value.dtype} traced by jit, vmap or grad"
    if isinstance(value, jax.Array | np.ndarray) and value.ndim:
        return f"an array of type {value.dtype} and shape {value.shape}"
    if isinstance(value, np.ndarray):
        value = value[()]
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        try:
            kind = np.asarray(value).dtype
        except (TypeError, ValueError):
            return f"a {type(value).__name__} that is no array of numbers"
        text = repr(value)
        return text if len(text) <= _SHOWN and text.isprintable() else f"a {type(value).__name__} of type {kind}"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, type(None) | bool | int | float | complex | str | bytes | np.generic):
        text = ascii(value) if isinstance(value, str) else repr(value)
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    if isinstance(value, jax.Array):
        return f"a value of type {value.dtype}"
    return f"an object of type {type(value).__name__}"


def check_plain(name: str, value: Any, remedy: str = "") -> Any:
    """Return ``value``; TypeError if it is traced."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
        raise TypeError(f"{name} must be a plain value, got one traced by jit, vmap or grad{remedy}")
    return value


def check_shape(name: str, value: Any, expected: tuple[int | None, ...]) -> tuple[int, ...]:
    """The shape of ``value``; ValueError unless it is the ``expected`` one, None standing for any length above zero."""
    try:
        shape = np.shape(value)
    except ValueError:
        raise ValueError(f"{name} must have shape {_shape_text(expected)}, got {described(value)}") from None
    fits = (size > 0 if want is None else size == want for size, want in zip(shape, expected, strict=False))
    if len(shape) != len(expected) or not all(fits):
        raise ValueError(f"{name} must have shape {_shape_text(expected)}, got {shape}")
    return shape


def check_broadcast(**values: Any) -> None:
    """ValueError unless the shapes of the named values broadcast together."""
    try:
        np.broadcast_shapes(*map(np.shape, values.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in values.items() if np.shape(value) != ())
        raise ValueError(f"arguments must have shapes that broadcast together, got {shapes}") from None


def check_below(name: str, value: Any, other: str, limit: Any, *, strictly: bool = False, remedy: str = "") -> Any:
    """``value``, checked to be at most ``limit`` (below it if ``strictly``); traced values above it become NaN.

    Args:
        name: of the checked argument.
        value: checked numbers.
        other: text for what the limit is, such as the name of another argument.
        limit: numbers that broadcast with ``value``.
        strictly: exclude the limit itself.
        remedy: text that follows the message.
    """
    if isinstance(value, jax.core.Tracer) or isinstance(limit, jax.core.Tracer):
        wrong = value >= limit if strictly else value > limit
        return jnp.where(wrong, jnp.nan, value)
    values, limits = np.broadcast_arrays(value, limit)
    wrong = values >= limits if strictly else values > limits
    if wrong.any():
        place = np.argmax(wrong)
        relation = "be below" if strictly else "not exceed"
        found, most = values.flat[place], limits.flat[place]
        # Four digits of the limit are enough, unless they would be those of the value.
        said = f"{most:.4g}" if float(f"{most:.4g}") != found else shown(most)
        raise ValueError(f"{name} must {relation} {other} = {said}, got {shown(found)}{remedy}")
    return value


def default_signal_var(dim: Any) -> Any:
    """1/d, the variance of each coefficient that gives the signal a variance of one."""
    return 1 / dim


def range_text(minimum: float, maximum: float, open_ends: bool) -> str:
    """The allowed numbers of a range in words."""
    if np.isinf(minimum) and np.isinf(maximum):
        return "a finite number"
    if np.isinf(maximum):
        return f"finite and {'above' if open_ends else 'at least'} {shown(minimum)}"
    return f"{'strictly ' if open_ends else ''}between {shown(minimum)} and {shown(maximum)}"


def shown(number: Any) -> str:
    """A number in few digits, if these are exact, or else in all."""
    short = f"{number:g}"
    return short if float(short) == number or number != number else repr(float(number))


def count_text(minimum: int, maximum: int = LARGEST_COUNT) -> str:
    """The allowed whole numbers of a range in words."""
    above = "below 2**31" if maximum == LARGEST_COUNT else f"at most {maximum}"
    return f"an integer of at least {minimum} and {above}"


def _is_number(dtype: Any) -> bool:
    """Whether a dtype is of integers or real numbers; NumPy takes durations for integers."""
    is_number = jax.dtypes.issubdtype(dtype, np.integer) or jax.dtypes.issubdtype(dtype, np.floating)
    return is_number and not np.issubdtype(dtype, np.timedelta64)


def _is_of_booleans(value: Any) -> bool:
    try:
        return not isinstance(value, np.ma.MaskedArray) and np.asarray(value).dtype == bool
    except (TypeError, ValueError):
        return False


def _module(numbers: Any) -> Any:
    """The array module of plain or traced numbers."""
    return jnp if isinstance(numbers, jax.core.Tracer) else np


def _inside(name: str, numbers: Any, allowed: str, is_allowed: Callable[[Any], Any]) -> Any:
    """Plain numbers, all of them allowed; or traced ones, NaN where they are not."""
    inside = is_allowed(numbers)
    if isinstance(numbers, jax.core.Tracer):
        return jnp.where(inside, numbers, jnp.nan)
    if not np.all(inside):
        raise ValueError(f"{name} must be {allowed}, got {shown(numbers[~inside].flat[0])}")
    return numbers


def _single(name: str, value: Any, domain: Real | Count) -> np.ndarray:
    """The one number of ``value`` that the domain allows."""
    numbers = domain(name, value)
    if numbers.ndim:
        raise ValueError(f"{name} must be {domain.allowed}, got {described(value)}")
    return numbers


def _shape_text(expected: tuple[int | str | None, ...]) -> str:
    return str(tuple("at least 1" if want is None else want for want in expected)).replace("'", "")


def _check_shapes(domains: Mapping[str, Domain], given: Mapping[str, Any]) -> None:
    """ValueError unless arrays have their declared dimensions and scalars broadcast together."""
    lengths: dict[str, int] = {}
    scalars: dict[str, Any] = {}
    for name, domain in domains.items():
        value = given[name]
        if value is None or not isinstance(domain, Real | Count | Probabilities):
            continue
        if domain.shape is None:
            scalars[name] = value
            continue
        if domain.or_scalar and np.ndim(value) == 0:
            continue
        shape = check_shape(name, value, tuple(map(lengths.get, domain.shape)))
        lengths.update(zip(domain.shape, shape, strict=True))
    check_broadcast(**scalars)
