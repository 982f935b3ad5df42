"""The task that tests of chains share, and the context that tests of tokens share."""

import jax
import jax.numpy as jnp
import pytest

from tests.ttc_jax.chains import DIM, EXAMPLES
from ttc_jax import Context, TaskConfig, sample_task


@pytest.fixture
def task():
    return sample_task(jax.random.key(11), TaskConfig(DIM, EXAMPLES), label_noise_std=0.5)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def context(x64, rng):
    """Nine examples of five coefficients, in double precision."""
    return Context(jnp.asarray(rng.normal(size=(9, 5))), jnp.asarray(rng.normal(size=9)))
