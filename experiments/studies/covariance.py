"""How does the spectrum of the inputs decide how fast a chain of thought learns?"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import theory
import ttc_jax
from experiments.families import chains, selection
from experiments.page import figures
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study

LEVEL = 1e-4
"""Accepted probability that a context diverges, on the scale of a formula that overestimates it."""


@dataclass(frozen=True)
class CovarianceConfig:
    """Settings of the study of power-law inputs."""

    num_tasks: int
    """Number of independent tasks, at least 2."""
    dim: int = 48
    """Number of coefficients d."""
    num_examples: tuple[int, ...] = (24, 48, 96)
    """Numbers of in-context examples n."""
    exponent: tuple[float, ...] = (0.5, 1.0, 1.5)
    """Exponents a of the inputs' variances i^-a."""
    prior_exponent: float = 0.0
    """Exponent of the coefficients' variances i^-b / d."""
    step_size: float = 0.6
    """Step size of the gradient step."""
    label_noise_std: float = 0.3
    """Standard deviation of the noise in the targets."""
    decoding_noise_std: float = 0.03
    """Standard deviation of the noise injected into every coordinate of every thought."""
    num_steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """Chain lengths T."""
    num_candidates: int = 4
    """Number of averaged candidates N."""


QUICK = CovarianceConfig(num_tasks=2048)


def _prior(config: CovarianceConfig) -> np.ndarray:
    return np.arange(1, config.dim + 1) ** -float(config.prior_exponent) / config.dim


def _spectra(config: CovarianceConfig) -> list[ttc_jax.PowerLaw]:
    return [ttc_jax.PowerLaw(exponent) for exponent in sorted(config.exponent)]


@functools.lru_cache(maxsize=4)
def predict(config: CovarianceConfig) -> Prediction:
    """Leading order and first correction, with the square of their ratio as the relative size of the neglected orders."""
    selection.check(config)
    sizes, steps = np.sort(config.num_examples), np.sort(config.num_steps)
    chain: dict[str, Any] = {
        "num_steps": steps,
        "step_size": config.step_size,
        "label_noise_std": config.label_noise_std,
        "decoding_noise_std": config.decoding_noise_std,
        "num_candidates": config.num_candidates,
        "prior_variances": _prior(config),
    }
    rows: list[list[tuple]] = []
    unsafe = []
    for spectrum in _spectra(config):
        rows.append([])
        for size in sizes:
            eigenvalues = spectrum.eigenvalues(config.dim)
            leading = theory.expected_risk_covariance(eigenvalues, size, **chain)
            further = theory.chains.expected_risk_covariance_next_order(eigenvalues, size, **chain)
            left = sum(_neglected(term, term_1) for term, term_1 in zip(leading, further, strict=True))
            probability = float(theory.chains.divergence_probability_covariance(eigenvalues, size, config.step_size))
            if probability > LEVEL:
                unsafe.append(f"exponent {spectrum.exponent:g}, num_examples {size} ({probability:.2g})")
            rows[-1].append((*(np.array(leading) + np.array(further)), left, np.full(steps.shape, probability <= LEVEL)))
    bias, label, decoding, left, judged = np.moveaxis(np.array(rows), 2, 0)
    warning = f"{', '.join(unsafe)}: the probability in brackets that a context diverges exceeds {LEVEL:g}; not judged"
    return Prediction(
        terms={"bias": bias, "label_noise": label, "decoding_noise": decoding},
        model_error=left,
        judged=judged.astype(bool),
        warnings=(warning,) if unsafe else (),
    )


def _neglected(leading: np.ndarray, further: np.ndarray) -> np.ndarray:
    """Size of what follows two orders, were the orders a geometric series; at most that of the second."""
    return np.abs(further) * np.minimum(np.abs(further) / np.maximum(np.abs(leading), 1e-300), 1.0)


def measure(config: CovarianceConfig, seed: int, engine: Engine) -> Measurement:
    """Simulate every size; its spectra share their random numbers, and one rollout serves all chain lengths."""
    exponents, sizes, steps = np.sort(config.exponent), np.sort(config.num_examples), tuple(np.sort(config.num_steps).tolist())
    engine.expect(len(sizes))
    found = []
    for size in sizes:
        result = engine.sweep(
            jax.random.key(seed),
            _measurement(config.dim, int(size), config.prior_exponent, steps, config.num_candidates),
            {"exponent": exponents, **{name: [getattr(config, name)] for name in selection.SWEPT}},
            reused_axes={"num_steps": steps},
            num_tasks=config.num_tasks,
        )
        found.append([part[:, 0, 0, 0] for part in (result.mean, result.standard_error, result.effective_tasks)])
    mean, error, effective = np.moveaxis(np.array(found), [0, 1], [2, 0])  # (exponents, sizes, steps) each
    axes = {"exponent": exponents, "num_examples": sizes, "num_steps": np.array(steps)}
    return Measurement(axes, mean, error, effective)


