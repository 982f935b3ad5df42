"""How close do sampled chains, votes and message passing come to what no decoder can beat?"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import theory
import ttc_jax
from experiments.families import fed_back, infinite_dimension
from experiments.page import figures
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study
from ttc_jax import aggregation

MESSAGE_PASSING = "message passing"
_NUM_FINE = 49


@dataclass(frozen=True)
class BayesLimitConfig:
    """Settings of the study of the limits of decoding."""

    num_tasks: int
    """Number of independent tasks of each dimension and number of examples, at least 2."""
    dim: tuple[int, ...] = (80, 240)
    """Numbers of coefficients d, at least two."""
    examples_per_coefficient: tuple[float, ...] = (0.25, 0.4, 0.525, 2.0)
    """In-context examples for each coefficient, n / d."""
    label_noise_per_coefficient: float = 0.22
    """Standard deviation of the noise in the targets over the square root of d."""
    inverse_temperature: float = 2.0
    """Inverse temperature of the samples."""
    num_steps: int = 8
    """Length T of the long chain; its step size is n / (n + d)."""
    num_candidates: int = 9
    """Number of chains N in the vote."""
    num_iterations: int = 30
    """Iterations of message passing."""
    num_coordinates: int = 20_000
    """Coefficients simulated for the prediction."""
    prediction_seed: int = 0
    """Seed of those coefficients."""


QUICK = BayesLimitConfig(num_tasks=512)


def decoders(config: BayesLimitConfig) -> tuple[str, ...]:
    """Names of the simulated curves, in order."""
    steps, votes = config.num_steps, config.num_candidates
    return "one step", f"{steps} steps", f"vote of {votes} x {steps} steps", MESSAGE_PASSING


def _ratios(config: BayesLimitConfig) -> np.ndarray:
    return np.sort(config.examples_per_coefficient)


def limits(config: BayesLimitConfig, ratios: np.ndarray) -> theory.bayes.BinaryBayes:
    """The Bayes limit and the reach of message passing at numbers of examples per coefficient."""
    dim = max(config.dim)
    return theory.binary_bayes_error(
        dim, np.round(ratios * dim), label_noise_std=config.label_noise_per_coefficient * np.sqrt(dim)
    )


@functools.lru_cache(maxsize=4)
def fine_limits(config: BayesLimitConfig) -> tuple[np.ndarray, theory.bayes.BinaryBayes]:
    """Numbers of examples per coefficient between the simulated ones, and the limits there."""
    ratios = _ratios(config)
    dim = max(config.dim)
    fine = np.unique(np.round(dim * np.geomspace(ratios[0], ratios[-1], _NUM_FINE))) / dim
    return fine, limits(config, fine)


def gap(config: BayesLimitConfig) -> tuple[float, float] | None:
    """Examples per coefficient, of the fine ones, between which message passing stops short of the limit; None if nowhere."""
    ratios, found = fine_limits(config)
    short = ratios[found.reached_bit_error > 1.01 * found.bit_error]
    return (float(short[0]), float(short[-1])) if short.size else None


@functools.lru_cache(maxsize=4)
def predict(config: BayesLimitConfig) -> Prediction:
    """The Bayes limit, and by how much each decoder misses it, in infinite dimension.

    Not judged: errors too rare to be measured, and message passing within the gap, where chance decides at finite size.
    """
    _check(config)
    dim, ratios = max(config.dim), _ratios(config)
    counts = np.round(ratios * dim)
    chain = theory.sampled_chain(
        dim,
        counts,
        num_steps=config.num_steps,
        step_size=counts / (counts + dim),
        label_noise_std=config.label_noise_per_coefficient * np.sqrt(dim),
        inverse_temperature=config.inverse_temperature,
        num_candidates=(1, config.num_candidates),
        num_coordinates=config.num_coordinates,
        seed=config.prediction_seed,
    )
    bayes = limits(config, counts / dim)
    exact = np.zeros(len(ratios))
    error = np.stack([chain.bit_error[:, 1], chain.bit_error[:, -1], chain.vote_error[:, -1, 1], bayes.reached_bit_error])
    stray = np.stack([chain.bit_error_std[:, 1], chain.bit_error_std[:, -1], chain.vote_error_std[:, -1, 1], exact])
    judged = fed_back.judged(config.dim, config.num_tasks, error)
    judged[:, -1] &= bayes.reached_bit_error <= 1.01 * bayes.bit_error
    shape = (len(config.dim) + 1, *error.shape)
    independent = error.copy()
    independent[2] = theory.majority_accuracy(error[1], config.num_candidates)
    return Prediction(
        terms={"limit": np.broadcast_to(bayes.bit_error, shape), "missed": np.broadcast_to(error - bayes.bit_error, shape)},
        model_error=np.broadcast_to(stray, shape),
        judged=judged,
        wrong={"with_independent_candidates": np.broadcast_to(independent, shape)} if config.num_candidates > 1 else {},
    )


def _check(config: BayesLimitConfig) -> None:
    for name, least in (("num_tasks", 2), ("num_candidates", 1), ("num_iterations", 1), ("num_steps", 2)):
        if getattr(config, name) < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {getattr(config, name)}")
    if not 0 < config.label_noise_per_coefficient < np.inf:
        raise ValueError(f"label_noise_per_coefficient must be finite and above 0, got {config.label_noise_per_coefficient:g}")
    if not 0 <= config.inverse_temperature < np.inf:
        raise ValueError(f"inverse_temperature must be finite and at least 0, got {config.inverse_temperature:g}")
    if min(config.dim, default=1) < 1:
        raise ValueError(f"dim must be integers of at least 1, got {min(config.dim)}")
    fed_back.check_odd((config.num_candidates,))
    infinite_dimension.check_lists(config)
    infinite_dimension.check_whole(config, "examples_per_coefficient")


def measure(config: BayesLimitConfig, seed: int, engine: Engine) -> Measurement:
    """Simulate every dimension with every number of examples."""
    dims, ratios, names = np.sort(config.dim), _ratios(config), decoders(config)
    engine.expect(len(dims) * len(ratios), combined=2)
    found: list[list[tuple[np.ndarray, np.ndarray]]] = []
    for dim in dims:
        found.append([])
        for ratio in ratios:
            result = engine.sweep(
                jax.random.fold_in(jax.random.key(seed), int(dim)),
                _measurement(config, int(dim), round(dim * ratio)),
                {"inverse_temperature": [config.inverse_temperature]},
                reused_axes={"decoder": np.arange(len(names))},
                num_tasks=config.num_tasks,
            )
            found[-1].append((result.mean[0], result.standard_error[0]))
    mean, error = np.moveaxis(np.array(found), (2, 3), (0, 2))  # (dim, decoder, ratio)
    return infinite_dimension.with_limit(dims, {"decoder": np.array(names), "examples_per_coefficient": ratios}, mean, error)


@functools.lru_cache(maxsize=32)
def _measurement(config: BayesLimitConfig, dim: int, num_examples: int):
    """Bit errors (decoders,) of one task."""
    prior = ttc_jax.BinaryPrior()
    task_config = ttc_jax.TaskConfig(dim, num_examples, prior=prior)

    def errors(key, *, inverse_temperature):
        task_key, chain_key, message_key = jax.random.split(key, 3)
        noise = config.label_noise_per_coefficient * np.sqrt(dim)
        task = ttc_jax.sample_task(task_key, task_config, label_noise_std=noise)
        states = ttc_jax.rollout_candidates(
            chain_key,
            task.context,
            ttc_jax.decoders.gram(num_examples / (num_examples + dim)),
            num_candidates=config.num_candidates,
            num_steps=config.num_steps,
            sampler=ttc_jax.BinarySampler(inverse_temperature, prior),
        )
        messages = ttc_jax.rollout(message_key, task.context, ttc_jax.message_passing(prior), num_steps=config.num_iterations)
        estimates = states[1, 0], states[-1, 0], aggregation.majority_vote(states[-1]), messages[-1]
        return jax.vmap(ttc_jax.bit_error, (0, None))(jnp.stack(estimates), task)

    return errors


def findings(data: xr.Dataset) -> dict:
    """The gap, and the errors at the most examples."""
    config = _config(data)
    between = gap(config)
    last = data.sel(dim=infinite_dimension.EXTRAPOLATED).isel(examples_per_coefficient=-1)
    return {
        "message passing stops short of the limit between n/d =": list(between) if between else [],
        "Bayes limit at the most examples": float(last["predicted_limit"][0]),
        "bit error there": {
            str(name): {kind: float(last[kind].sel(decoder=name)) for kind in ("measured", "predicted")}
            for name in data["decoder"].to_numpy()
        },
    }


def _config(data: xr.Dataset) -> BayesLimitConfig:
    stored = json.loads(data.attrs["config"])
    settings: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
    return BayesLimitConfig(**settings)


def draw(data: xr.Dataset) -> Figure:
    """Bit error against the examples per coefficient, extrapolated, with the limit and the gap that message passing leaves."""
    config = _config(data)
    data = data.sel(dim=infinite_dimension.EXTRAPOLATED)
    ratios = data["examples_per_coefficient"].to_numpy()
    figure, (panel,) = figures.panels(1, width=6.4, height=4.4)
    names = [str(name) for name in data["decoder"].to_numpy()]
    fine, limit = fine_limits(config)
    for name, color, marker in figures.distinct(names):
        one = data.sel(decoder=name)
        if name == MESSAGE_PASSING:  # its transition is between the simulated points
            panel.plot(fine, limit.reached_bit_error, color=color)
            panel.plot([], [], color=color, marker=marker, label=name)
            figures.points(panel, ratios, one, color=color, marker=marker)
        else:
            figures.curve(panel, one, "examples_per_coefficient", color=color, marker=marker, label=name)
    panel.plot(fine, limit.bit_error, color="black", linestyle=":")
    between = gap(config)
    if between is not None:
        panel.axvspan(*between, color="0.85", zorder=0)
    lowest = data["predicted"].to_numpy()[data["judged"].to_numpy().astype(bool)].min(initial=1e-2)
    panel.set(xscale="log", yscale="log", xlabel="examples per coefficient $n/d$", ylabel="bit error", ylim=(lowest / 5, 0.6))
    figures.number_ticks(panel, ratios)
    figures.state(
        figure,
        f"$\\sigma/\\sqrt{{d}}$ = {config.label_noise_per_coefficient:g}, $\\beta$ = {config.inverse_temperature:g}, "
        "$\\eta = n/(n+d)$, extrapolated to $d \\to \\infty$",
    )
    marks: dict[str, dict[str, Any]] = {"Bayes limit": {"linestyle": ":", "color": "black"}}
    if between is not None:
        marks["message passing falls short"] = {"linewidth": 8, "color": "0.85"}
    figures.key(figure, panel, None, marks=marks)
    return figure


STUDY = Study(
    name="bayes-limit",
    question="How close do sampled chains, votes and message passing come to what no decoder can beat?",
    formula=(
        r"$q = \delta/(s^2 + E),\quad E = 1 - E_z\tanh(q + \sqrt{q}\,z),\quad$"
        r"$P(\mathrm{wrong}) = Q(\sqrt{q}),\quad \delta = n/d,\ s^2 = \sigma^2/d$"
    ),
    presets={
        "quick": QUICK,
        "standard": replace(QUICK, num_tasks=1024, dim=(300, 1000), num_coordinates=100_000, num_candidates=33),
        "full": replace(QUICK, num_tasks=8192, dim=(300, 1000, 3000), num_coordinates=1_000_000, num_candidates=33),
    },
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    tested={"examples_per_coefficient": (0.25, 2.0)},
    odd_settings=(
        {"num_coordinates": 160, "examples_per_coefficient": (0.5,)},
        {"num_coordinates": 160, "label_noise_per_coefficient": 1.0, "num_candidates": 1},
    ),
)
