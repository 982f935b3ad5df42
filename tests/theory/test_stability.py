"""Tracy-Widom tails against published values, and the divergence probability against simulated Wishart matrices."""

import numpy as np
import pytest
from scipy import integrate, special

import theory
from tests.errors import assert_named
from theory.stability import tracy_widom_tail


def test_tail_has_the_published_quantiles():
    # Quantiles of F_1 as tabulated by Johnstone (2001) and Bejan (2005).
    for value, probability in ((-3.8954, 0.99), (-3.1804, 0.95), (-1.2686, 0.5), (0.4501, 0.1), (0.9793, 0.05), (2.0234, 0.01)):
        assert tracy_widom_tail(value) == pytest.approx(probability, abs=2e-4)


def test_tail_has_the_published_moments():
    nodes, weights = np.polynomial.legendre.leggauss(100)
    values, weights = 12 * nodes, 12 * weights
    tail = np.array([tracy_widom_tail(value) for value in values])
    mean = -12 + weights @ tail
    second = 12**2 + weights @ (2 * values * tail)
    assert mean == pytest.approx(-1.2065335745820, abs=1e-8)
    assert second - mean**2 == pytest.approx(1.607781034581, abs=1e-7)


def test_far_tail_has_its_asymptotic_form():
    # 1 - F_1(s) ~ exp(-2/3 s^{3/2}) / (4 sqrt(pi) s^{3/4}), with a relative correction of order s^{-3/2}.
    for value in (20.0, 35.0):
        asymptotic = np.exp(-2 / 3 * value**1.5) / (4 * np.pi**0.5 * value**0.75)
        assert tracy_widom_tail(value) == pytest.approx(asymptotic, rel=2 * value**-1.5)


def test_series_reproduces_the_determinant():
    dim, n = 20, 40
    root_n, root_d = (n - 0.5) ** 0.5, (dim - 0.5) ** 0.5
    centre, scale = (root_n + root_d) ** 2, (root_n + root_d) * (1 / root_n + 1 / root_d) ** (1 / 3)
    for value in (-7.3, -3.1, 0.2, 4.7, 11.3, 33.0):
        step = 2 * n / (centre + scale * value)
        assert theory.divergence_probability(dim, n, step) == pytest.approx(tracy_widom_tail(value), rel=1e-7)


def largest_eigenvalues(dim, num_examples, repeats, rng):
    """Largest eigenvalue of X^T X / n, from the bidiagonal form of a Gaussian matrix (Dumitriu and Edelman 2002)."""
    large, small = max(dim, num_examples), min(dim, num_examples)
    diagonal = np.sqrt(rng.chisquare(large - np.arange(small), size=(repeats, small)))
    below = np.sqrt(rng.chisquare(np.arange(small - 1, 0, -1), size=(repeats, small - 1)))
    matrix = np.zeros((repeats, small, small))
    index = np.arange(small)
    matrix[:, index, index], matrix[:, index[1:], index[:-1]] = diagonal, below
    return np.linalg.eigvalsh(matrix @ matrix.transpose(0, 2, 1))[:, -1] / num_examples


@pytest.mark.parametrize("sizes", [(20, 40), (40, 20), (10, 80), (4, 8)])
@pytest.mark.parametrize("probability", [0.1, 0.01])
def test_divergence_probability_is_the_simulated_one(sizes, probability, rng):
    largest = largest_eigenvalues(*sizes, 100_000, rng)
    simulated = np.mean(largest > 2 / theory.largest_stable_step(*sizes, probability=probability))
    error = 4 * np.sqrt(probability / len(largest))
    assert abs(simulated - probability) < error + 0.1 * probability  # the stated error
    assert abs(simulated - 1.5 * probability) > error + 0.1 * probability


