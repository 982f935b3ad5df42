"""How a formula is checked and evaluated: double precision whatever the session's default.

Plain numbers and arrays in: evaluated in float64, compiled, and returned as NumPy float64. Traced values in (a caller's jit,
vmap or grad): the formula's operations are traced in float64 too, and the result is rounded to the session's default dtype.

JAX can trace float64 operations inside a float32 program, but it cannot transpose them there. Derivatives are therefore
traced as formulas of their own, in float64 as a whole, and only their product with the tangents is left to the caller's
program. That makes every order of forward and reverse differentiation work.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def evaluate(formula: Callable[..., Any], *arrays: Any, core_dims: tuple[int, ...] = (), **static: Any) -> Any:
    """``formula(*arrays, **static)`` in float64.

    Args:
        formula: function of float64 arrays to a tree of arrays, elementwise in its scalar arguments, which broadcast; results
            may have dimensions of their own behind the broadcast ones.
        arrays: numbers or arrays, plain or traced.
        core_dims: number of dimensions of each array argument that the formula does not act on elementwise; the arguments
            beyond the end of the tuple are scalar ones.
        static: hashable values that fix the compiled program.

    Returns:
        What the formula returns: NumPy float64 arrays, or traced arrays of the session's default dtype.
    """
    formula = _with_static(formula, tuple(static.items()))
    is_traced = [isinstance(array, jax.core.Tracer) for array in arrays]
    if not any(is_traced):
        with _double_precision():
            result = _compiled(formula)(*(np.asarray(array, np.float64) for array in arrays))
            return jax.tree.map(lambda leaf: np.asarray(leaf)[()], result)

    plain = tuple(None if traced else _Constant.of(array) for array, traced in zip(arrays, is_traced, strict=True))
    variables = [array.astype(float) for array, traced in zip(arrays, is_traced, strict=True) if traced]
    is_core = tuple(index < len(core_dims) and core_dims[index] > 0 for index, traced in enumerate(is_traced) if traced)
    return _differentiable(_OfVariables(formula, plain), is_core)(*variables)


@contextlib.contextmanager
def _double_precision() -> Iterator[None]:
    """Float64 operations, with broadcasting and promotion even where the session forbids them."""
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@dataclass(frozen=True)
class _Constant:
    """A float64 array that can be part of a cache's key, so that the same call is compiled once."""

    shape: tuple[int, ...]
    content: bytes

    @classmethod
    def of(cls, array: Any) -> _Constant:
        values = np.asarray(array, np.float64)
        return cls(values.shape, values.tobytes())

    @property
    def array(self) -> np.ndarray:
        return np.frombuffer(self.content, np.float64).reshape(self.shape)


@dataclass(frozen=True)
class _OfVariables:
    """A formula as a function of those arguments that are not constants."""

    formula: Callable[..., Any]
    plain: tuple[_Constant | None, ...]

    def __call__(self, *values: Any) -> Any:
        remaining = iter(values)
        return self.formula(*(next(remaining) if constant is None else jnp.asarray(constant.array) for constant in self.plain))


@dataclass(frozen=True)
class _Partial:
    """The partial derivative of a function in one argument: elementwise, or the whole Jacobian of a core argument."""

    function: Callable[..., Any]
    index: int
    core: bool

    def __call__(self, *values: Any) -> Any:
        def of_one(value):
            return self.function(*values[: self.index], value, *values[self.index + 1 :])

        value = values[self.index]
        return jax.jacrev(of_one)(value) if self.core else jax.jvp(of_one, (value,), (jnp.ones_like(value),))[1]


@functools.lru_cache(maxsize=256)
def _differentiable(function: Callable[..., Any], is_core: tuple[bool, ...]) -> Callable[..., Any]:
    """``function`` traced in float64 on arguments of the session's dtype, with derivatives traced in the same way."""
    compiled = jax.jit(function)

    @jax.custom_jvp
    def call(*values):
        with _double_precision():
            result = compiled(*(jax.lax.convert_element_type(value, jnp.float64) for value in values))
        return jax.tree.map(lambda leaf: leaf.astype(float), result)

    @call.defjvp
    def _(values, tangents):
        result = call(*values)
        total = jax.tree.map(jnp.zeros_like, result)
        num_points = len(
            np.broadcast_shapes(*(np.shape(value) for value, core in zip(values, is_core, strict=True) if not core))
        )

        def scaled(slope, tangent):
            # The result may have dimensions of its own behind those of the scalars.
            return slope * jnp.expand_dims(tangent, tuple(range(tangent.ndim, tangent.ndim + slope.ndim - num_points)))

        for index, (tangent, core) in enumerate(zip(tangents, is_core, strict=True)):
            # A derivative in a core argument has that argument's dimensions too, and is itself elementwise in nothing.
            partial = _differentiable(_Partial(function, index, core), tuple(core or other for other in is_core))
            contract = functools.partial(jnp.tensordot, axes=tangent.ndim) if core else scaled
            total = jax.tree.map(lambda sum_, slope, by=contract, t=tangent: sum_ + by(slope, t), total, partial(*values))
        return result, total

    return call


