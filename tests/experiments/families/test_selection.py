"""Choosers: their scores are those of their verifiers, and settings that cannot be judged are refused or named."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

import ttc_jax
from experiments.families import selection
from experiments.families.selection import Setting
from tests.errors import assert_named

KEY = jax.random.key(3)
TASK = ttc_jax.sample_task(jax.random.key(1), ttc_jax.TaskConfig(3, 5), label_noise_std=0.4)
CANDIDATES = jax.random.normal(jax.random.key(2), (6, 3))


def scored(chooser, key=KEY):
    return np.asarray(selection.scores(key, chooser, CANDIDATES, TASK))


def test_the_oracle_scores_the_risk_and_its_noise_has_the_stated_size():
    risks = np.sum((np.asarray(CANDIDATES) - np.asarray(TASK.coefficients)) ** 2, axis=1)
    np.testing.assert_allclose(scored(selection.ORACLE), risks, rtol=1e-5)
    noisy = selection.noisy_oracle(0.3)
    noises = [scored(noisy, key) - risks for key in jax.random.split(KEY, 200)]
    assert np.std(noises) == pytest.approx(0.3, rel=0.1)
    assert selection.noisy_oracle(0.0) is selection.ORACLE


def test_losses_are_those_on_the_context_and_on_fresh_examples():
    inputs, targets = map(np.asarray, TASK.context)
    expected = np.mean((np.asarray(CANDIDATES) @ inputs.T - targets) ** 2, axis=1)
    np.testing.assert_allclose(scored(selection.CONTEXT_LOSS), expected, rtol=1e-5)
    fresh = scored(selection.held_out(5))
    assert fresh.shape == (6,)
    assert not np.allclose(fresh, expected, rtol=1e-2)
    assert not np.allclose(fresh, scored(selection.held_out(5), jax.random.key(4)), rtol=1e-2)


def test_an_average_has_no_scores():
    with pytest.raises(ValueError, match="chooser must have a verifier to score candidates, got 'average'"):
        scored(selection.AVERAGE)


BAD = [
    ({"num_tasks": 1}, "num_tasks", "1"),
    ({"num_contexts": 7}, "num_contexts", "7"),
    ({"num_candidates": (4, 0)}, "num_candidates", "0"),
    ({"num_candidates": ()}, "num_candidates", "none"),
    ({"num_candidates": (2, 2)}, "num_candidates", "[2, 2]"),
    ({"verifier_noise_std": (0.1, -0.1)}, "verifier_noise_std", "-0.1"),
    ({"inverse_temperature": np.inf}, "inverse_temperature", "inf"),
]


@pytest.mark.parametrize(("settings", "name", "value"), BAD)
def test_bad_settings_are_named(settings, name, value):
    selection.check(SimpleNamespace(num_tasks=2, num_candidates=(1, 2)))
    assert_named(lambda: selection.check(SimpleNamespace(**settings)), name, value)


def test_unstable_steps_are_refused_and_small_sizes_are_not_judged():
    safe, small = Setting(20, 40, 5, 0.4, 0.5, 0.1), Setting(3, 40, 5, 0.4, 0.5, 0.1)
    selection.check_stable(safe)
    assert_named(lambda: selection.check_stable(safe._replace(step_size=0.9)), "step_size", "0.9")
    np.testing.assert_array_equal(selection.judged([safe, small], (2, 2, 1)), [[[True], [True]], [[False], [False]]])
    assert selection.warnings([safe]) == ()
    (line,) = selection.warnings([safe, small, small])
    assert line.startswith("dim 3 and num_examples 40: below 4")
