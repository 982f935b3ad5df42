"""Least squares against NumPy's own solution of drawn problems."""

import numpy as np
import pytest

import theory
from tests.errors import assert_named
from tests.statistics import agrees


@pytest.mark.parametrize(("dim", "num_examples"), [(4, 12), (12, 4), (5, 9)])
def test_the_risk_is_that_of_drawn_problems(dim, num_examples, rng):
    noise, signal = 0.7, 0.3
    risks = []
    for _ in range(4000):
        truth = np.sqrt(signal) * rng.normal(size=dim)
        inputs = rng.normal(size=(num_examples, dim))
        found = np.linalg.lstsq(inputs, inputs @ truth + noise * rng.normal(size=num_examples), rcond=None)[0]
        risks.append(np.sum((found - truth) ** 2))
    expected = theory.chains.least_squares_risk(dim, num_examples, label_noise_std=noise, signal_var=signal)
    assert agrees(risks, expected)
    assert not agrees(risks, 1.2 * expected)
    assert not agrees(risks, theory.chains.least_squares_risk(dim, num_examples + 1, label_noise_std=noise, signal_var=signal))


def test_square_problems_have_no_mean_unless_labels_are_exact():
    for num_examples in (7, 8, 9):
        assert theory.chains.least_squares_risk(8, num_examples, label_noise_std=0.1) == np.inf
    assert theory.chains.least_squares_risk(8, 8, label_noise_std=0.0) == 0
    assert theory.chains.least_squares_risk(8, 6, label_noise_std=0.0) == pytest.approx(2 / 8)


def test_it_is_the_limit_of_long_chains():
    chain = {"step_size": 0.2, "label_noise_std": 0.5, "decoding_noise_std": 0.0, "num_steps": 4000}
    for sizes in ((20, 60), (60, 20)):
        assert theory.expected_risk(*sizes, **chain).total == pytest.approx(
            theory.chains.least_squares_risk(*sizes, label_noise_std=0.5), rel=1e-3
        )


def test_bad_input_is_named():
    assert_named(lambda: theory.chains.least_squares_risk(0, 4, label_noise_std=0.1), "dim", "0")
    assert_named(lambda: theory.chains.least_squares_risk(4, 4, label_noise_std=-0.1), "label_noise_std", "-0.1")
