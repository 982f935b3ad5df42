"""Coverage against exact fractions and quadrature."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy import integrate, special, stats

import theory
from tests.errors import assert_named

SIZES = [(10, 3, 4), (10, 0, 4), (10, 10, 1), (200, 1, 100), (10_000, 7, 5000), (10_000, 9000, 2)]


@pytest.mark.parametrize(("n", "c", "k"), SIZES)
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_answer(n, c, k):
    expected = float(1 - Fraction(comb(n - c, k), comb(n, k)))
    assert theory.pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-10)


def test_pass_at_k_is_unbiased():
    counts = np.arange(21)
    for k in (1, 5, 20):
        mean = stats.binom.pmf(counts, 20, 0.15) @ theory.pass_at_k(20, counts, k)
        assert mean == pytest.approx(1 - 0.85**k, rel=1e-10)


@pytest.mark.parametrize(("a", "b"), [(0.3, 2.0), (1.0, 1.0), (2.5, 0.4)])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_beta_coverage_by_quadrature(a, b, k):
    # In u = p^a the density's pole at zero is gone.
    missed = integrate.quad(lambda u: (1 - u ** (1 / a)) ** (k + b - 1) / a, 0, 1, epsabs=1e-12, limit=400)[0] / special.beta(
        a, b
    )
    assert theory.beta_pass_at_k(a, b, k) == pytest.approx(1 - missed, rel=1e-7)


@pytest.mark.parametrize(("a", "b", "k"), [(1, 10**10, 3), (1, 10**8, 3), (7, 2, 40), (1000, 5, 2), (3, 10**12, 1)])
def test_beta_coverage_is_a_product_of_fractions(a, b, k):
    missed = Fraction(1)
    for index in range(k):
        missed *= Fraction(b + index, a + b + index)
    assert theory.beta_pass_at_k(a, b, k) == pytest.approx(float(1 - missed), rel=1e-12)


def test_beta_coverage_of_many_samples_is_its_power_law():
    for a, b in ((0.3, 2.0), (0.1, 0.5)):
        missed = np.exp(special.gammaln(a + b) - special.gammaln(b)) * 1e15**-a  # relative corrections of order 1e-15
        assert 1 - theory.beta_pass_at_k(a, b, 1e15) == pytest.approx(missed, rel=1e-10)


def test_beta_coverage_has_a_power_law():
    a, b, k = 0.4, 3.0, 1e6
    law = special.gamma(a + b) / special.gamma(b) * k**-a
    assert 1 - theory.beta_pass_at_k(a, b, k) == pytest.approx(law, rel=1e-5)


BAD = [
    (lambda: theory.pass_at_k(10, 11, 2), "num_correct", "11"),
    (lambda: theory.pass_at_k(10, 2, 11), "k", "11"),
    (lambda: theory.pass_at_k(10, -1, 2), "num_correct", "-1"),
    (lambda: theory.beta_pass_at_k(0.0, 1.0, 2), "a", "0"),
    (lambda: theory.beta_pass_at_k(1.0, 1.0, 0), "k", "0"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
