"""A sweep is an average over tasks that does not depend on how they were chunked."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ttc_jax
from tests.errors import assert_named
from ttc_jax import decoders, sweep
from ttc_jax.sweep import Moments

KEY = jax.random.key(17)
CONFIG = ttc_jax.TaskConfig(4, 8)
AXES = {"label_noise_std": [0.0, 0.5], "decoding_noise_std": [0.0, 0.1, 0.2]}
REUSED = {"num_steps": [0, 3], "num_candidates": [1, 4]}


def risks(key, *, label_noise_std, decoding_noise_std):
    task_key, chain_key = jax.random.split(key)
    task = ttc_jax.sample_task(task_key, CONFIG, label_noise_std=label_noise_std)
    chain = {"num_steps": (0, 3), "num_candidates": (1, 4), "decoding_noise_std": decoding_noise_std}
    return ttc_jax.averaged_risk(chain_key, task, decoders.gram(0.3), **chain)


def test_params_are_given_to_the_measurement_and_compile_nothing_anew():
    traces = []

    def scaled(key, params, noise):
        traces.append(1)
        return params["scale"] * noise + 0 * jax.random.normal(key)

    found = [
        sweep(KEY, scaled, {"noise": [1.0, 2.0]}, params={"scale": jnp.asarray(scale)}, num_tasks=5).mean.tolist()
        for scale in (1.0, 3.0)
    ]
    assert found == [[1.0, 2.0], [3.0, 6.0]]
    assert len(traces) == 1


def test_sweep_is_the_loop_over_tasks_and_points():
    result = sweep(KEY, risks, AXES, num_tasks=50, reused_axes=REUSED)
    assert list(result.axes) == [*AXES, *REUSED]
    assert result.num_tasks == 50
    assert result.mean.dtype == result.standard_error.dtype == np.float64
    keys = [jax.random.fold_in(KEY, index) for index in range(50)]
    one = jax.jit(risks)
    for i, label in enumerate(AXES["label_noise_std"]):
        for j, noise in enumerate(AXES["decoding_noise_std"]):
            values = np.array([one(key, label_noise_std=label, decoding_noise_std=noise) for key in keys], dtype=np.float64)
            np.testing.assert_allclose(result.mean[i, j], values.mean(0), rtol=1e-5)
            np.testing.assert_allclose(result.standard_error[i, j], values.std(0, ddof=1) / 50**0.5, rtol=1e-4)


@pytest.mark.parametrize("chunk_size", [1, 7, 33, 100, 4096])
def test_chunks_change_nothing_beyond_rounding(chunk_size):
    whole = sweep(KEY, risks, AXES, num_tasks=100, reused_axes=REUSED, chunk_size=100)
    chunked = sweep(KEY, risks, AXES, num_tasks=100, reused_axes=REUSED, chunk_size=chunk_size)
    np.testing.assert_allclose(chunked.mean, whole.mean, rtol=1e-6)
    np.testing.assert_allclose(chunked.standard_error, whole.standard_error, rtol=1e-5)
    other = sweep(jax.random.key(18), risks, AXES, num_tasks=100, reused_axes=REUSED, chunk_size=chunk_size)
    assert not np.allclose(other.mean, whole.mean, rtol=1e-3)


def test_more_tasks_extend_fewer():
    seen = []

    def remember(key, *, noise):
        return noise * jax.random.normal(key)

    for num_tasks in (3, 5):
        result = sweep(KEY, remember, {"noise": [1.0]}, num_tasks=num_tasks)
        seen.append(result.mean[0] * num_tasks)
    last_two = sum(float(jax.random.normal(jax.random.fold_in(KEY, index))) for index in (3, 4))
    assert seen[1] - seen[0] == pytest.approx(last_two, rel=1e-5)


def test_points_share_random_numbers():
    result = sweep(KEY, lambda key, *, scale: scale * jax.random.normal(key), {"scale": [1.0, 2.0]}, num_tasks=20)
    assert result.mean[1] == pytest.approx(2 * result.mean[0], rel=1e-6)


def test_a_measurement_is_compiled_once():
    @chex.assert_max_traces(n=1)
    def measure(key, *, scale):
        return scale * jax.random.normal(key)

    for num_tasks, chunk_size in ((40, 16), (64, 16), (16, 300)):
        sweep(KEY, measure, {"scale": [1.0, 2.0]}, num_tasks=num_tasks, chunk_size=chunk_size)
    with pytest.raises(AssertionError, match="traced"):
        sweep(KEY, measure, {"scale": [1.0]}, num_tasks=16, chunk_size=16)  # another shape is another program


def test_progress_counts_tasks():
    done = []
    sweep(KEY, risks, AXES, num_tasks=20, reused_axes=REUSED, chunk_size=8, progress=done.append)
    assert done == [8, 16, 20]


def test_nan_of_one_task_stays_visible():
    def sometimes(key):
        value = jax.random.normal(key)
        return jnp.where(value > 1.5, jnp.nan, value)

    result = sweep(KEY, sometimes, {}, num_tasks=200, chunk_size=64)
    assert np.isnan(result.mean)
    assert np.isnan(result.standard_error)


def test_one_task_has_no_standard_error():
    assert np.isnan(sweep(KEY, lambda key: jax.random.normal(key), {}, num_tasks=1).standard_error)


def test_what_is_no_array_is_named():
    with pytest.raises(ValueError, match="measure must return one array, got dict"):
        sweep(KEY, lambda key: {"risk": jax.random.normal(key)}, {}, num_tasks=2)
    with pytest.raises(ValueError, match="axis name must be"):
        sweep(KEY, lambda key, *, name: jax.random.normal(key), {"name": ["a"]}, num_tasks=2)


def test_moments_of_parts_are_moments_of_the_whole(rng):
    values = 1e6 + rng.normal(size=(1000, 3))
    total = Moments.of(values[:1])
    for part in np.split(values[1:], [10, 400, 401]):
        total = total.merge(Moments.of(part))
    assert total.num_tasks == 1000
    np.testing.assert_allclose(total.mean, values.mean(0), rtol=1e-14)
    np.testing.assert_allclose(total.standard_error, values.std(0, ddof=1) / 1000**0.5, rtol=1e-8)


BAD = [
    ({"num_tasks": 0}, "num_tasks", "0"),
    ({"chunk_size": -2}, "chunk_size", "-2"),
    ({"axes": {"label_noise_std": [], "decoding_noise_std": [0.1]}}, "label_noise_std", "[]"),
    ({"axes": {"label_noise_std": 0.1, "decoding_noise_std": [0.1]}}, "label_noise_std", "0.1"),
    ({"axes": {"label_noise_std": [np.nan], "decoding_noise_std": [0.1]}}, "label_noise_std", "nan"),
    ({"reused_axes": {"num_steps": [0, 3]}}, "measure", "(2, 2)"),
    ({"reused_axes": {"label_noise_std": [0, 3]}}, "reused_axes", "label_noise_std"),
]


@pytest.mark.parametrize(("changed", "name", "value"), BAD)
def test_bad_input_is_named(changed, name, value):
    arguments = {"axes": AXES, "reused_axes": REUSED, "num_tasks": 4, **changed}
    assert_named(lambda: sweep(KEY, risks, **arguments), name, value)
