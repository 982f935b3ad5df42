r"""Types of problems by the shares of their answers, the chance of observed answers under each, and the vote of N under each.

A type has a rate p of right answers, and shares of the different right ones, of the different wrong ones and of abstentions
among those that are not right. Shares of one kind are one or two of their own and a rest that is even over L answers. Labels
of answers mean nothing across problems, so that the chance of counts n_1, ..., n_K of one kind is a sum over which of them have
the shares e_1, e_2 of their own, if any,

    sum over i, j of  e_1^{n_i} e_2^{n_j} L! / (L - K')! (r / L)^{n'},    r = 1 - e_1 - e_2,

with K' and n' the number and the total of the other counts, up to a factor that all types share.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

_FEWEST_RATES, _MOST_RATES = 19, 25
_RARE = 1000  # answers of a rest that is spread so thin that no answer is given twice
_FEW, _MANY = 8, 24  # answers of an even rest
_WIDTH = 2 + _MANY + 1  # columns of one kind: shares of their own, an even rest, rare answers
_SILENT_SHARES = (0.2, 0.5, 0.8)
_SIMULATED = 1_000_000  # votes over all types


class Shares(NamedTuple):
    """Shares of the answers of one kind: own ones, and how many answers the rest is even over."""

    own: tuple[float, ...] = ()
    even: int = _RARE

    @property
    def rest(self) -> float:
        return max(1 - sum(self.own), 0.0) if sum(self.own) < 1 - 1e-9 else 0.0

    def columns(self) -> np.ndarray:
        """Shares of own answers, of an even rest, and of all rare answers together."""
        found = np.zeros(_WIDTH)
        found[: len(self.own)] = self.own
        if self.even == _RARE:
            found[-1] = self.rest
        else:
            found[2 : 2 + self.even] = self.rest / self.even
        return found


_ONE = Shares((1.0,))
_CORE = (_ONE, Shares((0.7,)), Shares((0.5, 0.5)), Shares((0.4,)), Shares((), _FEW), Shares())


class Structure(NamedTuple):
    """Shares of right answers, of wrong ones, and of abstentions among those that are not right."""

    right: Shares
    wrong: Shares
    silent: float = 0.0


class Types(NamedTuple):
    """Types of problems: each has a rate of right answers (J,) and a structure (J,)."""

    rates: tuple[float, ...]
    structures: tuple[Structure, ...]

    def columns(self) -> np.ndarray:
        """Probabilities (J, 2 width + 1) of right answers, wrong ones and an abstention under each type."""
        rates = np.array(self.rates)[:, None]
        right = np.array([one.right.columns() for one in self.structures])
        wrong = np.array([one.wrong.columns() for one in self.structures])
        silent = np.array([one.silent for one in self.structures])[:, None]
        found = np.concatenate([rates * right, (1 - rates) * (1 - silent) * wrong, (1 - rates) * silent], axis=1)
        return found / found.sum(axis=1, keepdims=True)


def product(rates: Sequence[float], structures: Sequence[Structure]) -> Types:
    """Return every rate with every structure."""
    return Types(*zip(*itertools.product(rates, structures), strict=True))


class Counts(NamedTuple):
    """Counts of different answers to R problems: right (R, K) and wrong (R, K'), both descending, and abstentions (R,)."""

    right: np.ndarray
    wrong: np.ndarray
    silent: np.ndarray


@functools.lru_cache(maxsize=8)
def grid(num_samples: int, num_problems: int, splits: bool, abstains: bool) -> Types:
    """Return the types that problems with ``num_samples`` samples can distinguish.

    Args:
        num_samples: of a problem.
        num_problems: the more there are, the finer is the grid of rates.
        splits: whether a problem has several right answers.
        abstains: whether there are abstentions.
    """
    number = int(np.clip(2 * np.pi * math.sqrt(num_samples), _FEWEST_RATES, _MOST_RATES) * max(num_problems / 200, 1) ** 0.25)
    number = min(number, 2 * _MOST_RATES) // 2 * 2 + 1
    rates = np.sin(np.linspace(0, np.pi / 2, number)) ** 2
    structures = [Structure(_ONE, wrong) for wrong in _wrong_shares()]
    if splits:
        several = (Shares((0.8, 0.2)), Shares((0.5, 0.5)), Shares((0.5,)), Shares((), _FEW), Shares())
        structures += [Structure(right, wrong) for right in several for wrong in _CORE]
    if abstains:
        structures += [Structure(_ONE, wrong, silent) for silent in _SILENT_SHARES for wrong in _CORE]
        structures.append(Structure(_ONE, _ONE, 1.0))
    return product(rates.tolist(), structures)


def with_observed(types: Types, counts: Counts) -> Types:
    """Add the types whose shares are those observed, which are near the true ones where samples are many."""
    num_right, missed = counts.right.sum(axis=1), counts.wrong.sum(axis=1) + counts.silent
    rates, silent = num_right / (num_right + missed), counts.silent / np.maximum(missed, 1)
    right, wrong = ([_observed(row) for row in kind] for kind in (counts.right, counts.wrong))
    structures = map(Structure, right, wrong, silent.tolist())
    return Types((*types.rates, *rates.tolist()), (*types.structures, *structures))


def _observed(counts: np.ndarray) -> Shares:
    """Shares of descending counts: the two largest, and a rest that is even over as many answers as there are."""
    number, total = int(np.count_nonzero(counts)), counts.sum()
    if number == 0:
        return _ONE
    own = tuple((counts[: min(number, 2)] / total).tolist())
    return Shares(own, number - 2 if 2 < number <= 2 + _MANY else _RARE)


def _wrong_shares() -> list[Shares]:
    """From one wrong answer to many: the strongest, the next as far as it is weaker, and the rest over three, eight or many."""
    found = [_ONE]
    for first in (0.8, 0.6, 0.4, 0.25):
        rest = 1 - first
        for second in sorted({0.0, min(first, rest / 2), min(first, rest)}):
            left = rest - second
            own = (first, second) if second else (first,)
            found += [Shares(own, even) for even in (_FEW, _RARE) if left / even <= own[-1] and (left or even == _RARE)]
    return [*found, Shares((0.25,), _MANY), *(Shares((), even) for even in (_FEW, _MANY, _RARE))]


def chances(types: Types, counts: Counts) -> np.ndarray:
    """Return the chance (R, J) of counts under each type, up to a factor that all types share."""
    num_right, num_wrong = counts.right.sum(axis=1), counts.wrong.sum(axis=1)
    rates, which = np.unique(types.rates, return_inverse=True)
    hits = special.xlogy(num_right[:, None], rates) + special.xlog1py((num_wrong + counts.silent)[:, None], -rates)
    logs = hits[:, which] + _log_chances([one.right for one in types.structures], counts.right)
    logs = logs + _log_chances([one.wrong for one in types.structures], counts.wrong)
    silent, which = np.unique([one.silent for one in types.structures], return_inverse=True)
    mute = special.xlogy(counts.silent[:, None], silent) + special.xlog1py(num_wrong[:, None], -silent)
    logs = logs + mute[:, which]
    return np.exp(logs - logs.max(axis=1, keepdims=True))


def _log_chances(structures: list[Shares], counts: np.ndarray) -> np.ndarray:
    """Logarithms (R, J) of the chances of counts (R, K) of one kind."""
    different, which = np.unique(counts, axis=0, return_inverse=True)
    places = {one: place for place, one in enumerate(dict.fromkeys(structures))}
    repeats = _repeats(different)
    kinds = np.stack([_log_chance(one, different, *repeats) for one in places], axis=1)
    return kinds[which.ravel()][:, [places[one] for one in structures]]


def _repeats(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every count of each row once, with its multiplicity, (R, V) each; the first is zero, for a share that no answer has."""
    values = [np.unique(row[row > 0], return_counts=True) for row in counts]
    width = 1 + max((len(value) for value, _ in values), default=0)
    value, ways = np.zeros((len(counts), width)), np.zeros((len(counts), width))
    ways[:, 0] = 1.0
    for row, (own, repeats) in enumerate(values):
        value[row, 1 : 1 + len(own)], ways[row, 1 : 1 + len(own)] = own, repeats
    return value, ways


def _log_chance(shares: Shares, counts: np.ndarray, value: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """Logarithm of the chance of each row of counts, summed over the answers that may have the shares of their own."""
    total, number = counts.sum(axis=1), np.count_nonzero(counts, axis=1)
    width = value.shape[1]
    is_answer = np.arange(width) > 0

    def rest(taken: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Logarithm of the chance of the counts beside those taken by answers with shares of their own."""
        rows = (-1, *[1] * (taken.ndim - 1))
        left, kinds = np.maximum(total.reshape(rows) - taken, 0), number.reshape(rows) - answers
        ways = special.gammaln(shares.even + 1) - special.gammaln(np.maximum(shares.even - kinds, 0) + 1)
        return np.where(kinds > shares.even, -np.inf, ways) + special.xlogy(left, shares.rest / shares.even)

    with np.errstate(divide="ignore"):
        if not shares.own:
            return rest(np.zeros(len(counts)), np.zeros(len(counts)))
        first = np.log(ways) + special.xlogy(value, shares.own[0])
        if len(shares.own) == 1:
            return special.logsumexp(first + rest(value, np.broadcast_to(is_answer, value.shape)), axis=1)
        same = (np.arange(width)[:, None] == np.arange(width)) & is_answer
        second = np.log(np.maximum(ways[:, None] - same, 0.0)) + special.xlogy(value[:, None], shares.own[1])
        both = first[:, :, None] + second
        both = both + rest(value[:, :, None] + value[:, None], is_answer[:, None] + is_answer.astype(int) + np.zeros_like(both))
        return special.logsumexp(both, axis=(1, 2))


def drawn_counts(rng: np.random.Generator, columns: np.ndarray, num_samples: np.ndarray) -> Counts:
    """Draw answers to R problems of probabilities (R, 2 width + 1), and count the different ones."""
    votes = rng.multinomial(num_samples, columns)
    return Counts(_descending(votes[:, :_WIDTH]), _descending(votes[:, _WIDTH:-1]), votes[:, -1])


def _descending(votes: np.ndarray) -> np.ndarray:
    """Counts (R, K) of different answers; each of the rare ones, counted in the last column, is different."""
    rare = votes[:, -1:]
    ones = (np.arange(max(rare.max(initial=0), 1)) < rare).astype(votes.dtype)
    return trimmed(np.concatenate([votes[:, :-1], ones], axis=1))


def trimmed(counts: np.ndarray) -> np.ndarray:
    """Sort each row in descending order and leave out columns without a count."""
    found = -np.sort(-counts, axis=1)
    return found[:, : max(np.count_nonzero(found, axis=1).max(initial=0), 1)]


@functools.lru_cache(maxsize=64)
def vote(types: Types, number: int) -> np.ndarray:
    """Return the accuracy of the vote of ``number`` answers under each type, (J,), from simulated votes."""
    columns, rng = types.columns(), np.random.default_rng(number)
    draws = math.ceil(_SIMULATED / len(columns))
    return np.array([_won(rng, number, row, draws) for row in columns])


def _won(rng: np.random.Generator, number: int, probabilities: np.ndarray, draws: int) -> float:
    """Mean share of right answers among the winners of simulated votes; zero where all abstain."""
    some = np.flatnonzero(probabilities)
    votes = rng.multinomial(number, probabilities[some], size=draws)
    is_right, is_rare = some < _WIDTH, (some == _WIDTH - 1) | (some == 2 * _WIDTH - 1)
    is_common = ~is_rare & (some != 2 * _WIDTH)
    best = votes[:, is_common].max(axis=1, initial=0)
    best = np.maximum(best, votes[:, is_rare].any(axis=1))[:, None]
    # A rare answer that was given was given once.
    winners = np.where(is_common, votes == best, np.where(is_rare & (best == 1), votes, 0)) * (best > 0)
    return float(np.mean(winners[:, is_right].sum(axis=1) / np.maximum(winners.sum(axis=1), 1)))
