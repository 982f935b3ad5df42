"""The spectral rule against quadrature, exact Wishart moments and eigenvalues of simulated Wishart matrices."""

import jax
import numpy as np
import pytest
from scipy import integrate

from tests.statistics import agrees
from theory.chains.spectrum import spectral_rule

SIZES = [(20, 40), (40, 20), (20, 20), (7, 70), (300, 299), (1, 5), (5, 1)]


def rule(dim, num_examples):
    with jax.enable_x64(True):
        return [np.asarray(part) for part in spectral_rule(float(dim), float(num_examples))]


def marchenko_pastur(function, gamma):
    """Average by adaptive quadrature of the density, plus the atom."""
    low, high = (1 - gamma**0.5) ** 2, (1 + gamma**0.5) ** 2

    def density(x):
        return function(x) * np.sqrt((high - x) * (x - low)) / (2 * np.pi * gamma * x)

    continuous = integrate.quad(density, low, high, epsabs=1e-12, epsrel=1e-12, limit=500)[0]
    return continuous + max(0.0, 1 - 1 / gamma) * function(0.0)


FUNCTIONS = {
    "one": lambda x: np.ones_like(x),
    "cubic": lambda x: x**3 - x,
    "decay of 40 steps": lambda x: (1 - 0.3 * x) ** 80,
    "exponential": lambda x: np.exp(-2 * x),
    "square root": lambda x: np.sqrt(1 + x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("sizes", [(20, 40), (40, 20), (7, 70), (3, 2)])
def test_leading_order_is_the_marchenko_pastur_average(sizes, name):
    nodes, leading, *_ = rule(*sizes)
    function = FUNCTIONS[name]
    assert leading.min() >= 0
    assert np.sum(leading * function(nodes)) == pytest.approx(marchenko_pastur(function, sizes[0] / sizes[1]), rel=1e-8)


@pytest.mark.parametrize("sizes", SIZES)
def test_moments_are_those_of_the_wishart_law(sizes):
    dim, n = sizes
    nodes, leading, correction, next_order = rule(dim, n)
    exact = {  # E tr G^k / d for real Gaussian data
        0: [1.0, 0.0, 0.0],
        1: [1.0, 0.0, 0.0],
        2: [1 + dim / n, 1 / n, 0.0],
        3: [(n**2 + dim**2 + 3 * n * dim) / n**2, (3 * n + 3 * dim) / n**2, 4 / n**2],
        4: [
            (n**3 + 6 * n**2 * dim + 6 * n * dim**2 + dim**3) / n**3,
            (6 * n**2 + 17 * n * dim + 6 * dim**2) / n**3,
            21 * (n + dim) / n**3,
        ],
    }
    for power, orders in exact.items():
        found = [np.sum(weights * nodes**power) for weights in (leading, correction, next_order)]
        np.testing.assert_allclose(found, orders, rtol=1e-6, atol=1e-8 * nodes.max() ** power)  # the stated rounding


def simulated_eigenvalues(dim, num_examples, repeats, rng):
    inputs = rng.normal(size=(repeats, num_examples, dim))
    return np.linalg.eigvalsh(inputs.transpose(0, 2, 1) @ inputs / num_examples)


@pytest.mark.parametrize("sizes", [(8, 16), (16, 8), (10, 10)])
@pytest.mark.parametrize("name", ["decay", "inverse", "square root"])
def test_three_orders_give_the_simulated_mean(sizes, name, rng):
    step = 0.15  # safely stable at these sizes
    functions = {
        "decay": lambda x: (1 - step * x) ** 12,
        "inverse": lambda x: 1 / (x + 0.7),
        "square root": lambda x: np.sqrt(1 + x),
    }
    function = functions[name]
    values = function(simulated_eigenvalues(*sizes, 60_000, rng)).mean(1)
    nodes, leading, correction, next_order = rule(*sizes)
    orders = np.array([np.sum(weights * function(nodes)) for weights in (leading, correction, next_order)])
    third = abs(orders[2]) * abs(orders[2] / orders[1])  # if the expansion goes on as it did
    error = np.hypot(values.std() / len(values) ** 0.5, third)
    assert abs(values.mean() - orders.sum()) < 4 * error
    assert abs(values.mean() - orders[0]) > 4 * error  # without the corrections it is wrong, and seen to be


@pytest.mark.parametrize("sizes", [(1, 5), (5, 1), (300, 299), (20, 20), (2000, 3)])
def test_rule_is_finite_everywhere(sizes):
    assert all(np.isfinite(part).all() for part in rule(*sizes))
    assert np.sum(rule(*sizes)[1]) == pytest.approx(1.0, rel=1e-12)


def test_mean_eigenvalue_by_simulation_has_its_control(rng):
    samples = simulated_eigenvalues(4, 8, 20_000, rng) ** 2
    assert agrees(samples.mean(1, keepdims=True), [1 + 4 / 8 + 1 / 8])
    assert not agrees(samples.mean(1, keepdims=True), [1 + 4 / 8])
