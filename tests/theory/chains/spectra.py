"""Spectra of inputs for the tests of chains."""

import numpy as np

NOISES = {"label_noise_std": 0.7, "decoding_noise_std": 0.3}


def power_law(dim, exponent):
    return np.arange(1, dim + 1) ** -float(exponent)
