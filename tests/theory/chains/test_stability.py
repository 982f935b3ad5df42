"""Tracy-Widom tails against published values, and the divergence probability against simulated Wishart matrices."""

import functools

import numpy as np
import pytest
from scipy import integrate, special, stats

import theory
from tests.errors import assert_named
from theory.chains.stability import tracy_widom_tail


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


@functools.cache
def cumulative_rule(size):
    """Gauss-Legendre nodes and weights on (-1, 1), and the matrix that integrates from -1 to each node."""
    nodes, weights = np.polynomial.legendre.leggauss(size)
    values = np.polynomial.legendre.legvander(nodes, size)
    to_series = (values[:, :size] * weights[:, None]).T * (np.arange(size) + 0.5)[:, None]
    below = np.hstack([1 + nodes[:, None], (values[:, 2:] - values[:, : size - 1]) / (2 * np.arange(1, size) + 1)])
    return nodes, weights, below @ to_series


def exact_probability(dim, num_examples, level):
    """P(lambda_max(X^T X) > level) for an (n, d) matrix of standard normals, as a ratio of Pfaffians.

    With x = u^2, the density of the eigenvalues is prod |x_i - x_j| prod w(u_i), whose integral over u < end is the Pfaffian of
    the skew products of its Laguerre functions (de Bruijn 1955); an odd number of them has a border of single integrals.
    """
    few, excess = min(dim, num_examples), abs(num_examples - dim)
    order = np.arange(few)
    nodes, weights, below = cumulative_rule(150)
    # Singular values lie within a few units of these ends.
    start = max(0.0, abs(dim**0.5 - num_examples**0.5) - 9)
    log_norm = (special.gammaln(order + 1) - special.gammaln(order + excess + 1))[:, None] / 2

    def log_pfaffian(end):
        half = (end - start) / 2
        u = start + half * (nodes + 1)
        functions = special.eval_genlaguerre(order[:, None], excess, u**2) * np.exp(log_norm + excess * np.log(u) - u**2 / 2)
        integrals = functions @ (half * below).T  # from the start to each node
        ordered = (integrals * weights * half) @ functions.T
        matrix = ordered - ordered.T
        if few % 2:
            border = (functions @ weights * half)[:, None]
            matrix = np.block([[matrix, border], [-border.T, np.zeros((1, 1))]])
        return np.linalg.slogdet(matrix)[1] / 2

    return -np.expm1(log_pfaffian(level**0.5) - log_pfaffian(dim**0.5 + num_examples**0.5 + 9))


def test_the_exact_probability_is_the_simulated_one(rng):
    for dim, num_examples in ((3, 5), (4, 8), (20, 40)):
        largest = num_examples * largest_eigenvalues(dim, num_examples, 20_000, rng)
        level = np.quantile(largest, 0.9)
        assert exact_probability(dim, num_examples, level) == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 20_000))
    assert exact_probability(1, 7, 12.0) == pytest.approx(stats.chi2.sf(12.0, 7), rel=1e-9)


@pytest.mark.parametrize(
    ("sizes", "low", "high"),
    [
        *((sizes, 0.9, 1.1) for sizes in ((4, 4), (4, 8), (4, 40), (8, 16), (20, 40), (40, 20))),
        *((sizes, 0.8, 1.1) for sizes in ((4, 400), (5, 5000), (8, 200))),
    ],
)
def test_divergence_probability_has_the_stated_error(sizes, low, high):
    for probability in (0.01, 0.03, 0.1):
        step = theory.largest_stable_step(*sizes, probability)
        assert low < exact_probability(*sizes, 2 * sizes[1] / step) / probability < high


def test_the_far_tail_is_the_mean_number_of_eigenvalues_beyond():
    for sizes in ((10, 30), (4, 8)):
        step = theory.largest_stable_step(*sizes, 1e-4)
        exact = exact_probability(*sizes, 2 * sizes[1] / step)
        assert exact_far_tail(*sizes, step) == pytest.approx(exact, rel=10 * exact)


def test_the_stated_error_can_be_exceeded():
    step = theory.largest_stable_step(4, 400, 0.01)
    assert exact_probability(4, 400, 800 / step) / 0.01 < 0.9


def test_one_dimension_and_one_example_are_exact():
    for sizes, degrees in (((1, 100), 100), ((100, 1), 100), ((1, 1), 1)):
        for step in (0.5, 1.6, 1e12):
            exact = stats.chi2.sf(2 * sizes[1] / step, degrees)
            assert theory.divergence_probability(*sizes, step) == pytest.approx(exact, rel=1e-8)
        step = theory.largest_stable_step(*sizes, 0.01)
        assert stats.chi2.sf(2 * sizes[1] / step, degrees) == pytest.approx(0.01, rel=1e-8)


@pytest.mark.parametrize("sizes", [(1, 1), (2, 2), (4, 8), (20, 40)])
def test_every_context_diverges_for_huge_steps(sizes):
    assert theory.divergence_probability(*sizes, 1e30) == pytest.approx(1.0, abs=1e-9)
    eigenvalues = np.linspace(0.5, 2.0, sizes[0])
    assert theory.chains.divergence_probability_covariance(eigenvalues, sizes[1], 1e30) == pytest.approx(1.0, abs=1e-9)
    step = theory.largest_stable_step(*sizes, 1 - 1e-9)
    assert theory.divergence_probability(*sizes, step) == pytest.approx(1 - 1e-9, abs=1e-12)


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
