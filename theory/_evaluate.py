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
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def evaluate(formula: Callable[..., Any], *arrays: Any, core_dims: tuple[int, ...] = (), **static: Any) -> Any:
    """``formula(*arrays, **static)`` in float64.

    Args:
        formula: function of float64 arrays to a tree of arrays, elementwise in its scalar arguments, which broadcast.
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

    plain = [None if traced else np.asarray(array, np.float64) for array, traced in zip(arrays, is_traced, strict=True)]
    variables = [array.astype(float) for array, traced in zip(arrays, is_traced, strict=True) if traced]
    is_core = [index < len(core_dims) and core_dims[index] > 0 for index, traced in enumerate(is_traced) if traced]

    def of_variables(*values):
        remaining = iter(values)
        return formula(*(next(remaining) if array is None else array for array in plain))

    return _differentiable(of_variables, tuple(is_core))(*variables)


@contextlib.contextmanager
def _double_precision() -> Iterator[None]:
    """Float64 operations, and broadcasting even where the session forbids it between ranks."""
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        yield


def _differentiable(function: Callable[..., Any], is_core: tuple[bool, ...]) -> Callable[..., Any]:
    """``function`` traced in float64 on arguments of the session's dtype, with derivatives traced in the same way."""

    @jax.custom_jvp
    def call(*values):
        with _double_precision():
            result = function(*(jax.lax.convert_element_type(value, jnp.float64) for value in values))
        return jax.tree.map(lambda leaf: leaf.astype(float), result)

    @call.defjvp
    def _(values, tangents):
        result = call(*values)
        total = jax.tree.map(jnp.zeros_like, result)
        for index, (tangent, core) in enumerate(zip(tangents, is_core, strict=True)):
            # A derivative in a core argument has that argument's dimensions too, and is itself elementwise in nothing.
            derivative = _differentiable(_partial(function, index, core), tuple(core or other for other in is_core))(*values)
            contract = functools.partial(jnp.tensordot, axes=tangent.ndim) if core else jnp.multiply
            total = jax.tree.map(lambda sum_, slope, by=contract, t=tangent: sum_ + by(slope, t), total, derivative)
        return result, total

    return call


def _partial(function: Callable[..., Any], index: int, core: bool) -> Callable[..., Any]:
    """The partial derivative of ``function`` in one argument: elementwise, or the whole Jacobian of a core argument."""

    def derivative(*values):
        def of_one(value):
            return function(*values[:index], value, *values[index + 1 :])

        if core:
            return jax.jacrev(of_one)(values[index])
        return jax.jvp(of_one, (values[index],), (jnp.ones_like(values[index]),))[1]

    return derivative


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
        numbers = np.asarray(value, dtype=np.float64)
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
    wrong = numbers[~(np.isfinite(numbers) & (numbers >= minimum) & (numbers == np.floor(numbers)))]
    if wrong.size:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {wrong.flat[0]:g}")


def _range(minimum: float, maximum: float, open_ends: bool) -> str:
    if np.isinf(minimum):
        return "finite"
    if np.isinf(maximum):
        return f"finite and {'above' if open_ends else 'at least'} {minimum:g}"
    return f"{'strictly ' if open_ends else ''}between {minimum:g} and {maximum:g}"
