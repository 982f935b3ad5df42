"""Coverage of 90 % intervals over laws of problems, the table in docs/coverage.md.

``python -m tests.agreement.coverage [REPLICATIONS [LAW ...]]``
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

import theory

ROUNDING = 1e-6
SEED = 20261125
LEAST = 0.85
"""Coverage that every cell must have, with a lower confidence bound of 95 %."""


class Rates(NamedTuple):
    """A law of success rates: points beside Beta laws, with weights.

    Attributes:
        points: (rate, weight) of each point.
        betas: (a, b, weight) of each Beta law.
    """

    points: tuple[tuple[float, float], ...] = ()
    betas: tuple[tuple[float, float, float], ...] = ()

    def drawn(self, rng: np.random.Generator, number: int) -> np.ndarray:
        """Draw rates of problems."""
        kinds = [np.full(number, rate) for rate, _ in self.points] + [rng.beta(a, b, number) for a, b, _ in self.betas]
        weights = [weight for *_, weight in (*self.points, *self.betas)]
        return np.array(kinds)[rng.choice(len(kinds), size=number, p=weights), np.arange(number)]

    def pass_at_k(self, k: int) -> float:
        """Return the exact pass@k."""
        points = sum(weight * (1 - (1 - rate) ** k) for rate, weight in self.points)
        return float(points + sum(weight * theory.beta_pass_at_k(a, b, k) for a, b, weight in self.betas))


class PassCell(NamedTuple):
    """A law, and the problems, samples and k at which an interval of pass@k is asked for."""

    law: Rates
    num_problems: int
    num_samples: int
    k: int

    def truth(self) -> float:
        """Return the exact pass@k."""
        return self.law.pass_at_k(self.k)

    def interval(self, rng: np.random.Generator, num_resamples: int | None = None) -> theory.results.Interval:
        """Draw problems and return their interval."""
        correct = rng.binomial(self.num_samples, self.law.drawn(rng, self.num_problems))
        return theory.records.pass_at_k_interval(
            correct, self.num_samples, self.k, model="any law", num_resamples=num_resamples
        )


PASS_CELLS = {
    "far clusters .003, .97": PassCell(Rates(((0.003, 0.5), (0.97, 0.5))), 60, 8, 128),
    "far clusters, few low": PassCell(Rates(((0.003, 0.2), (0.97, 0.8))), 100, 8, 128),
    "single rate .03": PassCell(Rates(((0.03, 1.0),)), 80, 8, 32),
    "single rate .004": PassCell(Rates(((0.004, 1.0),)), 100, 5, 50),
    "saturated, 2 samples": PassCell(Rates(((0.0, 0.02), (0.99, 0.98))), 45, 2, 6),
    "saturated, 4 samples": PassCell(Rates(((0.0, 0.01), (0.97, 0.99))), 100, 4, 16),
    "saturated, 5 samples": PassCell(Rates(((0.0, 0.005), (0.98, 0.995))), 164, 5, 20),
    "single rate .986, 2 samples": PassCell(Rates(((0.986, 1.0),)), 37, 2, 6),
    "mostly never solved": PassCell(Rates(((0.0, 0.97), (0.3, 0.03))), 100, 5, 20),
    "three points": PassCell(Rates(((0.05, 0.5), (0.3, 0.3), (0.8, 0.2))), 100, 8, 32),
    "Beta(.3, 3)": PassCell(Rates((), ((0.3, 3.0, 1.0),)), 100, 8, 32),
    "Beta(.1, 2)": PassCell(Rates((), ((0.1, 2.0, 1.0),)), 60, 10, 160),
    "Beta(5, 1)": PassCell(Rates((), ((5.0, 1.0, 1.0),)), 80, 4, 16),
    "Beta(.05, .05)": PassCell(Rates((), ((0.05, 0.05, 1.0),)), 60, 5, 20),
    "two Beta laws": PassCell(Rates((), ((1.0, 40.0, 0.5), (8.0, 4.0, 0.5))), 100, 8, 32),
    "12 problems, Beta(.5, 1)": PassCell(Rates((), ((0.5, 1.0, 1.0),)), 12, 10, 40),
}


def lower_bound(covered: int, replications: int) -> float:
    """Return the Clopper-Pearson lower bound of 95 % of the coverage."""
    return float(stats.beta.ppf(0.05, covered, replications - covered + 1)) if covered else 0.0


class Coverage(NamedTuple):
    """How many intervals have the true value, with resamples and without, and the mean of the estimates."""

    calibrated: int
    uncalibrated: int
    estimate: float


def coverage(cell: PassCell | VoteCell, replications: int, seed: int = SEED) -> Coverage:
    """Count the intervals of independent replications that have the true value.

    Resamples only widen an interval, so that they are drawn only where the interval of chi^2 alone misses.
    """
    truth, estimates = cell.truth(), []
    found = np.zeros(2, int)
    for place in range(replications):
        for row, num_resamples in enumerate((0, None)):
            rng = np.random.default_rng((seed, place))
            interval = cell.interval(rng, num_resamples)
            # The law on the grid is known to the accuracy of the interior-point method.
            if interval.low - ROUNDING <= truth <= interval.high + ROUNDING:
                found[row:] += 1
                break
        estimates.append(interval.estimate)
    return Coverage(int(found[1]), int(found[0]), float(np.mean(estimates)))


def _easy_and_contested(rng: np.random.Generator, number: int) -> np.ndarray:
    """On a third of the problems one wrong answer narrowly leads."""
    p = rng.beta(2.0, 1.0, number)
    easy = np.column_stack([p, 0.3 * (1 - p), *[0.07 * (1 - p)] * 10])
    return np.where(rng.random((number, 1)) < 1 / 3, [0.42, 0.46, *[0.012] * 10], easy)


def _two_attractive(rng: np.random.Generator, number: int) -> np.ndarray:
    """Two wrong answers attract the more, the harder a problem is."""
    p = rng.beta(1.0, 1.0, number)
    strong, weak = (0.2 + 0.4 * (1 - p)) * (1 - p), (0.15 + 0.2 * (1 - p)) * (1 - p)
    return np.column_stack([p, strong, weak, *[(1 - p - strong - weak) / 10] * 10])


def _one_sided(rng: np.random.Generator, number: int) -> np.ndarray:
    """Half of the problems are led narrowly by the right answer, the others by a wrong one."""
    return np.where(rng.random((number, 1)) < 0.5, [0.5, 0.45, 0.05], [0.45, 0.5, 0.05])


def _near_ties(rng: np.random.Generator, number: int) -> np.ndarray:
    """Right answers and one wrong answer share nine tenths in every proportion near a tie."""
    p = rng.uniform(0.3, 0.6, number)
    return np.column_stack([p, 0.9 - p, *[np.full(number, 0.01)] * 10])


def _confidently_wrong(rng: np.random.Generator, number: int) -> np.ndarray:
    return np.where(rng.random((number, 1)) < 0.2, [0.1, 0.85, 0.05], [0.8, 0.15, 0.05])


def _mostly_right(rng: np.random.Generator, number: int) -> np.ndarray:
    return np.where(rng.random((number, 1)) < 0.04, [0.0, 1.0], [1.0, 0.0])


def _two_answers(rng: np.random.Generator, number: int) -> np.ndarray:
    p = rng.beta(2.0, 2.0, number)
    return np.column_stack([p, 1 - p])


def _four_choices(rng: np.random.Generator, number: int) -> np.ndarray:
    p = rng.beta(1.0, 2.0, number)
    return np.column_stack([p, *[(1 - p) / 3] * 3])


def _sticks(rng: np.random.Generator, number: int) -> np.ndarray:
    """Wrong answers have the shares of a Dirichlet process of strength 1.5."""
    p = rng.beta(1.2, 0.8, number)
    pieces = rng.beta(1.0, 1.5, (number, 20))
    shares = pieces * np.cumprod(np.column_stack([np.ones(number), 1 - pieces[:, :-1]]), axis=1)
    return np.column_stack([p, (1 - p)[:, None] * shares / shares.sum(axis=1, keepdims=True)])


def _same(*shares: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    """All problems are alike."""
    return lambda rng, number: np.tile(shares, (number, 1))


class VoteCell(NamedTuple):
    """A law of shares of answers, the first one right, and the problems, samples and votes that an interval is asked for.

    With ``silent`` the last answer is an abstention.
    """

    shares: Callable[[np.random.Generator, int], np.ndarray]
    num_problems: int
    num_samples: int
    num_votes: int
    silent: bool = False

    def counts(self, rng: np.random.Generator, number: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw counts of answers, abstentions apart."""
        shares = self.shares(rng, number)
        drawn = rng.multinomial(samples, shares / shares.sum(axis=1, keepdims=True))
        return (drawn[:, :-1], drawn[:, -1]) if self.silent else (drawn, np.zeros(number, int))

    @functools.cache  # noqa: B019  # a few cells, which live as long as the program
    def truth(self) -> float:
        """Return the accuracy of the vote, from 200 000 simulated ones."""
        votes, _ = self.counts(np.random.default_rng(99), 200_000, self.num_votes)
        top = (votes == votes.max(axis=1, keepdims=True)) & (votes > 0)
        return float(np.mean(top[:, 0] / np.maximum(top.sum(axis=1), 1)))

    def interval(self, rng: np.random.Generator, num_resamples: int | None = None) -> theory.results.Interval:
        """Draw problems and return their interval."""
        counts, silent = self.counts(rng, self.num_problems, self.num_samples)
        correct = np.broadcast_to(np.arange(counts.shape[1]) == 0, counts.shape)
        asked = {"num_candidates": self.num_votes, "num_resamples": num_resamples}
        return theory.records.vote_accuracy_interval(counts, correct, silent, **asked)


