"""When does a chain go wrong because its layer has been trained on few contexts?"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import theory
import ttc_jax
from experiments.families import chains, infinite_dimension
from experiments.page import figures
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study
from ttc_jax import decoders, training
from ttc_jax.models import linear_attention
from ttc_jax.normals import standard_normal

ENDLESS = 1e9
"""Training contexts over d that are as good as infinitely many."""
_NUM_DIMS = 2
_MOST_STEPS = 200  # the formula takes time in T^3 and memory in T^2


@dataclass(frozen=True)
class ChainDepthConfig:
    """Settings of the study of chains whose layer was trained on few contexts."""

    num_tasks: int
    """Number of independently trained layers of the largest dimension, at least 2; smaller ones have more, as 1/d."""
    dim: tuple[int, ...] = (60, 120, 240)
    """Numbers of coefficients d, at least two; the two largest are extrapolated."""
    examples_per_coefficient: float = 2.0
    """Examples of a context for each coefficient, n / d, in training and at test."""
    contexts_per_coefficient: tuple[float, ...] = (1.6, 2.0, 3.0)
    """Contexts that a layer is trained on, over d; above 1."""
    label_noise_std: float = 0.3
    """Standard deviation of the noise in the targets, of which the signal has standard deviation 1."""
    num_steps: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16)
    """Chain lengths T, at most 200."""
    num_test_contexts: int = 16
    """Contexts that a layer is tested on."""
    decoder: Literal["cached", "examples"] = "examples"
    """Form of the chain: steps from the examples, or the transformer with cached keys, which is slower and the same."""


QUICK = ChainDepthConfig(num_tasks=64)


def _ratios(config: ChainDepthConfig) -> np.ndarray:
    return np.sort(config.contexts_per_coefficient)


def _steps(config: ChainDepthConfig) -> np.ndarray:
    return np.sort(config.num_steps)


def errors(config: ChainDepthConfig, ratios: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The formula, on axes (contexts_per_coefficient, num_steps)."""
    noise = config.label_noise_std**2
    return theory.chain_depth_risk(config.examples_per_coefficient, ratios, noise, num_steps=int(max(steps)))[:, steps]


def longest_judged(config: ChainDepthConfig) -> np.ndarray:
    """Return the largest judged depth for each number of contexts.

    The error of T steps averages T-th powers of the training contexts' inverse Gram matrix, and 2T-th ones of the test
    context's. The least eigenvalue of the one and the largest of the other have relative widths w and v of order d^-2/3 (Tracy
    and Widom). Powers magnify these errors. Once they are of order one, the averages are no series in 1/d, so that T (w + 2 v)
    must be at most 1.
    """
    fewer, more = np.sqrt(_ratios(config)), np.sqrt(config.examples_per_coefficient)
    widths = np.cbrt(1 - 1 / fewer) / (fewer - 1) + 2 * np.cbrt(1 + 1 / more) / (more + 1)
    return np.sort(config.dim)[-_NUM_DIMS] ** (2 / 3) / widths


@functools.lru_cache(maxsize=4)
def predict(config: ChainDepthConfig) -> Prediction:
    """The error after endless training, and what the sampling error of P adds, in infinite dimension."""
    _check(config)
    ratios, steps = _ratios(config), _steps(config)
    error = errors(config, ratios, steps)
    if not np.isfinite(error).all():
        raise ValueError(f"num_steps must predict finite errors, got {steps[~np.isfinite(error).all(axis=0)][0]}")
    endless = errors(config, np.array([ENDLESS]), steps)
    shape = (len(config.dim) + 1, *error.shape)
    longest = longest_judged(config)
    beyond = ", ".join(f"{ratio:g} ({int(most)})" for ratio, most in zip(ratios, longest, strict=True) if most < steps[-1])
    return Prediction(
        terms={
            "endless_training": np.broadcast_to(endless, shape),
            "few_contexts": np.broadcast_to(error - endless, shape),
        },
        model_error=np.zeros(shape),
        judged=infinite_dimension.judged(len(config.dim), steps <= longest[:, None]),
        warnings=(f"contexts_per_coefficient {beyond}: longer chains than in brackets are not judged",) if beyond else (),
    )


