"""Best-of-N averaged over contexts: against simulated candidates, in its standard error, its derivatives and its limits."""

import jax
import numpy as np
import pytest

import theory
from tests.errors import assert_named
from theory.selection import ContextLoss, HeldOutLoss, Oracle

CHAIN = {"num_steps": 6, "step_size": 0.15, "label_noise_std": 0.6, "decoding_noise_std": 0.15}
NUMBERS = np.array([1, 4, 32])
VERIFIERS = [Oracle(), Oracle(0.4), ContextLoss(), HeldOutLoss(2), HeldOutLoss(12)]


def simulated(dim, num_examples, verifier, repeats, rng):
    """Risks of the best of N of drawn contexts, in NumPy and without eigenbasis, shape (repeats, numbers)."""
    inputs, truth = rng.normal(size=(repeats, num_examples, dim)), rng.normal(size=(repeats, dim)) / dim**0.5
    targets = np.einsum("bnd,bd->bn", inputs, truth) + CHAIN["label_noise_std"] * rng.normal(size=(repeats, num_examples))
    states = np.zeros((repeats, NUMBERS[-1], dim))
    for _ in range(CHAIN["num_steps"]):
        residuals = targets[:, None, :] - np.einsum("bnd,bcd->bcn", inputs, states)
        states += CHAIN["step_size"] / num_examples * np.einsum("bnd,bcn->bcd", inputs, residuals)
        states += CHAIN["decoding_noise_std"] * rng.normal(size=states.shape)
    risks = np.sum((states - truth[:, None]) ** 2, axis=-1)
    match verifier:
        case Oracle():
            scores = risks + verifier.noise_std * rng.normal(size=risks.shape)
        case ContextLoss():
            scores = np.mean((targets[:, None, :] - np.einsum("bnd,bcd->bcn", inputs, states)) ** 2, axis=-1)
        case HeldOutLoss():
            fresh = rng.normal(size=(repeats, verifier.num_examples, dim))
            answers = np.einsum("bnd,bd->bn", fresh, truth)
            answers += CHAIN["label_noise_std"] * rng.normal(size=answers.shape)
            scores = np.mean((answers[:, None, :] - np.einsum("bnd,bcd->bcn", fresh, states)) ** 2, axis=-1)
    chosen = [np.argmin(scores[:, :number], axis=1) for number in NUMBERS]
    return np.stack([risks[np.arange(repeats), index] for index in chosen], axis=1)


@pytest.mark.parametrize("sizes", [(5, 10), (8, 4)])
@pytest.mark.parametrize("verifier", VERIFIERS, ids=str)
def test_the_average_is_the_simulated_one(verifier, sizes, rng):
    risks = simulated(*sizes, verifier, 12_000, rng)
    estimate = theory.selection.expected_best_of_n_risk(*sizes, verifier, **CHAIN, num_candidates=NUMBERS)
    error = np.hypot(risks.std(axis=0) / 12_000**0.5, estimate.standard_error)

    def agrees(predicted):
        return np.all(np.abs(risks.mean(axis=0) - predicted) < 4.2 * error)

    assert agrees(estimate.mean)
    assert not agrees(1.06 * estimate.mean)
    if verifier == Oracle(0.4):  # the noise dropped
        assert not agrees(theory.selection.expected_best_of_n_risk(*sizes, Oracle(), **CHAIN, num_candidates=NUMBERS).mean)
    if verifier == Oracle():  # the large-dimension form
        gaussian = theory.selection.expected_best_of_n_risk(*sizes, verifier, **CHAIN, num_candidates=NUMBERS, gaussian=True)
        assert not agrees(gaussian.mean)


def test_one_candidate_has_the_expected_risk():
    for verifier in VERIFIERS:
        for gaussian in (False, True):
            found = theory.selection.expected_best_of_n_risk(8, 16, verifier, **CHAIN, num_candidates=1, gaussian=gaussian)
            orders = theory.expected_risk(8, 16, **CHAIN), theory.chains.expected_risk_next_order(8, 16, **CHAIN)
            assert found.mean == pytest.approx(sum(order.total for order in orders), rel=1e-4)