@functools.lru_cache(maxsize=32)
def _measurement(dim: int, num_examples: int, prior_exponent: float, steps: tuple[int, ...], num_candidates: int):
    """Risks of one task at one exponent, shape (steps,); the exponent is traced, so that one program serves all."""
    index = np.arange(1.0, dim + 1)
    prior = ttc_jax.GaussianPrior(tuple((index**-prior_exponent / dim).tolist()))

    def risks(key, *, exponent, step_size, label_noise_std, decoding_noise_std):
        coefficients_key, context_key, chain_key = jax.random.split(key, 3)
        eigenvalues = index**-exponent
        coefficients = prior.sample(coefficients_key, dim, eigenvalues.dtype)
        drawn = coefficients, eigenvalues, num_examples
        context = ttc_jax.sample_context(context_key, *drawn, label_noise_std=label_noise_std)
        task = ttc_jax.Task(coefficients, eigenvalues, label_noise_std, context)
        asked = {"num_steps": steps, "num_candidates": (num_candidates,), "decoding_noise_std": decoding_noise_std}
        return ttc_jax.averaged_risk(chain_key, task, ttc_jax.decoders.gram(step_size), **asked)[:, 0]

    return risks


def findings(data: xr.Dataset) -> dict:
    """Measured and predicted best length on the grid for each spectrum and size."""
    best = {name: chains.best_length(data, name) for name in ("measured", "predicted")}
    return {
        "best num_steps": [
            {
                "exponent": float(exponent),
                "num_examples": int(size),
                **{name: int(where.sel(exponent=exponent, num_examples=size)) for name, where in best.items()},
            }
            for exponent in data["exponent"].to_numpy()
            for size in data["num_examples"].to_numpy()
        ]
    }


def draw(data: xr.Dataset) -> Figure:
    """Risk against chain length for each exponent, one panel a number of examples."""
    config = json.loads(data.attrs["config"])
    sizes, exponents = data["num_examples"].to_numpy()[::-1], data["exponent"].to_numpy()
    figure, axes = figures.panels(len(sizes), width=max(5.0, 2.5 * len(sizes)), height=3.5, sharey=True)
    for panel, size in zip(axes, sizes, strict=True):
        for exponent, color, marker in figures.ordered(exponents):
            one = data.sel(num_examples=size, exponent=exponent)
            figures.curve(panel, one, "num_steps", color=color, marker=marker, label=f"{exponent:g}")
        panel.set(xscale="log", yscale="log", xlabel=figures.AXIS_LABELS["num_steps"])
        panel.set_title(f"$n$ = {size}, $\\gamma$ = {config['dim'] / size:g}")
        figures.plain_log_ticks(panel)
        figures.number_ticks(panel, data["num_steps"].to_numpy())
    axes[0].set_ylabel(figures.RISK_LABEL)
    figures.state(
        figure,
        f"$d$ = {config['dim']}, $\\eta$ = {config['step_size']:g}, $\\sigma$ = {config['label_noise_std']:g}, "
        f"$\\tau$ = {config['decoding_noise_std']:g}, $N$ = {config['num_candidates']} averaged",
    )
    figures.key(figure, axes[0], "variances $i^{-a}$ with exponent $a$")
    return figure


STUDY = Study(
    name="covariance",
    question="How does the spectrum of the inputs decide how fast a chain of thought learns?",
    formula=(
        r"$E\,R = E\,\mathrm{tr}(H A^T \Psi A^T) + \frac{\sigma^2}{n} E\,\mathrm{tr}(H Q \hat{H} Q)"
        r" + \frac{\tau^2}{N} E\,\mathrm{tr}(H S),$"
        r"$\quad z(\hat{H}-z)^{-1} \asymp -\kappa(H+\kappa)^{-1},"
        r"\quad \kappa(1-\frac{1}{n}\sum\frac{\lambda_i}{\lambda_i+\kappa}) = -z$"
    ),
    presets={"quick": QUICK, "standard": replace(QUICK, num_tasks=32_768), "full": replace(QUICK, num_tasks=524_288)},
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    odd_settings=(
        {"exponent": (1.0,), "num_examples": (24,)},
        {"exponent": tuple(np.linspace(0.5, 2, 8)), "num_steps": (1, 2)},
    ),
)
