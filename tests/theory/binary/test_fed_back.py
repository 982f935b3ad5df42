"""Binary chains whose samples are fed back, against simulation in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory
from tests.errors import assert_named
from tests.statistics import agrees
from tests.theory.binary.simulation import CASES, STEPS, THRESHOLD, VOTES, extrapolated, largest_z, probability, setting


@pytest.mark.parametrize("name", CASES)
def test_fed_back_chains_against_simulation(name, rng):
    case = CASES[name]
    bits, votes = extrapolated(case, rng)
    chain = theory.sampled_chain(**setting(case), num_steps=STEPS, num_candidates=(VOTES,), num_coordinates=64_000)
    predicted, vote = chain.bit_error[1:], chain.vote_error[1:, 0]
    assert largest_z(bits, predicted, chain.bit_error_std[1:]) < THRESHOLD
    assert largest_z(votes, vote, chain.vote_error_std[1:, 0]) < THRESHOLD
    assert largest_z(bits, 1.25 * predicted, chain.bit_error_std[1:]) > THRESHOLD
    assert largest_z(votes, 1.25 * vote, chain.vote_error_std[1:, 0]) > THRESHOLD
    if np.isfinite(case.beta):
        independent = theory.majority_accuracy(predicted, VOTES)
        assert largest_z(votes, independent, chain.vote_error_std[1:, 0]) > THRESHOLD
        forgetful = theory.sampled_chain(**setting(case), num_steps=STEPS, memory=False, num_coordinates=64_000)
        assert largest_z(bits, forgetful.bit_error[1:], forgetful.bit_error_std[1:]) > THRESHOLD


def test_small_groups_have_no_bias():
    """Greedy chains, whose bias of order parameters was twice their error; 0.00313 is the limit of large groups."""
    chain = {"num_steps": 8, "step_size": 1.0, "label_noise_std": 0.5 * np.sqrt(1000.0), "inverse_temperature": np.inf}
    runs = [theory.sampled_chain(1000, 2000, **chain, num_coordinates=20_000, seed=seed).bit_error[-1] for seed in range(8)]
    assert agrees(runs, 0.00313)
    assert not agrees(runs, 0.00622)


def test_the_standard_error_is_that_of_repeated_runs():
    given = {**setting(CASES["few examples"]), "num_steps": 3, "num_coordinates": 3200}
    runs = [theory.sampled_chain(**given, seed=seed) for seed in range(40)]
    found = np.std([run.bit_error[3] for run in runs], ddof=1)
    stated = np.sqrt(np.mean([run.bit_error_std[3] ** 2 for run in runs]))
    assert 0.65 < found / stated < 1.45  # a chi-square of 39 degrees of freedom, at the level 1e-3


def test_scalars_broadcast_and_trace():
    given = {**setting(CASES["a prior"]), "num_steps": 2, "num_coordinates": 1600}
    betas, rates = np.array([[0.5], [2.0]]), np.array([0.3, 0.6, 0.7])
    grid = theory.sampled_chain(**{**given, "inverse_temperature": betas, "step_size": rates})
    assert grid.bit_error.shape == (2, 3, 3)
    assert grid.vote_error.shape == (2, 3, 3, 1)
    one = theory.sampled_chain(**{**given, "inverse_temperature": 2.0, "step_size": 0.6})
    np.testing.assert_allclose(grid.bit_error[1, 1], one.bit_error, rtol=1e-12)
    traced = jax.jit(lambda beta: theory.sampled_chain(**{**given, "inverse_temperature": beta, "step_size": 0.6}).bit_error)
    np.testing.assert_allclose(traced(jnp.float32(2.0)), one.bit_error, rtol=1e-6)


def test_steps_of_no_size_stay_at_the_prior():
    still = theory.sampled_chain(**{**setting(CASES["a prior"]), "step_size": 0.0}, num_steps=3, num_coordinates=1600)
    high = probability(np.array(-0.4), CASES["a prior"])  # the field is the prior's mean, in half-gaps
    assert still.bit_error[1] == pytest.approx(0.3 * (1 - high) + 0.7 * high, abs=1e-3)
    assert np.isfinite(still.bit_error).all()


CHAIN = {**setting(CASES["few examples"]), "num_steps": 2, "num_coordinates": 160}
BAD = [
    (theory.sampled_chain, {**CHAIN, "inverse_temperature": -1.0}, "inverse_temperature", "-1"),
    (theory.sampled_chain, {**CHAIN, "prob_high": 0.0}, "prob_high", "0"),
    (theory.sampled_chain, {**CHAIN, "low": 1.0}, "high", "1"),
    (theory.sampled_chain, {**CHAIN, "link": "probit"}, "link", "probit"),
    (theory.sampled_chain, {**CHAIN, "num_candidates": ()}, "num_candidates", "0"),
    (theory.sampled_chain, {**CHAIN, "num_candidates": (0,)}, "num_candidates", "0"),
    (theory.sampled_chain, {**CHAIN, "num_candidates": (2.7,)}, "num_candidates", "2.7"),
    (theory.sampled_chain, {**CHAIN, "num_steps": [1, 2]}, "num_steps", "[1, 2]"),
    (theory.sampled_chain, {**CHAIN, "num_coordinates": 10}, "num_coordinates", "10"),
    (theory.sampled_chain, {**CHAIN, "num_steps": -1}, "num_steps", "-1"),
]


@pytest.mark.parametrize(("call", "arguments", "name", "value"), BAD)
def test_bad_input_is_named(call, arguments, name, value):
    assert_named(lambda: call(**arguments), name, value)