@functools.cache
def _with_static(formula: Callable[..., Any], static: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:
    return functools.partial(formula, **dict(static))


@functools.cache
def _compiled(formula: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(formula)


def check_real(name: str, value: Any, *, minimum: float = -np.inf, maximum: float = np.inf, open_ends: bool = False) -> None:
    """ValueError unless every known entry of ``value`` is a finite number in the range (ends excluded if ``open_ends``)."""
    if isinstance(value, jax.core.Tracer):
        return
    allowed = _range(minimum, maximum, open_ends)
    try:
        numbers = np.asarray(value if value is not None else "None", dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be {allowed}, got {value!r}") from None
    low, high = (numbers > minimum, numbers < maximum) if open_ends else (numbers >= minimum, numbers <= maximum)
    wrong = numbers[~(np.isfinite(numbers) & low & high)]
    if wrong.size:
        raise ValueError(f"{name} must be {allowed}, got {wrong.flat[0]:g}")


def check_count(name: str, value: Any, *, minimum: int) -> None:
    """ValueError unless every known entry of ``value`` is a whole number of at least ``minimum``."""
    if isinstance(value, jax.core.Tracer):
        return
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}") from None
    wrong = numbers[~((numbers >= minimum) & (numbers < 2**31) & (numbers == np.floor(numbers)))]
    if wrong.size:
        raise ValueError(f"{name} must be an integer of at least {minimum} and below 2**31, got {wrong.flat[0]:g}")


def check_shape(name: str, value: Any, expected: tuple[int | None, ...]) -> tuple[int, ...]:
    """The shape of ``value``; ValueError unless it is the ``expected`` one, None standing for any length above zero."""
    shape = np.shape(value)
    fits = (size > 0 if want is None else size == want for size, want in zip(shape, expected, strict=False))
    if len(shape) != len(expected) or not all(fits):
        wanted = str(tuple("any" if want is None else want for want in expected)).replace("'", "")
        raise ValueError(f"{name} must have shape {wanted}, got {shape}")
    return shape


def check_broadcast(**values: Any) -> None:
    """ValueError unless the shapes of the named values broadcast together."""
    try:
        np.broadcast_shapes(*map(np.shape, values.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in values.items() if np.shape(value) != ())
        raise ValueError(f"arguments must have shapes that broadcast together, got {shapes}") from None


def check_plain(name: str, value: Any) -> Any:
    """``value``, which fixes a shape and must not be traced."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
        raise ValueError(f"{name} fixes a shape and must be plain, got a value traced by jit, vmap or grad")
    return value


def check_sizes(**sizes: tuple[Any, int]) -> None:
    """ValueError unless every named (value, minimum) is one plain whole number of at least its minimum."""
    for name, (value, minimum) in sizes.items():
        check_shape(name, check_plain(name, value), ())
        check_count(name, value, minimum=minimum)


def check_probabilities(name: str, value: Any) -> None:
    """ValueError unless ``value``, one dimension, lists probabilities that sum to one."""
    check_shape(name, value, (None,))
    check_real(name, value, minimum=0.0, maximum=1.0)
    if not isinstance(value, jax.core.Tracer):
        total = float(np.sum(np.asarray(value, np.float64)))
        if abs(total - 1) > _SUM_ERROR:
            raise ValueError(f"{name} must sum to 1, got {total:g}")


def check_values(low: Any, high: Any) -> None:
    """ValueError unless every known pair of values of a binary coefficient has the larger one above the smaller one."""
    check_real("low", low)
    check_real("high", high)
    check_broadcast(low=low, high=high)
    if any(isinstance(value, jax.core.Tracer) for value in (low, high)):
        return
    lows, highs = np.broadcast_arrays(low, high)
    if (highs <= lows).any():
        worst = np.argmax(lows - highs)
        raise ValueError(f"high must be above low = {lows.flat[worst]:g}, got {highs.flat[worst]:g}")


def _range(minimum: float, maximum: float, open_ends: bool) -> str:
    if np.isinf(minimum):
        return "a finite number"
    if np.isinf(maximum):
        return f"finite and {'above' if open_ends else 'at least'} {minimum:g}"
    return f"{'strictly ' if open_ends else ''}between {minimum:g} and {maximum:g}"


_SUM_ERROR = 1e-6  # by which probabilities may miss one
