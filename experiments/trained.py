"""What the studies of trained transformers share: training that is done once, and progress that counts it.

Trained weights are kept in a cache, by a hash of everything that determines them, so that a study that runs again does not
train again, and one that was interrupted goes on. It is ``$TTC_CACHE`` if set, else ``ttc-jax`` in the user's cache folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ttc_jax import TaskConfig, training
from ttc_jax.models.gpt import GPTConfig, Head
from ttc_jax.training.objectives import Model


@dataclass(frozen=True)
class TransformerConfig:
    """Settings of a study of softmax transformers."""

    num_tasks: int
    """Number of independent tasks on which the trained transformers are measured, at least 2."""
    num_layers: int = 2
    """Layers of each transformer."""
    width: int = 32
    """Features of its tokens."""
    num_heads: int = 4
    """Heads of its attention."""
    training_steps: int = 1500
    """Steps of the optimizer."""
    batch_size: int = 128
    """Tasks of each step and model."""
    learning_rate: float = 0.003
    """Peak learning rate."""
    chunk_size: int = 2048
    """Tasks evaluated together; bounds the memory."""


def transformer(config: TransformerConfig, dim: int, max_tokens: int, head: Head = "continuous") -> GPTConfig:
    """The transformer of a study."""
    return GPTConfig(dim, max_tokens, config.num_layers, config.width, config.num_heads, head=head)


def course(config: Any, model: Model, task: TaskConfig, objective: training.Objective | None = None) -> training.TrainingConfig:
    """The training of a study with these settings of the optimizer; the direct prediction without an objective."""
    return training.TrainingConfig(
        model,
        task,
        objective or training.Objective(),
        num_steps=config.training_steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
    )


def cache_folder() -> Path:
    """Where trained weights are kept."""
    if given := os.environ.get("TTC_CACHE"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ttc-jax"


def weights(
    seed: int, config: training.TrainingConfig, label_noise_std: np.ndarray, num_tasks: int, progress: Callable[[int], None]
) -> tuple[Any, Callable[[int], None]]:
    """Weights of one model a noise level, trained or read, and the progress callback of what is measured with them.

    Training counts as four fifths of ``num_tasks``.
    """
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), len(label_noise_std))
    trained = training.fit(
        keys,
        config,
        label_noise_std=label_noise_std,
        folder=cache_folder() / training.fingerprint(config, keys, label_noise_std=label_noise_std),
        steps_between=max(1, config.num_steps // 20),
        progress=lambda step, loss: progress(int(_SHARE * num_tasks * step / config.num_steps)),
    )
    return trained.params, lambda done: progress(int(_SHARE * num_tasks + (1 - _SHARE) * done))


def measurement_key(seed: int) -> jax.Array:
    """Key of the tasks on which trained weights are measured."""
    return jax.random.fold_in(jax.random.key(seed), 2)


def check(config: Any, grids: Mapping[str, float]) -> None:
    """ValueError if a size is too small, or a grid is empty, repeats a value or has one below its least.

    Args:
        config: settings of a study.
        grids: the least value of every list of settings that spans a grid.
    """
    sizes = {"num_tasks": 2, "num_models": 2, "chunk_size": 1, "training_steps": 1, "trained_steps": 1, "batch_size": 1}
    for name, least in sizes.items():
        if getattr(config, name, least) < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {getattr(config, name)}")
    for name, minimum in grids.items():
        values = getattr(config, name)
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{name} must list distinct values, at least one, got {list(values)}")
        if not minimum <= min(values) <= max(values) < np.inf:
            wrong = min(values) if min(values) < minimum else max(values)
            raise ValueError(f"{name} must be finite and at least {minimum:g}, got {wrong:g}")


_SHARE = 0.8  # of the time that a study of the quick preset trains