def _check(config: ChainDepthConfig) -> None:
    for name, least in (("num_tasks", 2), ("num_test_contexts", 1)):
        if getattr(config, name) < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {getattr(config, name)}")
    if not 0 <= config.label_noise_std < np.inf:
        raise ValueError(f"label_noise_std must be finite and at least 0, got {config.label_noise_std:g}")
    infinite_dimension.check_lists(config, _NUM_DIMS)
    for name in ("dim", "num_steps"):
        if min(getattr(config, name)) < 1:
            raise ValueError(f"{name} must be integers of at least 1, got {min(getattr(config, name))}")
    if max(config.num_steps) > _MOST_STEPS:
        raise ValueError(f"num_steps must be integers of at most {_MOST_STEPS}, got {max(config.num_steps)}")
    if not min(config.contexts_per_coefficient) > 1:
        raise ValueError(f"contexts_per_coefficient must be above 1, got {min(config.contexts_per_coefficient):g}")
    infinite_dimension.check_whole(config, "examples_per_coefficient")
    infinite_dimension.check_whole(config, "contexts_per_coefficient")


def measure(config: ChainDepthConfig, seed: int, engine: Engine) -> Measurement:
    """Train and test at every dimension; a layer's contexts serve every number of them, and one rollout every depth."""
    swept, reused = {"contexts_per_coefficient": _ratios(config)}, {"num_steps": _steps(config)}
    return infinite_dimension.measure_typical(
        config, seed, engine, _measurement, swept, reused, concentration=1, num_dims=_NUM_DIMS
    )


@functools.lru_cache(maxsize=32)
def _measurement(config: ChainDepthConfig, dim: int):
    """Logarithm of the error of one layer after each number of steps, averaged over test contexts, shape (num_steps,)."""
    num_contexts = round(max(config.contexts_per_coefficient) * dim)
    task_config = ttc_jax.TaskConfig(dim, round(config.examples_per_coefficient * dim))
    steps = _steps(config)

    def log_errors(key, *, contexts_per_coefficient):
        training_key, test_key = jax.random.split(key)
        coefficients, seen = _training_contexts(config, training_key, num_contexts, task_config)
        # An unseen context adds nothing to the fit, so that every number of contexts has the same shape.
        used = jnp.arange(num_contexts) < jnp.round(contexts_per_coefficient * dim)
        decoder = _decoder(config, training.fit_preconditioner(jnp.where(used[:, None], seen, 0), coefficients))
        test = jax.vmap(functools.partial(_log_errors, config, task_config, decoder))
        return jnp.mean(test(jax.random.split(test_key, config.num_test_contexts)), axis=0)[steps]

    return log_errors


def _training_contexts(config, key, num_contexts, task_config):
    """Coefficients and what the layer sees of their contexts, each (num_contexts, d)."""
    coefficients_key, context_key = jax.random.split(key)
    coefficients = standard_normal(coefficients_key, (num_contexts, task_config.dim)) / np.sqrt(task_config.dim)

    def seen(key, one):
        return training.sample_correlation(key, one, task_config.num_examples, label_noise_std=config.label_noise_std)

    return coefficients, jax.vmap(seen)(jax.random.split(context_key, num_contexts), coefficients)


def _decoder(config: ChainDepthConfig, matrix) -> decoders.Decoder:
    if config.decoder == "examples":
        return decoders.preconditioned(matrix)
    return decoders.cached_attention(linear_attention.preconditioned_step(matrix))


def _log_errors(config, task_config, decoder, key):
    """Logarithm of the excess risk on one context after 0, 1, 2, ... steps, relative to that of no step."""
    task_key, chain_key = jax.random.split(key)
    task = ttc_jax.sample_task(task_key, task_config, label_noise_std=config.label_noise_std)
    states = ttc_jax.rollout(chain_key, task.context, decoder, num_steps=max(config.num_steps))
    risks = jax.vmap(ttc_jax.excess_risk, (0, None))(states, task)
    return jnp.log(risks / risks[0])


