"""Candidates and sweeps compared with NumPy and PyTorch.

W1: 1024 tasks, d = 20, n = 40, T = 20 steps, N = 32 candidates, step size .4, label noise .5, decoding noise .05, float32;
draws the tasks and reports the risk of one candidate, of the mean, and of the best by context loss.

W2: the same at T = 1..20, N = 1, 2, .. 32 and 8 decoding noises, means only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import theory
import ttc_jax
from benchmarks.timing import NO_TORCH, Table, host, medians, ratios, torch_is_here
from ttc_jax import aggregation, decoders, verifiers
from ttc_jax.models import linear_attention
from ttc_jax.normals import standard_normal

TASKS, DIM, EXAMPLES, STEPS, CANDIDATES = 1024, 20, 40, 20, 32
STEP_SIZE, LABEL_NOISE, DECODING_NOISE = 0.4, 0.5, 0.05
SWEPT_STEPS, SWEPT_CANDIDATES = tuple(range(1, STEPS + 1)), (1, 2, 4, 8, 16, 32)
SWEPT_NOISE = np.linspace(0.01, 0.1, 8)
CHAINS: Any = {"num_candidates": CANDIDATES, "num_steps": STEPS, "decoding_noise_std": DECODING_NOISE}
CONFIG = ttc_jax.TaskConfig(DIM, EXAMPLES)
KEY = jax.random.key(0)


def numpy_chains(num_tasks: int) -> tuple[np.ndarray, ...]:
    """Batched NumPy with precomputed Gram matrices: inputs, targets, coefficients and candidates."""
    draw = np.random.default_rng(0)

    def normal(*shape):
        return draw.standard_normal(shape, dtype=np.float32)

    inputs, coefficients = normal(num_tasks, EXAMPLES, DIM), normal(num_tasks, DIM, 1) / np.float32(DIM**0.5)
    targets = inputs @ coefficients + np.float32(LABEL_NOISE) * normal(num_tasks, EXAMPLES, 1)
    contraction = np.eye(DIM, dtype=np.float32) - np.float32(STEP_SIZE / EXAMPLES) * (inputs.mT @ inputs)
    drift = np.float32(STEP_SIZE / EXAMPLES) * (inputs.mT @ targets).mT
    states = np.zeros((num_tasks, CANDIDATES, DIM), np.float32)
    for _ in range(STEPS):
        states = states @ contraction + drift + np.float32(DECODING_NOISE) * normal(num_tasks, CANDIDATES, DIM)
    return inputs, targets, coefficients, states


def torch_chains(num_tasks: int) -> tuple[Any, ...]:
    """The same in PyTorch."""
    import torch

    inputs, coefficients = torch.randn(num_tasks, EXAMPLES, DIM), torch.randn(num_tasks, DIM, 1) / DIM**0.5
    targets = inputs @ coefficients + LABEL_NOISE * torch.randn(num_tasks, EXAMPLES, 1)
    contraction = torch.eye(DIM) - STEP_SIZE / EXAMPLES * (inputs.mT @ inputs)
    drift = (STEP_SIZE / EXAMPLES * (inputs.mT @ targets)).mT
    states = torch.zeros(num_tasks, CANDIDATES, DIM)
    for _ in range(STEPS):
        noisy_drift = torch.randn(num_tasks, CANDIDATES, DIM).mul_(DECODING_NOISE).add_(drift)
        states = torch.baddbmm(noisy_drift, states, contraction)
    return inputs, targets, coefficients, states


def risks_of_means(coefficients: Any, states: Any) -> Any:
    """Risk of the mean of every task's candidates, for arrays of NumPy and PyTorch."""
    return ((states.mean(1) - coefficients[..., 0]) ** 2).sum(-1)


def numpy_gram() -> list[float]:
    """W1 by NumPy."""
    inputs, targets, coefficients, states = numpy_chains(TASKS)
    risks = ((states - coefficients.mT) ** 2).sum(-1)
    losses = ((inputs @ states.mT - targets) ** 2).sum(1)
    best = np.take_along_axis(risks, losses.argmin(1, keepdims=True), 1)
    return [float(values.mean()) for values in (risks[:, 0], risks_of_means(coefficients, states), best)]


def torch_gram() -> list[float]:
    """W1 by PyTorch."""
    inputs, targets, coefficients, states = torch_chains(TASKS)
    risks = ((states - coefficients.mT) ** 2).sum(-1)
    losses = ((inputs @ states.mT - targets) ** 2).sum(1)
    best = risks.gather(1, losses.argmin(1, keepdim=True))
    return [values.mean().item() for values in (risks[:, 0], risks_of_means(coefficients, states), best)]


def torch_normals() -> float:
    """The decoding noise alone, by PyTorch."""
    import torch

    for _ in range(STEPS):
        noise = torch.randn(TASKS, CANDIDATES, DIM)
    return noise[0, 0, 0].item()


def draw_task(key):
    """One task of W1, and the key of its chains."""
    task_key, chain_key = jax.random.split(key)
    return ttc_jax.sample_task(task_key, CONFIG, label_noise_std=LABEL_NOISE), chain_key


def walked(key, decoder):
    """The candidates of one task, step by step, and the task."""
    task, chain_key = draw_task(key)
    return ttc_jax.sample_candidates(chain_key, task.context, decoder, **CHAINS), task


def jumped(key):
    """The candidates of one task from the exact law of the last state, and the task."""
    task, chain_key = draw_task(key)
    return ttc_jax.collapsed_candidates(chain_key, task.context, step_size=STEP_SIZE, **CHAINS), task


