"""Do short chains of few candidates tell what long chains of many will bring?

The risks of cheap runs are measured on tasks of their own. Noisy gradient descent is fitted to them, knowing nothing of step
size, noises and signal, and predicts the expensive runs, which are measured on other tasks.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import theory
from experiments.families import chains
from experiments.families.chains import ChainConfig
from experiments.page import figures
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study

SETTINGS = chains.AXES[:3]
FITTED = ("step_size", "signal_var", "label_noise_std", "decoding_noise_std")
DRAWN = ("decoding_noise_std", "num_steps", "num_candidates")
_NO_FIT = theory.planning.ChainFit(4, 4, 0.1, 0.0, 0.0, 0.0, np.zeros((4, 4)), 0.0, 0)


@dataclass(frozen=True)
class CheapConfig(ChainConfig):
    """Settings of the study of what cheap runs predict."""

    cheap_steps: tuple[int, ...] = (1, 2, 3, 4)
    """Chain lengths of the cheap runs."""
    cheap_candidates: tuple[int, ...] = (1, 2, 4)
    """Numbers of averaged candidates of the cheap runs."""


QUICK = CheapConfig(
    num_tasks=6144,
    decoding_noise_std=(0.05, 0.1),
    num_steps=(6, 8, 12, 16, 24, 32, 64),
    num_candidates=(1, 4, 16, 64),
    decoder="gram",
)


def predict(config: CheapConfig) -> Prediction:
    """Predict the expensive runs from the true settings, which the fit does not know; check the settings."""
    known = chains.predict(config, drawn=DRAWN)
    for name, least in (("cheap_steps", 0), ("cheap_candidates", 1)):
        values = getattr(config, name)
        if not values or len(set(values)) < len(values) or min(values) < least:
            raise ValueError(f"{name} must list distinct integers of at least {least}, got {list(values)}")
    num_points = len(config.cheap_steps) * len(config.cheap_candidates)
    if num_points < len(FITTED):
        raise ValueError(f"cheap_steps must list lengths for at least {len(FITTED)} points, got {num_points}")
    if config.num_tasks <= num_points:
        raise ValueError(f"num_tasks must exceed the {num_points} points that are fitted, got {config.num_tasks}")
    if known.judged.any():
        _check_told(config)
    return known


def _check_told(config: CheapConfig) -> None:
    """Raise ValueError if the cheap runs could not identify the parameters even if the theory were exact."""
    points: dict[str, Any] = dict(zip(chains.AXES[3:], _points(config), strict=True))
    settings = {name: getattr(config, name)[0] for name in SETTINGS}
    risks = theory.expected_risk(config.dim, config.num_examples, **settings, **points).total
    theory.planning.fit_chain(risks, 1e-6 * risks**2, config.dim, config.num_examples, **points)


def _points(config: CheapConfig) -> list[np.ndarray]:
    """Length and number of candidates of every cheap run, (P,) each."""
    grid = np.meshgrid(np.sort(config.cheap_steps), np.sort(config.cheap_candidates), indexing="ij")
    return [np.ravel(values) for values in grid]


def measure(config: CheapConfig, seed: int, engine: Engine) -> Measurement:
    """The cheap runs, with the covariance of their risks, and the expensive ones, on other tasks."""
    engine.expect(2, combined=2)
    cheap_key, expensive_key = jax.random.split(jax.random.key(seed))
    cheap = _cheap(config, cheap_key, engine)
    return replace(chains.measure_with(expensive_key, config, engine), details=cheap)


def _cheap(config: CheapConfig, key: Array, engine: Engine) -> dict[str, xr.DataArray]:
    """Return mean risks of the P cheap runs, their covariance, their lengths and their numbers of candidates."""
    lengths, numbers = tuple(sorted(config.cheap_steps)), tuple(sorted(config.cheap_candidates))
    everyone = np.arange(len(lengths) * len(numbers) + 1)
    moments = engine.sweep(
        key,
        _moments(config.dim, config.num_examples, config.decoder, lengths, numbers),
        {name: np.sort(getattr(config, name)) for name in SETTINGS},
        reused_axes={"one": everyone, "other": everyone},
        num_tasks=config.num_tasks,
    )
    mean = moments.mean[..., 0, 1:]
    products = moments.mean[..., 1:, 1:] - mean[..., :, None] * mean[..., None, :]
    steps, candidates = _points(config)
    return {
        "cheap_steps": xr.DataArray(steps, dims="cheap"),
        "cheap_candidates": xr.DataArray(candidates, dims="cheap"),
        "cheap_measured": xr.DataArray(mean, dims=(*SETTINGS, "cheap")),
        "cheap_covariance": xr.DataArray(products / max(moments.num_tasks - 1, 1), dims=(*SETTINGS, "cheap", "other_cheap")),
    }


@functools.lru_cache(maxsize=16)
def _moments(
    dim: int, num_examples: int, decoder: str, num_steps: tuple[int, ...], num_candidates: tuple[int, ...]
) -> Callable[..., Any]:
    """Products (1 + P, 1 + P) of one task's risks and one: their averages are first and second moments."""
    measurement = chains.measurement(dim, num_examples, decoder, num_steps, num_candidates)

    def products(key, **settings):
        risks = jnp.ravel(measurement(key, **settings))
        listed = jnp.concatenate([jnp.ones_like(risks[:1]), risks])
        return jnp.outer(listed, listed)

    return products


