"""Most probable mixing laws against the conditions of the maximum, and against SciPy's optimiser."""

import numpy as np
import pytest
from scipy import optimize, stats

from theory.records._mixtures import most_probable

RATES = np.linspace(0, 1, 31)
CHANCES = stats.binom.pmf(np.arange(6)[:, None], 5, RATES)
VALUES = 1 - (1 - RATES) ** 12


@pytest.fixture(scope="module")
def counts():
    """Counts of 40 problem sets of 60 problems, with outcomes that nobody has."""
    rng = np.random.default_rng(0)
    rates = rng.choice([0.02, 0.5, 0.97], size=(40, 60))
    return np.stack([np.bincount(row, minlength=6) for row in rng.binomial(5, rates)]).astype(float)


def test_the_conditions_of_the_maximum_hold(counts):
    """sum_r n_r A_rj / (A w)_r <= sum_r n_r for every type: the gap bounds what any law could gain."""
    found = most_probable(CHANCES, counts)
    mixed = found.weights @ CHANCES.T
    gain = (counts / mixed) @ CHANCES / 60
    assert gain.max() < 1 + 1e-4
    np.testing.assert_allclose(found.log_likelihood, np.sum(counts * np.log(mixed), axis=1), rtol=1e-9)
    wrong = 0.9 * found.weights + 0.1 / RATES.size
    assert ((counts / (wrong @ CHANCES.T)) @ CHANCES / 60).max() > 1.01


def test_a_given_mean_is_the_constrained_maximum(counts):
    """By sequential quadratic programming, for a mean above the most probable one and one below."""
    for row in counts[:2]:
        free = most_probable(CHANCES, row[None])
        for shift in (-0.1, 0.08):
            mean = float(VALUES @ free.weights[0]) + shift
            bound = most_probable(CHANCES, row[None], (VALUES - mean)[None])
            assert VALUES @ bound.weights[0] == pytest.approx(mean, abs=1e-8)
            limits = [
                {"type": "eq", "fun": lambda w: w.sum() - 1},
                {"type": "eq", "fun": lambda w, mean=mean: VALUES @ w - mean},
            ]
            other = optimize.minimize(
                lambda w, row=row: -row @ np.log(np.maximum(CHANCES @ w, 1e-12)),
                np.full(31, 1 / 31),
                bounds=[(0, 1)] * 31,
                constraints=limits,
                options={"maxiter": 500},
            )
            assert bound.log_likelihood[0] == pytest.approx(-other.fun, abs=0.01)
            step = most_probable(CHANCES, row[None], (VALUES - mean - 1e-4)[None])
            slope = (step.log_likelihood - bound.log_likelihood) / 1e-4
            assert slope == pytest.approx(bound.slope, rel=0.05)


def test_programs_are_solved_as_if_alone(counts):
    together = most_probable(np.broadcast_to(CHANCES, (40, *CHANCES.shape)), counts, np.repeat(VALUES[None] - 0.6, 40, axis=0))
    for place in (0, 17):
        alone = most_probable(CHANCES, counts[place : place + 1], VALUES[None] - 0.6)
        np.testing.assert_allclose(alone.log_likelihood[0], together.log_likelihood[place], atol=1e-4)
