"""Trained weights, cached and shared by the studies of trained transformers.

The cache keeps trained weights, so that a repeated study does not train again. An interrupted training resumes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from experiments.run import cache
from experiments.run.engine import Engine
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


def weights(seed: int, config: training.TrainingConfig, label_noise_std: np.ndarray, engine: Engine) -> Any:
    """Weights of one model a noise level, trained or read."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), len(label_noise_std))
    trained = training.fit(
        keys,
        config,
        label_noise_std=label_noise_std,
        folder=cache.weights() / training.fingerprint(config, keys, label_noise_std=label_noise_std),
        steps_between=max(1, config.num_steps // 20),
        progress=lambda step, loss: engine.training(step / config.num_steps),
    )
    return trained.params


def measurement_key(seed: int) -> jax.Array:
    """Key of the tasks that measure trained weights."""
    return jax.random.fold_in(jax.random.key(seed), 2)


def check(config: Any, grids: Mapping[str, float]) -> None:
    """ValueError if a size is too small, or a grid is empty, repeats a value or has one below its least.

    Args:
        config: settings of a study.
        grids: the least value of every list of settings that spans a grid.
    """
    sizes = {"num_tasks": 2, "num_models": 2, "training_steps": 1, "trained_steps": 1, "batch_size": 1}
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
