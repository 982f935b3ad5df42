"""The extrapolation to infinite dimension, and settings that make no sense."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import theory
from experiments import studies
from experiments.families import fed_back, infinite_dimension
from experiments.studies import majority_vote
from tests.errors import assert_named

QUICK = studies.load("majority-vote").presets["quick"]


def test_extrapolation_removes_the_first_order_in_the_inverse_dimension():
    dims = np.array([150, 600])
    mean = 0.2 + np.array([[3.0], [-1.0]]).T / dims[:, None]
    limit, error = infinite_dimension.extrapolated(dims, mean, np.zeros((2, 2)))
    np.testing.assert_allclose(limit, [0.2, 0.2], rtol=1e-12)
    np.testing.assert_allclose(error, np.abs(mean[1] - mean[0]) / 4)  # what it leaves is stated even where there is none


def test_its_error_is_that_of_repeated_runs(rng):
    dims, stray = np.array([100, 300]), np.array([[0.02], [0.01]])
    runs = 0.3 + stray * rng.normal(size=(20_000, 2, 1))
    limits = np.array([infinite_dimension.extrapolated(dims, run, stray)[0] for run in runs])
    stated = np.array([infinite_dimension.extrapolated(dims, run, stray)[1] for run in runs])
    propagated = np.hypot(300 * 0.01, 100 * 0.02) / 200
    assert limits.std() == pytest.approx(propagated, rel=0.03)
    assert (stated >= propagated).all()


def test_only_infinite_dimension_is_judged():
    few = 50 / (QUICK.num_tasks * min(QUICK.dim))  # half as many errors as it takes to know their scatter
    judged = fed_back.judged(QUICK.dim, QUICK.num_tasks, np.array([[0.2, few, 0.4], [0.01, 0.5, 3 * few]]))
    assert judged.shape == (len(QUICK.dim) + 1, 2, 3)
    np.testing.assert_array_equal(judged[-1], [[True, False, True], [True, True, True]])
    assert not judged[:-1].any()


def test_the_floor_of_votes_is_where_the_field_is_on_the_wrong_side():
    """After one step, whose votes are known in closed form for any number: what is left is the term in 1 / N^2."""
    setting = {"num_steps": 1, "step_size": 0.4, "label_noise_std": 15.0, "decoding_noise_std": 0.0}
    errors = theory.binary.sampled_end_error(500, 500, **setting, inverse_temperature=1.0, num_candidates=np.array([17, 33]))
    data = xr.Dataset({"predicted": ("num_candidates", errors)}, coords={"num_candidates": [17, 33]})
    exact = float(theory.binary.sampled_end_error(500, 500, **setting, inverse_temperature=np.inf))
    assert abs(majority_vote.floor(data) - exact) < 0.2 * (errors[1] - exact)
    assert errors[1] - exact > 0.01
    assert majority_vote.floor(data.isel(num_candidates=[0])) is None


BAD = [
    ({"num_tasks": 1}, "num_tasks", "1"),
    ({"dim": (100,)}, "dim", "[100]"),
    ({"dim": (100, 100)}, "dim", "[100, 100]"),
    ({"num_steps": (0, 2)}, "num_steps", "0"),
    ({"num_candidates": ()}, "num_candidates", "[]"),
    ({"num_candidates": (1, 4)}, "num_candidates", "4"),
    ({"examples_per_coefficient": 0.001}, "examples_per_coefficient", "0.001"),
    ({"examples_per_coefficient": np.inf}, "examples_per_coefficient", "inf"),
    ({"examples_per_coefficient": 0.123}, "examples_per_coefficient", "0.123"),
    ({"inverse_temperature": (-1.0,)}, "inverse_temperature", "-1"),
    ({"inverse_temperature": (np.inf,)}, "inverse_temperature", "inf"),
    ({"label_noise_per_coefficient": -0.5}, "label_noise", "-0.5"),
    ({"num_coordinates": 10}, "num_coordinates", "10"),
]


@pytest.mark.parametrize(("changed", "name", "value"), BAD)
def test_bad_settings_are_named(changed, name, value):
    study = studies.load("majority-vote")
    assert_named(lambda: study.predict(replace(QUICK, **changed)), name, value)