@pytest.mark.optimised
def test_the_standard_error_is_honest():
    """Over seeds, deviations from a run with many contexts are as large as the standard error says."""
    chain = {**CHAIN, "num_candidates": NUMBERS[1:]}
    truth = theory.selection.expected_best_of_n_risk(4, 8, Oracle(), **chain, num_contexts=8192, seed=999)
    runs = [
        theory.selection.expected_best_of_n_risk(4, 8, Oracle(), **chain, num_contexts=128, seed=seed) for seed in range(60)
    ]
    z = np.array([(run.mean - truth.mean) / np.hypot(run.standard_error, truth.standard_error) for run in runs])
    size = np.sqrt(np.mean(z**2, axis=0))
    # 60 draws of a chi-square: its root mean square lies within 0.72 and 1.31 with probability 0.999.
    assert np.all((size > 0.72) & (size < 1.31))
    assert not np.all((size / 1.6 > 0.72) & (1.6 * size < 1.31))


def test_arguments_broadcast():
    steps, noises = np.array([[2], [6]]), np.array([0.1, 0.2, 0.3])
    chain = {**CHAIN, "num_steps": steps, "decoding_noise_std": noises, "num_contexts": 32}
    grid = theory.selection.expected_best_of_n_risk(3, 6, Oracle(), **chain, num_candidates=np.array([2, 4, 8]))
    assert grid.mean.shape == grid.standard_error.shape == (2, 3)
    chain |= {"num_steps": 6, "decoding_noise_std": 0.3}
    one = theory.selection.expected_best_of_n_risk(3, 6, Oracle(), **chain, num_candidates=8)
    assert isinstance(one.mean, np.float64)
    np.testing.assert_allclose([grid.mean[1, 2], grid.standard_error[1, 2]], one, rtol=1e-10)


@pytest.mark.parametrize(("sizes", "verifier"), [((3, 6), HeldOutLoss(2)), ((5, 3), Oracle(0.2)), ((4, 4), ContextLoss())])
def test_traced_values_and_derivatives(sizes, verifier):
    def risk(step, noise):
        chain = {**CHAIN, "step_size": step, "decoding_noise_std": noise, "num_contexts": 16}
        return theory.selection.expected_best_of_n_risk(*sizes, verifier, **chain, num_candidates=8).mean

    with jax.enable_x64(True):
        value, slopes = jax.jit(jax.value_and_grad(risk, argnums=(0, 1)))(0.15, 0.15)
    assert float(value) == pytest.approx(risk(0.15, 0.15), rel=1e-8)
    for slope, moved in zip(slopes, ((1e-5, 0.0), (0.0, 1e-5)), strict=True):
        up, down = (risk(0.15 + sign * moved[0], 0.15 + sign * moved[1]) for sign in (1, -1))
        assert float(slope) == pytest.approx((up - down) / 2e-5, rel=1e-4)


def test_no_noise_leaves_nothing_to_choose():
    for verifier in VERIFIERS:
        chain = {**CHAIN, "decoding_noise_std": 0.0, "num_contexts": 16}
        found = theory.selection.expected_best_of_n_risk(4, 8, verifier, **chain, num_candidates=np.array([1, 64])).mean
        assert found[1] == pytest.approx(found[0], rel=1e-4)


def _expected(*sizes, verifier=Oracle(), **changed):  # noqa: B008
    return theory.selection.expected_best_of_n_risk(*(sizes or (3, 6)), verifier, **{**CHAIN, "num_candidates": 4, **changed})


BAD = [
    (lambda: _expected(0, 6), "dim", "0"),
    (lambda: _expected(3, 2.5), "num_examples", "2.5"),
    (lambda: _expected(verifier=HeldOutLoss(0)), "verifier.num_examples", "0"),
    (lambda: _expected(verifier=Oracle(-1.0)), "verifier.noise_std", "-1"),
    (lambda: _expected(verifier="oracle"), "verifier", "oracle"),
    (lambda: _expected(num_contexts=4), "num_contexts", "4"),
    (lambda: _expected(seed=-1), "seed", "-1"),
    (lambda: _expected(num_candidates=0), "num_candidates", "0"),
    (lambda: _expected(decoding_noise_std=-0.1), "decoding_noise_std", "-0.1"),
    (lambda: _expected(step_size=np.nan), "step_size", "nan"),
    (lambda: _expected(step_size=5.0), "step_size", "5"),
    (lambda: _expected(num_candidates=np.ones(0)), "num_candidates", "(0,)"),
    (lambda: _expected(num_candidates=np.ones(2), num_steps=np.ones(3)), "num_candidates", "(2,)"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
