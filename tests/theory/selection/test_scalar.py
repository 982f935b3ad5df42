"""Selection among scalar candidates: against adaptive and plain quadrature, simulation, and the limits of the temperature."""

import itertools
import math

import jax
import numpy as np
import pytest
from scipy import integrate, special, stats

import theory
from tests.errors import assert_named
from tests.statistics import agrees


@pytest.mark.parametrize("offset", [0.0, 0.7, -1.5])
@pytest.mark.parametrize("number", [1, 3, 50, 1000])
def test_scalar_best_of_n_is_the_quadrature(offset, number):
    def outside(q):
        return 2 * q * (special.ndtr(-q - offset) + special.ndtr(offset - q)) ** number

    pieces = itertools.pairwise((0, 0.1, 2, 15))
    expected = sum(integrate.quad(outside, *ends, epsabs=0, epsrel=1e-12, limit=500)[0] for ends in pieces)
    assert theory.scalar_best_of_n(offset, number) == pytest.approx(expected, rel=1e-9)


def test_many_scalar_candidates_follow_the_inverse_square():
    for offset in (0.0, 1.0, 2.0):
        limits = np.array([10**4, 10**6]) ** 2 * theory.scalar_best_of_n(offset, np.array([10**4, 10**6])) / np.pi
        assert limits[1] == pytest.approx(np.exp(offset**2), rel=1e-4)
        assert abs(limits[1] - np.exp(offset**2)) < abs(limits[0] - np.exp(offset**2))


def test_huge_numbers_of_candidates_keep_their_digits():
    """Near zero the density is flat to one part in N, where the integral is 2 / ((2 f)^2 (N + 1) (N + 2))."""
    for number in (10**8, 10**9, 2**31 - 1):
        for offset in (0.0, 0.5, 3.0):
            density = np.exp(-(offset**2) / 2) / np.sqrt(2 * np.pi)
            limit = 2 / ((2 * density) ** 2 * (number + 1) * (number + 2))
            # The density's curvature adds a relative (offset^2 - 1) / (density N)^2 / 2, which is negligible here.
            assert theory.scalar_best_of_n(offset, number) == pytest.approx(limit, rel=1e-9, abs=0)
            assert theory.scalar_best_of_n(offset, number) != pytest.approx(limit * (1 + 3e-9), rel=1e-9, abs=0)


def test_largest_of_normals():
    known = [0.0, 1 / np.pi**0.5, 1.5 / np.pi**0.5, 1.0293753730, 1.1629644736]
    np.testing.assert_allclose(theory.expected_maximum_normal(np.arange(1, 6)), known, atol=1e-9)
    for number in (100, 10**6):

        def density(x, n=number):
            return n * stats.norm.pdf(x) * special.ndtr(x) ** (n - 1)

        mean = integrate.quad(lambda x, f=density: x * f(x), -10, 12, limit=500, epsabs=1e-12)[0]
        assert theory.expected_maximum_normal(number) == pytest.approx(mean, rel=1e-8)


def by_trapezoids(truth_offset, reward_offset, temperature, number):
    """The softmax's expected error on equidistant grids of the candidate and of v, its race's logarithmic time."""
    spacing = min(0.02, np.sqrt(temperature) / 12)
    y = np.arange(-10.0, 10.0, spacing)
    density, score = spacing * stats.norm.pdf(y), (y + reward_offset) ** 2 / (2 * temperature)
    total = 0.0
    for v in np.arange(-34 - np.log(number), (abs(reward_offset) + 10) ** 2 / (2 * temperature) + 4, 0.06):
        lead = np.exp(np.minimum(v - score, 6.0))
        gone = min(density @ -np.expm1(-lead), 1 - 1e-16)
        if number * gone > 50:  # others are chosen first, here and at every later v
            break
        risk = density @ ((y + truth_offset) ** 2 * lead * np.exp(-lead))
        total += 0.06 * number * risk * np.exp((number - 1) * np.log1p(-gone))
    return total


@pytest.mark.parametrize("number", [2, 1000, 10**6])
@pytest.mark.parametrize(
    ("temperature", "offsets"), [(0.3, (0.7, 0.2)), (3.0, (-6.0, 9.0)), (200.0, (8.0, 8.0)), (1e6, (2.0, -9.0))]
)
def test_softmax_is_the_trapezoidal_rule(temperature, offsets, number):
    found = theory.scalar_softmax_selection(*offsets, temperature, number)
    assert found == pytest.approx(by_trapezoids(*offsets, temperature, number), rel=1e-9)
    assert theory.scalar_softmax_selection(*offsets, 1.001 * temperature, number) != pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize("offsets", [(0.5, 0.5), (-1.0, 0.7)])
def test_softmax_of_a_low_temperature_is_the_adaptive_quadrature(offsets):
    truth, reward = offsets
    temperature, number = 1e-3, 8

    def mean(function, v):
        kernel = np.sqrt(2 * temperature * np.maximum(v + np.array([-4, -1, 1, 4, 10, 20, 40]), 0))

        def integrand(x):
            lead = math.exp(min(v - x**2 / (2 * temperature), 5.0))
            sides = (x - reward, -x - reward)
            return sum(math.exp(-(y**2) / 2) * function(y, lead) for y in sides) / math.sqrt(2 * math.pi)

        return pieces(integrand, sorted([0.0, 1.0, 3.0, *np.minimum(kernel, 11.0), 11.0]))

    def density(q):  # v = q^2 / (2 temperature), negative with q
        v = q * abs(q) / (2 * temperature)
        others = 1 - mean(lambda y, lead: -math.expm1(-lead), v)
        return number * others ** (number - 1) * mean(lambda y, lead: (y + truth) ** 2 * lead * math.exp(-lead), v) * abs(q)

    expected = pieces(density, [-0.28, -0.1, 0.0, 0.03, 0.06, 0.12, 0.3, 0.8, 1.5, 2.5, 4.0, 6.0]) / temperature
    assert theory.scalar_softmax_selection(*offsets, temperature, number) == pytest.approx(expected, rel=1e-9)