VOTE_CELLS = {
    "a third contested, .42 to .46": VoteCell(_easy_and_contested, 120, 10, 40),
    "two attractive wrong answers": VoteCell(_two_attractive, 100, 10, 40),
    "the same, 4 samples": VoteCell(_two_attractive, 100, 4, 40),
    "all right": VoteCell(_same(0.995, 0.005), 30, 10, 10),
    "all wrong": VoteCell(_same(0.01, 0.6, 0.39), 30, 10, 10),
    "one in 25 confidently wrong": VoteCell(_mostly_right, 30, 10, 10),
    "all contested, .40 to .45": VoteCell(_same(0.40, 0.45, *[0.015] * 10), 60, 8, 40),
    "all contested, .45 to .40": VoteCell(_same(0.45, 0.40, *[0.015] * 10), 60, 8, 40),
    "half led by a wrong answer": VoteCell(_one_sided, 80, 10, 101),
    "every near tie": VoteCell(_near_ties, 80, 16, 101),
    "two answers, 3 votes of 2": VoteCell(_two_answers, 150, 2, 3),
    "confidently wrong, 4 samples": VoteCell(_confidently_wrong, 100, 4, 33),
    "rare wrong answers": VoteCell(_same(0.1, *[0.009] * 100), 60, 6, 64),
    "four choices": VoteCell(_four_choices, 100, 5, 25),
    "Dirichlet process of wrong ones": VoteCell(_sticks, 100, 5, 25),
    "abstentions": VoteCell(_two_attractive, 80, 8, 33, silent=True),
}

CELLS: dict[str, PassCell | VoteCell] = {**PASS_CELLS, **VOTE_CELLS}


def main(replications: int = 200, names: Sequence[str] = ()) -> int:
    """Print the table; 1 if the coverage of a cell may be too small."""
    failures = 0
    print("| law | problems, samples | asked for | truth | mean estimate | covered | lower bound | by chi^2 alone |")
    print("|---|---|---|---|---|---|---|---|")
    for name, cell in CELLS.items():
        if names and name not in names:
            continue
        found = coverage(cell, replications)
        bound = lower_bound(found.calibrated, replications)
        failures += bound < LEAST
        asked = f"pass@{cell.k}" if isinstance(cell, PassCell) else f"vote of {cell.num_votes}"
        sizes = f"{cell.num_problems}, {cell.num_samples}"
        shares = (f"{number / replications:.1%}" for number in (found.calibrated, bound * replications, found.uncalibrated))
        print(f"| {name} | {sizes} | {asked} | {cell.truth():.4f} | {found.estimate:.4f} | {' | '.join(shares)} |", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2]), sys.argv[2:]))
