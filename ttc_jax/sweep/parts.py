"""Tasks of a sweep: measure the part of this process chunk by chunk, and combine it with the store and the other processes."""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from ttc_jax import _files
from ttc_jax.sweep import processes
from ttc_jax.sweep.merging import Merger
from ttc_jax.sweep.processes import ProcessError
from ttc_jax.sweep.program import Program
from ttc_jax.sweep.store import DamagedChunkWarning, Store, StoreError
from ttc_jax.sweep.summary import Summary, from_device


class Tasks:
    """The tasks of a sweep, measured by this process and the others, as far as the store does not have them."""

    def __init__(
        self,
        program: Program,
        store: Store | None,
        progress: Callable[[int], None],
        axes: dict[str, np.ndarray],
        looks: list[int],
        description: dict[str, Any],
    ):
        self._program, self._store, self._progress = program, store, progress
        self.axes, self.looks = axes, looks
        self._shared = {**description, "looks": looks, "chunk_size": program.chunk_size}
        self.num_resumed = 0
        self._resumed_here = 0

    @classmethod
    @contextlib.contextmanager
    def prepared(cls, prepare: Callable[[], Tasks]) -> Iterator[Tasks]:
        """Open the store of the tasks once all processes agree on them; an error in one process is an error in all."""
        with contextlib.ExitStack() as stack:
            with processes.failing_together():
                tasks = prepare()
                if tasks._store is not None:
                    stack.enter_context(tasks._store)
                own = json.loads(json.dumps(tasks._shared))
            for process, said in enumerate(processes.exchange(json.dumps(own).encode())):
                if different := _files.differences(json.loads(said), own):
                    raise ProcessError(f"processes must make the same sweep, got one in process {process} whose {different}")
            yield tasks

    def summary(self, start: int, stop: int) -> Summary:
        """Return the summary of all tasks from ``start`` to ``stop``, in every process."""
        with processes.failing_together():
            whole = None if self._store is None else self._store.whole(start, stop)
        if all(processes.exchange(b"" if whole is None else b"here")) and whole is not None:
            self.num_resumed += stop - start
            self._progress(stop)
            return whole
        with processes.failing_together():
            own = self._measure(start, stop)
        processes.wait()
        parts = [Summary.from_bytes(part) for part in processes.exchange(b"" if own is None else own.to_bytes()) if part]
        whole = functools.reduce(Summary.merge, parts)
        if whole.moments.num_tasks != stop - start:
            raise ProcessError(f"processes must measure {stop - start} tasks between them, got {whole.moments.num_tasks}")
        self._hear()
        if processes.index() == 0:
            self._keep_merged(start, stop, whole)
        return whole

    def _hear(self) -> None:
        """Tasks that the processes found in the store, and chunks that they rejected."""
        damaged = [] if self._store is None else self._store.take_damage_messages()
        for said in processes.exchange(json.dumps([self._resumed_here, damaged]).encode()):
            num_resumed, messages = json.loads(said)
            self.num_resumed += num_resumed
            for message in messages:
                warnings.warn(message, DamagedChunkWarning, stacklevel=2)
        self._resumed_here = 0

    def _measure(self, start: int, stop: int) -> Summary | None:
        """Return the summary of this process's part of some tasks: as many chunks as the others have, give or take one."""
        size = self._program.chunk_size
        share = -(-(stop - start) // (size * processes.count())) * size
        borders = [min(stop, start + share * (processes.index() + side)) for side in (0, 1)]
        if self._store is not None:
            borders = [self._store.border(start, border, stop) for border in borders]
        first, last = borders
        merger, done = Merger(first, size, self._keep_merged), 0
        for part_first, part_last, part in self._parts(first, last):
            merger.add(part_first, part_last, part)
            done += part.moments.num_tasks
            self._progress(min(stop, start + done * processes.count()))  # as if all were equally fast
            processes.show_life()
        return merger.total()

    def _keep_merged(self, first: int, last: int, summary: Summary) -> None:
        if self._store is not None:
            with contextlib.suppress(StoreError):  # no room for it: the chunks are there, and say the same
                self._store.replace(first, last, summary)

    def _parts(self, first: int, last: int) -> Iterator[tuple[int, int, Summary]]:
        """Yield ranges of these tasks with their summaries, in order: those in the store, and chunks of the tasks between."""
        for start, stop, found in [] if self._store is None else self._store.intact(first, last):
            yield from self._chunks(first, start)
            self._resumed_here += stop - start
            yield start, stop, found
            first = stop
        yield from self._chunks(first, last)

    def _chunks(self, first: int, last: int) -> Iterator[tuple[int, int, Summary]]:
        """Measure these tasks; the devices have their next chunks before the last ones are looked at."""
        size, width = self._program.chunk_size, self._program.num_devices
        firsts = range(first, last, size)
        running: collections.deque[tuple[Sequence[int], Any]] = collections.deque()
        group: Sequence[int]
        for place in [*range(0, len(firsts), width), None]:
            if place is not None:
                group = firsts[place : place + width]
                running.append((group, self._program.run(group[0], last)))
            if running and (place is None or len(running) > 1):
                yield from self._finished(*running.popleft(), last)

    def _finished(self, firsts: Sequence[int], found: Any, last: int) -> Iterator[tuple[int, int, Summary]]:
        """Yield the chunks of one call with their summaries, each kept before it counts."""
        found = jax.device_get(found)
        for device, first in enumerate(firsts):
            num_tasks = min(self._program.chunk_size, last - first)
            summary = from_device(jax.tree.map(lambda part, device=device: part[device], found), first, num_tasks)
            if self._store is not None:
                self._store.write(first, first + num_tasks, summary)
            yield first, first + num_tasks, summary