def exact_far_tail(dim, num_examples, step_size):
    """P(lambda_max > 2 / eta) up to its own square: the mean number of eigenvalues beyond.

    Given one eigenvalue x beyond all others, these are a Wishart matrix of one dimension and one degree of freedom less, and
    the mean of det(x - W) over it is a Laguerre polynomial.
    """
    n, d = max(dim, num_examples), min(dim, num_examples)
    log_constant = (
        np.log(d) + special.gammaln(1.5) - (n + d - 1) / 2 * np.log(2) - special.gammaln(1 + d / 2) - special.gammaln(n / 2)
    )

    def density(x):
        determinant = abs(special.eval_genlaguerre(d - 1, n - d, x))
        return np.exp(log_constant + (n - d - 1) / 2 * np.log(x) - x / 2 + special.gammaln(d) + np.log(determinant))

    edge = 2 * num_examples / step_size
    return integrate.quad(density, edge, edge + 40 * np.sqrt(n) + 80, epsrel=1e-8, limit=400)[0]


def test_exact_tail_is_the_simulated_one(rng):
    step = theory.largest_stable_step(10, 30, probability=1e-3)
    count = np.sum(largest_eigenvalues(10, 30, 200_000, rng) > 2 / step)
    expected = 200_000 * exact_far_tail(10, 30, step)
    assert abs(count - expected) < 4 * np.sqrt(expected)


@pytest.mark.parametrize(("sizes", "stated"), [((20, 40), 2.6), ((20, 20), 3.4), ((4, 8), 9.0), ((4, 1000), 0.27)])
def test_far_tail_has_the_stated_error(sizes, stated):
    step = theory.largest_stable_step(*sizes, probability=1e-6)
    assert exact_far_tail(*sizes, step) / 1e-6 == pytest.approx(stated, rel=0.05)


def test_the_known_unsafe_step():
    # d = 20, n = 40, eta = n / (n + d + 1): about one context in twenty diverges.
    assert theory.divergence_probability(20, 40, 40 / 61) == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize("probability", [1e-12, 1e-6, 0.1, 0.9])
def test_stable_step_inverts_the_probability(probability):
    step = theory.largest_stable_step(20, 40, probability)
    assert theory.divergence_probability(20, 40, step) == pytest.approx(probability, rel=1e-9)


def test_stable_step_tends_to_the_edge_of_the_spectrum():
    gamma = 0.5
    edge = 2 / (1 + gamma**0.5) ** 2
    steps = theory.largest_stable_step(np.array([100, 10_000, 1_000_000]), np.array([200, 20_000, 2_000_000]))
    assert np.all(np.diff(steps) > 0)
    assert steps[-1] == pytest.approx(edge, rel=1e-3)


def test_a_step_that_nothing_reaches_is_infinite():
    assert theory.largest_stable_step(1, 1, probability=0.999) == np.inf
    assert np.all(theory.largest_stable_step(np.array([4, 20]), 40, probability=0.999) > 0)


def test_probability_is_one_or_zero_far_from_the_edge():
    assert theory.divergence_probability(20, 40, 50.0) == pytest.approx(1.0, abs=1e-9)
    assert theory.divergence_probability(20, 40, 1e-3) < 1e-60


BAD = [
    (lambda: theory.divergence_probability(0, 40, 0.1), "dim", "0"),
    (lambda: theory.divergence_probability(20, 40, 0.0), "step_size", "0"),
    (lambda: theory.divergence_probability(20, 40, np.nan), "step_size", "nan"),
    (lambda: theory.largest_stable_step(20, 1.5), "num_examples", "1.5"),
    (lambda: theory.largest_stable_step(20, 40, 0.0), "probability", "0"),
    (lambda: theory.largest_stable_step(20, 40, 1e-100), "probability", "1e-100"),
    (lambda: theory.divergence_probability([1, 2], 40, [0.1, 0.2, 0.3]), "dim", "(2,)"),
    (lambda: theory.largest_stable_step(20, 40, 1.0), "probability", "1"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
