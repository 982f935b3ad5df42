"""How should a budget of transformer passes be split between longer chains and more candidates?"""

from __future__ import annotations

import functools
import itertools
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
from experiments.families import selection
from experiments.families.selection import Chooser, Setting
from experiments.page import figures
from experiments.run import agreement
from experiments.run.engine import Engine
from experiments.run.study import Measurement, Prediction, Study

FACTORS = (0.5, 0.7, 1.0, 1.4, 2.0)
"""Chain lengths beside the predicted best one, in its units."""


@dataclass(frozen=True)
class AllocationConfig:
    """Settings of the study of a budget of passes."""

    num_tasks: int
    """Number of independent tasks, at least 2."""
    budget: tuple[int, ...] = (16, 64, 256)
    """Numbers of transformer passes C, the number of steps times the number of candidates."""
    dim: int = 10
    """Number of coefficients d."""
    num_examples: int = 20
    """Number of in-context examples n."""
    step_size: float = 0.3
    """Step size of the gradient step."""
    label_noise_std: float = 0.5
    """Standard deviation of the noise in the targets."""
    decoding_noise_std: float = 0.1
    """Standard deviation of the noise injected into every coordinate of every thought."""
    held_out_examples: int = 20
    """Fresh examples m of the held-out loss."""
    num_contexts: int = 128
    """Contexts over which the exact risk given a context is averaged."""
    context_seed: int = 0
    """Seed of those contexts."""


QUICK = AllocationConfig(num_tasks=4096)


def chosen_by(config: AllocationConfig) -> tuple[Chooser, ...]:
    """Averaging, the oracle, and a held-out loss."""
    return (selection.AVERAGE, selection.ORACLE, selection.held_out(config.held_out_examples))


def _setting(config: AllocationConfig, num_steps: int = 1) -> Setting:
    return Setting(
        config.dim, config.num_examples, num_steps, config.step_size, config.label_noise_std, config.decoding_noise_std
    )


def _swept(config: dict[str, Any]) -> dict[str, Any]:
    return {name: config[name] for name in selection.SWEPT}


@functools.lru_cache(maxsize=4)
def splits(config: AllocationConfig) -> np.ndarray:
    """Chain lengths and numbers of candidates (2, choosers, budgets, splits): the predicted best split and its neighbours.

    Every other split spends what its length allows.
    """
    selection.check(config)
    selection.check_stable(_setting(config))
    budgets = np.sort(config.budget)
    if budgets[0] < len(FACTORS):
        raise ValueError(f"budget must be an integer of at least {len(FACTORS)}, got {budgets[0]}")
    drawn: dict[str, Any] = {"num_contexts": config.num_contexts, "seed": config.context_seed}
    rows = []
    for way in chosen_by(config):
        best = theory.best_allocation(
            budgets, config.dim, config.num_examples, **_swept(vars(config)), verifier=way.verifier, **drawn
        )
        for budget, steps, number in zip(budgets, best.num_steps, best.num_candidates, strict=True):
            lengths = _around(int(steps), int(budget))
            numbers = budget // lengths
            numbers[FACTORS.index(1.0)] = number
            rows.append((lengths, numbers))
    return np.moveaxis(np.array(rows), 1, 0).reshape(2, -1, len(budgets), len(FACTORS))


def _around(best: int, budget: int) -> np.ndarray:
    """Distinct affordable lengths around the best one: its multiples, or else its neighbours."""
    multiples = np.round(best * np.array(FACTORS)).astype(int)
    others = np.setdiff1d(np.arange(1, budget + 1), [best])
    nearest = others[np.argsort(np.abs(np.log(others / best)), kind="stable")]
    wanted = [*dict.fromkeys([*np.intersect1d(multiples, others), *nearest])][: len(FACTORS) - 1]
    middle = FACTORS.index(1.0)
    return np.insert(np.sort(wanted), middle, best)


@functools.lru_cache(maxsize=4)
def predict(config: AllocationConfig) -> Prediction:
    """The risk of every split; without what choosing adds to one candidate as its second term."""
    lengths, numbers = splits(config)
    drawn: dict[str, Any] = {"num_contexts": config.num_contexts, "seed": config.context_seed}
    risk, error, single = np.empty(lengths.shape), np.empty(lengths.shape), np.empty(lengths.shape)
    for place, way in enumerate(chosen_by(config)):
        listed, wanted = np.unique(lengths[place]), tuple(np.unique([1, *numbers[place].ravel()]).tolist())
        for steps in listed:
            found = selection.predict(_setting(config, int(steps)), way, wanted, **drawn)
            here = lengths[place] == steps
            column = np.searchsorted(wanted, numbers[place][here])
            risk[place][here], error[place][here], single[place][here] = found.risk[column], found.error[column], found.risk[0]
    settings = [_setting(config)]
    return Prediction(
        terms={"one_candidate": single, "choice": risk - single},
        model_error=error,
        judged=selection.judged(settings, risk.shape),
        warnings=selection.warnings(settings),
    )


