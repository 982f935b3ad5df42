"""The sweep: tasks in chunks of bounded memory on all devices and processes, grid axes evaluated together, kept in a store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from ttc_jax import _check, _files
from ttc_jax.sweep import processes
from ttc_jax.sweep.parts import Tasks
from ttc_jax.sweep.program import Inputs, Measurement, compile_program, evaluate, program_digest
from ttc_jax.sweep.store import Store
from ttc_jax.sweep.summary import INDEX_SHARE, Summary, num_counted

_LARGEST_TAIL_SHARE = 0.05
_SMALLEST_TAIL_INDEX = 2.0
_FEWEST_EFFECTIVE_TASKS = 100
_FEWEST_TASKS_OF_A_TAIL = 1000
_PRECISIONS = ("default", "high", "highest")


@dataclass(frozen=True)
class SweepResult:
    """A measurement averaged over tasks at every grid point.

    Attributes:
        axes: values along each named axis, in the order of the arrays' dimensions.
        mean: average over tasks, float64.
        standard_error: standard error of that average over tasks, float64.
        num_tasks: number of tasks.
        num_looks: how often a sweep with a target error may have looked at its errors to decide whether to stop, whenever it
            did; 1 without a target. An interval or a test at level a that must hold at whichever look the sweep stopped has to
            be made at level a / num_looks.
        reached: where the target error is reached; everywhere without a target.
        tail_share: share of the sum of absolute values that the largest 0.1 % of tasks hold (at most 1024 tasks).
        tail_index: Hill's estimate of a in P(\\|x\\| > u) ~ u^-a; below 2 there is no variance.
        effective_tasks: as many tasks that are alike would tell the variance as well: (sum e^2)^2 / sum e^4, the latter of the
            largest 0.5 % of tasks. A relative error of the variance of 10 % is a hundred.
        num_nonfinite: number of tasks with an infinite or undefined value, which also makes the mean such.
        nonfinite_tasks: indices of the first of them, for :func:`replay`.
        num_resumed: tasks that were read from the store.
    """

    axes: dict[str, np.ndarray]
    mean: np.ndarray
    standard_error: np.ndarray
    num_tasks: int
    num_looks: int
    reached: np.ndarray
    tail_share: np.ndarray
    tail_index: np.ndarray
    effective_tasks: np.ndarray
    num_nonfinite: int
    nonfinite_tasks: tuple[int, ...]
    num_resumed: int

    @property
    def heavy_tailed(self) -> np.ndarray:
        """Points whose standard error cannot be trusted, for sweeps of at least 1000 tasks.

        There fewer than a hundred effective tasks tell the variance, and the tail index is below 2 by two standard errors, or
        below 4 while the largest 0.1 % of tasks hold more than 5 % of the sum of absolute values. Of a Gaussian's that share
        is 0.4 %, of an exponential law's 0.8 %, of a lognormal's with log-variance one 1.8 %, of a Pareto law's of index two
        3 %. Rates of events that are counted often enough have no heavy tail.
        """
        certain = 1 + 2 / np.sqrt(num_counted(self.num_tasks, INDEX_SHARE))
        heavy = (self.tail_share > _LARGEST_TAIL_SHARE) & (self.tail_index < 2 * _SMALLEST_TAIL_INDEX)
        heavy |= self.tail_index * certain < _SMALLEST_TAIL_INDEX
        return heavy & (self.effective_tasks < _FEWEST_EFFECTIVE_TASKS) & (self.num_tasks >= _FEWEST_TASKS_OF_A_TAIL)


@_check.arguments
def sweep(
    key: Array,
    measure: Callable[..., Array],
    axes: Mapping[str, ArrayLike],
    *,
    num_tasks: int,
    reused_axes: Mapping[str, ArrayLike] | None = None,
    params: Any = None,
    target_error: float | None = None,
    relative: bool = True,
    max_tasks: int | None = None,
    store: Path | str | None = None,
    overwrite: bool = False,
    chunk_size: int | None = None,
    memory_bytes: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    matmul_precision: str = "highest",
    progress: Callable[[int], None] = lambda _: None,
) -> SweepResult:
    """Average ``measure(key_i, **point)`` over tasks i, at every point of the grid spanned by ``axes``.

    Task i uses ``fold_in(key, i)`` at every grid point, so that the points share their random numbers, and what does not
    depend on an axis is computed once for all of it. Tasks are evaluated in chunks, one on each local device at a time, and
    summed in float64 in the order of their indices. Chunks, devices and processes change nothing beyond rounding, interruption
    and resumption not a bit. Runs on the host: not inside jit.

    With ``jax.distributed`` initialized, every process makes the same call, has its part of the tasks, and gets the result
    of all.

    Args:
        key: one typed key.
        measure: pure function of one key and of one scalar keyword argument for every name in ``axes``, to one real array.
            It is compiled once for as long as the same function object is passed.
        axes: one-dimensional values of each swept argument.
        num_tasks: number of independent tasks, the fewest if there is a target error.
        reused_axes: names and values of the dimensions of what ``measure`` returns (for example every number of steps
            from one rollout); they become the last dimensions of the result.
        params: with a tree of arrays, such as a model's weights, ``measure(key_i, params, **point)`` is averaged; other values
            of the same shapes compile nothing anew.
        target_error: keep doubling the number of tasks until the standard error at every grid point is at most this, as a
            share of the mean. The looks are at num_tasks, 2 num_tasks, 4 num_tasks, ... and max_tasks, independently of the
            data.
        relative: if not, ``target_error`` is the standard error itself, as it should be where ``measure`` is a logarithm.
        max_tasks: where a sweep with a target error stops at the latest; 64 num_tasks if None, and never beyond 2**31 - 1.
        store: folder in which completed chunks are kept, so that a sweep that was killed goes on where it stood, and one of
            more tasks begins with those that are there. Processes share it. A chunk that is damaged is measured again, with a
            warning (``DamagedChunkWarning``) that names it.
        overwrite: remove chunks that are another sweep's from the store, instead of an error.
        chunk_size: tasks evaluated together on a device; what fits into ``memory_bytes`` if None.
        memory_bytes: what a chunk may take on its device; by default 16 MiB of a CPU's memory, to stay in its caches, and a
            quarter of an accelerator's. The compiler reports the memory that a task needs.
        devices: local devices to use; all if None.
        matmul_precision: of every product of matrices whose precision ``measure`` does not set itself: ``"highest"`` is
            float32 for float32; ``"default"`` may be TF32 or bfloat16 on an accelerator.
        progress: called with the number of tasks done after each chunk; of several processes, as if all were equally fast.

    Returns:
        Means and standard errors over the grid, with dimensions ``(*axes, *reused_axes)``, and what to know of the tasks.

    Raises:
        ValueError: a size is not a positive integer, an axis is empty, not one-dimensional or not finite, or ``measure``
            returns another shape than ``reused_axes`` announces.
        StoreError: the store cannot be written or is in use, or (``OtherSweepError``) it holds another sweep's chunks.
        ProcessError: another process stopped, is gone, or makes another sweep; what is completed is in the store.

    Example:
        >>> def squared_error(key, noise):
        ...     return (noise * jax.random.normal(key)) ** 2
        >>> result = sweep(jax.random.key(0), squared_error, {"noise": [1.0, 2.0]}, num_tasks=100)
        >>> bool(abs(result.mean[1] - 4 * result.mean[0]) < 1e-5)
        True

        Until every mean is known to 2 %:

        >>> result = sweep(jax.random.key(0), squared_error, {"noise": [1.0, 2.0]}, num_tasks=1000, target_error=0.02)
        >>> result.num_tasks, bool((result.standard_error <= 0.02 * result.mean).all())
        (8000, True)

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

    def prepare() -> Tasks:
        measurement, inputs, named = _checked(key, measure, axes, reused_axes, params, matmul_precision)
        looks = _looks(_check.integer("num_tasks", num_tasks, minimum=1), target_error, max_tasks)
        for name, value in (("chunk_size", chunk_size), ("memory_bytes", memory_bytes)):
            if value is not None:
                _check.integer(name, value, minimum=1)
        places = tuple(jax.local_devices() if devices is None else devices)
        if not places:
            raise ValueError("devices must name at least one local device, got none")
        limit = -(-num_tasks // (processes.count() * len(places)))
        program = compile_program(measurement, inputs, places, limit=limit, chunk_size=chunk_size, memory_bytes=memory_bytes)
        description: dict[str, Any] = {}
        if store is not None or processes.count() > 1:
            description = _description(measurement, inputs, named)
        kept = None
        if store is not None:
            device = f"{places[0].device_kind} ({places[0].platform})"
            kept = Store(store, description, device, leads=processes.index() == 0, overwrite=overwrite)
        return Tasks(program, kept, progress, named, looks, description)

    # A compiled program cannot be called where jit is disabled.
    with jax.disable_jit(False), Tasks.prepared(prepare) as tasks:
        total: Summary | None = None
        for start, stop in itertools.pairwise([0, *tasks.looks]):
            found = tasks.summary(start, stop)
            total = found if total is None else total.merge(found)
            reached = _reached(total, target_error, relative)
            if (reached | ~np.isfinite(total.moments.mean)).all():  # what is not finite stays so
                break
    assert total is not None
    return SweepResult(
        tasks.axes,
        total.moments.mean,
        total.moments.standard_error,
        total.moments.num_tasks,
        len(tasks.looks),
        reached,
        total.tail_share(),
        total.tail_index(),
        total.effective_tasks(),
        total.num_nonfinite,
        tuple(total.nonfinite.tolist()),
        tasks.num_resumed,
    )


@_check.arguments
def replay(
    key: Array,
    measure: Callable[..., Array],
    axes: Mapping[str, ArrayLike],
    *,
    task: int,
    reused_axes: Mapping[str, ArrayLike] | None = None,
    params: Any = None,
    matmul_precision: str = "highest",
) -> np.ndarray:
    """Return the values of one task of a sweep at every grid point, in the shape of the sweep's mean.

    Args:
        key: as given to :func:`sweep`, as are ``measure``, ``axes``, ``reused_axes``, ``params`` and ``matmul_precision``.
        task: index of the task; its own key is ``fold_in(key, task)``.

    Returns:
        Values in the dtype of ``measure``; those of the sweep within rounding.

    Raises:
        ValueError: task is not an integer of at least 0, or one of the others is wrong.

    Example:
        >>> import jax.numpy as jnp
        >>> def share(key, noise):
        ...     return jnp.log(noise * jax.random.normal(key))
        >>> result = sweep(jax.random.key(0), share, {"noise": [1.0, 2.0]}, num_tasks=100)
        >>> result.num_nonfinite, result.nonfinite_tasks[:3]
        (55, (1, 3, 4))
        >>> replay(jax.random.key(0), share, {"noise": [1.0, 2.0]}, task=3)
        array([nan, nan], dtype=float32)
    """
    measurement, inputs, _ = _checked(key, measure, axes, reused_axes, params, matmul_precision)
    return evaluate(measurement, inputs, _check.integer("task", task, minimum=0))


def _checked(key, measure, axes, reused_axes, params, matmul_precision) -> tuple[Measurement, Inputs, dict[str, np.ndarray]]:
    """Return the measurement, the inputs of its programs, and all axes by name."""
    _check.key(key)
    grid = {name: _axis(name, values) for name, values in axes.items()}
    reused = {name: _axis(name, values) for name, values in (reused_axes or {}).items()}
    if shared := grid.keys() & reused.keys():
        raise ValueError(f"reused_axes must not repeat a name of axes, got {sorted(shared)}")
    _check.choice("matmul_precision", matmul_precision, _PRECISIONS)
    shape = tuple(map(len, reused.values()))
    measurement = Measurement(measure, tuple(grid), shape, params is not None, matmul_precision)
    try:
        params = jax.tree.map(lambda leaf: jax.numpy.asarray(leaf, jax.numpy.result_type(leaf)), params)
    except TypeError:
        raise ValueError(f"params must hold arrays, got {_check.described(params)}") from None
    return measurement, Inputs(key, tuple(grid.values()), params), {**grid, **reused}


def _looks(num_tasks: int, target_error: float | None, max_tasks: int | None) -> list[int]:
    """Numbers of tasks at which a sweep may stop, fixed beforehand."""
    if target_error is None:
        if max_tasks is not None:
            raise ValueError(f"max_tasks must be None without a target_error, got {_check.described(max_tasks)}")
        return [num_tasks]
    target_error = _check.scalar("target_error", target_error, minimum=0.0, open_ends=True)
    last = min(64 * num_tasks, 2**31 - 1) if max_tasks is None else _check.integer("max_tasks", max_tasks, minimum=num_tasks)
    doubled = itertools.takewhile(lambda look: look < last, (num_tasks * 2**power for power in itertools.count()))
    return [*doubled, last]


def _reached(found: Summary, target_error: float | None, relative: bool) -> np.ndarray:
    mean, error = found.moments.mean, found.moments.standard_error
    if target_error is None:
        return np.ones(mean.shape, bool)
    with np.errstate(invalid="ignore"):
        return error <= target_error * (np.abs(mean) if relative else 1.0)


def _description(measurement: Measurement, inputs: Inputs, axes: dict[str, np.ndarray]) -> dict[str, Any]:
    """Everything that determines the numbers of a sweep but the rounding of its device and chunks."""
    leaves, tree = jax.tree.flatten(inputs.params)
    arrays = [np.asarray(leaf) for leaf in leaves]
    weights = b"".join(f"{leaf.dtype}{leaf.shape}".encode() + leaf.tobytes() for leaf in arrays)
    return {
        "axes": {name: values.tolist() for name, values in axes.items()},
        **_files.key_description(inputs.key),
        "params": _files.digest(str(tree).encode() + weights) if leaves else None,
        "dtype": str(jax.numpy.result_type(float)),
        "matmul_precision": measurement.matmul_precision,
        "versions": _files.versions("jax", "jaxlib"),
        "program": program_digest(measurement, inputs),
    }


def _axis(name: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or not np.issubdtype(array.dtype, np.number):
        raise ValueError(f"axis {name} must be a non-empty list of numbers, got {values!r}")
    _check.finite(f"axis {name}", array)
    return array
