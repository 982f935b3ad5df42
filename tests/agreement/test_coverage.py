"""Coverage of 90 % intervals in two cells where it was too small; the table in docs has the others."""

import numpy as np
from scipy import stats

from tests.agreement import coverage


def fewest(replications):
    """Smallest number of a procedure that covers in 85 %, but for one in a thousand."""
    return stats.binom.ppf(0.001, replications, coverage.LEAST)


def test_rare_successes_are_covered_and_not_by_chi_squared_alone():
    """No success at all has a probability of .13, where chi^2 excludes the true rate."""
    found = coverage.coverage(coverage.CELLS["single rate .004"], 60)
    assert found.calibrated > max(fewest(60), found.uncalibrated)


def test_contested_votes_are_covered():
    assert coverage.coverage(coverage.CELLS["a third contested, .42 to .46"], 12).calibrated >= fewest(12)


def test_observed_shares_do_not_cover():
    """Votes drawn from the observed shares are too often wrong: the noise of few answers is taken for other answers."""
    cell, covered = coverage.CELLS["Dirichlet process of wrong ones"], 0
    rng = np.random.default_rng(0)
    for _ in range(40):
        counts, _ = cell.counts(rng, cell.num_problems, cell.num_samples)
        votes = rng.multinomial(cell.num_votes, counts / counts.sum(axis=1, keepdims=True))
        top = votes == votes.max(axis=1, keepdims=True)
        values = top[:, 0] / top.sum(axis=1)
        covered += abs(values.mean() - cell.truth()) < 1.645 * values.std() / np.sqrt(len(values))
    assert covered < fewest(40)
