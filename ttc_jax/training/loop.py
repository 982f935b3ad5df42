"""The training loop: many steps in one compiled scan, for one model or for an ensemble side by side."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.typing import ArrayLike

from ttc_jax import _check
from ttc_jax.tasks import TaskConfig
from ttc_jax.training import objectives
from ttc_jax.training.checkpoints import Checkpoints
from ttc_jax.training.objectives import Curriculum, Model, Objective


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training, except its random numbers and its label noise.

    Attributes:
        model: architecture.
        task: law of the tasks.
        objective: what the model should emit.
        num_steps: steps of the optimizer.
        batch_size: tasks a step, each drawn afresh.
        learning_rate: of Adam at its peak; it rises over ``warmup_steps`` and falls to zero as a cosine.
        warmup_steps: below num_steps; a tenth of them but at most 100 if None.
        max_gradient_norm: gradients of a larger norm are scaled down to it.
        curriculum: easier tasks first.

    Raises:
        ValueError: an attribute is out of range, or the parts do not fit together.
    """

    model: Model
    task: TaskConfig
    objective: Objective = field(default_factory=Objective)
    num_steps: int = 2000
    batch_size: int = 256
    learning_rate: float = 2e-3
    warmup_steps: int | None = None
    max_gradient_norm: float = 1.0
    curriculum: Curriculum = field(default_factory=Curriculum)

    def __post_init__(self):
        for name in ("num_steps", "batch_size"):
            object.__setattr__(self, name, _check.integer(name, getattr(self, name), minimum=1))
        warmup = min(100, self.num_steps // 10) if self.warmup_steps is None else self.warmup_steps
        object.__setattr__(self, "warmup_steps", _check.integer("warmup_steps", warmup, minimum=0))
        for name in ("learning_rate", "max_gradient_norm"):
            _check.scalar(name, getattr(self, name), minimum=0.0, open_ends=True)
            object.__setattr__(self, name, float(getattr(self, name)))
        if warmup >= self.num_steps:
            raise ValueError(f"warmup_steps must be below num_steps = {self.num_steps}, got {warmup}")
        objectives.check_fits(self.model, self.task, self.objective, self.curriculum, self.num_steps)


class TrainingState(NamedTuple):
    """A training under way: steps done, weights, and what the optimizer remembers."""

    step: Array
    params: Any
    optimizer: Any


class Trained(NamedTuple):
    """A finished training: weights, and the loss of every step, shape (..., num_steps)."""

    params: Any
    losses: Any


class DivergedError(ArithmeticError):
    """A loss that is not a finite number; the message names the step and the learning rate."""


def learning_rate(config: TrainingConfig) -> optax.Schedule:
    """Learning rate by step."""
    return optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, config.warmup_steps or 0, config.num_steps)


@_check.arguments
def init_state(key: Array, config: TrainingConfig) -> TrainingState:
    """Return random weights, nothing learned; the key is that of :func:`advance`."""
    with _own_promotion():
        params = objectives.init_params(jax.random.split(key)[0], config.model)
        return TrainingState(jnp.asarray(0), params, _optimizer(config).init(params))


@_check.arguments
def advance(
    key: Array, state: TrainingState, config: TrainingConfig, *, num_steps: int, label_noise_std: ArrayLike = 0.0
) -> tuple[TrainingState, Array]:
    """``num_steps`` more steps, one scan.

    Step s draws its tasks from its own key, so that a training in pieces has the numbers of one in a single go.

    Args:
        key: one typed key, the same at every call.
        state: where the training stands.
        config: the training.
        num_steps: how many steps to take, at least 1, static.
        label_noise_std: sigma >= 0 of the tasks; may be traced.

    Returns:
        The state afterwards, and the loss of every step, shape (num_steps,).
    """
    num_steps = _check.integer("num_steps", num_steps, minimum=1)
    data_key = jax.random.split(key)[1]
    optimizer = _optimizer(config)

    def batch_loss(params, keys, active, noise):
        def of_one(one_key):
            drawn = config.model, config.task, config.objective
            lesson = objectives.sample_lesson(one_key, *drawn, label_noise_std=noise, active=active)
            return objectives.loss(params, config.model, lesson)

        return jnp.mean(jax.vmap(of_one)(keys))

    def step(state, _):
        keys = jax.random.split(jax.random.fold_in(data_key, state.step), config.batch_size)
        active, noise = objectives.stage(config.curriculum, config.task.dim, state.step)
        loss, gradient = jax.value_and_grad(batch_loss)(state.params, keys, active, noise * label_noise_std)
        updates, memory = optimizer.update(gradient, state.optimizer, state.params)
        return TrainingState(state.step + 1, optax.apply_updates(state.params, updates), memory), loss

    with _own_promotion():
        return jax.lax.scan(step, state, length=num_steps)


def _own_promotion() -> Any:
    """Trace within the rules of dtype promotion that Optax, Flax and this module are written for, in any session."""
    return jax.numpy_dtype_promotion("standard")


