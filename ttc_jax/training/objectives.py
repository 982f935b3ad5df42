"""Training objectives: tasks drawn on the fly, the thoughts that a transformer reads, and its target after each thought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from ttc_jax import _check
from ttc_jax.decoders import gradient_map, gram
from ttc_jax.models import gpt, linear_attention
from ttc_jax.models.gpt import GPTConfig
from ttc_jax.models.linear_attention import LinearAttentionConfig
from ttc_jax.rollout import rollout
from ttc_jax.sampling import BinarySampler
from ttc_jax.tasks import BinaryPrior, Context, TaskConfig, sample_context

Target = Literal["direct", "teacher", "truth"]
Model = GPTConfig | LinearAttentionConfig
_MODULES: dict[type, Any] = {GPTConfig: gpt, LinearAttentionConfig: linear_attention}


@dataclass(frozen=True)
class Objective:
    """Target of a model after each thought.

        direct     the coefficients, from the context and the initial state alone
        teacher    the next state of a chain of gradient steps, after each of its states (teacher forcing)
        truth      the coefficients, after each state of that chain

    The teacher's chain is w <- w + step_size X^T (y - X w) / n + decoding_noise_std xi, and its next state is meant before the
    noise, so that a model learns what to do after a noisy thought. A model with a binary head reads samples of such a field,
    fed back, and is taught the probability of the high value of each coefficient.

    Attributes:
        target: which of the three.
        num_steps: T, states read of the teacher's chain; the direct prediction reads one.
        step_size: of the teacher.
        decoding_noise_std: of the noise in the states read.
        inverse_temperature: of the samples that a binary head reads.

    Raises:
        ValueError: an attribute is out of range.
    """

    target: Target = "direct"
    num_steps: int = 1
    step_size: float = 0.25
    decoding_noise_std: float = 0.0
    inverse_temperature: float = 1.0

    def __post_init__(self):
        _check.choice("target", self.target, get_args(Target))
        object.__setattr__(self, "num_steps", _check.integer("num_steps", self.num_steps, minimum=1))
        if self.target == "direct" and self.num_steps != 1:
            raise ValueError(f"num_steps must be 1 for the direct prediction, which reads no thoughts, got {self.num_steps}")
        _check.scalar("step_size", self.step_size)
        for name in ("decoding_noise_std", "inverse_temperature"):
            _check.scalar(name, getattr(self, name), minimum=0.0)
        for name in ("step_size", "decoding_noise_std", "inverse_temperature"):
            object.__setattr__(self, name, float(getattr(self, name)))


@dataclass(frozen=True)
class Curriculum:
    """Easier tasks first, harder ones by even steps until ``num_steps`` of the training are done.

    Attributes:
        num_steps: length; 0 for none, which has no easier start.
        initial_dim: coefficients and inputs that are not zero at first; all if None.
        initial_noise: label noise at first as a multiple of the final one.

    Raises:
        ValueError: an attribute is out of range.

    Source: Garg, Tsipras, Liang and Valiant, "What can transformers learn in-context?" (2022), section A.2.
    """

    num_steps: int = 0
    initial_dim: int | None = None
    initial_noise: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "num_steps", _check.integer("num_steps", self.num_steps, minimum=0))
        if self.initial_dim is not None:
            object.__setattr__(self, "initial_dim", _check.integer("initial_dim", self.initial_dim, minimum=1))
        _check.scalar("initial_noise", self.initial_noise, minimum=0.0)
        object.__setattr__(self, "initial_noise", float(self.initial_noise))
        if self.num_steps == 0 and (self.initial_dim is not None or self.initial_noise != 1):
            raise ValueError("num_steps must be at least 1 for a curriculum with an easier start, got 0")


class Lesson(NamedTuple):
    """One task to learn from.

    Attributes:
        context: inputs (n, d) and targets (n,).
        states: what the model reads after the context, shape (T, d).
        answers: what it should emit after each state, shape (T, d): a state, or probabilities of the high values.
        weights: of the coefficients' squared errors or cross-entropies, shape (d,).
    """

    context: Context
    states: Array
    answers: Array
    weights: Array


def is_binary(model: Model) -> bool:
    """Whether the model has a binary head."""
    return isinstance(model, GPTConfig) and model.head == "binary"


@_check.arguments
def init_params(key: Array, model: Model) -> Any:
    """Random weights of a model."""
    return _MODULES[type(model)].init(key, model)


@_check.arguments
def next_states(params: Any, model: Model, context: Context, states: Array) -> Array:
    """Return the model's outputs after each of the states, shape (T, d)."""
    return _MODULES[type(model)].next_states(params, model, context, states)


