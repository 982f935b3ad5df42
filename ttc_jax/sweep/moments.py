"""Running mean and variance over tasks, in float64 on the host, so that memory does not grow with the number of tasks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Moments(NamedTuple):
    """Number, mean and sum of squared deviations of the tasks seen so far; the arrays have one measurement's shape.

    A task that is infinite or not a number makes them so.
    """

    num_tasks: int
    mean: np.ndarray
    squared_deviations: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """Moments of measurements stacked along their first axis."""
        values = np.asarray(values, dtype=np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            mean = values.mean(axis=0)
            return cls(len(values), mean, ((values - mean) ** 2).sum(axis=0))

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets together (Chan, Golub and LeVeque 1983)."""
        num_tasks = self.num_tasks + other.num_tasks
        with np.errstate(invalid="ignore", over="ignore"):
            shift = other.mean - self.mean
            between = shift**2 * (self.num_tasks * other.num_tasks / num_tasks)
            return Moments(
                num_tasks,
                self.mean + shift * (other.num_tasks / num_tasks),
                self.squared_deviations + other.squared_deviations + between,
            )

    @property
    def standard_error(self) -> np.ndarray:
        """Standard error of the mean over tasks; NaN for a single task."""
        if self.num_tasks < 2:
            return np.full_like(self.mean, np.nan)
        return np.sqrt(self.squared_deviations / (self.num_tasks - 1) / self.num_tasks)
