"""How the sweeps of a study are run: kept in a store, to a target error, with progress; and what there is to say about them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

import ttc_jax

TRAINING_SHARE = 0.8  # of the time that a study of the quick preset trains
_MEBIBYTE = 2**20
_MOST_SHOWN = 20
_LARGEST = 2**31 - 1
_DOUBLINGS = 6.0  # of a sweep with a target and no explicit limit


@dataclass(frozen=True)
class Execution:
    """Execution options of every sweep of a study; only the number of tasks changes more than rounding.

    Attributes:
        target_relative_error: double the number of tasks until every measured point has this standard error, as a share.
        max_tasks: the most tasks of a sweep that has ``num_tasks`` of them without a target; of others in proportion.
        num_tasks: that number.
        memory_mib: memory of a chunk on its device; None leaves it to the library.
        store: folder of completed chunks; nothing is kept if None.
        overwrite: replace chunks in it that are another sweep's.
    """

    target_relative_error: float | None = None
    max_tasks: int | None = None
    num_tasks: int = 1
    memory_mib: int | None = None
    store: Path | None = None
    overwrite: bool = False

    def settings(self) -> dict[str, Any]:
        """Return the options that change the number of tasks."""
        return {"target_relative_error": self.target_relative_error, "max_tasks": self.max_tasks}


class Engine:
    """Runs the sweeps of one study.

    Attributes:
        execution: how.
        warnings: what the reader must know: damaged chunks, tasks that are not finite, heavy tails, a missed target.
        fewest_tasks: number of tasks of the smallest sweep.
        num_looks: how many ways there are for the sweeps behind a judged point to stop.
        num_tasks: of all sweeps.
        num_resumed: of those, read from the store.
    """

    def __init__(self, execution: Execution | None = None, progress: Callable[[float], None] = lambda share: None):
        self.execution = execution or Execution()
        self._progress = progress
        self._num_sweeps, self._combined, self._num_done, self._trained = 1, 1, 0, 0.0
        self.warnings: list[str] = []
        self.num_looks, self.num_tasks, self.num_resumed = 1, 0, 0
        self.fewest_tasks = math.inf

    def expect(self, num_sweeps: int, combined: int = 1) -> None:
        """Say how many sweeps there will be, if not one, and how many are combined into one judged point.

        Each sweep has its own stopping point, so that the number of combinations is a power of the number of looks.
        """
        self._num_sweeps, self._combined = num_sweeps, combined

    def training(self, share: float) -> None:
        """Say which share of a training that comes before the sweeps is done."""
        self._trained = TRAINING_SHARE
        self._progress(TRAINING_SHARE * share)

    def sweep(
        self,
        key: Array,
        measure: Callable[..., Array],
        axes: Mapping[str, ArrayLike],
        *,
        num_tasks: int,
        reused_axes: Mapping[str, ArrayLike] | None = None,
        params: Any = None,
        relative: bool = True,
    ) -> ttc_jax.SweepResult:
        """:func:`ttc_jax.sweep` of these tasks, or of as many more as the target needs."""
        asked, place = self.execution, self._num_done
        target = asked.target_relative_error
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ttc_jax.DamagedChunkWarning)
            result = ttc_jax.sweep(
                key,
                measure,
                axes,
                num_tasks=num_tasks,
                reused_axes=reused_axes,
                params=params,
                target_error=target,
                relative=relative,
                max_tasks=self._most(num_tasks),
                store=None if asked.store is None else asked.store / str(place),
                overwrite=asked.overwrite,
                memory_bytes=None if asked.memory_mib is None else asked.memory_mib * _MEBIBYTE,
                progress=lambda done: self._advance(self._share(done / num_tasks)),
            )
        self._num_done += 1
        self.num_looks = max(self.num_looks, result.num_looks**self._combined)
        self.num_tasks += result.num_tasks
        self.fewest_tasks = min(self.fewest_tasks, result.num_tasks)
        self.num_resumed += result.num_resumed
        which = f"sweep {place} of {self._num_sweeps}: " if self._num_sweeps > 1 else ""
        for warning in caught:
            if warning.category is ttc_jax.DamagedChunkWarning:
                self.warnings.append(which + str(warning.message))
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        self.warnings += [which + said for said in _remarks(result, target, relative)]
        return result

    def _most(self, num_tasks: int) -> int | None:
        """Return the largest number of tasks of a sweep of ``num_tasks``; None leaves it to the library."""
        asked = self.execution
        return None if asked.max_tasks is None else min(round(num_tasks * asked.max_tasks / asked.num_tasks), _LARGEST)

    def _share(self, done: float) -> float:
        """Return the share of a sweep's work that is done; with a target, each doubling of the tasks counts alike."""
        if self.execution.target_relative_error is None:
            return done
        most = (
            _DOUBLINGS if self.execution.max_tasks is None else math.log2(self.execution.max_tasks / self.execution.num_tasks)
        )
        return min(1.0, (min(1.0, done) + math.log2(max(1.0, done))) / (1 + most))

    def _advance(self, share: float) -> None:
        self._progress(self._trained + (1 - self._trained) * (self._num_done + share) / self._num_sweeps)


