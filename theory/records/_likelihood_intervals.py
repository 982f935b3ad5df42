r"""Likelihood intervals of a mean over an unknown mixing law: test inversion, calibrated by resamples.

With l(psi) the largest log-likelihood among laws whose mean is psi, psi is in the interval if

    2 [max l - l(psi)] <= max(quantile of chi^2_1, quantile in resamples of the most probable law of mean psi)

The most probable law of all has its types where the data are, and resamples of it vary too little near a boundary; the most
probable law of another mean has not (hybrid resampling; Chuang and Lai, Statistica Sinica 10 (2000)).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from theory.records._mixtures import most_probable

_FEWEST_RESAMPLES = 20
_NUM_STEPS = 30  # of Newton's method, towards an end
_NUM_MOVES, _MOVE = 3, 1.3  # of an end outwards, and the least factor of the allowed fall
_SAME = 0.98  # of a fall, above which a quantile is as large
_DEEPEST = 16.0  # an end nearer than exp(-16) of the way to a limit is the limit
_WORK, _RESAMPLES = 4e5, (24, 200)  # probabilities in all resamples of a quantile, and the bounds of their number
_STEEP, _GROWTH = 0.2, 8.0  # root of the statistic over its aim above which Newton's step holds; factor of other steps
_GAP = 1e-5  # of a log-likelihood per problem
_ENOUGH = 1e-3  # relative error of the root of the statistic at an end


class Evidence(NamedTuple):
    """Outcomes of problems, and how to draw others.

    Attributes:
        chances: probability of each outcome under each type, shape (R, J).
        counts: how many problems have each outcome, shape (R,).
        draw: from a generator, the weights of types and a number B, outcomes of B resamples: probabilities (U, J) of the
            different outcomes, and which of them each problem has, (B, P).
    """

    chances: np.ndarray
    counts: np.ndarray
    draw: Callable[[np.random.Generator, np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def check_resamples(num_resamples: int | None) -> None:
    """ValueError unless a number of resamples is None, zero, or enough for a quantile."""
    if num_resamples and num_resamples < _FEWEST_RESAMPLES:
        raise ValueError(f"num_resamples must be 0 or at least {_FEWEST_RESAMPLES}, got {num_resamples}")


def ends(evidence: Evidence, values: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of intervals, and the most probable laws there.

    Args:
        evidence: the problems.
        values: function of the type in each row, shape (V, J).
        allowed: twice the fall of the log-likelihood at the lower and the upper end, shape (V, 2).

    Returns:
        Ends (V, 2), laws (V, 2, J).
    """
    chances, counts = evidence.chances, evidence.counts
    best = most_probable(chances, counts[None])
    near = np.repeat(values @ best.weights[0], 2)
    functions, aims = np.repeat(values, 2, axis=0), np.sqrt(allowed.ravel())
    limits = np.stack([values.min(axis=1), values.max(axis=1)], axis=1).ravel()
    # With psi = limit + exp(-x) (near - limit), the statistic is at most 2 x sum_r n_r: the start is within the interval.
    depth, inner, outer = aims**2 / (2 * counts.sum()), np.zeros(len(near)), np.full(len(near), _DEEPEST)
    found, laws = limits.copy(), np.repeat(best.weights, len(near), axis=0)
    active = np.flatnonzero(np.abs(limits - near) > np.exp(-_DEEPEST) * np.ptp(functions, axis=1))
    for _ in range(_NUM_STEPS):
        if not active.size:
            break
        here = depth[active]
        at = limits[active] + np.exp(-here) * (near - limits)[active]
        fits = most_probable(chances, np.repeat(counts[None], active.size, axis=0), functions[active] - at[:, None], gap=_GAP)
        root = np.sqrt(2 * np.maximum(best.log_likelihood - fits.log_likelihood, 0.0))
        found[active], laws[active] = at, fits.weights
        inside = root <= aims[active]
        inner[active] = np.where(inside, here, inner[active])
        outer[active] = np.where(inside, outer[active], here)
        with np.errstate(divide="ignore", invalid="ignore"):  # Newton's step for the root of the statistic
            aim = here + (aims[active] - root) * root / (fits.slope * (at - limits[active]))
        least, most = inner[active], outer[active]
        # If the likelihood is flat, its slope is rounding error; depths span many orders of magnitude.
        newton = (least < aim) & (aim < most) & (root > _STEEP * aims[active])
        middle = np.where(most > _GROWTH * least, np.sqrt(np.maximum(least, here / _GROWTH) * most), (least + most) / 2)
        depth[active] = np.where(newton, aim, np.where(most == _DEEPEST, np.minimum(_GROWTH * here, _DEEPEST - 0.1), middle))
        done = np.abs(root - aims[active]) < _ENOUGH * aims[active]
        at_limit = inside & (outer[active] == _DEEPEST) & (here > _DEEPEST - 1)
        found[active[at_limit]] = limits[active[at_limit]]
        active = active[~(done | at_limit)]
    return found.reshape(-1, 2), laws.reshape(len(values), 2, -1)


def allowed_falls(evidence: Evidence, values: np.ndarray, level: float, num_resamples: int | None) -> np.ndarray:
    """Twice the fall of the log-likelihood that is allowed at the lower and upper ends, shape (V, 2).

    An end moves outwards, a few times at most, while resamples of the most probable law there are as far from it as the
    problems are. Steps are needed because few counts have few values: the statistic of the problems can be the quantile itself.
    """
    falls = np.full((len(values), 2), stats.chi2.ppf(level, 1))
    if num_resamples == 0:
        return falls
    num_resamples = num_resamples or int(np.clip(_WORK / evidence.chances.size, *_RESAMPLES))
    active = np.ones(falls.shape, bool)
    for _ in range(_NUM_MOVES):
        rows = np.flatnonzero(active.any(axis=1))
        at, laws = ends(evidence, values[rows], falls[rows])
        for row, side in np.argwhere(active[rows]):
            place = rows[row], side
            quantile = _quantile(evidence, values[rows[row]], at[row, side], laws[row, side], level, num_resamples)
            active[place] = quantile > _SAME * falls[place]
            if active[place]:
                falls[place] = max(quantile, _MOVE * falls[place])
        if not active.any():
            break
    return falls


def _quantile(evidence: Evidence, values: np.ndarray, mean: float, law: np.ndarray, level: float, num: int) -> float:
    """Quantile of the statistic at a mean in resamples of a law that has it, larger by its standard error.

    The resamples are the same each time, so that a quantile that happens to be too small would always be.
    """
    if not values.min() < mean < values.max():
        return 0.0
    table, which = evidence.draw(np.random.default_rng(0), law, num)
    chances, counts = gathered(table, which)
    free = most_probable(chances, counts, gap=_GAP)
    bound = most_probable(chances, counts, np.repeat(values[None] - mean, num, axis=0), gap=_GAP)
    rank = min(level + np.sqrt(level * (1 - level) / num), 1.0)
    return float(np.quantile(2 * (free.log_likelihood - bound.log_likelihood), rank, method="weibull"))


def gathered(table: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (B, R, J) and numbers (B, R) of the different outcomes in each of B lists (B, P) of outcomes (U, J).

    Rows beyond those of a list have a probability of one under every type, and a number of zero.
    """
    kinds = [np.unique(row, return_counts=True) for row in which]
    most = max(len(kind) for kind, _ in kinds)
    places, counts = np.zeros((len(which), most), int), np.zeros((len(which), most))
    for row, (kind, number) in enumerate(kinds):
        places[row, : len(kind)], counts[row, : len(kind)] = kind, number
    return np.where(counts[..., None] > 0, table[places], 1.0), counts
