"""Votes among answers of known probabilities against enumeration, exact tails and simulation."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import theory
from tests.errors import assert_named
from tests.statistics import agrees


def enumerated(probabilities, number):
    """Plurality accuracy over every table of counts."""
    total = 0.0
    for counts in itertools.product(range(number + 1), repeat=len(probabilities)):
        if sum(counts) == number and counts[0] == max(counts):
            ways = math.factorial(number) / math.prod(map(math.factorial, counts))
            chance = ways * math.prod(np.power(probabilities, counts))
            total += chance / counts.count(max(counts))
    return total


@pytest.mark.parametrize("accuracy", [0.0, 0.3, 0.5, 0.51, 0.999, 1.0])
@pytest.mark.parametrize("number", [1, 2, 7, 100, 9999, 1_000_000])
def test_majority_is_a_binomial_tail_with_half_the_ties(accuracy, number):
    counts = np.arange(number + 1)
    chance = stats.binom.pmf(counts, number, accuracy)
    expected = chance[2 * counts > number].sum() + chance[2 * counts == number].sum() / 2
    assert theory.majority_accuracy(accuracy, number) == pytest.approx(expected, rel=1e-10)


def test_two_more_voters_gain_what_the_theorem_says():
    p, m = 0.6, np.arange(1, 50)
    gain = theory.majority_accuracy(p, 2 * m + 1) - theory.majority_accuracy(p, 2 * m - 1)
    expected = [math.comb(2 * k - 1, k) * (2 * p - 1) * (p * (1 - p)) ** k for k in m]
    np.testing.assert_allclose(gain, expected, rtol=1e-7)
    assert theory.majority_accuracy(1 - p, 501) == pytest.approx(stats.binom.sf(250, 501, 1 - p), rel=1e-10)


SMALL = [((0.5, 0.3, 0.2), 3), ((0.4, 0.3, 0.2, 0.1), 8), ((0.2, 0.5, 0.3), 11), ((0.25,) * 4, 6), ((1.0, 0.0), 5)]


@pytest.mark.parametrize(("probabilities", "number"), [*SMALL, ((0.0, 1.0), 5)])
def test_plurality_against_enumeration(probabilities, number):
    assert theory.plurality_accuracy(probabilities, number) == pytest.approx(enumerated(probabilities, number), abs=1e-13)


@pytest.mark.parametrize(("size", "number"), [(3, 45), (100, 33), (100, 100), (100, 1000)])
def test_plurality_of_equal_answers_is_a_fair_choice(size, number):
    assert theory.plurality_accuracy(np.full(size, 1 / size), number) == pytest.approx(1 / size, abs=1e-11)


def test_plurality_of_two_is_the_majority():
    for number in (1, 10, 101, 2500):
        assert theory.plurality_accuracy([0.52, 0.48], number) == pytest.approx(
            theory.majority_accuracy(0.52, number), abs=1e-10
        )


def test_plurality_against_simulation(rng):
    probabilities = np.array([0.04, *np.full(32, 0.03)])
    counts = rng.multinomial(300, probabilities, size=100_000) + 0.5 * rng.random((100_000, 33))
    won = (np.argmax(counts, axis=1) == 0)[:, None]
    predicted = theory.plurality_accuracy(probabilities, 300)
    assert agrees(won, [predicted])
    assert not agrees(won, [1.05 * predicted])


def test_bound_and_exponent_of_the_error():
    probabilities = np.array([0.5, 0.3, 0.2])
    numbers = np.array([50, 400])
    error = 1 - np.array([theory.plurality_accuracy(probabilities, int(number)) for number in numbers])
    assert (error < theory.answers.plurality_error_bound(probabilities, numbers)).all()
    rate = theory.answers.plurality_error_exponent(probabilities)
    fitted = -np.diff(np.log(error)) / np.diff(numbers)
    assert rate < fitted[0] < 1.12 * rate  # what remains is the prefactor, N^(-1/2)
    assert theory.answers.plurality_error_exponent([0.3, 0.7]) == 0
    assert theory.answers.plurality_error_bound([0.3, 0.7], 1000) == 1


def test_traced_values_and_derivatives():
    def of_five(accuracy):
        return theory.majority_accuracy(accuracy, 5)

    assert float(jax.jit(of_five)(jnp.float32(0.6))) == pytest.approx(of_five(0.6), rel=1e-6)
    slope = float(jax.grad(of_five)(jnp.float32(0.6)))
    assert slope == pytest.approx(30 * 0.6**2 * 0.4**2, rel=1e-5)
    for edge in (0.0, 1.0):
        assert float(jax.grad(of_five)(edge)) == 0
        assert float(jax.grad(lambda accuracy: theory.majority_accuracy(accuracy, 1))(edge)) == 1
        assert float(jax.grad(lambda accuracy: theory.majority_accuracy(accuracy, 999))(edge)) == 0
    shares = jnp.array([0.5, 0.3, 0.2])
    slope = jax.grad(lambda p: theory.plurality_accuracy(p, 7))(shares)
    moved = [theory.plurality_accuracy(np.array([0.5 + step, 0.3 - step, 0.2]), 7) for step in (-1e-5, 1e-5)]
    assert float(slope[0] - slope[1]) == pytest.approx((moved[1] - moved[0]) / 2e-5, rel=1e-4)
    batch = jax.vmap(lambda p: theory.plurality_accuracy(p, 7))(jnp.stack([shares, shares[::-1]]))
    one_by_one = [theory.plurality_accuracy(given, 7) for given in ([0.5, 0.3, 0.2], [0.2, 0.3, 0.5])]
    np.testing.assert_allclose(batch, one_by_one, rtol=1e-5)


BAD = [
    (lambda: theory.majority_accuracy(1.2, 3), "accuracy", "1.2"),
    (lambda: theory.majority_accuracy(0.5, 0), "num_candidates", "0"),
    (lambda: theory.plurality_accuracy([0.5, 0.4], 3), "probabilities", "0.9"),
    (lambda: theory.plurality_accuracy([1.5, -0.5], 3), "probabilities", "1.5"),
    (lambda: theory.plurality_accuracy([1.0], 3), "probabilities", "1"),
    (lambda: theory.plurality_accuracy([[0.5, 0.5]], 3), "probabilities", "(1, 2)"),
    (lambda: theory.plurality_accuracy([0.5, 0.5], 20_000), "num_candidates", "20000"),
    (lambda: theory.plurality_accuracy([0.5, 0.5], [1, 3]), "num_candidates", "[1, 3]"),
    (lambda: theory.answers.plurality_error_bound([0.5, 0.5], 0), "num_candidates", "0"),
    (lambda: theory.answers.plurality_error_exponent([0.5, 0.6]), "probabilities", "1.1"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
