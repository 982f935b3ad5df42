"""Quadrature rules against polynomials, moments and SciPy's chi-square law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from theory import _quadrature


@pytest.fixture(autouse=True)
def as_in_a_prediction():
    """Double precision, and broadcasting between ranks, as within ``theory._evaluate``."""
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        yield


def test_panels_integrate_polynomials_exactly():
    """Of degree 2 n - 1, and no more, on every panel; edges may be a batch."""
    edges = np.array([[0.0, 0.5, 2.0], [-1.0, 1.0, 3.0]])
    nodes, weights = _quadrature.panels(edges, order=3)
    assert nodes.shape == weights.shape == (2, 6)
    for degree in range(6):
        exact = (edges[:, -1] ** (degree + 1) - edges[:, 0] ** (degree + 1)) / (degree + 1)
        np.testing.assert_allclose(np.sum(weights * nodes**degree, axis=1), exact, rtol=1e-13, atol=1e-13)
    assert abs(np.sum(weights[1] * nodes[1] ** 6) - (3.0**7 + 1) / 7) > 1e-3


@pytest.mark.parametrize("place", [0.0, 1.3, -30.0])
def test_normal_averages_are_exact_at_a_kink(place):
    nodes, weights = _quadrature.normal_rule(jnp.asarray(place), jnp.array([0.7]))
    assert float(jnp.sum(weights)) == pytest.approx(1.0, abs=1e-14)
    assert float(jnp.sum(weights * nodes**2)) == pytest.approx(1.0, abs=1e-13)
    expected = stats.norm.pdf(0.7) - 0.7 * stats.norm.sf(0.7)
    assert float(jnp.sum(weights * jnp.maximum(nodes - 0.7, 0.0))) == pytest.approx(expected, rel=1e-12)
    assert np.min(np.abs(np.asarray(nodes) - place)) < 1e-7  # finest around the place


@pytest.mark.parametrize("degrees", [1, 2, 7, 100, 10_000])
def test_the_chi_square_tail_is_scipys(degrees):
    levels = degrees * np.array([0.01, 0.5, 0.9, 1.0, 1.1, 1.5, 3.0])
    found, expected = (
        _quadrature.chi_square_tail(jnp.asarray(float(degrees)), jnp.asarray(levels)),
        stats.chi2.sf(levels, degrees),
    )
    seen = expected > 1e-290
    assert seen.sum() >= 5
    np.testing.assert_allclose(found[seen], expected[seen], rtol=1e-8)