def pieces(function, knots):
    """Adaptive quadrature between each pair of neighbouring knots."""
    return sum(integrate.quad(function, *ends, epsabs=1e-16, epsrel=1e-11)[0] for ends in itertools.pairwise(knots))


def test_softmax_of_one_candidate_is_that_candidate():
    offsets, temperatures = np.array([[0.0], [0.7], [-10.0]]), np.array([1e-6, 0.1, 30.0, 1e6])
    found = theory.scalar_softmax_selection(offsets, 2.5, temperatures, 1)
    np.testing.assert_allclose(found, np.broadcast_to(1 + offsets**2, (3, 4)), rtol=1e-9)


def test_softmax_of_no_temperature_is_the_best_of_n():
    numbers = np.array([1, 2, 8, 64, 1024])
    found = theory.scalar_softmax_selection(0.5, 0.5, 1e-12, numbers)
    np.testing.assert_allclose(found, theory.scalar_best_of_n(0.5, numbers), rtol=1e-9)

    def chosen(y, n):  # by a reward that is not the truth: every other candidate is further from it
        distance = abs(y + 0.7)
        return n * stats.norm.pdf(y) * (y - 1) ** 2 * (special.ndtr(-distance - 0.7) + special.ndtr(0.7 - distance)) ** (n - 1)

    for number in numbers.tolist():
        expected = pieces(lambda y, n=number: chosen(y, n), [-12.0, -3.0, -0.71, -0.7, -0.69, 2.0, 12.0])
        assert theory.scalar_softmax_selection(-1.0, 0.7, 1e-12, number) == pytest.approx(expected, rel=1e-9)


def test_softmax_of_infinite_temperature_is_a_random_candidate():
    misses = theory.scalar_softmax_selection(2.0, -1.0, np.array([1e4, 1e6]), 50) / 5 - 1
    assert np.all(np.abs(misses) < np.array([1e-3, 1e-5]))
    assert misses[0] == pytest.approx(100 * misses[1], rel=1e-2)


@pytest.mark.parametrize("temperature", [0.1, 2.0])
def test_softmax_of_two_candidates_is_the_double_integral(temperature):
    grid = np.arange(-9.0, 9.0, 0.01)
    density, risk, score = 0.01 * stats.norm.pdf(grid), (grid - 0.4) ** 2, (grid + 0.6) ** 2 / (2 * temperature)
    first = special.expit(score - score[:, None])  # weight of the row's candidate against the column's
    expected = density @ (first * risk[:, None] + (1 - first) * risk) @ density
    assert theory.scalar_softmax_selection(-0.4, 0.6, temperature, 2) == pytest.approx(expected, rel=1e-9)


def test_softmax_is_the_simulated_one(rng):
    numbers, temperature, truth, reward = np.array([2, 16, 128]), 0.05, -0.3, 0.8
    y = rng.normal(size=(40_000, 128))
    score = (y + reward) ** 2 / (2 * temperature)
    weights = [special.softmax(-score[:, :number], axis=1) for number in numbers]
    risks = np.stack([np.sum(weight * (y[:, : weight.shape[1]] + truth) ** 2, axis=1) for weight in weights], axis=1)
    assert agrees(risks, theory.scalar_softmax_selection(truth, reward, temperature, numbers))
    assert not agrees(risks, theory.scalar_softmax_selection(truth, reward, 1.2 * temperature, numbers))


def test_softmax_reaches_its_limits():
    found = theory.scalar_softmax_selection(0.5, 0.5, np.array([1e-300, 1e-30, 1e12, 1e300]), np.array([[1], [8], [10**9]]))
    best = np.array([1.25, theory.scalar_best_of_n(0.5, 8), theory.scalar_best_of_n(0.5, 10**9)])
    np.testing.assert_allclose(found[:, :2], np.stack([best, best], axis=1), rtol=1e-8)
    np.testing.assert_allclose(found[:, 2:], 1.25, rtol=1e-8)


def test_softmax_has_the_derivative_in_an_offset_of_zero():
    def risk(reward):
        return theory.scalar_softmax_selection(0.5, reward, 0.2, 4)

    assert float(jax.grad(risk)(0.0)) == pytest.approx((risk(1e-5) - risk(-1e-5)) / 2e-5, rel=1e-5)


BAD = [
    (lambda: theory.scalar_best_of_n(np.inf, 3), "offset", "inf"),
    (lambda: theory.scalar_softmax_selection(np.nan, 0.0, 1.0, 3), "truth_offset", "nan"),
    (lambda: theory.scalar_softmax_selection(0.0, "far", 1.0, 3), "reward_offset", "far"),
    (lambda: theory.scalar_softmax_selection(0.0, 0.0, 0.0, 3), "temperature", "0"),
    (lambda: theory.scalar_softmax_selection(0.0, 0.0, np.inf, 3), "temperature", "inf"),
    (lambda: theory.scalar_softmax_selection(0.0, 0.0, 1.0, 0), "num_candidates", "0"),
    (lambda: theory.scalar_softmax_selection(np.zeros(2), 0.0, np.ones(3), 1), "temperature", "(3,)"),
    (lambda: theory.expected_maximum_normal(1.5), "num", "1.5"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
