"""Ways to select or combine candidates, simulated and predicted; shared by the studies of many candidates.

A chooser averages the candidates, or picks the best under a verifier. Its simulated side scores candidates with
``ttc_jax.verifiers``; its predicted side is a verifier of ``theory``. The two are matched here and nowhere else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import theory
import ttc_jax
from experiments.families.chains import DIVERGENCE_LEVEL, SMALLEST_SIZE
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction
from ttc_jax import aggregation, verifiers

SWEPT = ("step_size", "label_noise_std", "decoding_noise_std")


@dataclass(frozen=True)
class Chooser:
    """One way to make an estimate of N candidates.

    Attributes:
        name: as figures and files call it.
        verifier: its prediction's verifier; None where all candidates count alike, in an average or a vote.
    """

    name: str
    verifier: theory.selection.Oracle | theory.selection.ContextLoss | theory.selection.HeldOutLoss | None


AVERAGE = Chooser("average", None)
ORACLE = Chooser("oracle", theory.selection.Oracle())
CONTEXT_LOSS = Chooser("context loss", theory.selection.ContextLoss())


def noisy_oracle(noise_std: float) -> Chooser:
    """The oracle with noise on its score."""
    return Chooser(f"oracle + noise {noise_std:g}", theory.selection.Oracle(float(noise_std))) if noise_std else ORACLE


def held_out(num_examples: int) -> Chooser:
    """The loss on fresh examples."""
    return Chooser(f"held-out {num_examples}", theory.selection.HeldOutLoss(int(num_examples)))


class Setting(NamedTuple):
    """Source of the candidates: the sizes of a task, and the chain."""

    dim: int
    num_examples: int
    num_steps: int
    step_size: float
    label_noise_std: float
    decoding_noise_std: float

    @property
    def chain(self) -> dict[str, Any]:
        """All but the sizes."""
        return {name: getattr(self, name) for name in ("num_steps", *SWEPT)}


class Predicted(NamedTuple):
    """Predicted risk and the size of its error, each (num_candidates,)."""

    risk: np.ndarray
    error: np.ndarray


def predict(
    setting: Setting,
    chooser: Chooser,
    num_candidates: tuple[int, ...],
    *,
    num_contexts: int,
    seed: int,
    gaussian: bool = False,
) -> Predicted:
    """The risk of a chooser for each number of candidates; ``gaussian`` asks for the large-dimension form.

    The error is the next order in 1/d for averaging, whose formula is an expansion, and the standard error over contexts for a
    verifier, whose formula is exact given the context.
    """
    sizes = setting.dim, setting.num_examples
    chain: dict[str, Any] = {**setting.chain, "num_candidates": np.array(num_candidates)}
    if chooser.verifier is None:
        neglected = theory.chains.expected_risk_next_order(*sizes, **chain)
        return Predicted(theory.expected_risk(*sizes, **chain).total, sum(np.abs(term) for term in neglected))
    drawn = {"num_contexts": num_contexts, "seed": seed, "gaussian": gaussian}
    return Predicted(*theory.selection.expected_best_of_n_risk(*sizes, chooser.verifier, **{**chain, **drawn}))


def measure(
    seed: int,
    setting: Setting,
    choosers: tuple[Chooser, ...],
    num_candidates: tuple[int, ...],
    engine: Engine,
    *,
    num_tasks: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean excess risk, its standard error and the effective number of tasks, each (choosers, num_candidates)."""
    result = engine.sweep(
        jax.random.key(seed),
        _measurement(setting.dim, setting.num_examples, setting.num_steps, choosers, num_candidates),
        {name: [setting.chain[name]] for name in SWEPT},
        reused_axes={"chooser": np.arange(len(choosers)), "num_candidates": num_candidates},
        num_tasks=num_tasks,
    )
    return result.mean[0, 0, 0], result.standard_error[0, 0, 0], result.effective_tasks[0, 0, 0]


def predict_all(
    settings: list[Setting],
    choosers: tuple[Chooser, ...],
    num_candidates: tuple[int, ...],
    wrong: Callable[[np.ndarray], dict[str, np.ndarray]],
    *,
    num_contexts: int,
    seed: int,
) -> Prediction:
    """The risk of one candidate, and what choosing among N changes, on axes (settings, choosers, num_candidates).

    ``wrong`` makes the study's own wrong predictions from the right one.
    """
    drawn: dict[str, Any] = {"num_contexts": num_contexts, "seed": seed}
    found = np.array([[predict(setting, chooser, num_candidates, **drawn) for chooser in choosers] for setting in settings])
    risk, error = found[:, :, 0], found[:, :, 1]
    single = np.array([predict(setting, choosers[0], (1,), **drawn).risk for setting in settings])[:, :, None]
    return Prediction(
        terms={"one_candidate": np.broadcast_to(single, risk.shape), "choice": risk - single},
        model_error=error,
        judged=judged(settings, risk.shape),
        warnings=warnings(settings),
        wrong=wrong(risk),
    )


def measure_all(
    seed: int,
    axis: dict[str, np.ndarray],
    settings: list[Setting],
    choosers: tuple[Chooser, ...],
    num_candidates: tuple[int, ...],
    engine: Engine,
    *,
    num_tasks: int,
) -> Measurement:
    """Simulate the chains once for each setting, which ``axis`` names; all choosers share them."""
    engine.expect(len(settings))
    parts = [measure(seed, setting, choosers, num_candidates, engine, num_tasks=num_tasks) for setting in settings]
    names = np.array([chooser.name for chooser in choosers])
    axes = {**axis, "chooser": names, "num_candidates": np.array(num_candidates)}
    mean, error, effective = np.moveaxis(np.array(parts), 1, 0)
    return Measurement(axes, mean, error, effective)


