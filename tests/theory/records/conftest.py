"""Counts of a law with atoms."""

import numpy as np
import pytest

from tests.theory.records.laws import drawn


@pytest.fixture(scope="module")
def counts():
    """Correct answers of problems with unequal numbers of samples."""
    rng = np.random.default_rng(5)
    num_samples = rng.choice([6, 10, 15], size=120)
    return rng.binomial(num_samples, drawn("atoms", rng, 120)), num_samples