def findings(data: xr.Dataset) -> dict:
    """The depth of least error for each number of contexts, and those that the measurement cannot tell from it."""
    limit = data.sel(dim=infinite_dimension.EXTRAPOLATED)
    best = {name: chains.best_length(limit, name) for name in ("predicted", "measured")}
    rows = []
    for ratio in data["contexts_per_coefficient"].to_numpy():
        one = limit.sel(contexts_per_coefficient=ratio)
        mean, error = one["measured"].to_numpy(), one["standard_error"].to_numpy()
        least = np.argmin(mean)
        close = mean - mean[least] <= 2 * np.hypot(error, error[least])
        rows.append(
            {
                "contexts_per_coefficient": float(ratio),
                **{name: int(where.sel(contexts_per_coefficient=ratio)) for name, where in best.items()},
                "within two standard errors": one["num_steps"].to_numpy()[close].tolist(),
            }
        )
    return {"best num_steps": rows}


def draw(data: xr.Dataset) -> Figure:
    """Error against depth, extrapolated, with the best depths; and how that of the fewest contexts tends there."""
    config = json.loads(data.attrs["config"])
    ratios, steps = data["contexts_per_coefficient"].to_numpy(), data["num_steps"].to_numpy()
    figure, (left, right) = figures.panels(2, width=7.4, height=3.9)
    limit = data.sel(dim=infinite_dimension.EXTRAPOLATED)
    for ratio, color, marker in figures.ordered(ratios):
        one = limit.sel(contexts_per_coefficient=ratio)
        figures.curve(left, one, "num_steps", color=color, marker=marker, label=f"{ratio:g} $d$")
        for kind, look in figures.BEST_MARKS.items():
            best = chains.best_length(one, kind)
            if steps[0] < best < steps[-1]:  # at an end of the grid the best is beyond it
                left.plot(best, one[kind].sel(num_steps=best), **look)
    left.plot(steps, limit["predicted_endless_training"][0], color="black", linestyle=":", label="endless")
    left.set(title="extrapolated to $d \\to \\infty$", ylabel="typical error, relative to no step")
    fewest = data.isel(contexts_per_coefficient=0)
    right.plot(steps, fewest["predicted"][-1], color=figures.ordered(ratios)[0][1])
    for dim, color, marker in figures.ordered(data["dim"].to_numpy()[:-1]):
        figures.points(right, steps, fewest.sel(dim=dim), color=color, marker=marker)
        right.plot([], [], color=color, linestyle="", marker=marker, markerfacecolor="white", label=f"$d$ = {dim}")
    right.set(title=f"after {ratios[0]:g} $d$ contexts")
    right.legend(loc="upper left")
    for panel in (left, right):
        panel.set(xscale="log", yscale="log", xlabel=figures.AXIS_LABELS["num_steps"])
        figures.number_ticks(panel, steps)
        lowest, highest = panel.get_ylim()
        if highest < 1000 * lowest:
            figures.plain_log_ticks(panel)
    figures.state(figure, f"$n/d$ = {config['examples_per_coefficient']:g}, $\\sigma$ = {config['label_noise_std']:g}")
    marks = {
        "not judged": {"marker": "o", "linestyle": "", "markersize": 4, "markerfacecolor": "white"},
        **{f"{kind} best depth": look for kind, look in figures.BEST_MARKS.items()},
    }
    figures.key(figure, left, "training contexts", marks=marks)
    return figure


STUDY = Study(
    name="chain-depth",
    question="When does a chain go wrong because its layer has been trained on few contexts?",
    formula=(
        r"$E_t = \langle D^{2t}\rangle + \nu\langle (1-D^t)^2/x\rangle + k\sum_{a,b<t}K_{ab}\langle D^{2t-2-a-b}\rangle,\quad$"
        r"$K_{tu} = \langle (x^2+\nu x)D^{t+u}\rangle + k\sum_{a<t,b<u}K_{ab}\langle x^2D^{t+u-2-a-b}\rangle,"
        r"\quad k = \frac{c(1-c)}{\tau-1}$"
    ),
    presets={
        "quick": QUICK,
        "standard": replace(QUICK, num_tasks=1024, dim=(80, 160, 320)),
        "full": replace(QUICK, num_tasks=4096, dim=(160, 320, 640)),
    },
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    tested={"dim": (60, 120), "contexts_per_coefficient": (3.0,), "num_tasks": 192},
    odd_settings=(
        {"num_steps": (3,), "contexts_per_coefficient": (2.0,)},
        {"contexts_per_coefficient": tuple(np.arange(1.25, 3.25, 0.25)), "dim": (20, 40, 80, 160, 320)},
    ),
)
