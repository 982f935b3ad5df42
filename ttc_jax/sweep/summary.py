"""Mergeable summary of tasks, of bounded size: moments, largest values, and tasks that were not finite."""

from __future__ import annotations

import io
import math
import zipfile
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ttc_jax.sweep.moments import Moments

TAIL_SHARE = 1e-3
"""The share of the tasks that counts as their tail."""
INDEX_SHARE = 5e-3
"""The share by which the tail's index is estimated."""
_MOST_COUNTED = 1024
_MOST_NAMED = 64


def num_counted(num_tasks: int, share: float) -> int:
    """Return the number of tasks in a share of ``num_tasks``, at least one and at most 1024."""
    return min(_MOST_COUNTED, math.ceil(share * num_tasks))


def num_kept(num_tasks: int) -> int:
    """Return how many of the largest values of ``num_tasks`` tasks are kept.

    Tasks are alike, so that one of many parts holds its share of the largest of the whole, give or take six standard
    deviations, so that values that a part drops do not affect the result.
    """
    expected = min(_MOST_COUNTED, INDEX_SHARE * num_tasks)
    return min(num_tasks, math.ceil(expected + 6 * math.sqrt(expected)) + 6)


class Summary(NamedTuple):
    """Summary of some tasks at every point of a grid.

    Attributes:
        moments: number of tasks, mean and squared deviations.
        magnitude: sum of the absolute values.
        largest: largest absolute values, finite ones only, along the first axis in no order; zeros where there are fewer.
        num_nonfinite: number of tasks with an infinite or undefined value anywhere on the grid.
        nonfinite: indices of the first of them.
    """

    moments: Moments
    magnitude: np.ndarray
    largest: np.ndarray
    num_nonfinite: int
    nonfinite: np.ndarray

    def merge(self, other: Summary) -> Summary:
        """Return the summary of both sets of tasks together."""
        moments = self.moments.merge(other.moments)
        largest, kept = np.concatenate([self.largest, other.largest]), num_kept(moments.num_tasks)
        if len(largest) > 2 * kept:  # sorting them anew for every part would be most of the work
            largest = np.partition(largest, len(largest) - kept, axis=0)[-kept:]
        return Summary(
            moments,
            self.magnitude + other.magnitude,
            largest,
            self.num_nonfinite + other.num_nonfinite,
            np.union1d(self.nonfinite, other.nonfinite)[:_MOST_NAMED],
        )

    def tail_share(self) -> np.ndarray:
        """Share of the sum of absolute values that the largest 0.1 % of tasks hold, at least one task and at most 1024."""
        count = num_counted(self.moments.num_tasks, TAIL_SHARE)
        with np.errstate(invalid="ignore", divide="ignore"):
            return self._ordered()[:count].sum(axis=0) / self.magnitude

    def tail_index(self) -> np.ndarray:
        """Hill's estimate of a in P(|x| > u) ~ u^-a, from the largest 0.5 % of tasks; infinite where they are equal or zero.

        Below 2 the variance, and with it the standard error, does not exist.
        """
        count = num_counted(self.moments.num_tasks, INDEX_SHARE)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(self._ordered()[: count + 1])
            spread = (logs[:-1] - logs[-1]).sum(axis=0) / count
            return np.where(np.isfinite(spread) & (spread > 0), 1 / spread, np.inf)

    def effective_tasks(self) -> np.ndarray:
        """Number of tasks with equal shares of the variance that would estimate the variance as well.

        (sum e^2)^2 / sum e^4 with e the deviation from the mean, the latter sum over the largest 0.5 % of tasks. The relative
        standard error of a variance is about one over its root. Zero where all tasks are equal.
        """
        moments, largest = self.moments, self._ordered()[: num_counted(self.moments.num_tasks, INDEX_SHARE)]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            scale = np.where(largest[0] > 0, largest[0], 1.0)
            deviations = np.maximum(largest / scale - np.abs(moments.mean / scale), 0.0)
            effective = (moments.squared_deviations / scale**2) ** 2 / (deviations**4).sum(axis=0)
            return np.where(moments.squared_deviations > 0, effective, 0.0)

    def _ordered(self) -> np.ndarray:
        return -np.sort(-self.largest.astype(np.float64), axis=0)

    def to_bytes(self) -> bytes:
        """All of it as the bytes of an npz file."""
        file = io.BytesIO()
        named = {"mean": self.moments.mean, "squared_deviations": self.moments.squared_deviations}
        counts = np.array([self.moments.num_tasks, self.num_nonfinite])
        rest = {"magnitude": self.magnitude, "largest": self.largest, "nonfinite": self.nonfinite}
        np.savez(file, allow_pickle=False, counts=counts, **named, **rest)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Summary:
        """Return the summary that :meth:`to_bytes` wrote; ValueError or another exception if the bytes are damaged."""
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            if any(member.compress_type != zipfile.ZIP_STORED for member in members.infolist()):  # may expand without limit
                raise ValueError("compressed")
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            num_tasks, num_nonfinite = found["counts"].tolist()
            moments = Moments(num_tasks, found["mean"], found["squared_deviations"])
            return cls(moments, found["magnitude"], found["largest"], num_nonfinite, found["nonfinite"])

    def check(self, num_tasks: int, grid: tuple[int, ...] | None) -> None:
        """ValueError if this is not a summary of so many tasks on such a grid, of any grid if None."""
        grid = self.magnitude.shape if grid is None else grid
        arrays = (self.moments.mean, self.moments.squared_deviations, self.magnitude)
        if any(array.shape != grid or array.dtype != np.float64 for array in arrays):
            raise ValueError(f"grid of shape {self.moments.mean.shape}, not {grid}")
        if self.largest.shape[1:] != grid or self.largest.dtype.kind != "f" or self.nonfinite.dtype.kind not in "iu":
            raise ValueError("largest values or tasks of a wrong kind")
        if len(self.largest) < num_kept(num_tasks):
            raise ValueError(f"{len(self.largest)} largest values, not {num_kept(num_tasks)}")
        if (self.moments.squared_deviations < 0).any():  # undefined ones are those of tasks that are not finite
            raise ValueError("negative squared deviations")
        if self.moments.num_tasks != num_tasks or not 0 <= self.num_nonfinite <= num_tasks:
            raise ValueError(f"{self.moments.num_tasks} tasks, not {num_tasks}")


