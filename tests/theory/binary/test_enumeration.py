"""Enumerated answers: against sums over paths by hand, and against chains simulated in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory
from tests.errors import assert_named
from tests.statistics import threshold
from theory.binary import MajorityVote, PluralityVote
from theory.selection import ContextLoss, HeldOutLoss, Oracle

DIM, EXAMPLES, STEPS, NOISE, VOTES = 3, 4, 3, 1.2, 5
PRIOR = {"low": 0.0, "high": 1.0, "prob_high": 0.3}
CHAIN = {"num_steps": STEPS, "step_size": 0.4, "inverse_temperature": 1.5}


def chance_of_high(fields, link, beta=CHAIN["inverse_temperature"]):
    """Of {0, 1} coefficients, high with probability 0.3; fields in their own units."""
    centred = 2 * fields - 1
    if link == "logistic":
        return 1 / (1 + np.exp(-2 * beta * centred) * 0.7 / 0.3)
    return np.clip(0.3 + beta * (fields - 0.3), 0, 1)


def field(state, inputs, targets):
    return state + CHAIN["step_size"] / len(targets) * inputs.T @ (targets - inputs @ state)


@pytest.mark.parametrize("link", ["logistic", "clipped_linear"])
def test_the_law_is_the_sum_over_all_paths(link, rng):
    inputs, targets = rng.normal(size=(EXAMPLES, DIM)), rng.normal(size=EXAMPLES)
    vectors = np.array(list(itertools.product((0.0, 1.0), repeat=DIM)))

    def chance(vector, state):
        high = chance_of_high(field(state, inputs, targets), link)
        return np.prod(np.where(vector == 1, high, 1 - high))

    expected = [
        sum(
            chance(first, np.full(DIM, 0.3)) * chance(second, first) * chance(last, second)
            for first, second in itertools.product(vectors, repeat=2)
        )
        for last in vectors
    ]
    law = theory.binary.answer_law(inputs, targets, **CHAIN, **PRIOR, link=link)
    np.testing.assert_array_equal(law.vectors, vectors)
    np.testing.assert_allclose(law.probabilities, expected, rtol=1e-12)
    one_step = theory.binary.answer_law(inputs, targets, **{**CHAIN, "num_steps": 1}, **PRIOR, link=link)
    np.testing.assert_allclose(one_step.probabilities, [chance(one, np.full(DIM, 0.3)) for one in vectors], rtol=1e-12)
    assert np.abs(one_step.probabilities - expected).max() > 0.01


def simulated(rng, contexts=30_000):
    """Errors of every chooser in every context, from chains walked in NumPy; ties broken at random."""
    truth = (rng.random((contexts, DIM)) < 0.3) * 1.0
    inputs = rng.normal(size=(contexts, EXAMPLES, DIM))
    targets = np.einsum("cnd,cd->cn", inputs, truth) + NOISE * rng.normal(size=(contexts, EXAMPLES))
    fresh = rng.normal(size=(contexts, 2, DIM))
    fresh_targets = np.einsum("cnd,cd->cn", fresh, truth) + NOISE * rng.normal(size=(contexts, 2))
    states = np.full((contexts, VOTES, DIM), 0.3)
    for _step in range(STEPS):
        residuals = targets[:, None] - np.einsum("cnd,cvd->cvn", inputs, states)
        fields = states + CHAIN["step_size"] / EXAMPLES * np.einsum("cnd,cvn->cvd", inputs, residuals)
        states = (rng.random(states.shape) < chance_of_high(fields, "logistic")) * 1.0
    wrong = np.abs(states - truth[:, None])
    places = np.arange(contexts)

    def best(scores):
        return wrong[places, (scores + 1e-9 * rng.random(scores.shape)).argmin(axis=1)]

    def loss(inputs, targets):
        return ((targets[:, None] - np.einsum("cnd,cvd->cvn", inputs, states)) ** 2).mean(axis=2)

    same = (states[:, :, None] == states[:, None]).all(axis=3).sum(axis=2)
    return [
        (MajorityVote(), (wrong.mean(axis=1) > 0.5) * 1.0),
        (PluralityVote(), best(-1.0 * same)),
        (ContextLoss(), best(loss(inputs, targets))),
        (HeldOutLoss(2), best(loss(fresh, fresh_targets))),
        (Oracle(), best(wrong.sum(axis=2))),
    ]


@pytest.mark.parametrize("measure", ["bit_error", "exact_recovery"])
def test_errors_of_every_chooser_are_the_simulated_ones(measure, rng):
    unknown = PluralityVote if measure == "bit_error" else MajorityVote
    found = [(chooser, wrong) for chooser, wrong in simulated(rng) if not isinstance(chooser, unknown)]
    errors = np.stack(
        [wrong.mean(axis=1) if measure == "bit_error" else (wrong == 0).all(axis=1) * 1.0 for _, wrong in found], axis=1
    )
    predicted = theory.binary.expected_answer_errors(
        *(DIM, EXAMPLES, tuple(chooser for chooser, _ in found)),
        **CHAIN,
        **PRIOR,
        measure=measure,
        label_noise_std=NOISE,
        num_candidates=(VOTES,),
        num_contexts=30_000,
    )
    assert predicted.mean.shape == (len(found), 1)
    error = np.hypot(predicted.standard_error[:, 0], errors.std(axis=0, ddof=1) / np.sqrt(len(errors)))
    z = np.abs(errors.mean(axis=0) - predicted.mean[:, 0]) / error
    assert z.max() < threshold(len(found))
    for wrong in (0.9, 1.1):
        assert (np.abs(errors.mean(axis=0) - wrong * predicted.mean[:, 0]) / error).min() > threshold(len(found))


def test_numbers_of_candidates_and_scalars_are_axes():
    asked = {**CHAIN, "label_noise_std": NOISE, "num_contexts": 64}
    betas, noises = np.array([0.5, 2.0]), np.array([[0.5], [1.0], [2.0]])
    choosers = (MajorityVote(), Oracle(), HeldOutLoss(3))
    grid = theory.binary.expected_answer_errors(
        *(DIM, EXAMPLES, choosers),
        **{**asked, "inverse_temperature": betas, "label_noise_std": noises},
        num_candidates=(1, 3, 7),
    )
    assert grid.mean.shape == (3, 2, 3, 3)
    np.testing.assert_allclose(grid.mean[..., 0, 0], grid.mean[..., 1, 0], rtol=1e-12)  # one candidate is one candidate
    one = theory.binary.expected_answer_errors(
        DIM, EXAMPLES, (Oracle(),), **{**asked, "inverse_temperature": 2.0}, num_candidates=(7,)
    )
    other = theory.binary.expected_answer_errors(
        *(DIM, EXAMPLES, choosers), **{**asked, "inverse_temperature": 2.0}, num_candidates=(1, 3, 7)
    )
    np.testing.assert_allclose(one.mean[0, 0], other.mean[1, 2], rtol=1e-12)


def test_choosers_of_equal_fields_are_told_apart():
    asked = {**CHAIN, "label_noise_std": NOISE, "num_contexts": 64, "num_candidates": (5,)}
    values = [
        theory.binary.expected_answer_errors(DIM, EXAMPLES, (chooser,), **asked).mean.item()
        for chooser in (MajorityVote(), ContextLoss(), Oracle(), HeldOutLoss(1))
    ]
    assert len({round(value, 6) for value in values}) == 4


def test_only_those_who_know_more_beat_the_posterior(rng):
    """Errors averaged over contexts; the oracle and many held-out examples know more than the context."""
    doubts = []
    for _context in range(1500):
        truth = (rng.random(DIM) < 0.3) * 1.0
        inputs = rng.normal(size=(EXAMPLES, DIM))
        targets = inputs @ truth + NOISE * rng.normal(size=EXAMPLES)
        chance = theory.discrete_bayes(inputs, targets, label_noise_std=NOISE, **PRIOR).prob_high
        doubts.append(np.minimum(chance, 1 - chance).mean())
    limit, stray = np.mean(doubts), np.std(doubts, ddof=1) / np.sqrt(len(doubts))
    ways = MajorityVote(), ContextLoss(), Oracle(), HeldOutLoss(30)
    asked = {**CHAIN, "label_noise_std": NOISE, "num_contexts": 8192}
    errors = theory.binary.expected_answer_errors(DIM, EXAMPLES, ways, **asked, **PRIOR, num_candidates=(1, 33))
    z = (errors.mean - limit) / np.hypot(errors.standard_error, stray)
    assert (z[:2] > -4).all()  # whatever is made of the context alone
    assert (z[:, 0] > 4).all()
    assert (z[2:, 1] < -4).all()


def test_derivatives_of_arrays_are_entry_by_entry():
    """The result has dimensions of its own behind those of the scalars, even where both have the same lengths."""
    asked = {**CHAIN, "label_noise_std": NOISE, "num_contexts": 8, "num_candidates": (1, 5)}

    def second(betas):
        return theory.binary.expected_answer_errors(DIM, EXAMPLES, (Oracle(),), **{**asked, "inverse_temperature": betas}).mean[
            0, 0, 1
        ]

    betas = np.array([0.5, 2.0])
    shift = np.array([1e-3, 0.0])
    slope = (second(betas + shift) - second(betas - shift)) / 2e-3
    np.testing.assert_allclose(jax.grad(second)(jnp.asarray(betas, jnp.float32)), [slope, 0.0], rtol=1e-3)


def test_the_law_traces_and_has_derivatives(rng):
    inputs, targets = rng.normal(size=(EXAMPLES, DIM)), rng.normal(size=EXAMPLES)

    def chance(beta):
        return theory.binary.answer_law(inputs, targets, **{**CHAIN, "inverse_temperature": beta}).probabilities[2]

    slope = float(jax.jit(jax.grad(chance))(jnp.float32(1.5)))
    assert slope == pytest.approx((chance(1.501) - chance(1.499)) / 0.002, rel=1e-3)
    contexts = jnp.asarray(np.stack([inputs, 2 * inputs]), jnp.float32)
    laws = jax.vmap(lambda one: theory.binary.answer_law(one, targets, **CHAIN).probabilities)(contexts)
    np.testing.assert_allclose(laws.sum(axis=1), 1, rtol=1e-6)


ASKED = {**CHAIN, "label_noise_std": 1.0, "num_candidates": (3,), "num_contexts": 8}
BAD = [
    (lambda: theory.binary.answer_law(np.ones((2, 13)), np.ones(2), **CHAIN), "inputs", "13"),
    (lambda: theory.binary.answer_law(np.ones((2, 3)), np.ones(3), **CHAIN), "targets", "(3,)"),
    (lambda: theory.binary.answer_law(np.ones((2, 3)), np.ones(2), **{**CHAIN, "num_steps": 0}), "num_steps", "0"),
    (lambda: theory.binary.answer_law(np.ones((2, 3)), np.ones(2), **CHAIN, prob_high=1.0), "prob_high", "1"),
    (lambda: theory.binary.expected_answer_errors(13, 4, (Oracle(),), **ASKED), "dim", "13"),
    (lambda: theory.binary.expected_answer_errors(3, 4, Oracle(), **ASKED), "choosers", "Oracle"),
    (lambda: theory.binary.expected_answer_errors(3, 4, (), **ASKED), "choosers", "()"),
    (lambda: theory.binary.expected_answer_errors(3, 4, (Oracle(0.3),), **ASKED), "choosers", "0.3"),
    (lambda: theory.binary.expected_answer_errors(3, 4, (PluralityVote(),), **ASKED), "choosers", "PluralityVote"),
    (
        lambda: theory.binary.expected_answer_errors(3, 4, (MajorityVote(),), **ASKED, measure="exact_recovery"),
        "choosers",
        "Majority",
    ),
    (lambda: theory.binary.expected_answer_errors(3, 4, (Oracle(),), **ASKED, measure="risk"), "measure", "risk"),
    (
        lambda: theory.binary.expected_answer_errors(
            3, 4, (PluralityVote(),), **{**ASKED, "num_candidates": (10_001,)}, measure="exact_recovery"
        ),
        "num_candidates of a PluralityVote",
        "10001",
    ),
    (lambda: theory.binary.expected_answer_errors(3, 4, (HeldOutLoss(0),), **ASKED), "HeldOutLoss", "0"),
    (
        lambda: theory.binary.expected_answer_errors(3, 4, (Oracle(),), **{**ASKED, "num_candidates": (0,)}),
        "num_candidates",
        "0",
    ),
    (lambda: theory.binary.expected_answer_errors(3, 4, (Oracle(),), **{**ASKED, "num_contexts": 4}), "num_contexts", "4"),
    (
        lambda: theory.binary.expected_answer_errors(3, 4, (Oracle(),), **{**ASKED, "inverse_temperature": -1}),
        "temperature",
        "-1",
    ),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