def predict_from(config: CheapConfig, measurement: Measurement) -> tuple[Prediction, dict[str, np.ndarray | xr.DataArray]]:
    """Predict the expensive runs from the cheap ones; return the fitted parameters too."""
    dim, num_examples = config.dim, config.num_examples
    cheap = {name: np.asarray(values) for name, values in measurement.details.items()}
    points: dict[str, Any] = {"num_steps": cheap["cheap_steps"], "num_candidates": cheap["cheap_candidates"]}
    asked = np.meshgrid(*(measurement.axes[name] for name in points), indexing="ij")
    wanted: dict[str, Any] = dict(zip(points, asked, strict=True))
    known, mean = predict(config), cheap["cheap_measured"]
    shape = mean.shape[:-1]
    found: dict[str, list] = {name: [] for name in ("terms", "error", "low", "high", "fitted", "spread", "misfit", "power")}
    for place in np.ndindex(shape):
        holds = known.judged[place].all()  # or contexts that diverge rule the mean, and nothing is fitted
        spread = cheap["cheap_covariance"][place]
        fit = theory.planning.fit_chain(mean[place], spread, dim, num_examples, **points) if holds else _NO_FIT
        further = theory.planning.extrapolated_risk(fit, **wanted)
        fitted = {name: getattr(fit, name) for name in FITTED}
        neglected = theory.chains.expected_risk_next_order(dim, num_examples, **wanted, **fitted)
        error = np.hypot(further.standard_error, np.sum(np.abs(neglected), axis=0))
        power = _power_law(mean[place], points, wanted)
        row = further.risk, error, further.low, further.high, [*fitted.values()], _errors(fit), fit.misfit, power
        for values, value in zip(found.values(), row, strict=True):
            values.append(np.where(holds, value, np.nan))
    arrays = {name: np.reshape(values, (*shape, *np.shape(values)[1:])) for name, values in found.items()}
    prediction = Prediction(
        terms=dict(zip(theory.results.RiskTerms._fields, np.moveaxis(arrays["terms"], len(shape), 0), strict=True)),
        model_error=arrays["error"],
        judged=known.judged,
        warnings=known.warnings,
        wrong={"with_no_further_gain": mean[..., -1, None, None], "with_a_power_law": arrays["power"]},
        beside={"told_the_settings": np.sum([*known.terms.values()], axis=0)},
    )

    def of_fit(values: np.ndarray) -> xr.DataArray:
        return xr.DataArray(values, {"parameter": list(FITTED)}, (*SETTINGS, "parameter"))

    details: dict[str, np.ndarray | xr.DataArray] = {
        "interval_low": arrays["low"],
        "interval_high": arrays["high"],
        "fitted": of_fit(arrays["fitted"]),
        "fitted_standard_error": of_fit(arrays["spread"]),
        "misfit": xr.DataArray(arrays["misfit"], dims=SETTINGS),
    }
    return prediction, details


