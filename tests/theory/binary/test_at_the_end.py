"""The sample at the end of a noisy chain: against simulation, against a chain of one step, and in limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory
from tests.errors import assert_named
from tests.theory.binary.simulation import CASES, HIGH, LOW, STEPS, THRESHOLD, VOTES, extrapolated, largest_z, setting


@pytest.mark.parametrize("name", CASES)
def test_a_sample_at_the_end_against_simulation(name, rng):
    case = CASES[name]
    bits, votes = extrapolated(case, rng, noise_at_the_end=0.3)
    steps = np.arange(1, STEPS + 1)
    given = {**setting(case), "decoding_noise_std": 0.3 * (HIGH - LOW) / 2, "num_steps": steps}
    one, many = (theory.binary.sampled_end_error(**given, num_candidates=number) for number in (1, VOTES))
    assert largest_z(bits, one) < THRESHOLD
    assert largest_z(votes, many) < THRESHOLD
    assert largest_z(bits, 1.25 * one) > THRESHOLD
    assert largest_z(votes, theory.majority_accuracy(one, VOTES)) > THRESHOLD


@pytest.mark.parametrize("name", CASES)
def test_after_one_step_both_are_the_same(name):
    case = CASES[name]
    chain = theory.sampled_chain(**setting(case), num_steps=1, num_candidates=(1, 2, VOTES), num_coordinates=200_000)
    numbers = np.array([1, 2, VOTES])
    end = theory.binary.sampled_end_error(**setting(case), num_steps=1, decoding_noise_std=0.0, num_candidates=numbers)
    assert np.max(np.abs(chain.vote_error[1] - end) / chain.vote_error_std[1]) < 5
    np.testing.assert_allclose(chain.bit_error[1], chain.vote_error[1, 0], atol=5 * chain.vote_error_std[1, 0])
    assert chain.bit_error[0] == pytest.approx(min(case.prob_high, 1 - case.prob_high))


def test_many_votes_cannot_beat_the_context():
    case = CASES["few examples"]
    given = {**setting(case), "num_steps": 4, "decoding_noise_std": 0.2}
    votes = theory.binary.sampled_end_error(**given, num_candidates=np.array([1, 9, 99, 9999]))
    greedy = theory.binary.sampled_end_error(**{**given, "decoding_noise_std": 0.0, "inverse_temperature": np.inf})
    assert (np.diff(votes) < 0).all()
    assert votes[-1] == pytest.approx(greedy, rel=1e-3)
    assert theory.binary.sampled_end_error(**{**given, "inverse_temperature": 0.0}) == pytest.approx(0.5)


def test_derivatives_exist_of_the_sample_at_the_end_and_of_nothing_else():
    given = {**setting(CASES["few examples"]), "num_steps": 4, "decoding_noise_std": 0.2, "num_candidates": 9}

    def error(beta):
        return theory.binary.sampled_end_error(**{**given, "inverse_temperature": beta})

    slope = float(jax.grad(error)(jnp.float32(1.5)))
    assert slope == pytest.approx(float(error(1.501) - error(1.499)) / 0.002, rel=1e-3)
    chain = {**setting(CASES["few examples"]), "num_steps": 2, "num_coordinates": 160}
    assert_named(
        lambda: jax.grad(lambda beta: theory.sampled_chain(**{**chain, "inverse_temperature": beta}).bit_error[2])(1.0),
        "sampled_chain",
        "differentiated",
    )


END = {**setting(CASES["few examples"]), "num_steps": 2, "decoding_noise_std": 0.1}
BAD = [
    (theory.binary.sampled_end_error, {**END, "decoding_noise_std": -0.1}, "decoding_noise_std", "-0.1"),
    (theory.binary.sampled_end_error, {**END, "inverse_temperature": np.nan}, "inverse_temperature", "nan"),
    (theory.binary.sampled_end_error, {**END, "num_candidates": 0}, "num_candidates", "0"),
]


@pytest.mark.parametrize(("call", "arguments", "name", "value"), BAD)
def test_bad_input_is_named(call, arguments, name, value):
    assert_named(lambda: call(**arguments), name, value)
