"""The best of N answers: against every draw there is, with and without replacement, and a simulated verifier."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory
from tests.errors import assert_named
from tests.statistics import agrees

PROBABILITIES = np.array([0.3, 0.1, 0.25, 0.35])
VALUES = np.array([1.0, -2.0, 0.5, 3.0])
SCORES = {"distinct": np.array([2.0, 0.0, 1.0, 3.0]), "tied": np.array([1.0, 2.0, 1.0, 2.0]), "equal": np.zeros(4)}


def value_of_best(draw, scores):
    """Mean value of those of the draw that share the smallest score."""
    best = min(scores[one] for one in draw)
    return np.mean([VALUES[one] for one in draw if scores[one] == best])


@pytest.mark.parametrize("name", SCORES)
def test_best_answer_over_all_draws(name):
    expected = [
        sum(
            np.prod(PROBABILITIES[list(draw)]) * value_of_best(draw, SCORES[name])
            for draw in itertools.product(range(4), repeat=number)
        )
        for number in (1, 2, 5)
    ]
    found = theory.answers.best_answer_value(PROBABILITIES, SCORES[name], VALUES, np.array([1, 2, 5]))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    if name != "equal":
        assert np.abs(found[1:] - found[0]).min() > 0.1


@pytest.mark.parametrize("name", SCORES)
def test_best_of_a_pool_over_all_subsets(name):
    expected = [
        np.mean([value_of_best(draw, SCORES[name]) for draw in itertools.combinations(range(4), number)])
        for number in (1, 2, 3, 4)
    ]
    np.testing.assert_allclose(theory.answers.best_of_pool(SCORES[name], VALUES, np.arange(1, 5)), expected, rtol=1e-10)


def test_right_and_wrong_answers_are_coverage():
    numbers = np.array([1, 7, 1000])
    right = theory.answers.best_answer_value([0.02, 0.98], [0.0, 1.0], [1.0, 0.0], numbers)
    np.testing.assert_allclose(right, theory.answers.expected_pass_at_k(0.02, numbers), rtol=1e-12)
    np.testing.assert_allclose(right, 1 - 0.98**numbers, rtol=1e-12)
    pool = theory.answers.best_of_pool(1.0 * (np.arange(40) >= 3), 1.0 * (np.arange(40) < 3), np.array([1, 5, 40]))
    np.testing.assert_allclose(pool, theory.pass_at_k(40, 3, np.array([1, 5, 40])), rtol=1e-9)
    assert theory.answers.expected_pass_at_k(1.0, 3) == 1
    assert theory.answers.expected_pass_at_k(1e-18, 4) == pytest.approx(4e-18)


def test_the_pool_of_a_sample_is_unbiased(rng):
    """Averaged over pools drawn from a law, the best of a pool is the best of N fresh answers."""
    pools = rng.choice(4, size=(4000, 10), p=PROBABILITIES)
    scores, numbers = SCORES["distinct"], np.array([1, 3, 8])
    found = np.array([theory.answers.best_of_pool(scores[pool], VALUES[pool], numbers) for pool in pools])
    expected = theory.answers.best_answer_value(PROBABILITIES, scores, VALUES, numbers)
    assert agrees(found, expected)
    assert not agrees(found, 1.05 * expected)


def test_a_verifier_known_by_its_curve_is_the_simulated_one(rng):
    """Scores of the right and of the wrong answers are drawn through the inverse of the curve."""
    false_positive, true_positive = np.array([0.0, 0.05, 0.4, 1.0]), np.array([0.0, 0.5, 0.8, 1.0])
    places = np.arange(4.0)
    is_right = rng.random((60_000, 6)) < 0.2
    uniform = rng.random(is_right.shape)
    scores = np.where(is_right, np.interp(uniform, true_positive, places), np.interp(uniform, false_positive, places))
    numbers = np.array([1, 2, 6])
    won = np.stack([is_right[np.arange(len(scores)), scores[:, :number].argmin(axis=1)] for number in numbers], axis=1)
    predicted = theory.answers.roc_accuracy(0.2, false_positive, true_positive, numbers)
    assert agrees(won.astype(float), predicted)
    assert not agrees(won.astype(float), theory.answers.expected_pass_at_k(0.2, numbers))
    assert not agrees(won.astype(float), theory.answers.roc_accuracy(0.2, false_positive, true_positive**1.1, numbers))


def test_limits_of_a_curve():
    numbers = np.array([1, 10, 10_000])
    np.testing.assert_allclose(theory.answers.roc_accuracy(0.3, [0.0, 1.0], [0.0, 1.0], numbers), 0.3, rtol=1e-12)
    exact = theory.answers.roc_accuracy(0.3, [0.0, 0.0, 1.0], [0.0, 1.0, 1.0], numbers)
    np.testing.assert_allclose(exact, theory.answers.expected_pass_at_k(0.3, numbers), rtol=1e-12)
    grid = theory.answers.roc_accuracy(np.array([[0.1], [0.5]]), [0.0, 0.2, 1.0], [0.0, 0.6, 1.0], numbers)
    assert grid.shape == (2, 3)
    assert grid[0, -1] == pytest.approx(0.1 * 3 / (0.1 * 3 + 0.9))


def test_traced_values_and_derivatives():
    def value(first):
        probabilities = jnp.array([first, 0.6 - first, 0.4])
        return theory.answers.best_answer_value(probabilities, np.array([1.0, 0.0, 2.0]), np.array([1.0, 0.2, 0.0]), 4)

    plain = (value(np.float64(0.201)) - value(np.float64(0.199))) / 0.002
    assert float(jax.jit(jax.grad(value))(jnp.float32(0.2))) == pytest.approx(float(plain), rel=1e-3)
    rare = jax.grad(lambda p: theory.answers.best_answer_value(jnp.array([p, 1 - p]), [0.0, 1.0], [1.0, 0.0], 10))(0.0)
    assert float(rare) == pytest.approx(10.0)  # of 1 - (1 - p)^10 at p = 0
    accuracies = jax.vmap(lambda p: theory.answers.roc_accuracy(p, [0.0, 0.2, 1.0], [0.0, 0.6, 1.0], 3))(jnp.array([0.1, 0.5]))
    np.testing.assert_allclose(
        accuracies, theory.answers.roc_accuracy([0.1, 0.5], [0.0, 0.2, 1.0], [0.0, 0.6, 1.0], 3), rtol=1e-6
    )


BAD = [
    (lambda: theory.answers.best_answer_value([0.5, 0.4], [0.0, 1.0], [1.0, 0.0], 2), "probabilities", "0.9"),
    (lambda: theory.answers.best_answer_value([0.5, 0.5], [0.0], [1.0, 0.0], 2), "scores", "(1,)"),
    (lambda: theory.answers.best_answer_value([0.5, 0.5], [0.0, np.nan], [1.0, 0.0], 2), "scores", "nan"),
    (lambda: theory.answers.best_answer_value([0.5, 0.5], [0.0, 1.0], [1.0, 0.0], 0), "num_candidates", "0"),
    (lambda: theory.answers.best_of_pool([0.0, 1.0], [1.0, 0.0], 3), "num_candidates", "3"),
    (lambda: theory.answers.best_of_pool([0.0, 1.0], [1.0], 1), "values", "(1,)"),
    (lambda: theory.answers.roc_accuracy(1.2, [0.0, 1.0], [0.0, 1.0], 3), "accuracy", "1.2"),
    (lambda: theory.answers.roc_accuracy(0.2, [0.0, 0.9], [0.0, 1.0], 3), "false_positive_rates", "0.9"),
    (lambda: theory.answers.roc_accuracy(0.2, [0.0, 0.5, 1.0], [0.0, 1.0, 0.9], 3), "true_positive_rates", "0.9"),
    (lambda: theory.answers.expected_pass_at_k(-0.1, 3), "accuracy", "-0.1"),
    (lambda: theory.answers.expected_pass_at_k(0.1, 0), "k", "0"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
