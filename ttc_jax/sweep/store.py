"""Store of a sweep: completed chunks in a folder, so that a killed sweep resumes.

``sweep.json`` describes the sweep. The file ``FIRST-LAST.chunk`` has the summary of tasks FIRST to LAST - 1: one line of JSON
with its origin and the hash of its sweep, the summary, and the SHA-256 of all that. Writes are atomic (fsync, rename). Files of
merged ranges replace those of their parts.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ttc_jax import _files
from ttc_jax.sweep.summary import Summary

NUMERICS = 1
"""Raised when a change of the sweep, and not of what it measures, changes numbers."""
INDEX = "sweep.json"
SUFFIX = ".chunk"
_HASH_BYTES = 32
_MOST_BYTES = 2**31  # of a chunk


class StoreError(ValueError):
    """A folder that cannot be written, is in use, or holds another sweep's chunks; the message says which."""


class OtherSweepError(StoreError):
    """The folder holds another sweep's chunks, which ``overwrite`` would remove."""


class DamagedChunkWarning(UserWarning):
    """A chunk on disk is not what this sweep wrote; its tasks are measured again."""


class Store:
    """The chunks of one sweep in a folder.

    Used as a context, within which no other run may have the folder; the lock ends with its holder, however that ends.

    Args:
        folder: where they are; made if missing. Several processes share it.
        description: everything that determines the numbers, as plain values.
        device: what measures, in words; noted with each chunk.
        leads: whether this process holds the lock and removes what is left over, which one of several does.
        overwrite: remove chunks that are another sweep's.

    Raises:
        StoreError: see there.
    """

    def __init__(
        self, folder: Path | str, description: dict[str, Any], device: str, *, leads: bool = True, overwrite: bool = False
    ):
        import filelock

        self._folder = Path(folder).expanduser().absolute()
        self._own = json.loads(json.dumps({**description, "numerics": NUMERICS}))
        self._device = device
        self._leads, self._overwrite = leads, overwrite
        self._grid = tuple(len(values) for values in description["axes"].values()) if "axes" in description else None
        self._identity = _files.digest(json.dumps(self._own, sort_keys=True).encode())
        self._damaged: set[tuple[int, int]] = set()  # what is not to be read again
        self._damage_messages: list[str] = []
        self._lock = filelock.FileLock(self._folder / _files.LOCK)

    def __enter__(self) -> Store:
        import filelock

        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not self._leads:
                return self
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise StoreError(
                f"store must be a folder that no other run uses, got {self._folder}, where one is running"
            ) from error
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            self._claim()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        if self._leads:
            self._lock.release()

    def _claim(self) -> None:
        """Make sure that the folder is this sweep's, and clear away what a killed run left half written."""
        _files.remove_unfinished(self._folder)
        chunks = list(self._folder.glob(f"*{SUFFIX}"))
        has_index = (self._folder / INDEX).exists()
        different = self._differences() if chunks or (has_index and not self._is_index()) else ""
        if different and not self._overwrite:
            raise OtherSweepError(f"store must hold chunks of this sweep, got {self._folder}, {different}")
        if different or not chunks:
            try:
                for path in chunks:
                    path.unlink(missing_ok=True)
                _files.write(self._folder / INDEX, json.dumps(self._own, indent=1).encode())
            except OSError as error:
                raise self._unwritable(error) from error

    def _is_index(self) -> bool:
        """Return whether the index describes a sweep, rather than being a file of someone else."""
        try:
            return "numerics" in _files.read_json(self._folder / INDEX)
        except (ValueError, OSError):
            return False

    def _differences(self) -> str:
        """Return in words in what the sweep of these chunks differs from this one; empty if in nothing."""
        try:
            found = _files.read_json(self._folder / INDEX)
        except (ValueError, OSError):
            return f"whose {INDEX} is missing or damaged"
        different = _files.differences(found, self._own)
        return different and f"whose {different}"

    def whole(self, start: int, stop: int) -> Summary | None:
        """Return the summary of a range if one intact file has all of it; files of its parts are then removed."""
        return self._completed(start, stop) if self._path(start, stop).exists() else None

    def intact(self, start: int, stop: int) -> Iterator[tuple[int, int, Summary]]:
        """Yield intact ranges on disk within these tasks with their summaries, in order and without overlap.

        If several ranges have the same start, the longest one counts. A file is read before its range counts, so that a damaged
        or renamed one neither hides another nor shifts a boundary.
        """
        for first, last in self._inside(start, stop):
            if first >= start and (found := self._completed(first, last)) is not None:
                yield first, last, found
                start = last

    def border(self, start: int, place: int, stop: int) -> int:
        """Return the end of the intact range within these tasks that lies across a place; the place itself if there is none.

        Processes divide their tasks there, so that a range can be used with any number of processes.
        """
        across = [(first, last) for first, last in self._inside(start, stop) if first < place < last]
        return next((last for first, last in across if self.read(first, last) is not None), place)

    def _inside(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return the ranges of the files within these tasks, but for damaged ones; the longest of a start first."""
        paths = set(self._folder.glob(f"*{SUFFIX}"))
        names = (re.fullmatch(rf"(\d+)-(\d+){re.escape(SUFFIX)}", path.name) for path in paths)
        pairs = {(int(name[1]), int(name[2])) for name in names if name} - self._damaged
        # A store pads numbers with zeros: a file whose name has fewer digits comes from elsewhere.
        found = (pair for pair in pairs if start <= pair[0] < pair[1] <= stop and self._path(*pair) in paths)
        return sorted(found, key=lambda pair: (pair[0], -pair[1]))

    def _completed(self, first: int, last: int) -> Summary | None:
        """Return the summary of a range, and remove what a killed writer left of its parts; None if the file is damaged."""
        found = self.read(first, last)
        if found is not None:
            self._remove_parts(first, last)
        return found

    def read(self, first: int, last: int) -> Summary | None:
        """Return the summary of a range; None if its file is damaged, with a message in :meth:`take_damage_messages`."""
        path = self._path(first, last)
        try:
            data = _files.read(path, _MOST_BYTES)
            content, found = data[:-_HASH_BYTES], data[-_HASH_BYTES:]
            if bytes.fromhex(_files.digest(content)) != found:
                raise ValueError("checksum")
            head, _, body = content.partition(b"\n")
            expected = {"first": first, "last": last, "sweep": self._identity}
            if {name: _files.parse_object(head).get(name) for name in expected} != expected:
                raise ValueError("of another sweep or range")
            summary = Summary.from_bytes(body)
            summary.check(last - first, self._grid)
            return summary
        except Exception as error:  # NumPy and zipfile raise many kinds on a damaged file
            reason = (isinstance(error, OSError) and error.strerror) or error  # results keep no path of this machine
            self._damaged.add((first, last))
            self._damage_messages.append(
                f"{path.name} in the store is damaged ({type(error).__name__}: {reason}); "
                f"tasks {first} to {last - 1} are measured again"
            )
            return None

    def take_damage_messages(self) -> list[str]:
        """Return and clear the messages about damaged chunks."""
        messages, self._damage_messages = self._damage_messages, []
        return messages

    def write(self, first: int, last: int, summary: Summary) -> None:
        """Keep the summary of a range.

        Raises:
            StoreError: it cannot be written, for want of room say; what was there is kept.
        """
        head = {"first": first, "last": last, "sweep": self._identity, "device": self._device}
        content = json.dumps(head).encode() + b"\n" + summary.to_bytes()
        try:
            _files.write(self._path(first, last), content + bytes.fromhex(_files.digest(content)))
        except OSError as error:
            raise self._unwritable(error) from error
        self._damaged.discard((first, last))

    def replace(self, start: int, stop: int, summary: Summary) -> None:
        """Keep one summary of a whole range in place of those of its parts.

        Raises:
            StoreError: it cannot be written; the parts are kept.
        """
        if not self._path(start, stop).exists() or (start, stop) in self._damaged:
            self.write(start, stop, summary)
        self._remove_parts(start, stop)

    def _remove_parts(self, start: int, stop: int) -> None:
        damaged = {pair for pair in self._damaged if start <= pair[0] < pair[1] <= stop}
        for first, last in damaged.union(self._inside(start, stop)) - {(start, stop)}:
            with contextlib.suppress(OSError):  # it says the same and does no harm
                self._path(first, last).unlink(missing_ok=True)

    def _path(self, first: int, last: int) -> Path:
        return self._folder / f"{first:012d}-{last:012d}{SUFFIX}"

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(f"store must be a folder that can be written, got {self._folder} ({error.strerror or error})")
