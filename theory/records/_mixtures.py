r"""Most probable mixing laws on a grid of types, free or with a given mean of a function of the type.

    max over w >= 0 of sum_r n_r log (A w)_r,    sum_j w_j = 1,    sum_j w_j v_j = psi

A_rj is the probability of outcome r under type j, n_r the number of problems with that outcome, and v_j a function of the type.
The log-likelihood with the penalty sum_r n_r sum_j w_j and the homogeneous constraint sum_j w_j (v_j - psi) = 0 has the same
maximum, at which the weights sum to one. A primal-dual interior-point method solves many such programs at once. Where several
laws are equally probable, the solution is the analytic centre of their set.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_MOST_STEPS = 100
_SHORT = 0.99  # share of the way to the boundary that a step takes
_TINY = 1e-300
_LARGEST_PART = 2_000_000  # numbers at a time
_RIDGE = 1e-13  # beside a diagonal of ones
_NO_COUNT = 1e-8  # replaces a count of zero, whose multiplier would be on the boundary


class Mixtures(NamedTuple):
    """Solutions of B programs.

    Attributes:
        weights: probabilities of the types, shape (B, J).
        log_likelihood: shape (B,).
        slope: derivative of the log-likelihood in psi, shape (B,).
    """

    weights: np.ndarray
    log_likelihood: np.ndarray
    slope: np.ndarray


class _State(NamedTuple):
    """Iterates of B programs: weights and slacks (B, J), mixed chances and multipliers (B, R), price of the mean (B,)."""

    weights: np.ndarray
    slacks: np.ndarray
    mixed: np.ndarray
    multipliers: np.ndarray
    price: np.ndarray


def most_probable(chances: np.ndarray, counts: np.ndarray, offsets: np.ndarray | None = None, *, gap: float = 1e-7) -> Mixtures:
    """Solve B programs.

    Args:
        chances: A, shape (R, J), or (B, R, J) if the programs differ in it.
        counts: n, shape (B, R), not necessarily integers.
        offsets: v - psi, shape (B, J); None leaves the mean free.
        gap: of the log-likelihood per problem, at which a program is solved.
    """
    size, (num_outcomes, num_types) = len(counts), chances.shape[-2:]
    steps = max(_LARGEST_PART // (num_outcomes * num_types), 1)
    parts = []
    for start in range(0, size, steps):
        part = slice(start, start + steps)
        own = np.broadcast_to(chances, (size, num_outcomes, num_types))[part]
        parts.append(_solved(own, counts[part], None if offsets is None else offsets[part], gap))
    return Mixtures(*(np.concatenate(one) for one in zip(*parts, strict=True)))


def _solved(chances: np.ndarray, counts: np.ndarray, offsets: np.ndarray | None, gap: float) -> Mixtures:
    size, num_types = len(counts), chances.shape[-1]
    scale = np.maximum(chances.max(axis=-1, keepdims=True), _TINY)  # tiny probabilities are as good as others
    scaled, total = chances / scale, counts.sum(axis=1)
    widths = np.ones(size) if offsets is None else np.abs(offsets).max(axis=1)
    tilt = np.zeros((size, num_types)) if offsets is None else offsets / widths[:, None]
    floored = np.maximum(counts, _NO_COUNT)
    state = _start(scaled, floored, total)
    found, prices, active = np.empty((size, num_types)), np.empty(size), np.arange(size)
    rows, own, sums, sides = scaled, floored, total, tilt
    for _ in range(_MOST_STEPS):
        with np.errstate(over="ignore", invalid="ignore"):
            ahead, errors = _advanced(rows, own, sums, sides, state)
        # A step that rounding spoils is not taken, and ends a program as near to its solution as rounding allows.
        spoilt = ~np.isfinite(errors).all(axis=1)
        state = _State(
            *(np.where(spoilt.reshape(-1, *[1] * (new.ndim - 1)), old, new) for old, new in zip(state, ahead, strict=True))
        )
        solved = spoilt | (errors < [gap, 100 * gap, 1e3 * gap, 1e-10]).all(axis=1)
        found[active], prices[active] = state.weights, state.price
        if solved.any():
            active, state = active[~solved], _State(*(one[~solved] for one in state))
            rows, own, sums, sides = (one[active] for one in (scaled, floored, total, tilt))
        if not active.size:
            break
    found /= found.sum(axis=1, keepdims=True)
    mixed = np.log(np.maximum(_applied(scaled, found), _TINY)) + np.log(scale[..., 0])
    return Mixtures(found, np.sum(np.where(counts > 0, counts * mixed, 0.0), axis=1), prices / widths)


def _start(chances: np.ndarray, counts: np.ndarray, total: np.ndarray) -> _State:
    """Even weights, which are far from every boundary."""
    size, _, num_types = chances.shape
    weights = np.full((size, num_types), 1 / num_types)
    mixed = (chances @ weights[..., None])[..., 0]
    return _State(weights, np.repeat(total[:, None], num_types, axis=1), mixed, counts / mixed, np.zeros(size))


def _advanced(
    chances: np.ndarray, counts: np.ndarray, total: np.ndarray, tilt: np.ndarray, state: _State
) -> tuple[_State, np.ndarray]:
    """One predictor-corrector step of each program, and its errors: duality gap, dual and matched residuals, mean, (B, 4)."""
    weights, slacks, mixed, multipliers, price = state
    transposed, ratio = chances.swapaxes(1, 2), weights / slacks
    rows = np.concatenate([chances, tilt[:, None]], axis=1)  # the constraint is a row whose multiplier is minus the price
    kernel = rows @ (rows * ratio[:, None]).swapaxes(1, 2)
    places = np.arange(counts.shape[1])
    kernel[:, places, places] += mixed / multipliers
    kernel[:, -1, -1] += np.where(kernel[:, -1, -1] > 0, 0.0, 1.0)
    inverse = _inverse(kernel)
    dual = total[:, None] + price[:, None] * tilt - _applied(transposed, multipliers) - slacks
    missed = np.concatenate([_applied(chances, weights) - mixed, np.sum(tilt * weights, axis=1)[:, None]], axis=1)

    def step(products: np.ndarray, matched: np.ndarray) -> _State:
        """Newton's step towards given products of weights and slacks, and of mixed chances and multipliers."""
        right = ratio * (products / weights - slacks - dual)
        aims = (
            np.concatenate([matched / multipliers - mixed, np.zeros((len(mixed), 1))], axis=1) - missed - _applied(rows, right)
        )
        turned = _applied(inverse, aims)
        turned = turned + _applied(inverse, aims - _applied(kernel, turned))
        pulled = _applied(rows.swapaxes(1, 2), turned)
        moved = right + ratio * pulled
        return _State(moved, dual - pulled, _applied(chances, moved) + missed[:, :-1], turned[:, :-1], -turned[:, -1])

    first = step(np.zeros_like(weights), counts)
    ahead = _moved(state, first)
    now, then = (np.mean(one.weights * one.slacks, axis=1, keepdims=True) for one in (state, ahead))
    aim = np.clip(then / now, 0.0, 1.0) ** 3 * now
    last = step(aim - first.weights * first.slacks, counts - first.mixed * first.multipliers)
    state = _moved(state, last)
    left = total[:, None] + state.price[:, None] * tilt - _applied(transposed, state.multipliers) - state.slacks
    matched = np.abs(state.mixed * state.multipliers - counts).sum(axis=1)
    errors = (
        np.stack([np.sum(state.weights * state.slacks, axis=1), np.abs(left).max(axis=1), matched], axis=1) / total[:, None]
    )
    return state, np.concatenate([errors, np.abs(np.sum(tilt * state.weights, axis=1))[:, None]], axis=1)


def _inverse(matrices: np.ndarray) -> np.ndarray:
    """Inverses of positive definite matrices whose diagonals span many orders of magnitude."""
    scale = 1 / np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
    scales = scale[:, :, None] * scale[:, None]
    return scales * np.linalg.inv(scales * matrices + _RIDGE * np.eye(matrices.shape[1]))


def _applied(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return (matrices @ vectors[..., None])[..., 0]


def _moved(state: _State, step: _State) -> _State:
    """As far along a step as keeps everything positive; what is primal and what is dual have lengths of their own."""
    primal = np.minimum(_length(state.weights, step.weights), _length(state.mixed, step.mixed))
    dual = np.minimum(_length(state.slacks, step.slacks), _length(state.multipliers, step.multipliers))
    return _State(
        state.weights + primal[:, None] * step.weights,
        state.slacks + dual[:, None] * step.slacks,
        state.mixed + primal[:, None] * step.mixed,
        state.multipliers + dual[:, None] * step.multipliers,
        state.price + dual * step.price,
    )


def _length(values: np.ndarray, step: np.ndarray) -> np.ndarray:
    return np.minimum(1.0, _SHORT / np.maximum(np.max(-step / values, axis=1), _TINY))