def _errors(fit: theory.planning.ChainFit) -> list[float]:
    """Standard errors of the fitted numbers; a standard deviation's from that of its square."""
    step_size, signal_var, *of_squares = np.sqrt(np.diag(fit.covariance)).tolist()
    values = fit.label_noise_std, fit.decoding_noise_std
    of_roots = (min(error**0.5, error / max(2 * value, 1e-300)) for value, error in zip(values, of_squares, strict=True))
    return [step_size, signal_var, *of_roots]


def _power_law(mean: np.ndarray, points: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> np.ndarray:
    """Predict by powers of T and N fitted to the same risks."""

    def logarithms(grid: dict[str, np.ndarray]) -> np.ndarray:
        return np.stack([np.ones(np.shape(grid["num_steps"])), np.log1p(grid["num_steps"]), np.log(grid["num_candidates"])], -1)

    powers = np.linalg.lstsq(logarithms(points), np.log(mean), rcond=None)[0]
    return np.exp(logarithms(wanted) @ powers)


def findings(data: xr.Dataset) -> dict:
    """Return fitted and true parameters, the best lengths, and the cost of the cheap runs relative to the expensive ones."""
    config = json.loads(data.attrs["config"])
    fits, lengths = [], []
    for place in np.ndindex(*(data.sizes[name] for name in SETTINGS)):
        one = data.isel(dict(zip(SETTINGS, place, strict=True)))
        if not one["judged"].all():
            continue
        true = {**{name: float(one[name]) for name in SETTINGS}, "signal_var": 1 / config["dim"]}
        columns = FITTED, one["fitted"].to_numpy(), one["fitted_standard_error"].to_numpy()
        words = {name: f"{value:.4g} ± {error:.2g} (is {true[name]:g})" for name, value, error in zip(*columns, strict=True)}
        fits.append({**words, "sum of squares": f"{float(one['misfit']):.1f}, expected {one.sizes['cheap'] - len(FITTED)}"})
        best = {name: chains.best_length(one, name).to_numpy() for name in ("measured", "predicted")}
        for column, number in enumerate(one["num_candidates"].to_numpy()):
            found = {name: int(values[column]) for name, values in best.items()}
            lengths.append({"decoding_noise_std": true["decoding_noise_std"], "num_candidates": int(number), **found})
    passes = {name: max(config[f"{name}_steps"]) * max(config[f"{name}_candidates"]) for name in ("num", "cheap")}
    off = float(abs(data["measured"] / data["predicted"] - 1).where(data["judged"] == 1).max())
    return {
        "fitted": fits,
        "best num_steps": lengths,
        "passes of a task": f"{passes['num']} in the most expensive run, {passes['cheap']} in all cheap ones together",
        **({"farthest from its prediction": f"{off:.1%}"} if fits else {}),
    }


def draw(data: xr.Dataset) -> Figure:
    """Risk against length, cheap runs first, at the least and the most decoding noise; then how far predictions are off."""
    data = data.isel(step_size=0, label_noise_std=0)
    noises = data["decoding_noise_std"].to_numpy()
    shown, is_predicted = sorted({0, len(noises) - 1}), bool(data["judged"].all())
    num_panels = len(shown) + is_predicted
    figure, axes = figures.panels(num_panels, width=max(2.9 * num_panels, 4.0), height=3.6)
    for place, panel in zip(shown, axes, strict=False):
        one = data.isel(decoding_noise_std=place)
        _draw_risks(panel, one)
        panel.set_title(f"$\\tau$ = {noises[place]:g}")
    axes[0].set_ylabel(figures.RISK_LABEL)
    _draw_deviations(axes[-1], data.isel(decoding_noise_std=-1))
    axes[-1].set_title(f"how far off, $\\tau$ = {noises[-1]:g}")
    figures.held_fixed(figure, data)
    figures.key(figure, axes[0], figures.AXIS_LABELS["num_candidates"], marks={"cheap runs": {**_CHEAP, "linestyle": ""}})
    return figure


_CHEAP: dict[str, Any] = {"marker": "x", "markersize": 5, "color": "black"}


def _draw_risks(panel: Axes, data: xr.Dataset) -> None:
    """Draw one noise: fitted points, prediction and measurement."""
    config = json.loads(data.attrs["config"])
    lengths = np.unique(np.geomspace(1, max(data["num_steps"].max(), data["cheap_steps"].max()), 60).astype(int))
    fitted = dict(zip(FITTED, data["fitted"].to_numpy(), strict=True))
    for number, color, marker in figures.ordered(data["num_candidates"].to_numpy()):
        if data["judged"].all():
            line = theory.expected_risk(
                config["dim"], config["num_examples"], num_steps=lengths, num_candidates=number, **fitted
            )
            panel.plot(lengths, line.total, color=color)
        one = data.sel(num_candidates=number)
        figures.points(panel, one["num_steps"].to_numpy(), one, color=color, marker=marker)
        panel.plot([], [], color=color, marker=marker, label=f"{number}")
    panel.plot(data["cheap_steps"], data["cheap_measured"], linestyle="", zorder=5, **_CHEAP)
    panel.axvspan(0.8, 1.2 * float(data["cheap_steps"].max()), color="0.93", zorder=0)
    panel.set(xscale="log", yscale="log", xlabel=figures.AXIS_LABELS["num_steps"], xlim=(0.8, lengths[-1] * 1.2))
    figures.plain_log_ticks(panel)
    figures.number_ticks(panel, 2 ** np.arange(int(lengths[-1]).bit_length()))


def _draw_deviations(panel: Axes, data: xr.Dataset) -> None:
    """Measured over predicted, in percent, with the interval of the prediction."""
    lengths = data["num_steps"].to_numpy()
    for number, color, marker in figures.ordered(data["num_candidates"].to_numpy()):
        one = data.sel(num_candidates=number)
        low, high = (100 * (one[name] / one["predicted"] - 1) for name in ("interval_low", "interval_high"))
        panel.fill_between(lengths, low, high, color=color, alpha=0.15, linewidth=0)
        off = one.assign(
            measured=100 * (one["measured"] / one["predicted"] - 1),
            standard_error=100 * one["standard_error"] / one["predicted"],
        )
        figures.points(panel, lengths, off, color=color, marker=marker)
    panel.axhline(0, color="0.3", linewidth=0.8)
    panel.set(xscale="log", xlabel=figures.AXIS_LABELS["num_steps"], ylabel="measured over predicted, %")
    figures.number_ticks(panel, lengths)


STUDY = Study(
    name="cheap-to-expensive",
    question="Do short chains of few candidates tell what long chains of many will bring?",
    formula=r"$(\hat\eta, \hat\psi, \hat\sigma, \hat\tau) = \arg\min\ r^T C^{-1} r,$"
    r"$\quad r = \mathrm{risks\ of\ cheap\ runs} - E\,R(T, N);$"
    "\n" + chains.RISK_FORMULA,
    presets={"quick": QUICK, "standard": replace(QUICK, num_tasks=131_072), "full": replace(QUICK, num_tasks=1_048_576)},
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    predict_from=predict_from,
    tested={"decoding_noise_std": (0.05,), "num_steps": (6, 12, 32), "num_candidates": (1, 16)},
    odd_settings=chains.ODD_SETTINGS,
)
