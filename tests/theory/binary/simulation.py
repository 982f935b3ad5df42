"""Chains of binary thoughts simulated in NumPy, extrapolated to infinite dimension."""

from typing import NamedTuple

import numpy as np
from scipy import stats


class Case(NamedTuple):
    """d / n, step size, sigma / sqrt(d) in half-gaps, beta, P(high), link."""

    ratio: float
    step_size: float
    noise: float
    beta: float
    prob_high: float
    link: str


CASES = {
    "few examples": Case(2.0, 0.3, 0.5, 2.0, 0.5, "logistic"),
    "a prior": Case(0.5, 0.7, 1.0, 1.0, 0.3, "logistic"),
    "clipped": Case(1.0, 0.4, 0.5, 1.5, 0.5, "clipped_linear"),
    "greedy": Case(0.5, 0.6, 0.5, np.inf, 0.5, "logistic"),
}
LOW, HIGH = 0.0, 1.0
STEPS, VOTES = 6, 5


def probability(field, case):
    """P(high) of a field in half-gaps around the midpoint."""
    if case.link == "logistic":
        if np.isinf(case.beta):
            return (field > 0) * 1.0
        return 1 / (1 + np.exp(np.clip(-2 * case.beta * field, -500, 500)) * (1 - case.prob_high) / case.prob_high)
    return np.clip(case.prob_high + case.beta * (field - (2 * case.prob_high - 1)) / 2, 0, 1)


def simulated(case, dim, tasks, rng, steps=STEPS, votes=VOTES, noise_at_the_end=None):
    """Bit errors (tasks, steps) and vote errors of chains on binary tasks, in half-gaps around the midpoint."""
    num_examples = round(dim / case.ratio)
    bits, voted = [], []
    for _task in range(tasks):
        truth = np.where(rng.random(dim) < case.prob_high, 1.0, -1.0)
        inputs = rng.standard_normal((num_examples, dim), dtype=np.float32)
        targets = inputs @ truth + case.noise * np.sqrt(dim) * rng.standard_normal(num_examples)
        states = np.full((votes, dim), 2 * case.prob_high - 1)
        bits.append([])
        voted.append([])
        for _step in range(steps):
            fields = states + case.step_size / num_examples * ((targets - states @ inputs.T) @ inputs)
            if noise_at_the_end is not None:
                fields = states = fields + noise_at_the_end * rng.standard_normal(fields.shape)
            samples = np.where(rng.random(fields.shape) < probability(fields, case), 1.0, -1.0)
            if noise_at_the_end is None:
                states = samples
            lead = samples.sum(axis=0) * truth
            bits[-1].append(np.mean(samples != truth))
            voted[-1].append(np.mean((lead < 0) + 0.5 * (lead == 0)))
    return np.array(bits), np.array(voted)


def extrapolated(case, rng, tasks=80, **options):
    """Errors in infinite dimension from two dimensions, d = 150 and 450, and their errors: the 1/d term is removed."""
    small, large = (simulated(case, dim, tasks, rng, **options) for dim in (150, 450))
    found = []
    for few, many in zip(small, large, strict=True):
        limit = 1.5 * many.mean(axis=0) - 0.5 * few.mean(axis=0)
        stray = np.hypot(1.5 * many.std(axis=0, ddof=1), 0.5 * few.std(axis=0, ddof=1)) / np.sqrt(tasks)
        # The 1/d^2 term, as the next of a geometric series.
        found.append((limit, np.hypot(stray, np.abs(many.mean(axis=0) - few.mean(axis=0)) / 3)))
    return found


def setting(case, dim=1000):
    noise = case.noise * np.sqrt(dim) * (HIGH - LOW) / 2
    return {
        "dim": dim,
        "num_examples": round(dim / case.ratio),
        "step_size": case.step_size,
        "label_noise_std": noise,
        "inverse_temperature": case.beta,
        "link": case.link,
        "low": LOW,
        "high": HIGH,
        "prob_high": case.prob_high,
    }


def largest_z(measured, predicted, predicted_std=0.0):
    mean, error = measured
    return np.max(np.abs(mean - predicted) / np.hypot(error, predicted_std))


THRESHOLD = stats.norm.isf(1e-4 / (2 * STEPS))