def measure(config: AllocationConfig, seed: int, engine: Engine) -> Measurement:
    """Simulate every split, and on the same tasks and noise how much worse it is than the predicted best one."""
    lengths, numbers = splits(config)
    ways = chosen_by(config)
    engine.expect(len(ways))
    found = []
    for place, way in enumerate(ways):
        pairs = tuple(zip(lengths[place].ravel().tolist(), numbers[place].ravel().tolist(), strict=True))
        result = engine.sweep(
            jax.random.key(seed),
            _measurement(config.dim, config.num_examples, way, pairs, len(FACTORS)),
            {name: [value] for name, value in _swept(vars(config)).items()},
            reused_axes={"quantity": (0, 1), "pair": np.arange(len(pairs))},
            num_tasks=config.num_tasks,
        )
        found.append((result.mean[0, 0, 0], result.standard_error[0, 0, 0], result.effective_tasks[0, 0, 0]))
    shape = (3, 2, len(ways), len(config.budget), len(FACTORS))  # of risk and excess
    (mean, more), (error, more_error), (effective, _) = np.moveaxis(np.array(found), 0, 2).reshape(shape)
    axes = {
        "chooser": np.array([way.name for way in ways]),
        "budget": np.sort(config.budget),
        "split": np.array(FACTORS),
    }
    # By how many standard errors a split is better than the predicted best one, which is no better than itself.
    against = -np.divide(more, more_error, out=np.zeros_like(more), where=more != 0)
    details = {"num_steps": lengths, "num_candidates": numbers, "against": against}
    return Measurement(axes, mean, error, effective, details)


@functools.lru_cache(maxsize=32)
def _measurement(dim: int, num_examples: int, way: Chooser, pairs: tuple[tuple[int, int], ...], num_splits: int):
    """Risks of one task at every pair of length and number, and what each exceeds the best split of its budget by."""
    task_config = ttc_jax.TaskConfig(dim, num_examples)
    steps, numbers = (tuple(sorted({pair[part] for pair in pairs})) for part in (0, 1))
    rows, columns = np.array([(steps.index(length), numbers.index(number)) for length, number in pairs]).T
    best = FACTORS.index(1.0)

    def risks(key, *, step_size, label_noise_std, decoding_noise_std):
        task_key, chain_key = jax.random.split(key)
        task = ttc_jax.sample_task(task_key, task_config, label_noise_std=label_noise_std)
        decoder = ttc_jax.decoders.gram(step_size)
        asked = {"num_steps": steps, "num_candidates": numbers, "decoding_noise_std": decoding_noise_std}
        if way.verifier is None:
            grid = ttc_jax.averaged_risk(chain_key, task, decoder, **asked)
        else:
            grid = ttc_jax.selected_risk(
                chain_key, task, decoder, lambda key, candidates: selection.scores(key, way, candidates, task), **asked
            )
        at_pairs = grid[rows, columns]
        by_budget = at_pairs.reshape(-1, num_splits)
        return jnp.stack([at_pairs, (by_budget - by_budget[:, best : best + 1]).ravel()])

    return risks


def better_splits(data: xr.Dataset) -> list[dict]:
    """Splits that are measurably better than the predicted best one of their budget, corrected for their number."""
    better = agreement.refuted(data)
    return [
        {str(dim): data[dim].to_numpy()[index].item() for dim, index in zip(better.dims, place, strict=True)}
        for place in np.argwhere(better.to_numpy())
    ]


def findings(data: xr.Dataset) -> dict:
    """Return the predicted best splits, and whether a neighbouring split is measurably better."""
    best = data.sel(split=1.0)
    rows = [
        {
            "by": str(name),
            "budget": int(budget),
            "num_steps": int(best["num_steps"].sel(chooser=name, budget=budget)),
            "num_candidates": int(best["num_candidates"].sel(chooser=name, budget=budget)),
            "risk": round(float(best["predicted"].sel(chooser=name, budget=budget)), 4),
        }
        for name in best["chooser"].to_numpy()
        for budget in best["budget"].to_numpy()
    ]
    config = json.loads(data.attrs["config"])
    tuned = theory.best_allocation(
        data["budget"].to_numpy(), config["dim"], config["num_examples"], **_swept(config), tune=("step_size",)
    )
    steps = {
        int(budget): round(float(step), 4) for budget, step in zip(data["budget"].to_numpy(), tuned.step_size, strict=True)
    }
    gain = {int(budget): round(float(risk), 4) for budget, risk in zip(data["budget"].to_numpy(), tuned.risk, strict=True)}
    return {
        "best split": rows,
        "measurably better splits": better_splits(data) or "none",
        "averaging with the best step size, by budget": [{"step_size": steps, "risk": gain}],
    }


