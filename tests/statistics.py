"""How a simulated mean is compared with a known value in the tests: by its own standard error, never by a tolerance."""

from statistics import NormalDist

import numpy as np

FAMILY_WISE_LEVEL = 1e-4


def largest_z(samples, expected, axis=0):
    """Largest |mean - expected| in standard errors, over the entries beside ``axis``."""
    samples = np.asarray(samples, dtype=np.float64)
    error = samples.std(axis=axis, ddof=1) / np.sqrt(samples.shape[axis])
    return float(np.max(np.abs(samples.mean(axis=axis) - expected) / error))


def threshold(num_comparisons):
    """Largest z that chance explains at the family-wise level, two-sided, Bonferroni."""
    return NormalDist().inv_cdf(1 - FAMILY_WISE_LEVEL / (2 * num_comparisons))


def agrees(samples, expected, axis=0):
    """Whether the means agree with the expected values."""
    samples, expected = np.asarray(samples), np.asarray(expected)
    return largest_z(samples, expected, axis) < threshold(max(expected.size, 1))
