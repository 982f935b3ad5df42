"""Moments of parts against those of the whole, for numbers near the ends of single precision too."""

import jax
import numpy as np
import pytest

from ttc_jax.sweep import Moments
from ttc_jax.sweep.summary import from_device, summarise


def test_moments_of_parts_are_moments_of_the_whole(rng):
    values = 1e6 + rng.normal(size=(1000, 3))
    total = Moments.of(values[:1])
    for part in np.split(values[1:], [10, 400, 401]):
        total = total.merge(Moments.of(part))
    assert total.num_tasks == 1000
    np.testing.assert_allclose(total.mean, values.mean(0), rtol=1e-14)
    np.testing.assert_allclose(total.standard_error, values.std(0, ddof=1) / 1000**0.5, rtol=1e-8)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_moments_neither_overflow_nor_cancel(rng, scale):
    """Squares of 1e30 are beyond float32, and a scatter of 1e-3 of the mean is near its rounding."""
    values = (scale * (1 + 1e-3 * rng.normal(size=(512, 1)))).astype(np.float32)
    moments = from_device(jax.jit(summarise)(values, np.ones(512, bool)), 0, 512).moments
    exact = values.astype(np.float64)
    np.testing.assert_allclose(moments.mean, exact.mean(0), rtol=1e-9)
    np.testing.assert_allclose(moments.standard_error, exact.std(0, ddof=1) / 512**0.5, rtol=1e-4)