@functools.lru_cache(maxsize=32)
def _measurement(dim: int, num_examples: int, num_steps: int, choosers: tuple[Chooser, ...], numbers: tuple[int, ...]):
    """Excess risks of one task, shape (choosers, numbers): one set of chains serves them all."""
    task_config = ttc_jax.TaskConfig(dim, num_examples)

    def risks(key, *, step_size, label_noise_std, decoding_noise_std):
        task_key, chain_key, score_key = jax.random.split(key, 3)
        task = ttc_jax.sample_task(task_key, task_config, label_noise_std=label_noise_std)
        candidates = ttc_jax.sample_candidates(
            chain_key,
            task.context,
            ttc_jax.decoders.gram(step_size),
            num_candidates=max(numbers),
            num_steps=num_steps,
            decoding_noise_std=decoding_noise_std,
        )
        own = jax.vmap(ttc_jax.excess_risk, in_axes=(0, None))(candidates, task)

        def of(position, chooser):
            if chooser.verifier is None:
                means = aggregation.prefix_means(candidates, numbers)
                return jax.vmap(ttc_jax.excess_risk, in_axes=(0, None))(means, task)
            scored = scores(jax.random.fold_in(score_key, position), chooser, candidates, task)
            return aggregation.prefix_best_of_n(own[:, None], scored, numbers)[:, 0]

        return jnp.stack([of(position, chooser) for position, chooser in enumerate(choosers)])

    return risks


def scores(key: Array, chooser: Chooser, candidates: Array, task: ttc_jax.Task) -> Array:
    """Scores (N,) of candidates (N, d) under a chooser's verifier."""
    match chooser.verifier:
        case theory.selection.Oracle(noise_std=0.0):
            return jax.vmap(verifiers.oracle, in_axes=(0, None))(candidates, task)
        case theory.selection.Oracle(noise_std=noise_std):
            keys = jax.random.split(key, len(candidates))
            return jax.vmap(lambda key, one: verifiers.noisy_oracle(key, one, task, noise_std=noise_std))(keys, candidates)
        case theory.selection.ContextLoss():
            return jax.vmap(verifiers.context_loss, in_axes=(0, None))(candidates, task.context)
        case theory.selection.HeldOutLoss(num_examples=num_examples):
            examples = verifiers.sample_held_out(key, task, num_examples)
            return jax.vmap(verifiers.held_out_loss, in_axes=(0, None))(candidates, examples)
    raise ValueError(f"chooser must have a verifier to score candidates, got {chooser.name!r}")


def check(config: Any) -> None:
    """ValueError unless the settings that these studies share are in range and their lists hold distinct values."""
    lowest = {"num_tasks": 2, "num_contexts": 8, "context_seed": 0, "num_candidates": 1}
    lowest |= {"dim": 1, "num_examples": 1, "held_out_examples": 1, "num_steps": 0, "budget": 1}
    for name, minimum in lowest.items():
        for value in np.atleast_1d(getattr(config, name, minimum)):
            if value < minimum:
                raise ValueError(f"{name} must be an integer of at least {minimum}, got {value}")
    for value in np.atleast_1d(getattr(config, "verifier_noise_std", 0.0)):
        if not 0 <= value < np.inf:
            raise ValueError(f"verifier_noise_std must be finite and at least 0, got {value:g}")
    for value in np.atleast_1d(getattr(config, "inverse_temperature", 0.0)):
        if not 0 <= value < np.inf:
            raise ValueError(f"inverse_temperature must be finite and at least 0, got {value:g}")
    for name, value in vars(config).items():
        if isinstance(value, tuple):
            if not value:
                raise ValueError(f"{name} must list at least one value, got none")
            if len({f"{one:g}" for one in value}) < len(value):
                raise ValueError(f"{name} must list distinct values, got {list(value)}")


def check_stable(setting: Setting) -> None:
    """ValueError where a context may diverge, which would make every mean meaningless."""
    dim, num_examples, step_size = setting.dim, setting.num_examples, setting.step_size
    largest = float(theory.largest_stable_step(dim, num_examples, DIVERGENCE_LEVEL))
    if not 0 < step_size <= largest * (1 + 1e-6):
        raise ValueError(
            f"step_size must be above 0 and at most {largest:.4f} at d = {dim}, n = {num_examples}, got {step_size:g}"
        )


def judged(settings: list[Setting], shape: tuple[int, ...]) -> np.ndarray:
    """Return the points where predictions hold, settings on the first axis: control variates are averaged to O(1/d^2)."""
    large = np.array([min(setting.dim, setting.num_examples) >= SMALLEST_SIZE for setting in settings])
    return np.broadcast_to(large.reshape(-1, *(1,) * (len(shape) - 1)), shape)


def warnings(settings: list[Setting]) -> tuple[str, ...]:
    """What is not judged."""
    small = {(one.dim, one.num_examples): None for one in settings if min(one.dim, one.num_examples) < SMALLEST_SIZE}
    words = f"below {SMALLEST_SIZE} the formula does not hold, so it is not judged"
    return tuple(f"dim {dim} and num_examples {count}: {words}" for dim, count in small)
