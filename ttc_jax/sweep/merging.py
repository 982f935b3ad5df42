"""Summaries of consecutive chunks, merged sixteen at a time, so that a sweep of any length keeps few of them."""

from __future__ import annotations

import functools
from collections.abc import Callable

from ttc_jax.sweep.summary import Summary

FAN = 16
"""Number of summaries that become one."""


class Merger:
    """Merges summaries in an order that depends on the boundaries of chunks alone.

    Sixteen chunks become one summary, sixteen of those another one, and so on. A sweep that was killed reads merged summaries
    and merges on; because the order is the same, so is every bit of the result.

    Args:
        first: first task.
        chunk_size: tasks of a chunk.
        merged: called with each merged range and its summary.
    """

    def __init__(self, first: int, chunk_size: int, merged: Callable[[int, int, Summary], None]):
        self._origin, self._chunk_size, self._merged = first, chunk_size, merged
        self._entries: list[tuple[int, Summary]] = []  # first task and summary, in order

    def add(self, first: int, last: int, summary: Summary) -> None:
        """Add the summary of the next range of tasks."""
        self._entries.append((first, summary))
        if (last - self._origin) % self._chunk_size:  # a range of another chunk size: count from its end
            self._origin = last
        span = FAN * self._chunk_size
        while span <= last - self._origin and (last - self._origin) % span == 0:
            self._merge(last - span, last)
            span *= FAN

    def _merge(self, first: int, last: int) -> None:
        """Merge the entries of a range, unless one lies across its beginning."""
        inside = [entry for entry in self._entries if entry[0] >= first]
        if len(inside) > 1 and inside[0][0] == first:
            summary = functools.reduce(Summary.merge, (entry[1] for entry in inside))
            self._entries[-len(inside) :] = [(first, summary)]
            self._merged(first, last, summary)

    def total(self) -> Summary | None:
        """Return the summary of all tasks that were added; None if there were none."""
        return functools.reduce(Summary.merge, (summary for _, summary in self._entries)) if self._entries else None
