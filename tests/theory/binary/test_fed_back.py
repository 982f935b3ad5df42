"""Binary chains: the sample at the end against quadrature and simulation, the fed-back one against simulation in NumPy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import theory
from tests.errors import assert_named
from tests.statistics import agrees


class Case(NamedTuple):
    """d / n, step size, sigma / sqrt(d) in half-gaps, beta, P(high), link."""

    ratio: float
    step_size: float
    noise: float
    beta: float
    prob_high: float
    link: str


CASES = {
    "few examples": Case(2.0, 0.3, 0.5, 2.0, 0.5, "logistic"),
    "a prior": Case(0.5, 0.7, 1.0, 1.0, 0.3, "logistic"),
    "clipped": Case(1.0, 0.4, 0.5, 1.5, 0.5, "clipped_linear"),
    "greedy": Case(0.5, 0.6, 0.5, np.inf, 0.5, "logistic"),
}
LOW, HIGH = 0.0, 1.0
STEPS, VOTES = 6, 5


def probability(field, case):
    """P(high) of a field in half-gaps around the midpoint."""
    if case.link == "logistic":
        if np.isinf(case.beta):
            return (field > 0) * 1.0
        return 1 / (1 + np.exp(np.clip(-2 * case.beta * field, -500, 500)) * (1 - case.prob_high) / case.prob_high)
    return np.clip(case.prob_high + case.beta * (field - (2 * case.prob_high - 1)) / 2, 0, 1)


def simulated(case, dim, tasks, rng, steps=STEPS, votes=VOTES, noise_at_the_end=None):
    """Bit errors (tasks, steps) and vote errors of chains on binary tasks, in half-gaps around the midpoint."""
    num_examples = round(dim / case.ratio)
    bits, voted = [], []
    for _task in range(tasks):
        truth = np.where(rng.random(dim) < case.prob_high, 1.0, -1.0)
        inputs = rng.standard_normal((num_examples, dim), dtype=np.float32)
        targets = inputs @ truth + case.noise * np.sqrt(dim) * rng.standard_normal(num_examples)
        states = np.full((votes, dim), 2 * case.prob_high - 1)
        bits.append([])
        voted.append([])
        for _step in range(steps):
            fields = states + case.step_size / num_examples * ((targets - states @ inputs.T) @ inputs)
            if noise_at_the_end is not None:
                fields = states = fields + noise_at_the_end * rng.standard_normal(fields.shape)
            samples = np.where(rng.random(fields.shape) < probability(fields, case), 1.0, -1.0)
            if noise_at_the_end is None:
                states = samples
            lead = samples.sum(axis=0) * truth
            bits[-1].append(np.mean(samples != truth))
            voted[-1].append(np.mean((lead < 0) + 0.5 * (lead == 0)))
    return np.array(bits), np.array(voted)


def extrapolated(case, rng, tasks=80, **options):
    """Errors in infinite dimension from two dimensions, d = 150 and 450, and their errors: the 1/d term is removed."""
    small, large = (simulated(case, dim, tasks, rng, **options) for dim in (150, 450))
    found = []
    for few, many in zip(small, large, strict=True):
        limit = 1.5 * many.mean(axis=0) - 0.5 * few.mean(axis=0)
        stray = np.hypot(1.5 * many.std(axis=0, ddof=1), 0.5 * few.std(axis=0, ddof=1)) / np.sqrt(tasks)
        # The 1/d^2 term, as the next of a geometric series.
        found.append((limit, np.hypot(stray, np.abs(many.mean(axis=0) - few.mean(axis=0)) / 3)))
    return found


def setting(case, dim=1000):
    noise = case.noise * np.sqrt(dim) * (HIGH - LOW) / 2
    return {
        "dim": dim,
        "num_examples": round(dim / case.ratio),
        "step_size": case.step_size,
        "label_noise_std": noise,
        "inverse_temperature": case.beta,
        "link": case.link,
        "low": LOW,
        "high": HIGH,
        "prob_high": case.prob_high,
    }


def largest_z(measured, predicted, predicted_std=0.0):
    mean, error = measured
    return np.max(np.abs(mean - predicted) / np.hypot(error, predicted_std))


THRESHOLD = stats.norm.isf(1e-4 / (2 * STEPS))


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


@pytest.mark.parametrize("link", ["logistic", "clipped_linear"])
def test_a_tie_is_a_sample_of_the_prior(link):
    """Without a step the state is the prior's mean, where the clipped link rounds; the logistic link rounds at zero."""
    still = {"num_steps": 0, "step_size": 0.4, "label_noise_std": 1.0, "decoding_noise_std": 0.0, "prob_high": 0.3}
    for low, high in ((-1.0, 1.0), (2.0, 2.5), (0.1, 0.4)):
        error = theory.binary.sampled_end_error(
            8, 16, **still, inverse_temperature=np.inf, link=link, low=low, high=high, num_candidates=1
        )
        assert error == pytest.approx(0.42 if link == "clipped_linear" else 0.3, abs=1e-12)
        law = theory.binary.answer_law(
            np.eye(2),
            [0.0, 0.0],
            num_steps=1,
            step_size=0.0,
            inverse_temperature=np.inf,
            link=link,
            low=low,
            high=high,
            prob_high=0.3,
        )
        expected = [0.49, 0.21, 0.21, 0.09] if link == "clipped_linear" else [1.0, 0.0, 0.0, 0.0]
        np.testing.assert_allclose(law.probabilities, expected, atol=1e-12)


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


def test_steps_of_no_size_stay_at_the_prior():
    still = theory.sampled_chain(**{**setting(CASES["a prior"]), "step_size": 0.0}, num_steps=3, num_coordinates=1600)
    high = probability(np.array(-0.4), CASES["a prior"])  # the field is the prior's mean, in half-gaps
    assert still.bit_error[1] == pytest.approx(0.3 * (1 - high) + 0.7 * high, abs=1e-3)
    assert np.isfinite(still.bit_error).all()


CHAIN = {**setting(CASES["few examples"]), "num_steps": 2, "num_coordinates": 160}
END = {**setting(CASES["few examples"]), "num_steps": 2, "decoding_noise_std": 0.1}
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
    (theory.binary.sampled_end_error, {**END, "decoding_noise_std": -0.1}, "decoding_noise_std", "-0.1"),
    (theory.binary.sampled_end_error, {**END, "inverse_temperature": np.nan}, "inverse_temperature", "nan"),
    (theory.binary.sampled_end_error, {**END, "num_candidates": 0}, "num_candidates", "0"),
]


@pytest.mark.parametrize(("call", "arguments", "name", "value"), BAD)
def test_bad_input_is_named(call, arguments, name, value):
    assert_named(lambda: call(**arguments), name, value)
