"""Evaluation of formulas in double precision in every session.

Plain numbers and arrays in: the formula is compiled, evaluated in float64 outside any trace of the caller, and returned as
NumPy float64. Traced values in (a caller's jit, vmap or grad): the formula's operations are traced in float64 too, and the
result is rounded to the session's default dtype. A result is NaN wherever a traced argument is NaN, which stands for a value
outside the domain (:mod:`theory._arguments`).

JAX can trace float64 operations inside a float32 program, but it cannot transpose them there. Derivatives are therefore traced
as formulas of their own, in float64 as a whole, and only their product with the tangents is left to the caller's program. That
makes every order of forward and reverse differentiation work.
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
        The formula's result: NumPy float64 arrays, or traced arrays of the session's default dtype.
    """
    formula = _with_static(formula, tuple(static.items()))
    is_traced = [isinstance(array, jax.core.Tracer) for array in arrays]
    if not any(is_traced):
        # A caller's trace must not record these operations, and its caches must not see these arrays.
        with jax.ensure_compile_time_eval(), _double_precision():
            result = _compiled(formula)(*(np.array(array, np.float64) for array in arrays))
            return jax.tree.map(lambda leaf: np.asarray(leaf)[()], result)

    constants = tuple(None if traced else _Constant.of(array) for array, traced in zip(arrays, is_traced, strict=True))
    is_core = tuple(index < len(core_dims) and core_dims[index] > 0 for index in range(len(arrays)))
    variables = [array.astype(float) for array, traced in zip(arrays, is_traced, strict=True) if traced]
    return _differentiable(_OfVariables(formula, constants, is_core))(*variables)


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
    constants: tuple[_Constant | None, ...]
    is_core_argument: tuple[bool, ...]

    def __call__(self, *values: Any) -> Any:
        remaining = iter(values)
        return self.formula(*(next(remaining) if one is None else jnp.asarray(one.array) for one in self.constants))

    @property
    def is_core(self) -> tuple[bool, ...]:
        """Which of the variables are core arguments."""
        return tuple(core for core, one in zip(self.is_core_argument, self.constants, strict=True) if one is None)

    def points(self, *values: Any) -> tuple[int, ...]:
        """The broadcast shape of the scalar arguments, constants included."""
        remaining = iter(values)
        shapes = [np.shape(next(remaining)) if one is None else one.shape for one in self.constants]
        return np.broadcast_shapes(*(shape for shape, core in zip(shapes, self.is_core_argument, strict=True) if not core))


@dataclass(frozen=True)
class _Partial:
    """The partial derivative of a function in one argument: elementwise, or the whole Jacobian of a core argument."""

    function: Callable[..., Any]
    index: int

    @property
    def is_core(self) -> tuple[bool, ...]:
        """Which arguments are core ones: a Jacobian has its argument's dimensions, and is elementwise in nothing."""
        return tuple(self.function.is_core[self.index] or other for other in self.function.is_core)  # type: ignore[attr-defined]

    def points(self, *values: Any) -> tuple[int, ...]:
        """The broadcast shape of the scalar arguments."""
        return () if self.function.is_core[self.index] else self.function.points(*values)  # type: ignore[attr-defined]

    def __call__(self, *values: Any) -> Any:
        def of_one(value):
            return self.function(*values[: self.index], value, *values[self.index + 1 :])

        value = values[self.index]
        if self.function.is_core[self.index]:  # type: ignore[attr-defined]
            return jax.jacrev(of_one)(value)
        return jax.jvp(of_one, (value,), (jnp.ones_like(value),))[1]


@functools.lru_cache(maxsize=256)
def _differentiable(function: _OfVariables | _Partial) -> Callable[..., Any]:
    """``function`` traced in float64 on arguments of the session's dtype, with derivatives traced in the same way."""
    compiled = jax.jit(function)

    @jax.custom_jvp
    def call(*values):
        with _double_precision():
            result = compiled(*(jax.lax.convert_element_type(value, jnp.float64) for value in values))
        unknown = _unknown(function, values)
        return jax.tree.map(lambda leaf: jnp.where(_behind(unknown, leaf.ndim), jnp.nan, leaf.astype(float)), result)

    @call.defjvp
    def _(values, tangents):
        result = call(*values)
        total = jax.tree.map(jnp.zeros_like, result)
        num_points = len(function.points(*values))

        def scaled(slope, tangent):
            aligned = jnp.expand_dims(tangent, tuple(range(num_points - tangent.ndim)))
            return slope * _behind(aligned, slope.ndim)

        for index, (tangent, core) in enumerate(zip(tangents, function.is_core, strict=True)):
            partial = _differentiable(_Partial(function, index))
            contract = functools.partial(jnp.tensordot, axes=tangent.ndim) if core else scaled
            total = jax.tree.map(lambda sum_, slope, by=contract, t=tangent: sum_ + by(slope, t), total, partial(*values))
        return result, total

    return call


def _unknown(function: _OfVariables | _Partial, values: tuple[Any, ...]) -> Any:
    """Return where an argument makes the result NaN: at the entries of a scalar argument, everywhere for a core argument."""
    unknown = jnp.zeros(function.points(*values), bool)
    for value, core in zip(values, function.is_core, strict=True):
        unknown = unknown | (jnp.any(jnp.isnan(value)) if core else jnp.isnan(value))
    return unknown


def _behind(array: Any, ndim: int) -> Any:
    """``array`` with further dimensions of length one behind its own, ``ndim`` in all."""
    return jnp.expand_dims(array, tuple(range(array.ndim, ndim)))


@functools.cache
def _with_static(formula: Callable[..., Any], static: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:
    return functools.partial(formula, **dict(static))


@functools.cache
def _compiled(formula: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(formula)
