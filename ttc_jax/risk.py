"""What is measured on an estimate."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ttc_jax import _check
from ttc_jax.aggregation import prefix_means
from ttc_jax.decoding import Decoder, collapsed_candidates, rollout_candidates
from ttc_jax.tasks import Task


def excess_risk(estimate: Array, task: Task) -> Array:
    """Excess risk ``(w - w*)^T H (w - w*)`` of an estimate (d,) over the risk of the true coefficients, a scalar.

    Raises:
        ValueError: the estimate's length is not the task's dimension.
    """
    _check.shape("estimate", estimate, task.coefficients.shape)
    return jnp.sum(task.eigenvalues * (estimate - task.coefficients) ** 2)


def averaged_risk(
    key: Array,
    task: Task,
    decoder: Decoder,
    *,
    num_steps: Sequence[int],
    num_candidates: Sequence[int],
    decoding_noise_std: ArrayLike,
) -> Array:
    """Excess risk of the average of N candidates after T steps, for every T and every N listed.

    One rollout serves them all: a step's risk is taken on the way, and N candidates are the first N of the largest number.

    Args:
        key: one typed key for the decoding noise.
        task: the task whose context is decoded.
        decoder: how a chain moves.
        num_steps: the numbers of steps T >= 0, static.
        num_candidates: the numbers of candidates N >= 1, static.
        decoding_noise_std: tau >= 0; may be traced.

    Returns:
        Risks, shape (len(num_steps), len(num_candidates)).

    Raises:
        ValueError: an argument has the wrong shape or range, or a list is empty.

    Example:
        >>> from ttc_jax import TaskConfig, decoding, sample_task
        >>> task = sample_task(jax.random.key(0), TaskConfig(dim=3, num_examples=8))
        >>> chain = dict(num_steps=(0, 5), num_candidates=(1, 4), decoding_noise_std=0.1)
        >>> averaged_risk(jax.random.key(1), task, decoding.gram(0.4), **chain).shape
        (2, 2)
    """
    num_steps = _check.integers("num_steps", num_steps, minimum=0)
    num_candidates = _check.integers("num_candidates", num_candidates, minimum=1)
    risks = rollout_candidates(
        key,
        task.context,
        decoder,
        num_candidates=max(num_candidates),
        num_steps=max(num_steps),
        decoding_noise_std=decoding_noise_std,
        observe=lambda states: _risks(prefix_means(states, num_candidates), task),
    )
    return risks[jnp.asarray(num_steps)]


def collapsed_averaged_risk(
    key: Array,
    task: Task,
    *,
    step_size: ArrayLike,
    num_steps: Sequence[int],
    num_candidates: Sequence[int],
    decoding_noise_std: ArrayLike,
) -> Array:
    """The same in law as :func:`averaged_risk` of gradient-descent chains, from candidates drawn without walking the chain.

    Every T has its own candidates. Arguments, result and errors as there; ``step_size`` may be traced.
    """
    num_steps = _check.integers("num_steps", num_steps, minimum=0)
    num_candidates = _check.integers("num_candidates", num_candidates, minimum=1)

    def risks(step_key, steps):
        candidates = collapsed_candidates(
            step_key,
            task.context,
            step_size=step_size,
            num_candidates=max(num_candidates),
            num_steps=steps,
            decoding_noise_std=decoding_noise_std,
        )
        return _risks(prefix_means(candidates, num_candidates), task)

    keys = jax.random.split(key, len(num_steps))
    return jnp.stack([risks(step_key, steps) for step_key, steps in zip(keys, num_steps, strict=True)])


def _risks(estimates: Array, task: Task) -> Array:
    return jax.vmap(excess_risk, in_axes=(0, None))(estimates, task)
