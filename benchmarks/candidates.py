"""Candidates and sweeps beside NumPy and PyTorch: ``python -m benchmarks.candidates``.

W1: 1024 tasks, d = 20, n = 40, T = 20 steps, N = 32 candidates, step size .4, label noise .5, decoding noise .05, float32;
draws the tasks and reports the risk of one candidate, of the mean, and of the best by context loss.
W2: the same at T = 1..20, N = 1, 2, .. 32 and 8 decoding noises, means only.
"""

from __future__ import annotations

import argparse
import platform
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import theory
import ttc_jax
from benchmarks.timing import host, medians, print_table
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


def numpy_gram() -> list[float]:
    """Batched NumPy with precomputed Gram matrices."""
    draw = np.random.default_rng(0)

    def normal(*shape):
        return draw.standard_normal(shape, dtype=np.float32)

    inputs, coefficients = normal(TASKS, EXAMPLES, DIM), normal(TASKS, DIM, 1) / np.float32(DIM**0.5)
    targets = inputs @ coefficients + np.float32(LABEL_NOISE) * normal(TASKS, EXAMPLES, 1)
    contraction = np.eye(DIM, dtype=np.float32) - np.float32(STEP_SIZE / EXAMPLES) * (inputs.mT @ inputs)
    drift = np.float32(STEP_SIZE / EXAMPLES) * (inputs.mT @ targets).mT
    states = np.zeros((TASKS, CANDIDATES, DIM), np.float32)
    for _ in range(STEPS):
        states = states @ contraction + drift + np.float32(DECODING_NOISE) * normal(TASKS, CANDIDATES, DIM)
    risks = ((states - coefficients.mT) ** 2).sum(-1)
    losses = ((inputs @ states.mT - targets) ** 2).sum(1)
    best = np.take_along_axis(risks, losses.argmin(1, keepdims=True), 1)
    return [risks[:, 0].mean(), ((states.mean(1) - coefficients[..., 0]) ** 2).sum(-1).mean(), best.mean()]


def torch_gram() -> list[float]:
    """Batched PyTorch with precomputed Gram matrices, two threads."""
    import torch

    inputs, coefficients = torch.randn(TASKS, EXAMPLES, DIM), torch.randn(TASKS, DIM, 1) / DIM**0.5
    targets = inputs @ coefficients + LABEL_NOISE * torch.randn(TASKS, EXAMPLES, 1)
    contraction = torch.eye(DIM) - STEP_SIZE / EXAMPLES * (inputs.mT @ inputs)
    drift = (STEP_SIZE / EXAMPLES * (inputs.mT @ targets)).mT
    states = torch.zeros(TASKS, CANDIDATES, DIM)
    for _ in range(STEPS):
        noisy_drift = torch.randn(TASKS, CANDIDATES, DIM).mul_(DECODING_NOISE).add_(drift)
        states = torch.baddbmm(noisy_drift, states, contraction)
    risks = ((states - coefficients.mT) ** 2).sum(-1)
    losses = ((inputs @ states.mT - targets) ** 2).sum(1)
    best = risks.gather(1, losses.argmin(1, keepdim=True))
    return [risks[:, 0].mean().item(), ((states.mean(1) - coefficients[..., 0]) ** 2).sum(-1).mean().item(), best.mean().item()]


def torch_normals() -> None:
    """The decoding noise alone, by PyTorch."""
    import torch

    for _ in range(STEPS):
        torch.randn(TASKS, CANDIDATES, DIM)


def _task(key):
    task_key, chain_key = jax.random.split(key)
    return ttc_jax.sample_task(task_key, CONFIG, label_noise_std=LABEL_NOISE), chain_key


def _report(candidates, task):
    scores = jax.vmap(verifiers.context_loss, in_axes=(0, None))(candidates, task.context)
    estimates = jnp.stack([candidates[0], aggregation.mean(candidates), aggregation.best_of_n(candidates, scores)])
    return jax.vmap(ttc_jax.excess_risk, in_axes=(0, None))(estimates, task)


def step_by_step(key):
    """W1 on one task by the Gram recursion."""
    return _walked(key, decoders.gram(STEP_SIZE))


def through_transformer(key):
    """W1 on one task by the transformer with cached keys."""
    return _walked(key, decoders.cached_attention(linear_attention.gradient_step(DIM, STEP_SIZE)))


def _walked(key, decoder):
    task, chain_key = _task(key)
    candidates = ttc_jax.sample_candidates(chain_key, task.context, decoder, **CHAINS)
    return _report(candidates, task)


