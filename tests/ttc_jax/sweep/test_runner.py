"""A sweep is an average over tasks that does not depend on how they were chunked."""

from statistics import NormalDist

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ttc_jax
from tests.errors import assert_named
from ttc_jax import decoders, replay, sweep
from ttc_jax.sweep import runner

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
        sweep(KEY, measure, {"scale": [1, 2]}, num_tasks=16, chunk_size=16)  # another dtype is another program


def test_a_sweep_is_compiled_where_jit_is_disabled_too():
    asked = {"num_tasks": 20, "reused_axes": REUSED, "chunk_size": 8}
    with jax.disable_jit():
        found = sweep(KEY, risks, AXES, **asked)
    np.testing.assert_array_equal(found.mean, sweep(KEY, risks, AXES, **asked).mean)


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


@pytest.mark.parametrize("dtype", ["bool", "int32", "float16", "bfloat16"])
def test_what_is_no_single_precision_is_averaged_in_it(dtype):
    """A hundred thousand tasks in one chunk: in half precision their number is infinite."""
    result = sweep(KEY, lambda key: (jax.random.uniform(key) < 0.3).astype(dtype), {}, num_tasks=100_000, chunk_size=100_000)
    exact = [jax.random.uniform(key) < 0.3 for key in jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(2000))]
    assert result.mean == pytest.approx(0.3, abs=5 * (0.21 / 100_000) ** 0.5)
    assert result.standard_error == pytest.approx((0.21 / 100_000) ** 0.5, rel=0.01)
    few = sweep(KEY, lambda key: (jax.random.uniform(key) < 0.3).astype(dtype), {}, num_tasks=2000)
    assert few.mean == pytest.approx(np.mean(exact), rel=1e-6)


def test_complex_numbers_have_no_risk():
    assert_named(lambda: sweep(KEY, lambda key: 1j * jax.random.normal(key), {}, num_tasks=2), "measure", "complex64")


def test_the_largest_number_of_tasks_is_that_of_their_indices():
    assert runner._looks(10**9, 0.1, None) == [10**9, 2 * 10**9, 2**31 - 1]


def test_what_is_no_array_is_named():
    with pytest.raises(ValueError, match="measure must return one array, got dict"):
        sweep(KEY, lambda key: {"risk": jax.random.normal(key)}, {}, num_tasks=2)
    with pytest.raises(ValueError, match="axis name must be"):
        sweep(KEY, lambda key, *, name: jax.random.normal(key), {"name": ["a"]}, num_tasks=2)


def normals(key, *, scale):
    return scale * (1 + jax.random.normal(key, (2,)))


def test_tasks_that_are_not_finite_are_counted_and_can_be_replayed():
    def sometimes(key, *, scale):
        value = jax.random.normal(key)
        return scale * jnp.stack([value, jnp.where(value > 1.5, jnp.nan, value)])

    axes, reused = {"scale": [1.0, 2.0]}, {"kind": [0, 1]}
    result = sweep(KEY, sometimes, axes, num_tasks=300, reused_axes=reused, chunk_size=64)
    keys = [jax.random.fold_in(KEY, index) for index in range(300)]
    wrong = [index for index, key in enumerate(keys) if jax.random.normal(key) > 1.5]
    assert result.num_nonfinite == len(wrong) > 5
    assert list(result.nonfinite_tasks) == wrong
    np.testing.assert_array_equal(np.isnan(result.mean), [[False, True], [False, True]])
    for task in (wrong[0], wrong[0] + 1):
        values = replay(KEY, sometimes, axes, task=task, reused_axes=reused)
        np.testing.assert_array_equal(np.isnan(values[:, 1]), task == wrong[0])
        np.testing.assert_allclose(values[:, 0], np.array([1.0, 2.0]) * jax.random.normal(keys[task]), rtol=1e-6)
    assert_named(lambda: replay(KEY, sometimes, axes, task=-1, reused_axes=reused), "task", "-1")


def test_a_target_is_reached_at_the_first_look_that_reaches_it():
    axes, reused = {"scale": [1.0, 3.0]}, {"place": [0, 1]}
    result = sweep(KEY, normals, axes, num_tasks=100, reused_axes=reused, target_error=0.03)
    looks = [100 * 2**power for power in range(7)]
    assert result.num_looks == 7
    assert result.num_tasks in looks
    assert result.reached.all()
    fixed = {look: sweep(KEY, normals, axes, num_tasks=look, reused_axes=reused) for look in looks if look <= result.num_tasks}
    relative = {look: (one.standard_error / one.mean).max() for look, one in fixed.items()}
    assert [look for look, error in relative.items() if error <= 0.03] == [result.num_tasks]
    np.testing.assert_allclose(result.mean, fixed[result.num_tasks].mean, rtol=1e-6)
    np.testing.assert_allclose(result.standard_error, fixed[result.num_tasks].standard_error, rtol=1e-5)


