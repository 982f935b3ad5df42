"""Fit a law of success rates to counts: a Beta law, with atoms or not, by Newton steps; any law, by weights on a grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from theory.records._mixtures import most_probable

_TINY = 1e-300
_GAIN = 1e-5  # of log-likelihood in a step, below which a fit has arrived
_FLAT = 1e-6  # curvature below which a direction counts as flat
_NUDGE = 1e-4  # of a parameter, for a curvature
FEW_OUTCOMES = 50  # to leave out one by one
_MOST_RATES = 200  # of either kind on a grid
_SMALLEST, _RATIO = 0.01, 1.5  # rate over that of one correct, and ratio of the rates below that of one correct
_MOST_STEPS = 60
# Logarithms of a and b, and of the atoms' weights over the Beta law's; the least weight stands for none.
_LEAST, _MOST = np.array([-9.0, -9.0, -20.0, -20.0]), np.array([13.0, 13.0, 20.0, 20.0])
_STARTS = {False: [(2.0, (-20.0, -20.0))], True: [(2.0, (-3.0, -3.0)), (6.0, (0.0, -2.0))]}


class Outcomes(NamedTuple):
    """The distinct outcomes (correct, samples), each (R,), and how many problems have them (R,)."""

    correct: np.ndarray
    samples: np.ndarray
    counts: np.ndarray


class Fits(NamedTuple):
    """Laws fitted to B lists of counts.

    Attributes:
        log_chances: log-probabilities of the outcomes, shape (B, R).
        parameters: the weights of the grid, or those of the Beta law and its atoms.
    """

    log_chances: np.ndarray
    parameters: np.ndarray


def fitted(outcomes: Outcomes, model: str, counts: np.ndarray) -> Fits:
    """Return the laws under which counts (B, R) of the outcomes are most probable."""
    if model == "any law":
        chances = outcome_chances(outcomes.correct, outcomes.samples, grid(outcomes))
        weights = most_probable(chances, counts).weights
        return Fits(np.log(np.maximum(weights @ chances.T, _TINY)), weights)
    return _climbed(outcomes, counts, with_atoms=model == "beta with atoms")


def grid(outcomes: Outcomes, smallest: float = 1.0) -> np.ndarray:
    """Return rates: 0, observed ones, by constant factors up to one correct, by quarters of a standard error from there to 1.

    With many samples the most probable laws have their rates at the observed shares, and need few others.
    """
    one = 1 / outcomes.samples.max()
    smallest = min(smallest, _SMALLEST * one)
    few = np.geomspace(smallest, one, math.ceil(np.log(one / smallest) / np.log(_RATIO)), endpoint=False)
    angle = 2 * np.arcsin(np.sqrt(one))
    angles = np.linspace(angle, np.pi, min(math.ceil(4 / np.sqrt(one) * (np.pi - angle)) + 1, _MOST_RATES))
    observed = outcomes.correct / outcomes.samples
    return np.unique(np.concatenate([[0.0], few, np.sin(angles / 2) ** 2, observed[:_MOST_RATES]]))


def outcome_chances(correct: np.ndarray, samples: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Return the probability of every outcome (R,) at each rate (J,), shape (R, J)."""
    wrong = samples - correct
    ways = special.gammaln(samples + 1) - special.gammaln(correct + 1) - special.gammaln(wrong + 1)
    return np.exp(ways[:, None] + special.xlogy(correct[:, None], rates) + special.xlog1py(wrong[:, None], -rates))