def collapsed(key):
    """W1 on one task by the exact law of the last state."""
    task, chain_key = _task(key)
    candidates = ttc_jax.collapsed_candidates(chain_key, task.context, step_size=STEP_SIZE, **CHAINS)
    return _report(candidates, task)


def tasks_only(key):
    """The draw of the tasks alone."""
    task, _ = _task(key)
    return jnp.sum(task.context.inputs) + jnp.sum(task.context.targets)[None]


def swept(key, decoding_noise_std):
    """W2 on one task at one decoding noise."""
    task, chain_key = _task(key)
    return ttc_jax.averaged_risk(
        chain_key,
        task,
        decoders.gram(STEP_SIZE),
        num_steps=SWEPT_STEPS,
        num_candidates=SWEPT_CANDIDATES,
        decoding_noise_std=decoding_noise_std,
    )


def run_w1(measure, size=3):
    """Average a W1 measurement over the tasks."""
    return ttc_jax.sweep(KEY, measure, {}, num_tasks=TASKS, reused_axes={"estimate": np.arange(size)}).mean


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


def memory_of_sweep(num_tasks: int) -> float:
    """Peak memory in MiB of a fresh process that runs W2 on so many tasks."""
    code = f"from benchmarks import candidates as c; c.run_w2({num_tasks}); print(c.peak_mib())"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def peak_mib() -> float:
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", action="store_true", help="also the peak memory of a sweep at 1e3, 1e4 and 1e5 tasks")
    memory = parser.parse_args().memory
    print(f"{platform.machine()}, {jax.devices()[0].device_kind}, jax {jax.__version__}, numpy {np.__version__}")

    keys = jax.vmap(lambda index: jax.random.fold_in(KEY, index))(jnp.arange(TASKS))
    rows: dict[str, Callable[[], Any]] = {"NumPy Gram": numpy_gram}
    baseline = "NumPy Gram"
    try:
        import torch
    except ImportError:
        print("torch is not installed: no PyTorch rows (pip install -e '.[compare]')")
    else:
        torch.set_num_threads(2)
        baseline = "PyTorch Gram"
        rows |= {baseline: torch_gram, "  normals alone, torch.randn": torch_normals}
    rows |= {
        "ttc-jax step by step": lambda: run_w1(step_by_step),
        "ttc-jax collapsed": lambda: run_w1(collapsed),
        "ttc-jax through the transformer, cached keys": lambda: run_w1(through_transformer),
        "  normals alone, jax.random.normal": lambda: host(jax_normals(keys)),
        "  normals alone, ttc-jax": lambda: host(own_normals(keys)),
        "  tasks alone, ttc-jax": lambda: run_w1(tasks_only, 1),
    }
    w1 = medians(rows)
    print_table("W1: candidates of 1024 tasks, 20 steps", w1, baseline)
    for name in [baseline, "ttc-jax step by step", "ttc-jax collapsed"]:
        print(f"  risks by {name}: {np.round(rows[name](), 3).tolist()} (one candidate, mean, best by context loss)")

    w2 = medians({"ttc-jax step by step, W1": lambda: run_w1(step_by_step), "ttc-jax sweep, all 960 points": run_w2})
    # A loop over points simulates each (T, N, noise) anew; T steps of N chains cost T N / (20 x 32) of W1, so it is timed at
    # its mean workload and scaled.
    share = float(np.mean(SWEPT_STEPS) / STEPS * np.mean(SWEPT_CANDIDATES) / CANDIDATES)
    w2["one run a point, 960 runs (W1 scaled)"] = share * w2["ttc-jax step by step, W1"] * 960
    print_table("W2: 20 lengths x 6 candidate counts x 8 decoding noises, 1024 tasks", w2, "ttc-jax step by step, W1")

    draw = np.random.default_rng(0)
    points = {
        "num_steps": draw.integers(1, 100, 1000),
        "num_candidates": draw.integers(1, 33, 1000),
        "decoding_noise_std": draw.uniform(0, 0.2, 1000),
    }
    chain = {"step_size": STEP_SIZE, "label_noise_std": LABEL_NOISE}
    seconds = medians({"theory.expected_risk": lambda: theory.expected_risk(DIM, EXAMPLES, **points, **chain)}, repeats=21)
    print_table("Theory: 1000 points (T, N, noise)", seconds, "theory.expected_risk")

    if memory:
        print("\nPeak memory of W2, MiB, in a fresh process")
        for num_tasks in (1_000, 10_000, 100_000):
            print(f"{num_tasks:>9} tasks {memory_of_sweep(num_tasks):9.0f}")


if __name__ == "__main__":
    main()
