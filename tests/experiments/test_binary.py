"""The extrapolation to infinite dimension, and settings that make no sense."""

from dataclasses import replace

import numpy as np
import pytest

from experiments import binary, studies
from tests.errors import assert_named

QUICK = studies.load("majority-vote").presets["quick"]


def test_extrapolation_removes_the_first_order_in_the_inverse_dimension():
    dims = np.array([150, 600])
    mean = 0.2 + np.array([[3.0], [-1.0]]).T / dims[:, None]
    limit, error = binary.extrapolated(dims, mean, np.zeros((2, 2)))
    np.testing.assert_allclose(limit, [0.2, 0.2], rtol=1e-12)
    np.testing.assert_allclose(error, np.abs(mean[1] - mean[0]) / 4)  # what it leaves is stated even where there is none


def test_its_error_is_that_of_repeated_runs(rng):
    dims, stray = np.array([100, 300]), np.array([[0.02], [0.01]])
    runs = 0.3 + stray * rng.normal(size=(20_000, 2, 1))
    limits = np.array([binary.extrapolated(dims, run, stray)[0] for run in runs])
    stated = np.array([binary.extrapolated(dims, run, stray)[1] for run in runs])
    propagated = np.hypot(300 * 0.01, 100 * 0.02) / 200
    assert limits.std() == pytest.approx(propagated, rel=0.03)
    assert (stated >= propagated).all()


def test_only_infinite_dimension_is_judged():
    judged = binary.judged(QUICK, (2, 3))
    assert judged.shape == (len(QUICK.dim) + 1, 2, 3)
    assert judged[-1].all()
    assert not judged[:-1].any()


BAD = [
    ({"num_tasks": 1}, "num_tasks", "1"),
    ({"chunk_size": 0}, "chunk_size", "0"),
    ({"dim": (100,)}, "dim", "(100,)"),
    ({"dim": (100, 100)}, "dim", "(100, 100)"),
    ({"num_steps": (0, 2)}, "num_steps", "0"),
    ({"num_candidates": ()}, "num_candidates", "()"),
    ({"num_candidates": (1, 4)}, "num_candidates", "4"),
    ({"examples_per_coefficient": 0.001}, "examples_per_coefficient", "0.001"),
    ({"inverse_temperature": (-1.0,)}, "inverse_temperature", "-1"),
    ({"label_noise_per_coefficient": -0.5}, "label_noise", "-0.5"),
    ({"num_coordinates": 10}, "num_coordinates", "10"),
]


@pytest.mark.parametrize(("changed", "name", "value"), BAD)
def test_bad_settings_are_named(changed, name, value):
    study = studies.load("majority-vote")
    assert_named(lambda: study.predict(replace(QUICK, **changed)), name, value)