class ChunkSummary(NamedTuple):
    """The same of one chunk, as a program computes it on the device, in the dtype of the values.

    Values are divided by about the largest of each point, so that no square overflows, and averaged in two passes, so that
    rounding is of the order of their scatter and not of their mean.
    """

    scale: Array  # (*grid)
    mean: Array  # (*grid), of values / scale
    correction: Array  # (*grid), mean of what is left
    squared_deviations: Array  # (*grid), of values / scale
    magnitude: Array  # (*grid), sum of |values| / scale
    largest: Array  # (kept, *grid)
    is_finite: Array  # (chunk,)


def summarise(values: Array, is_task: Array) -> ChunkSummary:
    """A chunk's values (chunk, *grid), of which those count that are a task's (chunk,)."""
    chunk, *grid = values.shape
    flat = values.reshape(chunk, -1)
    used = is_task[:, None]
    count = jnp.maximum(jnp.sum(is_task), 1).astype(flat.dtype)
    magnitudes = jnp.where(used, jnp.abs(flat), 0)
    scale = _power_of_two(jnp.max(magnitudes, axis=0))
    scaled = jnp.where(used, flat / scale[None], 0)
    mean = jnp.sum(scaled, axis=0) / count
    deviations = jnp.where(used, scaled - mean[None], 0)
    correction = jnp.sum(deviations, axis=0) / count
    squares = jnp.sum(deviations**2, axis=0) - count * correction**2
    largest, _ = lax.top_k(jnp.where(jnp.isfinite(magnitudes), magnitudes, 0).T, num_kept(chunk))

    def at_grid(part: Array) -> Array:
        return part.reshape(grid)

    return ChunkSummary(
        at_grid(scale),
        at_grid(mean),
        at_grid(correction),
        at_grid(squares),
        at_grid(jnp.sum(jnp.abs(scaled), axis=0)),
        largest.T.reshape(-1, *grid),
        jnp.all(jnp.isfinite(flat) | ~used, axis=1),
    )


def _power_of_two(largest: Array) -> Array:
    """The one below, by which a division is exact; one for zero, and for what is not finite."""
    _, exponent = jnp.frexp(jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1))
    bounds = jnp.finfo(largest.dtype)
    return jnp.ldexp(jnp.ones_like(largest), jnp.clip(exponent - 1, bounds.minexp, -bounds.minexp))


def from_device(chunk: ChunkSummary, first: int, num_tasks: int) -> Summary:
    """Convert the results of a device about ``num_tasks`` tasks from ``first`` on, in float64."""
    scale, mean, correction, squares, magnitude = (np.asarray(part, np.float64) for part in chunk[:5])
    with np.errstate(invalid="ignore"):
        mean = np.where(np.isfinite(mean), mean + correction, mean)
        moments = Moments(num_tasks, scale * mean, scale**2 * np.maximum(squares, 0.0))
        magnitude = scale * magnitude
    nonfinite = np.flatnonzero(~np.asarray(chunk.is_finite)[:num_tasks])
    return Summary(moments, magnitude, np.asarray(chunk.largest), len(nonfinite), first + nonfinite[:_MOST_NAMED])
