"""Settings, measurement and prediction that the studies of noisy chains of thought share.

A point of the grid is (step size, label noise, decoding noise, number of steps T, number of candidates N). One rollout of the
transformer a task serves every T and every N; the other axes share its random numbers.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
import xarray as xr
from jax import Array

import theory
import ttc_jax
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction
from ttc_jax.models import linear_attention

DIVERGENCE_LEVEL = 1e-6
"""Accepted probability that a context makes the chain diverge; beyond it a mean risk says nothing."""
SMALLEST_SIZE = 4
"""Smallest dimension and number of examples at which the expansion in 1/d is trusted."""
AXES = ("step_size", "label_noise_std", "decoding_noise_std", "num_steps", "num_candidates")
RISK_FORMULA = (
    r"$E\,R = d\psi\,\langle(1-\eta\lambda)^{2T}\rangle"
    r" + \frac{\sigma^2 d}{n}\,\langle\lambda(\eta\sum_{s<T}(1-\eta\lambda)^s)^2\rangle"
    r" + \frac{\tau^2 d}{N}\,\langle\sum_{s<T}(1-\eta\lambda)^{2s}\rangle$"
)
_NOISES = tuple(np.linspace(0.01, 0.3, 8).tolist())
ODD_SETTINGS: tuple[dict[str, Any], ...] = (
    {"decoding_noise_std": _NOISES, "num_steps": (3,)},
    {"step_size": (0.3,), "decoding_noise_std": (0.1,), "num_steps": (3,), "num_candidates": (1,)},
    {"decoding_noise_std": _NOISES, "num_candidates": (1,)},
    {"step_size": (0.68,)},
)
"""Unusual grids: many noises and one length, one point, many noises and one candidate, unsafe steps alone."""
_SAFE = DIVERGENCE_LEVEL * (1 + 1e-6)  # a step size that came out of largest_stable_step is safe


@dataclass(frozen=True)
class ChainConfig:
    """Settings of a study of noisy chains of thought."""

    num_tasks: int
    """Number of independent tasks, at least 2."""
    dim: int = 20
    """Number of coefficients d."""
    num_examples: int = 40
    """Number of in-context examples n."""
    step_size: tuple[float, ...] = (0.4,)
    """Step sizes of the gradient step."""
    label_noise_std: tuple[float, ...] = (0.5,)
    """Standard deviations of the noise in the targets."""
    decoding_noise_std: tuple[float, ...] = (0.05,)
    """Standard deviations of the noise injected into every coordinate of every thought."""
    num_steps: tuple[int, ...] = (20,)
    """Chain lengths T."""
    num_candidates: tuple[int, ...] = (1,)
    """Numbers of averaged candidates N."""
    decoder: Literal["cached", "full", "gram", "collapsed"] = "cached"
    """Form of the chain: the transformer with cached keys (memory grows with the steps), the transformer on the full token
    matrix, the Gram recursion, or last states drawn from their exact law."""


def predict(config: ChainConfig, *, drawn: tuple[str, ...] = AXES) -> Prediction:
    """The closed-form risk at every grid point, with the order it neglects as its error.

    Args:
        config: the settings.
        drawn: the axes that the study's figure shows; more than one value on another is worth a warning.

    Raises:
        ValueError: a setting is out of range.
    """
    if config.num_tasks < 2:
        raise ValueError(f"num_tasks must be an integer of at least 2, got {config.num_tasks}")
    axes = _axes(config)
    for name, values in axes.items():
        if len(values) == 0:
            raise ValueError(f"{name} must list at least one value, got none")
        if len(set(values.tolist())) < len(values):
            raise ValueError(f"{name} must list distinct values, got {values.tolist()}")
    grid = dict(zip(axes, np.meshgrid(*axes.values(), indexing="ij", sparse=True), strict=True))
    # Points beyond the stable step are shown, and not judged.
    risk = theory.expected_risk(config.dim, config.num_examples, **grid, allow_divergence=True)
    neglected = theory.chains.expected_risk_next_order(config.dim, config.num_examples, **grid, allow_divergence=True)
    if not np.isfinite(risk.total).all():
        where = dict(zip(axes, np.argwhere(~np.isfinite(risk.total))[0], strict=True))
        point = ", ".join(f"{name} {axes[name][index]:g}" for name, index in where.items())
        raise ValueError(f"settings must predict a finite risk, got an infinite one at {point}")
    probability = theory.divergence_probability(config.dim, config.num_examples, grid["step_size"])
    holds = (probability <= _SAFE) & (min(config.dim, config.num_examples) >= SMALLEST_SIZE)
    return Prediction(
        terms=risk._asdict(),
        model_error=sum(np.abs(term) for term in neglected),
        judged=np.broadcast_to(holds, risk.total.shape),
        warnings=tuple(_warnings(config, axes, drawn)),
    )


def _warnings(config: ChainConfig, axes: dict[str, np.ndarray], drawn: tuple[str, ...]) -> Iterator[str]:
    """Return warnings about points that are not judged or not drawn."""
    probabilities = {step: theory.divergence_probability(config.dim, config.num_examples, step) for step in axes["step_size"]}
    unsafe = {step: probability for step, probability in probabilities.items() if probability > _SAFE}
    if unsafe:
        largest = theory.largest_stable_step(config.dim, config.num_examples, DIVERGENCE_LEVEL)
        listed = ", ".join(f"{step:g} ({probability:.2g})" for step, probability in unsafe.items())
        yield (
            f"step_size {listed}: the probability in brackets that a context diverges exceeds {DIVERGENCE_LEVEL:g}, so the "
            f"points are not judged; the largest stable step size is {largest:.4f}"
        )
    if min(config.dim, config.num_examples) < SMALLEST_SIZE:
        sizes = f"dim {config.dim} and num_examples {config.num_examples}"
        yield f"{sizes}: below {SMALLEST_SIZE} the formula does not hold, so nothing is judged"
    for name, values in axes.items():
        if name not in drawn and len(values) > 1:
            yield f"{name} has {len(values)} values, of which the figure shows one; the data file and the verdict have all"


def measure(config: ChainConfig, seed: int, engine: Engine) -> Measurement:
    """Simulate the transformer on ``num_tasks`` tasks and average the excess risk at every grid point."""
    return measure_with(jax.random.key(seed), config, engine)


def measure_with(key: Array, config: ChainConfig, engine: Engine) -> Measurement:
    """The same on the tasks of a key."""
    axes = _axes(config)
    reused = ("num_steps", "num_candidates")
    result = engine.sweep(
        key,
        measurement(config.dim, config.num_examples, config.decoder, *(tuple(axes[name].tolist()) for name in reused)),
        {name: values for name, values in axes.items() if name not in reused},
        reused_axes={name: axes[name] for name in reused},
        num_tasks=config.num_tasks,
    )
    return Measurement(result.axes, result.mean, result.standard_error, result.effective_tasks)


@functools.lru_cache(maxsize=16)
def measurement(
    dim: int, num_examples: int, decoder: str, num_steps: tuple[int, ...], num_candidates: tuple[int, ...]
) -> Callable[..., Any]:
    """Risks of one task at one noise level, shape (num_steps, num_candidates); the same function for the same settings."""
    task_config = ttc_jax.TaskConfig(dim, num_examples)

    def risks(key, *, step_size, label_noise_std, decoding_noise_std):
        task_key, chain_key = jax.random.split(key)
        task = ttc_jax.sample_task(task_key, task_config, label_noise_std=label_noise_std)
        asked = {"num_steps": num_steps, "num_candidates": num_candidates, "decoding_noise_std": decoding_noise_std}
        if decoder == "collapsed":
            return ttc_jax.collapsed_averaged_risk(chain_key, task, step_size=step_size, **asked)
        return ttc_jax.averaged_risk(chain_key, task, _decoder(decoder, dim, step_size), **asked)

    return risks


def _decoder(name: str, dim: int, step_size) -> ttc_jax.decoders.Decoder:
    if name == "gram":
        return ttc_jax.decoders.gram(step_size)
    params = linear_attention.gradient_step(dim, step_size)
    return {"cached": ttc_jax.decoders.cached_attention, "full": ttc_jax.decoders.full_attention}[name](params)


def _axes(config: ChainConfig) -> dict[str, np.ndarray]:
    return {name: np.sort(getattr(config, name)) for name in AXES}


def sizes(data: xr.Dataset) -> tuple[int, int]:
    """The dimension and the number of examples of a finished run."""
    config = json.loads(data.attrs["config"])
    return config["dim"], config["num_examples"]


def best_length(data: xr.Dataset, variable: str) -> xr.DataArray:
    """The number of steps of least risk among those on the grid."""
    return data["num_steps"][data[variable].argmin("num_steps")]
