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


def test_contested_votes_are_covered_and_not_by_observed_shares():
    cell = coverage.CELLS["a third contested, .42 to .46"]
    assert coverage.coverage(cell, 12).calibrated >= fewest(12)
    rng, missed = np.random.default_rng(0), 0
    for _ in range(30):
        counts, _ = cell.counts(rng, cell.num_problems, cell.num_samples)
        votes = rng.multinomial(cell.num_votes, counts / counts.sum(axis=1, keepdims=True))
        top = votes == votes.max(axis=1, keepdims=True)
        values = top[:, 0] / top.sum(axis=1)
        missed += abs(values.mean() - cell.truth()) > 1.645 * values.std() / np.sqrt(len(values))
    assert 30 - missed < fewest(30)
