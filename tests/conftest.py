"""Strict settings for every test: broadcasting between different ranks raises inside the library, warnings are errors."""

import jax
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def strict_ranks():
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(20250811)
