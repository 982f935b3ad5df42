r"""When a vote may stop: as soon as its leader is certain to be the most probable answer, whenever one looks.

The votes for an answer and for another, among themselves, are tosses of a coin of chance theta = p_1 / (p_1 + p_2). A wealth
that bets on theta above one half,

    W(a, b) = 2^{a + b + 1} int_{1/2}^1 theta^a (1 - theta)^b d theta,    a votes for the one, b for the other,

starts at one and is not expected to grow where theta <= 1/2, so that it ever reaches c with a probability of at most 1 / c.
Everything here runs in NumPy and SciPy on the host; nothing can be traced.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from theory._arguments import Count, Number, host_only


class Stop(NamedTuple):
    """Where a vote stopped.

    Attributes:
        num_samples: answers used, abstentions included.
        leader: the answer that leads then, the first of several; -1 if all abstained.
        is_certain: whether the leader is certain; otherwise the answers were at their end.
    """

    num_samples: int
    leader: int
    is_certain: bool


@host_only(answers=Count(-1, shape=("n",), plain=True), level=Number(0.0, 1.0, open_ends=True))
def stop_when_certain(answers: ArrayLike, *, level: float = 0.05) -> Stop:
    r"""The first moment at which the leader of a vote is certain to be the most probable answer.

    The r-th answer to appear is certain once its wealth against every other one, seen or not, in votes after its first, is

        W >= c_r = pi^2 r^2 / (6 level)

    A less probable answer can only win if its wealth against the most probable one passes its bound, which happens with a
    probability of at most sum_r 1 / c_r = level, at whichever of the moments: the rule may be watched all the time.

    Args:
        answers: which answer each sample gives, in order, numbers from 0; -1 abstains. Shape (n,), n >= 1.
        level: alpha strictly between 0 and 1, the largest chance that the vote stops at a wrong leader.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: Jain et al., "PAC mode estimation using PPR martingale confidence sequences" (2022), one against one; here for
    answers that are not known beforehand.

    Example:
        >>> stop_when_certain([3, 3, 3, 3, 3, 3, 3, 3, 3, 3])
        Stop(num_samples=9, leader=3, is_certain=True)
        >>> stop_when_certain([0, 1, 0, 1, -1])
        Stop(num_samples=5, leader=0, is_certain=False)
    """
    given = np.asarray(answers).astype(np.int64)
    ranks: dict[int, int] = {}
    votes: list[int] = []  # of each answer, in order of appearance
    since: list[list[int]] = []  # row of an answer: votes of each since that one's first
    for place, answer in enumerate(given.tolist()):
        if answer < 0:
            continue
        is_new = answer not in ranks
        rank = ranks.setdefault(answer, len(votes))
        if is_new:
            votes.append(0)
            since = [[*row, 0] for row in since] + [[0] * len(votes)]
        votes[rank] += 1
        for row in since[:-1] if is_new else since:
            row[rank] += 1
        leader = votes.index(max(votes))
        if _is_certain(since[leader], leader, float(level)):
            return Stop(place + 1, list(ranks)[leader], True)
    return Stop(len(given), list(ranks)[votes.index(max(votes))] if votes else -1, False)


def _is_certain(row: list[int], rank: int, level: float) -> bool:
    """Whether the answer of this rank has beaten the strongest of the others in votes since it appeared."""
    strongest = max((count for place, count in enumerate(row) if place != rank), default=0)
    return log_wealth(row[rank], strongest) >= math.log(math.pi**2 * (rank + 1) ** 2 / (6 * level))


@functools.lru_cache(maxsize=65_536)
def log_wealth(first: int, second: int) -> float:
    """Return log W for the numbers of votes for two answers."""
    heads, tails = first + 1, second + 1
    return float((first + second + 1) * math.log(2) + special.betaln(heads, tails) + stats.beta.logsf(0.5, heads, tails))