def _climbed(outcomes: Outcomes, counts: np.ndarray, *, with_atoms: bool) -> Fits:
    """Beta laws, with atoms at 0 and 1 or without, fitted to counts (B, R) from one start or two."""
    mean = (outcomes.counts @ outcomes.correct + 0.5) / (outcomes.counts @ outcomes.samples + 1)
    starts = [[np.log(size * mean), np.log(size * (1 - mean)), *shares] for size, shares in _STARTS[with_atoms]]
    points = np.repeat(np.array(starts)[:, None], len(counts), axis=1).reshape(-1, 4)
    every = np.concatenate([counts] * len(starts))

    def slope(rows: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_chances, slopes = _beta_chances(outcomes, points)
        return np.sum(every[rows] * log_chances, axis=1), np.einsum("br,brt->bt", every[rows], slopes)

    points, values = _ascended(slope, points, 4 if with_atoms else 2)
    best = np.argmax(values.reshape(len(starts), -1), axis=0)
    points = points.reshape(len(starts), -1, 4)[best, np.arange(len(counts))]
    return Fits(_beta_chances(outcomes, points)[0], points)


def _ascended(
    slope: Callable[..., tuple[np.ndarray, np.ndarray]], points: np.ndarray, free: int
) -> tuple[np.ndarray, np.ndarray]:
    """Maxima of B functions from the points (B, 4), by damped Newton steps in the first ``free`` of their parameters.

    ``slope(rows, points)`` has the values and gradients of some of the functions; curvatures are differences of gradients.
    """
    points, active = points.copy(), np.arange(len(points))
    values, gradients = slope(active, points)
    damping = np.full(len(points), 1e-3)
    for _ in range(_MOST_STEPS):
        here, uphill = points[active], gradients[active][:, :free]
        nudged = (here[:, None] + _NUDGE * np.eye(4)[:free]).reshape(-1, 4)
        beside = slope(np.repeat(active, free), nudged)[1][:, :free].reshape(-1, free, free)
        curvature = (uphill[:, None] - beside) / _NUDGE
        bends, axes = np.linalg.eigh((curvature + curvature.swapaxes(1, 2)) / 2)
        # A saddle is left along its axes as fast as a maximum is approached.
        bends = np.abs(bends) + (damping[active] * np.abs(bends).max(axis=1) + _FLAT)[:, None]
        step = np.einsum("bst,bt->bs", axes, np.einsum("bst,bs->bt", axes, uphill) / bends)
        trial = here.copy()
        trial[:, :free] = np.clip(here[:, :free] + np.clip(step, -2.0, 2.0), _LEAST[:free], _MOST[:free])
        trial_values, trial_gradients = slope(active, trial)
        gain = trial_values - values[active]
        better = gain >= 0
        rose = active[better]
        points[rose], values[rose], gradients[rose] = trial[better], trial_values[better], trial_gradients[better]
        damping[active] = np.clip(np.where(better, damping[active] / 10, damping[active] * 10), 1e-9, 1e9)
        active = active[(gain > _GAIN) | ~better & (damping[active] < 1e6)]
        if not active.size:
            break
    return points, values


def _beta_chances(outcomes: Outcomes, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities (B, R) of the outcomes, and their slopes (B, R, 4) in the parameters (B, 4)."""
    a, b = np.exp(parameters[:, :2]).T[..., None]
    correct, samples = outcomes.correct, outcomes.samples
    log_beta = special.betaln(a + correct, b + samples - correct) - special.betaln(a, b)
    ways = special.gammaln(samples + 1) - special.gammaln(correct + 1) - special.gammaln(samples - correct + 1)
    beta = np.exp(log_beta + ways)
    common = special.digamma(a + b) - special.digamma(a + b + samples)
    in_a = beta * a * (special.digamma(a + correct) - special.digamma(a) + common)
    in_b = beta * b * (special.digamma(b + samples - correct) - special.digamma(b) + common)
    atoms = np.stack([correct == 0, correct == samples], axis=-1).astype(float)  # (R, 2)
    shares, rest = law_shares(parameters)
    chances = np.maximum(shares @ atoms.T + rest[:, None] * beta, _TINY)
    in_shares = shares[:, None] * (atoms - chances[..., None])
    slopes = np.concatenate([rest[:, None, None] * np.stack([in_a, in_b], axis=-1), in_shares], axis=-1)
    return np.log(chances), slopes / chances[..., None]


def law_shares(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the atoms at 0 and 1, (..., 2), and of the Beta law."""
    shares = np.where(parameters[..., 2:] > _LEAST[2:], np.exp(parameters[..., 2:]), 0.0)
    rest = 1 / (1 + shares.sum(axis=-1))
    return shares * rest[..., None], rest