def _report(candidates, task):
    scores = jax.vmap(verifiers.context_loss, in_axes=(0, None))(candidates, task.context)
    estimates = jnp.stack([candidates[0], aggregation.mean(candidates), aggregation.best_of_n(candidates, scores)])
    return jax.vmap(ttc_jax.excess_risk, in_axes=(0, None))(estimates, task)


def step_by_step(key):
    """W1 on one task by the Gram recursion."""
    return _report(*walked(key, decoders.gram(STEP_SIZE)))


def through_transformer(key):
    """W1 on one task by the transformer with cached keys."""
    return _report(*walked(key, decoders.cached_attention(linear_attention.gradient_step(DIM, STEP_SIZE))))


def collapsed(key):
    """W1 on one task by the exact law of the last state."""
    return _report(*jumped(key))


def tasks_only(key):
    """The draw of the tasks alone."""
    task, _ = draw_task(key)
    return jnp.sum(task.context.inputs) + jnp.sum(task.context.targets)[None]


def swept(key, decoding_noise_std):
    """W2 on one task at one decoding noise."""
    task, chain_key = draw_task(key)
    return ttc_jax.averaged_risk(
        chain_key,
        task,
        decoders.gram(STEP_SIZE),
        num_steps=SWEPT_STEPS,
        num_candidates=SWEPT_CANDIDATES,
        decoding_noise_std=decoding_noise_std,
    )


def run_w1(measure=step_by_step, num_tasks=TASKS, size=3):
    """Average a W1 measurement over the tasks."""
    return ttc_jax.sweep(KEY, measure, {}, num_tasks=num_tasks, reused_axes={"estimate": np.arange(size)}).mean


def run_w2(num_tasks=TASKS):
    """Average W2 over the tasks."""
    reused = {"num_steps": SWEPT_STEPS, "num_candidates": SWEPT_CANDIDATES}
    return ttc_jax.sweep(KEY, swept, {"decoding_noise_std": SWEPT_NOISE}, num_tasks=num_tasks, reused_axes=reused).mean


@jax.jit
def jax_normals(keys):
    """The decoding noise alone, by ``jax.random.normal``."""
    return _all_noise(keys, lambda key, index: jax.random.normal(jax.random.fold_in(key, index), (CANDIDATES, DIM)))


@jax.jit
def own_normals(keys):
    """The decoding noise alone, as the chains draw it."""
    return _all_noise(keys, lambda key, index: standard_normal(key, (CANDIDATES, DIM), index=index))


def _all_noise(keys, draw):
    def one_task(key):
        start = jnp.zeros((CANDIDATES, DIM))
        return jax.lax.scan(lambda total, index: (total + draw(key, index), None), start, jnp.arange(STEPS))[0]

    return jax.vmap(one_task)(keys)


def tables() -> Iterator[Table]:
    """W1, what it reports, W2 and the predictions."""
    keys = jax.vmap(lambda index: jax.random.fold_in(KEY, index))(jnp.arange(TASKS))
    baseline = "PyTorch Gram" if torch_is_here() else "NumPy Gram"
    rows: dict[str, Callable[[], Any]] = {"NumPy Gram": numpy_gram}
    if torch_is_here():
        rows |= {baseline: torch_gram, "normals alone, torch.randn": torch_normals}
    rows |= {
        "ttc-jax step by step": run_w1,
        "ttc-jax collapsed": lambda: run_w1(collapsed),
        "ttc-jax through the transformer, cached keys": lambda: run_w1(through_transformer),
        "normals alone, jax.random.normal": lambda: host(jax_normals(keys)),
        "normals alone, ttc-jax": lambda: host(own_normals(keys)),
        "tasks alone, ttc-jax": lambda: run_w1(tasks_only, size=1),
    }
    note = "" if torch_is_here() else NO_TORCH
    yield ratios("W1: candidates of 1024 tasks, 20 steps", medians(rows), baseline, note)
    reports = [(name, *map(float, rows[name]())) for name in (baseline, "ttc-jax step by step", "ttc-jax collapsed")]
    yield Table("W1: the risks reported", ("", "one candidate", "mean", "best by context loss"), reports)

    scale = "ttc-jax step by step, W1"
    w2 = medians({scale: run_w1, "ttc-jax sweep, all 960 points": run_w2})
    # A loop over points simulates each (T, N, noise) anew; T steps of N chains cost T N / (20 x 32) of W1, so it is timed at
    # its mean workload and scaled.
    share = float(np.mean(SWEPT_STEPS) / STEPS * np.mean(SWEPT_CANDIDATES) / CANDIDATES)
    w2["one run a point, 960 runs (W1 scaled)"] = share * w2[scale] * 960
    yield ratios("W2: 20 lengths x 6 candidate counts x 8 decoding noises, 1024 tasks", w2, scale)

    draw = np.random.default_rng(0)
    points: dict[str, Any] = {
        "num_steps": draw.integers(1, 100, 1000),
        "num_candidates": draw.integers(1, 33, 1000),
        "decoding_noise_std": draw.uniform(0, 0.2, 1000),
    }
    chain: dict[str, Any] = {"step_size": STEP_SIZE, "label_noise_std": LABEL_NOISE}
    name = "theory.expected_risk"
    seconds = medians({name: lambda: theory.expected_risk(DIM, EXAMPLES, **points, **chain)}, repeats=21)
    yield ratios("Theory: 1000 points (T, N, noise)", seconds, name)
