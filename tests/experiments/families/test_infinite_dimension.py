"""Studies of training on too little: the limit of geometric means, what is judged, and settings that make no sense."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import studies
from experiments.families import infinite_dimension
from experiments.run.engine import Engine
from experiments.studies import chain_depth, pretraining_size
from tests.errors import assert_named


def test_three_dimensions_remove_two_orders():
    dims = np.array([8, 16, 48])
    mean = 0.2 + 3.0 / dims - 5.0 / dims**2
    limit, error = infinite_dimension.extrapolated(dims, mean, np.zeros(3))
    assert limit == pytest.approx(0.2, rel=1e-12)
    assert error == pytest.approx(abs((48 * mean[2] - 16 * mean[1]) / 32 - 0.2))
    _, stray = infinite_dimension.extrapolated(dims, np.full(3, 0.2), np.array([0.03, 0.02, 0.01]))
    weights = np.array([64 / (8 * 40), -256 / (8 * 32), 48**2 / (40 * 32)])
    assert stray == pytest.approx(np.linalg.norm(weights * [0.03, 0.02, 0.01]))


@dataclass(frozen=True)
class Runs:
    num_tasks: int = 400
    dim: tuple[int, ...] = (16, 64)


def lognormal(config, dim):
    """Logarithms of errors that tend to 0.5."""
    return lambda key: jnp.log(0.5) + 2 / dim + 4 * jax.random.normal(key, (1,)) / jnp.sqrt(dim)


def test_the_limit_of_typical_errors_is_theirs():
    told = []
    axes = {"one": np.array(["only"])}
    found = infinite_dimension.measure_typical(
        Runs(), 3, Engine(progress=told.append), lognormal, {}, axes, concentration=1, num_dims=2
    )
    assert list(found.axes) == ["dim", "one"]
    assert found.axes["dim"].tolist() == ["16", "64", infinite_dimension.EXTRAPOLATED]
    relative = found.standard_error[:, 0] / found.mean[:, 0]
    np.testing.assert_allclose(relative[:2], [1 / np.sqrt(4 * 400), 0.5 / np.sqrt(400)], rtol=0.1)  # four times the runs at 16
    assert abs(found.mean[-1, 0] - 0.5) < 4 * found.standard_error[-1, 0]
    assert abs(found.mean[0, 0] - 0.5 * np.exp(2 / 16)) < 4 * found.standard_error[0, 0]
    assert told[-1] == 1
    assert told == sorted(told)
    assert 0.5 in told


def test_longer_chains_are_judged_in_larger_dimension_and_after_more_contexts():
    quick = studies.load("chain-depth").presets["quick"]
    longest = chain_depth.longest_judged(quick)
    assert (np.diff(longest) > 0).all()
    np.testing.assert_allclose(chain_depth.longest_judged(replace(quick, dim=(8 * 120, 8 * 240))), 4 * longest)
    judged = chain_depth.predict(quick).judged
    assert not judged[:-1].any()
    for ratio, most in enumerate(longest):
        np.testing.assert_array_equal(judged[-1, ratio], np.array(quick.num_steps) <= most)


def test_numbers_of_prompts_too_near_the_weights_are_not_judged():
    quick = studies.load("pretraining-size").presets["quick"]
    near = pretraining_size.predict(replace(quick, prompts_per_weight=(0.5, 0.9375, 1.0625, 1.125)))
    np.testing.assert_array_equal(near.judged[-1], np.tile([True, False, False, True], (3, 1)))
    assert "0.9375, 1.0625" in near.warnings[0]
    assert not pretraining_size.predict(quick).warnings


BOTH = [
    ({"num_tasks": 1}, "num_tasks", "1"),
    ({"label_noise_std": -0.5}, "label_noise_std", "-0.5"),
    ({"label_noise_std": np.nan}, "label_noise_std", "nan"),
    ({"dim": (8,)}, "dim", "[8]"),
    ({"dim": ()}, "dim", "[]"),
    ({"dim": (0, 8, 16)}, "dim", "0"),
    ({"examples_per_coefficient": 0.0}, "examples_per_coefficient", "0"),
    ({"examples_per_coefficient": 0.123}, "examples_per_coefficient", "0.123"),
]
BAD = [
    *((name, *case) for name in ("chain-depth", "pretraining-size") for case in BOTH),
    ("chain-depth", {"num_test_contexts": 0}, "num_test_contexts", "0"),
    ("chain-depth", {"num_steps": (0, 2)}, "num_steps", "0"),
    ("chain-depth", {"num_steps": ()}, "num_steps", "[]"),
    ("chain-depth", {"num_steps": (1, 3000)}, "num_steps", "3000"),
    ("chain-depth", {"num_steps": (1, 150), "contexts_per_coefficient": (1.001,), "dim": (1000, 2000)}, "num_steps", "150"),
    ("chain-depth", {"contexts_per_coefficient": (1.0, 2.0)}, "contexts_per_coefficient", "1"),
    ("chain-depth", {"contexts_per_coefficient": (1.51,)}, "contexts_per_coefficient", "1.51"),
    ("chain-depth", {"contexts_per_coefficient": (np.nan,)}, "contexts_per_coefficient", "nan"),
    ("pretraining-size", {"test_contexts_per_weight": 0}, "test_contexts_per_weight", "0"),
    ("pretraining-size", {"dim": (8, 16)}, "dim", "[8, 16]"),
    ("pretraining-size", {"prompts_per_weight": (0.5, 1.0)}, "prompts_per_weight", "1"),
    ("pretraining-size", {"prompts_per_weight": (0.3,)}, "prompts_per_weight", "0.3"),
    ("pretraining-size", {"prompts_per_weight": (np.inf,)}, "prompts_per_weight", "inf"),
    ("pretraining-size", {"tasks_per_coefficient": (0.01,)}, "tasks_per_coefficient", "0.01"),
    ("pretraining-size", {"tasks_per_coefficient": ()}, "tasks_per_coefficient", "[]"),
    ("pretraining-size", {"tasks_per_coefficient": (2.0, 2.0)}, "tasks_per_coefficient", "[2.0, 2.0]"),
]


@pytest.mark.parametrize(("study", "changed", "name", "value"), BAD)
def test_bad_settings_are_named(study, changed, name, value):
    one = studies.load(study)
    assert_named(lambda: one.predict(replace(one.presets["quick"], **changed)), name, value)