@_check.arguments
def train(key: Array, config: TrainingConfig, *, label_noise_std: ArrayLike = 0.0) -> Trained:
    """Train one model from random weights: a pure function, to be jitted, and vmapped over keys and noise levels.

    Args:
        key: one typed key.
        config: the training.
        label_noise_std: sigma >= 0 of the tasks; may be traced.

    Returns:
        Weights, and losses of shape (num_steps,).

    Raises:
        ValueError: label_noise_std is negative or not finite, or key is not a single typed key.

    Example:
        >>> from ttc_jax.models.linear_attention import LinearAttentionConfig
        >>> config = TrainingConfig(LinearAttentionConfig(3), TaskConfig(3, 9), num_steps=40, batch_size=32)
        >>> ensemble = jax.vmap(lambda key, noise: train(key, config, label_noise_std=noise))
        >>> trained = jax.jit(ensemble)(jax.random.split(jax.random.key(0)), jnp.array([0.1, 1.0]))
        >>> trained.losses.shape
        (2, 40)
    """
    _check.key(key)
    label_noise_std = _check.scalar("label_noise_std", label_noise_std, minimum=0.0)
    state, losses = advance(key, init_state(key, config), config, num_steps=config.num_steps, label_noise_std=label_noise_std)
    return Trained(state.params, losses)


@_check.arguments
def fit(
    keys: Array,
    config: TrainingConfig,
    *,
    label_noise_std: ArrayLike = 0.0,
    folder: Path | str | None = None,
    steps_between: int = 200,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> Trained:
    """Train an ensemble of models in one vmapped program, with progress, and with checkpoints if there is a folder.

    Runs on the host. The same call continues a training that was interrupted, to the numbers of an uninterrupted one, and
    reads the weights of one that is finished. Another ``steps_between`` gives the same numbers within rounding.

    Args:
        keys: typed keys, one a model, shape (m,).
        config: the training.
        label_noise_std: sigma >= 0, one number or one a model.
        folder: where its checkpoints are; nothing is written if None.
        steps_between: steps between two checkpoints and calls of ``progress``.
        progress: called with the steps done and the models' mean loss since the last call.

    Returns:
        Weights with a leading axis of length m, and losses (m, num_steps) in NumPy.

    Raises:
        ValueError: an argument is out of range.
        CheckpointError: the folder cannot be written, or holds another training's checkpoint or a damaged one.
        DivergedError: a loss is not finite; the last good checkpoint is kept.
    """
    steps_between = _check.integer("steps_between", steps_between, minimum=1)
    num_models = _check.integer("number of keys", len(keys), minimum=1)
    label_noise_std = _check.real("label_noise_std", label_noise_std, minimum=0.0)
    if np.ndim(label_noise_std):
        _check.shape("label_noise_std", label_noise_std, (num_models,))
    noises = jnp.broadcast_to(jnp.asarray(label_noise_std, jnp.result_type(float)), (num_models,))

    every = min(steps_between, config.num_steps)
    if folder is None:
        return _fit(keys, config, noises, every, progress, None)
    with Checkpoints(folder, config, keys, noises) as checkpoints:
        return _fit(keys, config, noises, every, progress, checkpoints)


def _fit(keys, config, noises, every, progress, checkpoints) -> Trained:
    start, go_on = _compiled(config)
    state, losses = start(keys), np.zeros((len(keys), 0), np.float32)
    if checkpoints is not None:
        found = checkpoints.newest(lambda done: (state, np.zeros((len(keys), done), np.float32)))
        state, losses = found or (state, losses)
    while (done := losses.shape[1]) < config.num_steps:
        state, *observed = go_on(keys, state, noises, min(every, config.num_steps - done))
        new, is_finite = map(np.asarray, observed)
        _check_finite(new, is_finite, done, config, kept=checkpoints is not None and done > 0)
        losses = np.concatenate([losses, new], axis=1)
        if checkpoints is not None:
            checkpoints.write(losses.shape[1], (state, losses))
        progress(losses.shape[1], float(new.mean()))
    return Trained(state.params, losses)


def _check_finite(losses: np.ndarray, is_finite: np.ndarray, done: int, config: TrainingConfig, *, kept: bool) -> None:
    """DivergedError if a loss of these steps, or a weight behind them, is not a finite number."""
    wrong = np.argwhere(~np.concatenate([np.isfinite(losses), is_finite[:, None]], axis=1))
    if len(wrong) == 0:
        return
    model, place = wrong[np.argmin(wrong[:, 1])]
    is_loss = place < losses.shape[1]
    what = f"loss must stay finite, got {losses[model, place]}" if is_loss else "weights must stay finite, got others"
    last = min(place, losses.shape[1] - 1)
    rate = float(learning_rate(config)(done + last))
    raise DivergedError(
        f"{what} of model {model} in step {done + last + 1} with learning rate {rate:.3g} (peak {config.learning_rate:g})"
        + (f"; the last good checkpoint is that of step {done}" if kept else "")
    )


def _optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(config.max_gradient_norm), optax.adam(learning_rate(config)))


@functools.lru_cache(maxsize=16)
def _compiled(config: TrainingConfig) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The start of an ensemble, and more steps of it."""

    def go_on(keys, state, noises, num_steps):
        def of_one(key, state, noise):
            state, losses = advance(key, state, config, num_steps=num_steps, label_noise_std=noise)
            is_finite = jax.tree.reduce(jnp.logical_and, jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), state.params))
            return state, losses, is_finite

        return jax.vmap(of_one)(keys, state, noises)

    start = jax.jit(jax.vmap(lambda key: init_state(key, config)))
    return start, jax.jit(go_on, static_argnums=3, donate_argnums=1)
