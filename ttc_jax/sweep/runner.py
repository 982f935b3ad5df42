"""The sweep: tasks in chunks of bounded memory, grid axes evaluated together, running moments on the host."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from ttc_jax import _check
from ttc_jax.sweep.moments import Moments


@dataclass(frozen=True)
class SweepResult:
    """A measurement averaged over tasks at every grid point.

    Attributes:
        axes: values along each named axis, in the order of the arrays' dimensions.
        mean: average over tasks, float64.
        standard_error: standard error of that average over tasks, float64.
        num_tasks: number of tasks.
    """

    axes: dict[str, np.ndarray]
    mean: np.ndarray
    standard_error: np.ndarray
    num_tasks: int


def sweep(
    key: Array,
    measure: Callable[..., Array],
    axes: Mapping[str, ArrayLike],
    *,
    num_tasks: int,
    reused_axes: Mapping[str, ArrayLike] | None = None,
    params: Any = None,
    chunk_size: int = 256,
    progress: Callable[[int], None] = lambda _: None,
) -> SweepResult:
    """Average ``measure(key_i, **point)`` over tasks i, at every point of the grid spanned by ``axes``.

    Task i uses ``fold_in(key, i)`` at every grid point, so that the points share their random numbers, and what does not
    depend on an axis is computed once for all of it. Chunks bound the memory and change nothing beyond rounding. Runs on the
    host: not inside jit.

    Args:
        key: one typed key.
        measure: pure function of one key and of one scalar keyword argument for every name in ``axes``. It is compiled once
            for as long as the same function object is passed.
        axes: one-dimensional values of each swept argument.
        num_tasks: number of independent tasks.
        reused_axes: names and values of the dimensions of what ``measure`` returns (for example every number of steps
            from one rollout); they become the last dimensions of the result.
        params: with a tree of arrays, such as a model's weights, ``measure(key_i, params, **point)`` is averaged; other values
            of the same shapes compile nothing anew.
        chunk_size: number of tasks evaluated together.
        progress: called with the number of tasks done after each chunk.

    Returns:
        Means and standard errors over the grid, with dimensions ``(*axes, *reused_axes)``.

    Raises:
        ValueError: a size is not a positive integer, an axis is empty, not one-dimensional or not finite, or ``measure``
            returns another shape than ``reused_axes`` announces.

    Example:
        >>> def squared_error(key, noise):
        ...     return (noise * jax.random.normal(key)) ** 2
        >>> result = sweep(jax.random.key(0), squared_error, {"noise": [1.0, 2.0]}, num_tasks=100)
        >>> bool(abs(result.mean[1] - 4 * result.mean[0]) < 1e-5)
        True

        One rollout serves every number of steps and candidates; they are named as reused axes.

        >>> from ttc_jax import TaskConfig, averaged_risk, decoders, sample_task
        >>> def risks(key, decoding_noise_std):
        ...     task_key, chain_key = jax.random.split(key)
        ...     task = sample_task(task_key, TaskConfig(dim=3, num_examples=8))
        ...     asked = dict(num_steps=(0, 2, 5), num_candidates=(1, 4), decoding_noise_std=decoding_noise_std)
        ...     return averaged_risk(chain_key, task, decoders.gram(0.3), **asked)
        >>> reused = {"num_steps": (0, 2, 5), "num_candidates": (1, 4)}
        >>> sweep(jax.random.key(0), risks, {"decoding_noise_std": [0.0, 0.1]}, num_tasks=9, reused_axes=reused).mean.shape
        (2, 3, 2)
    """
    _check.key(key)
    num_tasks = _check.integer("num_tasks", num_tasks, minimum=1)
    chunk_size = min(_check.integer("chunk_size", chunk_size, minimum=1), num_tasks)
    grid = {name: _axis(name, values) for name, values in axes.items()}
    reused = {name: _axis(name, values) for name, values in (reused_axes or {}).items()}
    if shared := grid.keys() & reused.keys():
        raise ValueError(f"reused_axes must not repeat a name of axes, got {sorted(shared)}")
    shape = tuple(len(values) for values in (*grid.values(), *reused.values()))

    evaluate = _compiled(measure, tuple(grid))
    total: Moments | None = None
    for first in range(0, num_tasks, chunk_size):
        # The last chunk repeats its last task up to the full size, so that one compiled function serves all chunks.
        tasks = np.minimum(np.arange(first, first + chunk_size), num_tasks - 1)
        values = np.asarray(evaluate(key, tasks, list(grid.values()), params))[: num_tasks - first]
        if values.shape[1:] != shape:
            raise ValueError(
                f"measure must return shape {shape[len(grid) :]} as reused_axes says, got {values.shape[1 + len(grid) :]}"
            )
        moments = Moments.of(values)
        total = moments if total is None else total.merge(moments)
        progress(total.num_tasks)
    assert total is not None
    return SweepResult({**grid, **reused}, total.mean, total.standard_error, total.num_tasks)


@functools.lru_cache(maxsize=64)
def _compiled(measure: Callable[..., Array], names: Sequence[str]) -> Callable[..., Array]:
    """`measure` over a chunk of task indices and the grid, with the grid's dimensions in the order of `names`."""

    def one_task(key, task, values, params):
        given = () if params is None else (params,)

        def at(*point):
            measured = measure(jax.random.fold_in(key, task), *given, **dict(zip(names, point, strict=True)))
            if not isinstance(measured, jax.Array | np.ndarray | float):
                raise ValueError(f"measure must return one array, got {type(measured).__name__}")
            return measured

        for position in reversed(range(len(names))):
            at = jax.vmap(at, in_axes=[0 if position == other else None for other in range(len(names))])
        return at(*values)

    return jax.jit(jax.vmap(one_task, in_axes=(None, 0, None, None)))


def _axis(name: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or not np.issubdtype(array.dtype, np.number):
        raise ValueError(f"axis {name} must be a non-empty list of numbers, got {values!r}")
    _check.finite(f"axis {name}", array)
    return array