@_check.arguments
def sample_lesson(
    key: Array,
    model: Model,
    task: TaskConfig,
    objective: Objective,
    *,
    label_noise_std: ArrayLike,
    active: ArrayLike | None = None,
) -> Lesson:
    """Draw a task, the thoughts to be read and what should follow each.

    Args:
        key: one typed key.
        model: what is to learn.
        task: law of the task.
        objective: what it should emit.
        label_noise_std: of the targets; may be traced.
        active: number of coefficients that are not zero; all if None. May be traced.
    """
    if active is not None:
        active = _check.scalar("active", active, minimum=0)
    coefficients_key, context_key, chain_key = jax.random.split(key, 3)
    dtype = jnp.result_type(float)
    is_active = jnp.arange(task.dim) < (task.dim if active is None else active)
    label_noise_std = label_noise_std if active is None else label_noise_std + 0 * active  # NaN where active is
    eigenvalues = jnp.where(is_active, jnp.asarray(task.spectrum.eigenvalues(task.dim), dtype), 0.0)
    coefficients = jnp.where(is_active, task.prior.sample(coefficients_key, task.dim, dtype), 0.0)
    context = sample_context(context_key, coefficients, eigenvalues, task.num_examples, label_noise_std=label_noise_std)

    prior = task.prior if is_binary(model) else None
    sampler = BinarySampler(objective.inverse_temperature, prior) if isinstance(prior, BinaryPrior) else None
    states = rollout(
        chain_key,
        context,
        gram(objective.step_size),
        num_steps=objective.num_steps,
        decoding_noise_std=objective.decoding_noise_std,
        sampler=sampler,
    )[:-1]
    states = jnp.where(is_active[None], states, 0.0)
    if objective.target == "teacher":
        contraction, drift = gradient_map(context, objective.step_size)
        field = states @ contraction.T + drift[None]
        answers = field if sampler is None else sampler.probability(field)
    else:
        answers = jnp.broadcast_to(coefficients, states.shape)
        if sampler is not None:
            answers = (answers > (sampler.prior.low + sampler.prior.high) / 2).astype(dtype)
    return Lesson(context, states, answers, eigenvalues if sampler is None else is_active.astype(dtype))


@_check.arguments
def loss(params: Any, model: Model, lesson: Lesson) -> Array:
    """Mean over the thoughts of the weighted squared error, or of the cross-entropy of a binary head, a scalar.

    For the direct prediction the first is the excess risk.
    """
    emitted = next_states(params, model, lesson.context, lesson.states)
    error = optax.sigmoid_binary_cross_entropy if is_binary(model) else optax.squared_error
    return jnp.mean(jnp.sum(lesson.weights[None] * error(emitted, lesson.answers), axis=1))


def check_fits(model: Model, task: TaskConfig, objective: Objective, curriculum: Curriculum, num_steps: int) -> None:
    """ValueError unless the model can be trained on such tasks in as many steps."""
    _check.one_of("model", model, tuple(_MODULES))
    _check.one_of("task", task, (TaskConfig,))
    _check.one_of("objective", objective, (Objective,))
    _check.one_of("curriculum", curriculum, (Curriculum,))
    if model.dim != task.dim:
        raise ValueError(f"model must have the task's dim = {task.dim}, got {model.dim}")
    if is_binary(model) and not isinstance(task.prior, BinaryPrior):
        raise ValueError(f"head must be continuous for a task whose prior is {type(task.prior).__name__}, got 'binary'")
    longest = task.num_examples + objective.num_steps
    if isinstance(model, GPTConfig) and longest > model.max_tokens:
        raise ValueError(f"max_tokens must be at least num_examples + num_steps = {longest}, got {model.max_tokens}")
    if curriculum.num_steps > num_steps:
        raise ValueError(f"curriculum must end within the training's num_steps = {num_steps}, got {curriculum.num_steps}")
    if curriculum.initial_dim is not None and curriculum.initial_dim > task.dim:
        raise ValueError(f"initial_dim must be at most the task's dim = {task.dim}, got {curriculum.initial_dim}")


def stage(curriculum: Curriculum, dim: int, step: Array) -> tuple[Array, Array]:
    """Number of active coefficients, and the label noise as a multiple of the final one, at a step of the training."""
    done = jnp.minimum(step / max(curriculum.num_steps, 1), 1.0) if curriculum.num_steps else jnp.ones(())
    first = dim if curriculum.initial_dim is None else curriculum.initial_dim
    active = first + jnp.floor(done * (dim - first) + 1e-6)
    return active, curriculum.initial_noise + (1 - curriculum.initial_noise) * done