def draw(data: xr.Dataset) -> Figure:
    """Draw the predicted risk over T and N with lines of equal budget, the frontier, and the neighbours of the best split."""
    config = json.loads(data.attrs["config"])
    budgets, names = data["budget"].to_numpy(), [str(name) for name in data["chooser"].to_numpy()]
    figure, axes = figures.panels(3, width=9.4, height=3.8)
    longest = max(40, 2 * int(data["num_steps"].max()))
    steps = np.unique(np.round(np.geomspace(1, longest, 60)).astype(int))
    numbers = np.unique(np.round(np.geomspace(1, budgets.max(), 60)).astype(int))
    chain = {"num_steps": steps, "num_candidates": numbers[:, None], **_swept(config)}
    risk = theory.expected_risk(config["dim"], config["num_examples"], **chain).total
    levels = np.geomspace(risk.min(), min(risk.max(), 20 * risk.min()), 15)
    filled = axes[0].contourf(steps, numbers, risk, levels, cmap="viridis_r", norm="log", extend="max")
    bar = figure.colorbar(filled, ax=axes[0], ticks=levels[::3], format="%.2g")
    bar.minorticks_off()
    axes[0].set_title("excess risk of the average")
    axes[0].grid(visible=False)
    for budget, style in zip(budgets, itertools.cycle(("-", "--", ":", "-.")), strict=False):
        axes[0].plot(steps, budget / steps, color="white", linestyle=style, linewidth=1)
        axes[0].annotate(f"$C$ = {budget}", (1.15, budget / 1.15), color="white", fontsize=7, rotation=-35, va="top")
    average = data.sel(chooser="average", split=1.0)
    axes[0].plot(average["num_steps"], average["num_candidates"], "o", color="white", markeredgecolor="black", markersize=6)
    axes[0].set(xscale="log", yscale="log", xlim=(1, longest), ylim=(1, budgets.max()))
    axes[0].set(xlabel=figures.AXIS_LABELS["num_steps"], ylabel="number of candidates $N$")
    figures.number_ticks(axes[0], np.array([t for t in (1, 3, 10, 30, 100, 300) if t <= longest]))

    for name, color, marker in figures.distinct(names):
        one = data.sel(chooser=name)
        figures.curve(axes[1], one.sel(split=1.0), "budget", color=color, marker=marker, label=name)
        last = one.isel(budget=-1)
        relative = last.assign(
            {key: last[key] / last["predicted"].sel(split=1.0) for key in ("predicted", "measured", "standard_error")}
        )
        order = relative.sortby("num_steps").swap_dims(split="num_steps")
        figures.curve(axes[2], order, "num_steps", color=color, marker=marker)
    axes[1].set(xscale="log", yscale="log", xlabel="budget $C$ (passes)", ylabel=figures.RISK_LABEL, title="best split")
    figures.plain_log_ticks(axes[1])
    figures.number_ticks(axes[1], budgets)
    axes[2].set(xscale="log", xlabel=figures.AXIS_LABELS["num_steps"], ylabel="excess risk / that of the best split")
    axes[2].set_title(f"splits of $C$ = {budgets[-1]}")
    figures.number_ticks(axes[2], np.array([t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500) if t <= longest]))
    figures.state(
        figure,
        f"$d$ = {config['dim']}, $n$ = {config['num_examples']}, $\\eta$ = {config['step_size']:g}, "
        f"$\\sigma$ = {config['label_noise_std']:g}, $\\tau$ = {config['decoding_noise_std']:g}",
    )
    marks = {
        "best split of averaging": {"marker": "o", "linestyle": "", "markerfacecolor": "white", "markeredgecolor": "black"}
    }
    figures.key(figure, axes[1], "one estimate of $N$ candidates by", marks=marks)
    return figure


STUDY = Study(
    name="allocation",
    question="How should a budget of transformer passes be split between longer chains and more candidates?",
    formula=r"$(T^*, N^*) = \mathrm{argmin}_{\,T N \leq C}\; E\,R(T, N)$",
    presets={
        "quick": QUICK,
        "standard": replace(QUICK, num_tasks=65_536, num_contexts=1024),
        "full": replace(QUICK, num_tasks=1_048_576, num_contexts=16_384),
    },
    predict=predict,
    measure=measure,
    draw=draw,
    findings=findings,
    tested={"budget": (64,)},
    odd_settings=(
        {"budget": (8,), "num_contexts": 8},
        {"budget": (16, 32, 64, 128, 1000), "num_contexts": 8},
    ),
)
