"""Settings and fed-back chains that the studies of binary coefficients in large dimension share.

Predictions are for infinite dimension at fixed n / d and sigma^2 / d.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np

import theory
import ttc_jax
from experiments.families import infinite_dimension
from experiments.run.engine import Engine
from experiments.run.study import Measurement, countable
from ttc_jax import decoders
from ttc_jax.models import linear_attention


@dataclass(frozen=True)
class BinaryConfig:
    """Settings of a study of binary coefficients, +1 or -1, whose thoughts are sampled."""

    num_tasks: int
    """Number of independent tasks of each dimension, at least 2."""
    dim: tuple[int, ...] = (100, 300, 1000)
    """Numbers of coefficients d, at least two."""
    examples_per_coefficient: float = 2.0
    """In-context examples for each coefficient, n / d."""
    label_noise_per_coefficient: float = 0.5
    """Standard deviation of the noise in the targets over the square root of d."""
    step_size: float = 0.6
    """Step size of the gradient step."""
    inverse_temperature: tuple[float, ...] = (0.5, 1.0, 2.0, 8.0)
    """Inverse temperatures of the samples."""
    link: Literal["logistic", "clipped_linear"] = "logistic"
    """How the transformer's output becomes a probability."""
    num_steps: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12)
    """Chain lengths T."""
    num_candidates: tuple[int, ...] = (1,)
    """Numbers of candidates N."""
    num_coordinates: int = 100_000
    """Coefficients simulated for the prediction."""
    prediction_seed: int = 0
    """Seed of those coefficients."""
    decoder: Literal["cached", "gram"] = "gram"
    """Form of the chain: the Gram recursion, or the transformer with cached keys, which it equals at a ninth of the time."""


def check(config: BinaryConfig) -> None:
    """ValueError if the settings are out of range."""
    if config.num_tasks < 2:
        raise ValueError(f"num_tasks must be an integer of at least 2, got {config.num_tasks}")
    for name in ("label_noise_per_coefficient", "inverse_temperature"):
        for value in np.atleast_1d(getattr(config, name)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} must be finite and at least 0, got {value:g}")
    infinite_dimension.check_lists(config)
    for name in ("num_steps", "num_candidates", "dim"):
        if min(getattr(config, name)) < 1:
            raise ValueError(f"{name} must be integers of at least 1, got {min(getattr(config, name))}")
    infinite_dimension.check_whole(config, "examples_per_coefficient")


def check_odd(numbers: tuple[int, ...]) -> None:
    """ValueError unless every number of votes is odd."""
    if even := [number for number in numbers if number % 2 == 0]:
        raise ValueError(f"num_candidates must be odd, so that no vote is tied, got {even[0]}")


def num_examples(config: BinaryConfig, dim: int) -> int:
    """Examples n of a dimension."""
    return round(dim * config.examples_per_coefficient)


def predicted(config: BinaryConfig, num_candidates: tuple[int, ...] = (1,), **options: Any) -> theory.binary.SampledChain:
    """The chain in infinite dimension, on axes (inverse_temperature, num_steps[, num_candidates])."""
    dim = max(config.dim)
    steps = np.sort(config.num_steps)
    chain = theory.sampled_chain(
        dim,
        num_examples(config, dim),
        num_steps=int(steps[-1]),
        step_size=config.step_size,
        label_noise_std=config.label_noise_per_coefficient * np.sqrt(dim),
        inverse_temperature=np.sort(config.inverse_temperature),
        link=config.link,
        num_candidates=num_candidates,
        num_coordinates=config.num_coordinates,
        seed=config.prediction_seed,
        **options,
    )
    return theory.binary.SampledChain(*(values[:, steps] for values in chain))


def measure(
    config: BinaryConfig,
    seed: int,
    engine: Engine,
    measurement: Callable[[BinaryConfig, int], Callable[..., Any]],
    reused: dict[str, np.ndarray],
) -> Measurement:
    """Errors on axes (dim, inverse_temperature, num_steps, *reused), infinite dimension last.

    ``measurement(config, dim)`` is what one task of that dimension gives, on axes (num_steps, *reused).
    """
    dims, steps = np.sort(config.dim), np.sort(config.num_steps)
    found = []
    engine.expect(len(dims), combined=2)
    for dim in dims:
        result = engine.sweep(
            jax.random.fold_in(jax.random.key(seed), int(dim)),
            measurement(config, int(dim)),
            {"inverse_temperature": np.sort(config.inverse_temperature)},
            reused_axes={"num_steps": steps, **reused},
            num_tasks=config.num_tasks,
        )
        found.append((result.mean, result.standard_error))
    mean, error = np.moveaxis(np.array(found), 1, 0)
    axes = {"inverse_temperature": np.sort(config.inverse_temperature), "num_steps": steps, **reused}
    return infinite_dimension.with_limit(dims, axes, mean, error)


def judged(dims: tuple[int, ...], num_tasks: int, rate: np.ndarray) -> np.ndarray:
    """Infinite dimension only, and rates of wrong bits (*shape) that can be counted there; on axes (dim, *shape).

    In large dimension the coefficients of a task err independently.
    """
    return infinite_dimension.judged(len(dims), countable(rate, num_tasks * min(dims)))


@functools.lru_cache(maxsize=32)
def answers(config: BinaryConfig, dim: int, answer: Callable[..., Any], num_candidates: tuple[int, ...]) -> Callable[..., Any]:
    """Bit errors of an answer of one task at one inverse temperature, shape (num_steps, num_candidates)."""
    task_config = ttc_jax.TaskConfig(dim, num_examples(config, dim), prior=ttc_jax.BinaryPrior())
    steps = tuple(np.sort(config.num_steps).tolist())

    def errors(key, *, inverse_temperature):
        task_key, chain_key = jax.random.split(key)
        noise = config.label_noise_per_coefficient * np.sqrt(dim)
        task = ttc_jax.sample_task(task_key, task_config, label_noise_std=noise)
        sampler = ttc_jax.BinarySampler(inverse_temperature, link=config.link)
        asked: dict[str, Any] = {"num_steps": steps, "num_candidates": num_candidates, "sampler": sampler}
        return ttc_jax.answer_errors(chain_key, task, _decoder(config, dim), answer, **asked).bit_error

    return errors


def _decoder(config: BinaryConfig, dim: int) -> decoders.Decoder:
    if config.decoder == "gram":
        return decoders.gram(config.step_size)
    return decoders.cached_attention(linear_attention.gradient_step(dim, config.step_size))
