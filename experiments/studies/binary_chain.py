"""How fast does a chain of sampled binary thoughts find its coefficients, and at which temperature?"""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.families import fed_back, infinite_dimension
from experiments.families.fed_back import BinaryConfig
from experiments.page import figures
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study

_CHAINS = 4  # of one task, whose errors are averaged

QUICK = BinaryConfig(num_tasks=24, num_coordinates=40_000)


@functools.lru_cache(maxsize=4)
def predict(config: BinaryConfig) -> Prediction:
    """Bit error of the shortest chain, and what further steps change, in infinite dimension.

    The response's memory dropped is a wrong prediction.
    """
    fed_back.check(config)
    chain = fed_back.predicted(config)
    shape = (len(config.dim) + 1, *chain.bit_error.shape)
    forgetful = fed_back.predicted(config, memory=False)
    shortest = chain.bit_error[:, :1]
    return Prediction(
        terms={
            "shortest_chain": np.broadcast_to(shortest, shape),
            "further_steps": np.broadcast_to(chain.bit_error - shortest, shape),
        },
        model_error=np.broadcast_to(chain.bit_error_std, shape),
        judged=fed_back.judged(config.dim, config.num_tasks, chain.bit_error),
        wrong={"without_the_response's_memory": np.broadcast_to(forgetful.bit_error, shape)},
    )


def measure(config: BinaryConfig, seed: int, engine: Engine) -> Measurement:
    """Simulate every dimension; the error of a task is that of one candidate, averaged over four chains."""
    return fed_back.measure(config, seed, engine, _measurement, {})


@functools.lru_cache(maxsize=32)
def _measurement(config: BinaryConfig, dim: int):
    errors = fed_back.answers(config, dim, _each, tuple(range(1, _CHAINS + 1)))
    return lambda key, **point: jnp.mean(errors(key, **point), axis=1)


def _each(key, states, sizes):
    """Return each candidate as a separate answer."""
    return states


def findings(data: xr.Dataset) -> dict:
    """The inverse temperature of least error at the longest chain."""
    last = data.isel(num_steps=-1).sel(dim=infinite_dimension.EXTRAPOLATED)
    return {
        "best inverse_temperature of the longest chain": {
            kind: float(data["inverse_temperature"][int(np.argmin(last[kind].to_numpy()))])
            for kind in ("measured", "predicted")
        }
    }


def draw(data: xr.Dataset) -> Figure:
    """Bit error against the number of steps, extrapolated; and how it tends there as the dimension grows."""
    config = json.loads(data.attrs["config"])
    dims = np.sort(config["dim"]).astype(float)
    steps, betas = data["num_steps"].to_numpy(), data["inverse_temperature"].to_numpy()
    figure, (left, right) = figures.panels(2, width=7.4, height=3.5)
    limit = data.sel(dim=infinite_dimension.EXTRAPOLATED)
    last = data.isel(num_steps=-1)
    for beta, color, marker in figures.ordered(betas):
        figures.curve(left, limit.sel(inverse_temperature=beta), "num_steps", color=color, marker=marker, label=f"{beta:g}")
        one = last.sel(inverse_temperature=beta)
        value = float(one["predicted"][-1])
        right.plot([0, 1 / dims[0]], [value, value], color=color, linewidth=0.8)
        figures.points(right, np.append(1 / dims, 0.0), one, color=color, marker=marker)
    left.set(xlabel=figures.AXIS_LABELS["num_steps"], ylabel="bit error", yscale="log", xscale="log")
    figures.plain_log_ticks(left)
    figures.number_ticks(left, steps)
    right.set(xlabel="1 / dimension $d$", title=f"after {steps[-1]} steps")
    right.set_xticks([0, *1 / dims], labels=["0", *(f"1/{dim:g}" for dim in dims)], rotation=45)
    left.set_title("extrapolated to $d \\to \\infty$")
    figures.state(
        figure,
        f"$n/d$ = {config['examples_per_coefficient']:g}, $\\eta$ = {config['step_size']:g}, "
        f"$\\sigma/\\sqrt{{d}}$ = {config['label_noise_per_coefficient']:g}",
    )
    marks = {"finite $d$, not judged": {"marker": "o", "linestyle": "", "markersize": 4, "markerfacecolor": "white"}}
    figures.key(figure, left, "inverse temperature $\\beta$", marks=marks)
    return figure


STUDY = Study(
    name="binary-chain",
    question="How fast does a chain of sampled binary thoughts find its coefficients, and at which temperature?",
    formula=(
        r"$u_t = w_t + \eta\sum_{s\leq t}\Gamma_{ts}\,(w^*-w_s) + \eta\sqrt{\gamma}\,\zeta_t,\quad$"
        r"$P(w_{t+1}=1) = p_\beta(u_t)\ [\mathrm{logistic:}\ 1/(1+e^{-2\beta u_t})],\quad \Gamma = (1+\gamma\eta G)^{-1}$"
    ),
    presets={
        "quick": QUICK,
        "standard": replace(QUICK, num_tasks=512, num_coordinates=1_000_000),
        "full": replace(QUICK, num_tasks=8192, num_coordinates=4_000_000, dim=(300, 1000, 3000)),
    },
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    odd_settings=(
        {"num_coordinates": 160, "num_steps": (3,)},
        {"num_coordinates": 160, "inverse_temperature": tuple(np.linspace(0.5, 8, 8))},
    ),
)