def test_a_target_beyond_the_limit_is_reported_where_it_is_missed():
    def uneven(key):
        return jnp.stack([1 + 0.1 * jax.random.normal(key), 0.1 + jax.random.normal(key)])

    result = sweep(KEY, uneven, {}, num_tasks=64, reused_axes={"place": [0, 1]}, target_error=0.02, max_tasks=1000)
    assert result.num_tasks == 1000
    assert result.num_looks == 5  # 64, 128, 256, 512 and 1000
    assert result.reached.tolist() == [True, False]
    absolute = sweep(KEY, uneven, {}, num_tasks=64, reused_axes={"place": [0, 1]}, target_error=0.06, relative=False)
    assert absolute.num_tasks == 512
    assert absolute.reached.all()


def test_what_is_not_finite_is_not_waited_for():
    result = sweep(KEY, lambda key: jnp.nan * jax.random.normal(key), {}, num_tasks=8, target_error=0.1)
    assert result.num_tasks == 8
    assert not result.reached


def test_errors_are_honest_at_whichever_look_a_sweep_stops():
    """Skewed tasks, 1500 sweeps: at 5 % divided by the looks, no more than 5 % of the means are off, wherever they stopped.

    The control stops where the mean looks most wrong, and is caught at the level of a single look.
    """
    level, target, limit = 0.05, 0.05, 3200
    quantiles = [NormalDist().inv_cdf(1 - level / 2 / looks) for looks in (1, 5)]

    def skewed(key):
        return jnp.exp(jax.random.normal(key) * 0.8 - 0.32)  # of mean one

    looks = [200, 400, 800, 1600, 3200]
    off, tried, stops = 0, np.zeros(2), set()
    for index in range(1500):
        options = {"num_tasks": 200, "target_error": target, "max_tasks": limit, "chunk_size": 200}
        result = sweep(jax.random.fold_in(KEY, index), skewed, {}, **options)
        assert result.num_looks == len(looks)
        stops.add(result.num_tasks)
        off += abs(result.mean - 1) > quantiles[1] * result.standard_error
        if index < 300:
            values = [sweep(jax.random.fold_in(KEY, index), skewed, {}, num_tasks=look, chunk_size=200) for look in looks]
            worst = max(abs(one.mean - 1) / one.standard_error for one in values)
            tried += worst > np.array(quantiles)
    assert len(stops) > 1
    spread = 4 * (level * (1 - level) / 1500) ** 0.5
    assert off / 1500 < level + spread
    assert tried[0] / 300 > level + 4 * (level * (1 - level) / 300) ** 0.5
    assert tried[1] / 300 < level + 4 * (level * (1 - level) / 300) ** 0.5


BAD = [
    ({"num_tasks": 0}, "num_tasks", "0"),
    ({"chunk_size": -2}, "chunk_size", "-2"),
    ({"axes": {"label_noise_std": [], "decoding_noise_std": [0.1]}}, "label_noise_std", "[]"),
    ({"axes": {"label_noise_std": 0.1, "decoding_noise_std": [0.1]}}, "label_noise_std", "0.1"),
    ({"axes": {"label_noise_std": [np.nan], "decoding_noise_std": [0.1]}}, "label_noise_std", "nan"),
    ({"reused_axes": {"num_steps": [0, 3]}}, "measure", "(2, 2)"),
    ({"reused_axes": {"label_noise_std": [0, 3]}}, "reused_axes", "label_noise_std"),
    ({"target_error": 0.0}, "target_error", "0"),
    ({"target_error": np.nan}, "target_error", "nan"),
    ({"target_error": 0.1, "max_tasks": 3}, "max_tasks", "3"),
    ({"max_tasks": 30}, "max_tasks", "30"),
]


@pytest.mark.parametrize(("changed", "name", "value"), BAD)
def test_bad_input_is_named(changed, name, value):
    arguments = {"axes": AXES, "reused_axes": REUSED, "num_tasks": 4, **changed}
    assert_named(lambda: sweep(KEY, risks, **arguments), name, value)
