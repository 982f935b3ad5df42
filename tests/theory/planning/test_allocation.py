"""The best split of a budget against exhaustive search, and tuned values against a grid around them."""

import numpy as np
import pytest

import theory
from tests.errors import assert_named
from theory.selection import ContextLoss, Oracle

CHAIN = {"step_size": 0.3, "label_noise_std": 0.5, "decoding_noise_std": 0.15}


def exhaustive(budget, risk):
    """The least risk over every T and N with T N <= budget."""
    splits = [(steps, number) for steps in range(1, budget + 1) for number in range(1, budget // steps + 1)]
    steps, numbers = np.array(splits).T
    risks = risk(steps, numbers)
    best = np.argmin(risks)
    return steps[best], numbers[best], risks[best]


@pytest.mark.parametrize("budget", [1, 7, 60, 200])
def test_averaging_is_the_exhaustive_search(budget):
    found = theory.best_allocation(budget, 12, 24, **CHAIN)
    expected = exhaustive(budget, lambda t, n: theory.expected_risk(12, 24, num_steps=t, num_candidates=n, **CHAIN).total)
    assert (found.num_steps, found.num_candidates) == expected[:2]
    assert found.risk == pytest.approx(expected[2], rel=1e-10)
    assert found.standard_error == 0


@pytest.mark.parametrize("verifier", [Oracle(), Oracle(0.5), ContextLoss()], ids=str)
def test_selection_is_the_exhaustive_search(verifier):
    drawn = {"num_contexts": 32, "seed": 3}
    found = theory.best_allocation(20, 4, 8, **CHAIN, verifier=verifier, **drawn)
    lengths, numbers = np.arange(1, 21), np.arange(1, 21)
    chain = {**CHAIN, "num_steps": lengths[:, None], "num_candidates": numbers, **drawn}
    table = theory.selection.expected_best_of_n_risk(4, 8, verifier, **chain).mean
    expected = exhaustive(20, lambda t, n: table[t - 1, n - 1])
    assert found.risk == pytest.approx(expected[2], rel=1e-9)
    assert found.num_steps == expected[0]
    # A frontier is its budgets one by one.
    frontier = theory.best_allocation(np.array([[5], [20]]), 4, 8, **CHAIN, verifier=verifier, **drawn)
    assert frontier.risk.shape == (2, 1)
    assert frontier.risk[1, 0] == pytest.approx(found.risk, rel=1e-9)
    assert frontier.risk[0, 0] > found.risk


def test_a_misled_verifier_gets_one_candidate():
    chain = {**CHAIN, "label_noise_std": 2.0, "num_contexts": 64}
    assert theory.best_allocation(64, 6, 12, **chain, verifier=ContextLoss()).num_candidates == 1
    assert theory.best_allocation(64, 6, 12, **chain, verifier=Oracle()).num_candidates > 1


def test_the_tuned_step_is_the_best_on_a_grid():
    tuned = theory.best_allocation(40, 20, 60, **{**CHAIN, "step_size": 0.1}, tune=("step_size",))
    split = {"num_steps": tuned.num_steps, "num_candidates": tuned.num_candidates}
    noises = {name: CHAIN[name] for name in ("label_noise_std", "decoding_noise_std")}
    grid = np.linspace(0.02, float(theory.largest_stable_step(20, 60)), 400)
    risks = theory.expected_risk(20, 60, **split, **noises, step_size=grid).total
    assert tuned.risk == pytest.approx(risks.min(), rel=1e-5)
    assert tuned.step_size == pytest.approx(grid[risks.argmin()], abs=2 * (grid[1] - grid[0]))
    assert tuned.risk < theory.best_allocation(40, 20, 60, **{**CHAIN, "step_size": 0.1}).risk


def test_the_oracle_has_a_best_noise_and_averaging_has_none():
    drawn = {"num_contexts": 32, "seed": 0}
    tuned = theory.best_allocation(32, 4, 8, **CHAIN, verifier=Oracle(), tune=("step_size", "decoding_noise_std"), **drawn)
    split = {"num_steps": tuned.num_steps, "num_candidates": tuned.num_candidates, "label_noise_std": 0.5, **drawn}
    for steps, noises in ((np.array([0.85, 1.0]), np.ones(2)), (np.ones(3), np.array([0.7, 1.0, 1.4]))):
        values = {"step_size": tuned.step_size * steps, "decoding_noise_std": tuned.decoding_noise_std * noises}
        risks = theory.selection.expected_best_of_n_risk(4, 8, Oracle(), **split, **values).mean
        assert risks.argmin() == 1
        assert risks[1] == pytest.approx(tuned.risk, rel=1e-6)
    quiet = theory.best_allocation(32, 4, 8, **CHAIN, tune=("decoding_noise_std",))
    assert quiet.decoding_noise_std == 0
    assert quiet.risk == pytest.approx(
        theory.expected_risk(4, 8, num_steps=quiet.num_steps, **{**CHAIN, "decoding_noise_std": 0.0}).total
    )


NOISE = ("decoding_noise_std",)
BAD = [
    (lambda: theory.best_allocation(0, 4, 8, **CHAIN), "budget", "0"),
    (lambda: theory.best_allocation(2.5, 4, 8, **CHAIN), "budget", "2.5"),
    (lambda: theory.best_allocation(8, 4, 8, **{**CHAIN, "step_size": 0.9}), "step_size", "0.9"),
    (lambda: theory.best_allocation(8, 4, 8, **{**CHAIN, "step_size": 0.0}), "step_size", "0"),
    (lambda: theory.best_allocation(8, 4, 8, **{**CHAIN, "label_noise_std": -1.0}), "label_noise_std", "-1"),
    (lambda: theory.best_allocation(8, 4, 8, **CHAIN, tune=("temperature",)), "tune", "temperature"),
    (lambda: theory.best_allocation(8, 0, 8, **CHAIN), "dim", "0"),
    (lambda: theory.best_allocation(8, 4, 0, **CHAIN), "num_examples", "0"),
    (lambda: theory.best_allocation(8, 4, 8, **{**CHAIN, "step_size": [0.1, 0.2]}), "step_size", "0.2"),
    (
        lambda: theory.best_allocation(8, 4, 8, **{**CHAIN, "decoding_noise_std": 0.0}, verifier=Oracle(), tune=NOISE),
        "noise",
        "0",
    ),
    (lambda: theory.best_allocation(8, 4, 8, **CHAIN, verifier=1), "verifier", "1"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
