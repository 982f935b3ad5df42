"""Results of several wings: terms are a tree, and an expansion outside its regime warns."""

import functools
import operator

import jax
import numpy as np
import pytest

import theory

CHAIN = {"num_steps": 5, "step_size": 0.2, "label_noise_std": 0.4, "decoding_noise_std": 0.1}


def test_terms_are_a_tree():
    risk = theory.expected_risk(20, 40, **CHAIN)
    doubled = jax.tree.map(functools.partial(operator.mul, 2.0), risk)
    assert doubled.total == pytest.approx(2 * risk.total)


def test_calls_outside_the_regime_of_the_expansion_warn():
    quiet = {"label_noise_std": 0.0, "decoding_noise_std": 0.0}
    long = {"num_steps": 500, "step_size": 0.3182, **quiet}
    fast = {"num_steps": 10, "step_size": theory.largest_stable_step(16, 299), **quiet}
    for call in (
        lambda: theory.expected_risk(8, 12, **long),
        lambda: theory.expected_risk(16, 299, **fast),
        lambda: theory.expected_risk_covariance(np.ones(8), 12, **long),
        lambda: theory.expected_risk_covariance(np.ones(20), 30, **long),
        lambda: theory.expected_risk_covariance(np.ones(16), 299, **fast),
    ):
        with pytest.warns(theory.results.ExpansionWarning, match="beyond the expansion's regime"):
            call()
    # No warning, which would be an error here.
    theory.expected_risk(8, 12, **{**long, "num_steps": 10})
    theory.expected_risk_covariance(np.ones(16), 299, **{**fast, "step_size": 0.5})
