"""Best split of a budget of transformer passes between longer chains and more candidates, with step size and noise."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from theory._arguments import Count, Instance, Number, Size, described, host_only
from theory.chains.isotropic import expected_risk
from theory.chains.stability import check_stable, edge_of_stability, largest_stable_step
from theory.results import Estimate
from theory.selection.over_contexts import ContextLoss, HeldOutLoss, Oracle, Verifier, expected_best_of_n_risk

_BELOW_EDGE = 0.999  # share of the edge of stability that tuning may reach
_RATIO = 1.5  # of neighbouring chain lengths on the first, coarse ladder
_ROUNDS = 8  # of alternating between the split and the tuned values
_TUNABLE = ("step_size", "decoding_noise_std")


class Allocation(NamedTuple):
    """The best split of each budget, with the risk there; arrays of the budget's shape.

    Attributes:
        num_steps: T.
        num_candidates: N, with N T at most the budget.
        step_size: eta, as given or tuned.
        decoding_noise_std: tau, as given or tuned.
        risk: predicted excess risk.
        standard_error: of the risk over contexts; zero for averaging, whose risk is in closed form.
    """

    num_steps: Any
    num_candidates: Any
    step_size: Any
    decoding_noise_std: Any
    risk: Any
    standard_error: Any


@host_only(
    budget=Count(1, plain=True),
    dim=Size(),
    num_examples=Size(),
    step_size=Number(0.0, open_ends=True),
    label_noise_std=Number(0.0),
    decoding_noise_std=Number(0.0),
    signal_var=Number(0.0),
    verifier=Instance((Oracle, ContextLoss, HeldOutLoss)),
    num_contexts=Size(8),
    seed=Size(0),
)
def best_allocation(
    budget: ArrayLike,
    dim: int,
    num_examples: int,
    *,
    step_size: float,
    label_noise_std: float,
    decoding_noise_std: float,
    signal_var: float | None = None,
    verifier: Verifier | None = None,
    tune: Sequence[str] = (),
    num_contexts: int = 256,
    seed: int = 0,
) -> Allocation:
    r"""The number of steps T and of candidates N of least predicted risk among those that cost at most C passes, T N <= C.

    A step of one candidate is one pass of the transformer; a verifier's own work is not counted. Candidates are averaged, with
    risk :func:`theory.expected_risk`, or the best of them is chosen by a verifier, with risk
    :func:`theory.selection.expected_best_of_n_risk`. More candidates can hurt under a bad verifier, so that N may stay below C
    / T.

    Lengths are searched on a ladder of ratio 1.5 and then one by one around its best; numbers of candidates on a ladder of
    ratio 1.1, and at C / T. Tuned values are moved by gradient (L-BFGS, in logarithms), in turn with the split, until the split
    stands still: a local optimum, from the values given. The tuned step size stays below :func:`theory.largest_stable_step`.
    Averaging is best without decoding noise, so tuning gives zero.

    Args:
        budget: C >= 1, any shape; an increasing array gives the frontier, risk against budget.
        dim: d >= 1.
        num_examples: n >= 1.
        step_size: eta > 0, below the edge of stability; where tuning starts, if it is tuned.
        label_noise_std: sigma >= 0.
        decoding_noise_std: tau >= 0; where tuning starts, if it is tuned.
        signal_var: psi >= 0; 1/d if None.
        verifier: what chooses; None averages.
        tune: which of "step_size" and "decoding_noise_std" to optimise.
        num_contexts: contexts drawn for a verifier's risk.
        seed: of the contexts.

    Returns:
        Allocation of the budget's shape.

    Raises:
        ValueError: an argument is out of range.

    Source: the risks' own; L-BFGS-B of Byrd, Lu, Nocedal and Zhu, SIAM J. Sci. Comput. 16 (1995).

    Example:
        >>> chain = dict(label_noise_std=0.5, decoding_noise_std=0.1)
        >>> best = best_allocation(np.array([8, 64, 512]), 20, 40, step_size=0.4, **chain)
        >>> best.num_steps.tolist(), best.num_candidates.tolist()
        ([2, 6, 9], [4, 10, 56])
        >>> tuned = best_allocation(64, 20, 40, step_size=0.4, **chain, tune=("step_size",))
        >>> bool(tuned.risk < best.risk[1])
        True
    """
    budgets = np.asarray(budget).astype(np.int64)
    if isinstance(tune, str):
        tune = (tune,)
    if not isinstance(tune, list | tuple) or not all(isinstance(name, str) and name in _TUNABLE for name in tune):
        raise ValueError(f"tune must list some of {', '.join(_TUNABLE)}, got {described(tune)}")
    edge = edge_of_stability(dim, num_examples)
    check_stable(step_size, edge, remedy="")
    if verifier is not None and "decoding_noise_std" in tune and decoding_noise_std == 0:
        raise ValueError("decoding_noise_std must be above 0 to be tuned, got 0")
    if isinstance(verifier, Oracle):
        verifier = Oracle(Number(0.0)("verifier.noise_std", verifier.noise_std))
    if verifier is None:
        risk = _averaged(dim, num_examples, label_noise_std, signal_var)
    else:
        risk = _selected(dim, num_examples, label_noise_std, signal_var, verifier, num_contexts, seed)
    start = np.array([step_size, 0.0 if verifier is None and "decoding_noise_std" in tune else decoding_noise_std])
    free = np.array([name in tune and value > 0 for name, value in zip(_TUNABLE, start, strict=True)])
    upper = np.array([min(float(largest_stable_step(dim, num_examples)), _BELOW_EDGE * edge), np.inf])

    if free.any():
        rows = [_tuned(risk, int(one), start, free, upper) for one in budgets.ravel()]
    else:
        splits = zip(*_best_splits(risk, budgets.ravel(), start), strict=True)
        rows = [(steps, number, *start, mean, error) for steps, number, mean, error in splits]
    columns = zip(*rows, strict=True)
    return Allocation(*(np.reshape(column, budgets.shape)[()] for column in columns))


class _Splits(NamedTuple):
    """The best split of each budget, each (budgets,)."""

    num_steps: np.ndarray
    num_candidates: np.ndarray
    mean: np.ndarray
    error: np.ndarray


Risk = Callable[..., Estimate]
"""Risk of (num_steps, num_candidates, step_size, decoding_noise_std); the same object for the same problem."""


@functools.lru_cache(maxsize=16)
def _averaged(dim, num_examples, label_noise_std, signal_var) -> Risk:
    def risk(num_steps, num_candidates, step_size, decoding_noise_std):
        chain = {"num_steps": num_steps, "step_size": step_size, "decoding_noise_std": decoding_noise_std}
        settings = {"label_noise_std": label_noise_std, "signal_var": signal_var, "num_candidates": num_candidates}
        mean = expected_risk(dim, num_examples, **chain, **settings).total
        return Estimate(mean, 0.0 * mean)

    return risk


@functools.lru_cache(maxsize=16)
def _selected(dim, num_examples, label_noise_std, signal_var, verifier, num_contexts, seed) -> Risk:
    def risk(num_steps, num_candidates, step_size, decoding_noise_std):
        chain = {"num_steps": num_steps, "step_size": step_size, "decoding_noise_std": decoding_noise_std}
        settings = {"label_noise_std": label_noise_std, "signal_var": signal_var, "num_candidates": num_candidates}
        drawn = {"num_contexts": num_contexts, "seed": seed}
        return expected_best_of_n_risk(dim, num_examples, verifier, **chain, **settings, **drawn)

    return risk


def _best_splits(risk: Risk, budgets: np.ndarray, values: np.ndarray) -> _Splits:
    """The best T and N of each budget, on the ladder of lengths and then among its neighbours."""
    coarse = _best_among(risk, budgets, _ladder(int(budgets.max()), _RATIO), values).num_steps
    near = [np.arange(int(best / _RATIO) + 1, int(np.ceil(best * _RATIO))) for best in coarse]
    return _best_among(risk, budgets, np.unique(np.concatenate([*near, coarse])), values)


def _best_among(risk: Risk, budgets: np.ndarray, lengths: np.ndarray, values: np.ndarray) -> _Splits:
    lengths = lengths[lengths <= budgets.max()]
    most = budgets[:, None] // lengths  # (budgets, lengths)
    numbers = np.unique(np.concatenate([most[most > 0], _ladder(int(most.max()), 1.1)]))
    # A multiple of 32 numbers, so that few shapes are compiled.
    padded = np.append(numbers, np.full(-numbers.size % 32, numbers[-1]))
    estimates = [risk(steps, padded, *values) for steps in lengths]
    means, errors = (np.stack([np.asarray(one[part]) for one in estimates]) for part in (0, 1))  # (lengths, numbers)
    affordable = padded <= most[..., None]  # (budgets, lengths, numbers)
    places = [np.unravel_index(np.argmin(np.where(allowed, means, np.inf)), means.shape) for allowed in affordable]
    rows, columns = np.array(places).T
    return _Splits(lengths[rows], padded[columns], means[rows, columns], errors[rows, columns])


def _ladder(longest: int, ratio: float) -> np.ndarray:
    """1, 2, 3, ... and then whole numbers of about this ratio, up to the first that is no shorter than the longest."""
    rungs = [1]
    while rungs[-1] < longest:
        rungs.append(max(rungs[-1] + 1, int(rungs[-1] * ratio)))
    return np.array(rungs)


def _tuned(risk: Risk, budget: int, start: np.ndarray, free: np.ndarray, upper: np.ndarray) -> tuple:
    """Split and tuned values in turn, until the split stands still; a row of an allocation."""
    values, split = start.copy(), (0, 0)
    for _ in range(_ROUNDS):
        best = _best_splits(risk, np.array([budget]), values)
        if split == (best.num_steps[0], best.num_candidates[0]):
            break
        split = best.num_steps[0], best.num_candidates[0]
        values[free] = _descended(risk, split, values, free, upper)
    else:
        best = _best_splits(risk, np.array([budget]), values)
        split = best.num_steps[0], best.num_candidates[0]
    return *split, *values, best.mean[0], best.error[0]


def _descended(risk: Risk, split, values: np.ndarray, free: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """The free values at the least risk of a split, by gradient in their logarithms."""
    tops = np.minimum(upper, 1e3 * values)[free]
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        slope = _slope(risk, tuple(np.flatnonzero(free).tolist()))
        found = optimize.minimize(
            lambda logs: tuple(np.asarray(part) for part in slope(logs, values, *split)),
            np.log(np.minimum(values[free], tops)),
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(np.log(values[free]) - 12, np.log(tops), strict=True)),
            options={"ftol": 1e-7},
        )
    return np.exp(found.x)


@functools.lru_cache(maxsize=16)
def _slope(risk: Risk, places: tuple[int, ...]) -> Callable[..., Any]:
    """Compiled risk and gradient in the logarithms of the free values; the split is traced, so that one program serves all."""

    def objective(logs, values, num_steps, num_candidates):
        return risk(num_steps, num_candidates, *values.at[np.array(places)].set(jnp.exp(logs))).mean

    return jax.jit(jax.value_and_grad(objective))