class Replay(Engine):
    """An engine that measures one task of every sweep, alone.

    Attributes:
        task: its index.
        found: of each sweep its axes and the task's values.
        keys: the task's own key in each sweep.
    """

    def __init__(self, task: int):
        super().__init__()
        self.task = task
        self.found: list[tuple[dict[str, np.ndarray], np.ndarray]] = []
        self.keys: list[Array] = []

    def sweep(self, key, measure, axes, *, num_tasks, reused_axes=None, params=None, relative=True) -> ttc_jax.SweepResult:
        """The task's values in place of the mean, with no error."""
        values = ttc_jax.replay(key, measure, axes, task=self.task, reused_axes=reused_axes, params=params)
        named = {name: np.asarray(axis) for name, axis in {**axes, **(reused_axes or {})}.items()}
        self.found.append((named, values))
        self.keys.append(jax.random.fold_in(key, self.task))
        none = np.zeros(values.shape)
        return ttc_jax.SweepResult(named, values, none, 1, 1, none == 0, none, none, none, 0, (), 0)

    def lines(self) -> Iterator[str]:
        """Return the result as lines of text."""
        for place, ((axes, values), key) in enumerate(zip(self.found, self.keys, strict=True)):
            data = jax.random.key_data(key).tolist()
            wrong = int((~np.isfinite(values)).sum())
            yield (
                f"sweep {place}, task {self.task}: {values.size} values, {wrong} not finite; "
                f"its key is jax.random.wrap_key_data(jax.numpy.array({data}, dtype='uint32'))"
            )
            yield from _replayed(axes, values)


def _replayed(axes: dict[str, np.ndarray], values: np.ndarray) -> Iterator[str]:
    """Return the values of a task: first those that are not finite, then the largest."""
    order = np.argsort(-np.where(np.isfinite(values), np.abs(values), np.inf), axis=None, kind="stable")
    for place in order[:_MOST_SHOWN]:
        index = np.unravel_index(place, values.shape)
        yield f"  {_point(axes, index)}: {values[index]:.6g}"
    if len(order) > _MOST_SHOWN:
        yield f"  and {len(order) - _MOST_SHOWN} smaller ones"


def _remarks(result: ttc_jax.SweepResult, target: float | None, relative: bool) -> Iterator[str]:
    """Return warnings about a sweep."""
    if result.num_nonfinite:
        named = ", ".join(map(str, result.nonfinite_tasks[:5]))
        more = ", ..." if result.num_nonfinite > 5 else ""
        yield f"{result.num_nonfinite} of {result.num_tasks} tasks are not finite: {named}{more} (ttc replay shows one)"
    # A point that is not finite gets no further warning.
    finite = np.isfinite(result.mean)
    heavy = result.heavy_tailed & finite
    if heavy.any():
        worst = np.unravel_index(np.argmax(np.where(heavy, result.tail_share, -1.0)), heavy.shape)
        yield (
            f"standard errors cannot be trusted at {heavy.sum()} of {heavy.size} points, whose tails are heavy; "
            f"at {_point(result.axes, worst)} the largest 0.1 % of tasks hold {result.tail_share[worst]:.0%} of the sum "
            f"(tail index {result.tail_index[worst]:.2g})"
        )
    missed = ~result.reached & finite
    if missed.any():
        with np.errstate(divide="ignore"):
            errors = result.standard_error / (np.abs(result.mean) if relative else 1.0)
        worst = np.unravel_index(np.argmax(np.where(missed, errors, -1.0)), missed.shape)
        yield (
            f"target_relative_error {target:g} is missed at {missed.sum()} of {missed.size} points "
            f"after {result.num_tasks} tasks; the worst is {_point(result.axes, worst)} with {errors[worst]:.2g}"
        )


def _point(axes: dict[str, np.ndarray], place: Any) -> str:
    """The coordinates of a point in words."""
    named = zip(axes.items(), place, strict=True)
    return ", ".join(f"{name} {values[index]:g}" for (name, values), index in named if len(values) > 1) or "the only point"
