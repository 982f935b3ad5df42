"""The draws are JAX's Threefry bits, standard normal, and independent across arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.statistics import agrees
from ttc_jax.normals import standard_normal, threefry_2x32

LEVEL = 1e-4


def test_bits_are_those_of_jax():
    from jax.extend.random import threefry_2x32 as reference

    words = jax.random.key_data(jax.random.key(7))
    high, low = jnp.arange(6, dtype=jnp.uint32), 9 + jnp.arange(6, dtype=jnp.uint32)
    expected = reference(words, jnp.concatenate([high, low]))
    np.testing.assert_array_equal(jnp.concatenate(threefry_2x32(words, high, low)), expected)


@pytest.mark.parametrize("seed", range(3))
def test_law_is_standard_normal(seed):
    draws = np.asarray(standard_normal(jax.random.key(seed), (400_000,)), dtype=np.float64)
    assert stats.kstest(draws, "norm").pvalue > LEVEL
    moments = np.stack([draws**power for power in (1, 2, 3, 4, 6)], axis=1)
    assert agrees(moments, [0, 1, 0, 3, 15])
    assert stats.kstest(1.02 * draws, "norm").pvalue < LEVEL  # the test notices a scale wrong by two per cent
    assert not agrees(np.stack([(1.01 * draws) ** 2], axis=1), [1])


def test_tails_are_those_of_the_normal_law():
    keys = jax.random.split(jax.random.key(3), 64)
    count = jax.jit(jax.vmap(lambda key: jnp.sum(jnp.abs(standard_normal(key, (500_000,))) > 4.5)))(keys).sum()
    expected = 64 * 500_000 * 2 * stats.norm.sf(4.5)
    assert abs(float(count) - expected) < 4 * np.sqrt(expected)


def test_the_two_halves_and_neighbouring_arrays_are_uncorrelated():
    key = jax.random.key(5)
    first, second = (np.asarray(standard_normal(key, (200_000,), index=index), dtype=np.float64) for index in (0, 1))
    half = len(first) // 2
    products = np.stack([first[:half] * first[half:], first[:half] * second[:half], first[:half] * second[half:]], axis=1)
    squares = np.stack([(first[:half] ** 2 - 1) * (first[half:] ** 2 - 1)], axis=1)
    assert agrees(products, [0, 0, 0])
    assert agrees(squares, [0])


def test_arrays_of_a_sequence_are_addressed_by_index():
    key = jax.random.key(1)
    looped = jax.lax.map(lambda index: standard_normal(key, (3, 5), index=index), jnp.arange(4))
    for index in range(4):
        np.testing.assert_allclose(looped[index], standard_normal(key, (3, 5), index=index), rtol=1e-6)
    assert len(np.unique(looped)) == looped.size


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3), (0,)])
def test_shapes(shape):
    assert standard_normal(jax.random.key(0), shape).shape == shape


def test_other_dtypes_and_generators_fall_back_to_jax():
    with jax.enable_x64(True):
        key = jax.random.key(2)
        expected = jax.random.normal(jax.random.fold_in(key, 4), (6,), jnp.float64)
        np.testing.assert_array_equal(standard_normal(key, (6,), index=4), expected)
        assert standard_normal(key, (6,), dtype=jnp.float32).dtype == jnp.float32
    other = jax.random.key(2, impl="rbg")
    np.testing.assert_array_equal(standard_normal(other, (6,)), jax.random.normal(jax.random.fold_in(other, 0), (6,)))
