"""Checkpoints of a training in a folder, with their origin, their progress and the hashes of their files.

``checkpoint.json`` names the newest checkpoint and has the hash of each of its files; it is replaced when they are complete.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ttc_jax import _check, _files

NUMERICS = 1
"""Raised when a change of this package changes the numbers of a training."""
INDEX = "checkpoint.json"
_PREFIX = "weights-at-step-"


def description(config: Any, keys: Array, label_noise_std: Any) -> dict[str, Any]:
    """Everything that determines the numbers of a training but the device's rounding, as plain values."""
    plain = {
        "config": _plain(config),
        **_files.key_description(keys),
        "label_noise_std": np.asarray(label_noise_std, np.float32).tolist(),
        "dtype": str(jax.numpy.result_type(float)),
        "numerics": NUMERICS,
        "versions": _files.versions("jax", "flax", "optax"),
    }
    return json.loads(json.dumps(plain))


@_check.arguments
def fingerprint(config: Any, keys: Array, *, label_noise_std: ArrayLike = 0.0) -> str:
    """Name of a training: a hash of its configuration, keys, noise levels and dtype, the same in every session.

    Args:
        config: a ``TrainingConfig``.
        keys: typed keys, one a model, shape (m,).
        label_noise_std: one number or one a model.
    """
    if not dataclasses.is_dataclass(config):
        raise ValueError(f"config must be a TrainingConfig, got {_check.described(config)}")
    label_noise_std = _check.real("label_noise_std", label_noise_std, minimum=0.0)
    if np.ndim(label_noise_std):
        _check.shape("label_noise_std", label_noise_std, np.shape(keys))
    noises = np.broadcast_to(np.asarray(label_noise_std, np.float32), np.shape(keys))
    text = json.dumps(description(config, keys, noises), sort_keys=True)
    return _files.digest(text.encode())[:16]


class CheckpointError(ValueError):
    """A folder that cannot be written, or holds another training's checkpoint or a damaged one; the message says which."""


class Checkpoints:
    """The checkpoints of one training in its folder; only the newest is kept.

    Used as a context, within which no other process has the folder: a second one waits until the first is done.

    Raises:
        CheckpointError: the folder cannot be written.
    """

    def __init__(self, folder: Path | str, config: Any, keys: Array, label_noise_std: Array):
        import filelock
        import orbax.checkpoint  # takes a second to import

        self._store = orbax.checkpoint.PyTreeCheckpointer()
        self._folder = Path(folder).expanduser().absolute()
        self._own = description(config, keys, label_noise_std)
        self._lock = filelock.FileLock(self._folder / _files.LOCK)
        self._last: Path | None = None  # the checkpoint that the index names

    def __enter__(self) -> Checkpoints:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._clear()
        except OSError as error:
            raise CheckpointError(f"folder must be one that can be written, got {self._folder} ({error.strerror})") from error
        return self

    def _clear(self) -> None:
        """Remove files that a killed writer left half written."""
        _files.remove_unfinished(self._folder)
        for path in self._folder.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(path, ignore_errors=True)

    def __exit__(self, *_: Any) -> None:
        self._lock.release()

    def newest(self, like: Callable[[int], Any]) -> Any | None:
        """Return the last tree written, with NumPy leaves; None if there is none.

        Args:
            like: number of steps to a tree of the same structure, shapes and dtypes.

        Raises:
            CheckpointError: it is another training's, or damaged.
        """
        if not (self._folder / INDEX).exists():
            return None
        try:
            index = _files.read_json(self._folder / INDEX)
            found, files, place = dict(index["training"]), dict(index["files"]), self._folder / index["place"]
            if place.parent != self._folder or not re.fullmatch(rf"{_PREFIX}\d{{1,18}}", place.name):
                raise ValueError("a checkpoint elsewhere")
        except (ValueError, LookupError, TypeError, OSError) as error:
            raise CheckpointError(self._damaged(INDEX)) from error
        if different := _files.differences(found, self._own):
            raise CheckpointError(f"folder must hold checkpoints of this training, got {self._folder}, whose {different}")
        # A damaged file is found here: the reader would say it in thousands of lines.
        hashes = _hashes(place)
        for name in sorted(files | hashes):
            if files.get(name) != hashes.get(name):
                raise CheckpointError(self._damaged(f"{index['place']}/{name}"))
        self._last = place
        leaves = self._store.restore(place)
        arrays = [np.asarray(leaves[name]) for name in sorted(leaves)]
        expected, tree = jax.tree.flatten(like(int(place.name.removeprefix(_PREFIX))))
        if [(one.dtype, one.shape) for one in arrays] != [(one.dtype, one.shape) for one in expected]:
            raise CheckpointError(self._damaged(f"{index['place']}, with arrays of other shapes,"))
        return jax.tree.unflatten(tree, arrays)

    def write(self, step: int, tree: Any) -> None:
        """Keep a tree as that of a step in place of the last one; complete, or as if it had not been tried.

        Raises:
            CheckpointError: it cannot be written, for want of room say; the last one is kept.
        """
        place = self._folder / f"{_PREFIX}{step}"
        leaves = {f"leaf-{number:05d}": np.asarray(leaf) for number, leaf in enumerate(jax.tree.leaves(tree))}
        last = self._last
        try:
            self._store.save(place, leaves, force=True)
            index = {"training": self._own, "place": place.name, "files": _hashes(place)}
            _files.write(self._folder / INDEX, json.dumps(index, indent=1).encode())
        except OSError as error:
            raise CheckpointError(f"folder must be one that can be written, got {self._folder} ({error.strerror})") from error
        self._last = place
        if last is not None and last != place:
            shutil.rmtree(last, ignore_errors=True)

    def _damaged(self, name: str) -> str:
        return f"folder must hold an intact checkpoint, got {self._folder}, whose {name} is damaged; remove it to train anew"


def _hashes(place: Path) -> dict[str, str]:
    """Hash of every file below a folder, by its name there."""
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return {str(path.relative_to(place)): _files.digest(path.read_bytes()) for path in files}


def _plain(value: Any) -> Any:
    """A dataclass of dataclasses as plain values, with the name of each kind."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    return list(value) if isinstance(value, tuple) else value
