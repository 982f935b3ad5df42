"""Summaries of chunks against NumPy on all values; tails of known laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ttc_jax import sweep
from ttc_jax.sweep.summary import Summary, from_device, summarise

KEY = jax.random.key(17)


def test_a_summary_of_chunks_is_that_of_the_values(rng):
    """Moments, tail and tasks that are not finite, against NumPy on all values at once; masked rows do not count."""
    values = rng.lognormal(sigma=1.5, size=(3000, 4)).astype(np.float32)
    values[1234, 2], values[77, 1] = np.nan, np.inf
    total = None
    for first in range(0, 3000, 128):
        rows = values[np.minimum(np.arange(first, first + 128), 2999)]
        part = from_device(jax.jit(summarise)(rows, np.arange(first, first + 128) < 3000), first, min(128, 3000 - first))
        total = part if total is None else total.merge(part)
    exact = values.astype(np.float64)
    fine = [0, 3]
    np.testing.assert_allclose(total.moments.mean[fine], exact.mean(0)[fine], rtol=1e-6)
    np.testing.assert_allclose(total.moments.standard_error[fine], exact[:, fine].std(0, ddof=1) / 3000**0.5, rtol=1e-5)
    assert not np.isfinite(total.moments.mean[[1, 2]]).any()
    assert np.isnan(total.moments.standard_error[[1, 2]]).all()
    assert (total.num_nonfinite, total.nonfinite.tolist()) == (2, [77, 1234])
    ordered = -np.sort(-exact[:, fine], axis=0)
    np.testing.assert_allclose(total.tail_share()[fine], ordered[:3].sum(0) / exact.sum(0)[fine], rtol=1e-6)
    deviations = exact[:, fine] - exact[:, fine].mean(0)
    effective = (deviations**2).sum(0) ** 2 / ((ordered[:15] - exact[:, fine].mean(0)) ** 4).sum(0)
    np.testing.assert_allclose(total.effective_tasks()[fine], effective, rtol=1e-5)
    hill = 1 / np.log(ordered[:15] / ordered[15]).mean(0)
    np.testing.assert_allclose(total.tail_index()[fine], hill, rtol=1e-5)


def tails(draw, num_tasks=20_000):
    return sweep(KEY, lambda key: draw(key), {}, num_tasks=num_tasks)


def _levels(first_key, second_key):
    """A rare event of several sizes: its index is low, as of a heavy tail, and its variance well known."""
    return jnp.ceil(3 * jax.random.exponential(first_key)) / 8 * (jax.random.uniform(second_key) < 0.04)


TAILS = {
    "normal": (lambda key: jax.random.normal(key), False),
    "exponential": (lambda key: jax.random.exponential(key), False),
    "lognormal": (lambda key: jnp.exp(jax.random.normal(key)), False),
    "Pareto 3": (lambda key: jax.random.pareto(key, 3.0), False),
    "Pareto 1.2": (lambda key: jax.random.pareto(key, 1.2), True),
    "Cauchy": (lambda key: jax.random.cauchy(key), True),
    "levels": (lambda key: _levels(*jax.random.split(key)), False),
    "rate": (lambda key: jax.random.uniform(key) < 0.015, False),
    "rare": (lambda key: jnp.where(jax.random.uniform(key) < 2e-4, 1e6, 1.0), True),
}


@pytest.mark.parametrize("name", TAILS)
def test_heavy_tails_are_flagged(name):
    draw, heavy = TAILS[name]
    result = tails(draw)
    assert result.heavy_tailed == heavy
    assert not tails(draw, 999).heavy_tailed  # too few to tell


def test_the_tail_index_is_that_of_a_power_law():
    for exponent in (1.0, 2.5):
        result = tails(lambda key, exponent=exponent: jax.random.pareto(key, exponent), 100_000)
        assert result.tail_index == pytest.approx(exponent, abs=4 * exponent / 500**0.5)
        share = 1e-3 ** (1 - 1 / exponent)
        assert exponent == 1.0 or result.tail_share == pytest.approx(share, rel=0.5)


def test_summaries_survive_the_disk(rng):
    chunk = jax.jit(summarise)(rng.lognormal(size=(40, 3, 2)).astype(np.float32), np.arange(40) < 33)
    summary = from_device(chunk, 7, 33)
    again = Summary.from_bytes(summary.to_bytes())
    jax.tree.map(np.testing.assert_array_equal, again, summary)
    assert again.moments.num_tasks == 33
