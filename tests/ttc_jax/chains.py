"""The chain of the tests in the forms that a decoder gives it, and its exact law in NumPy."""

import numpy as np

from ttc_jax import decoders
from ttc_jax.models import linear_attention

DIM, EXAMPLES, STEP_SIZE = 4, 7, 0.3


def forms(step_size=STEP_SIZE):
    params = linear_attention.gradient_step(DIM, step_size)
    return {
        "full": decoders.full_attention(params),
        "cached": decoders.cached_attention(params),
        "gram": decoders.gram(step_size),
    }


def law_of_the_chain(context, num_steps, noise_std, step_size=STEP_SIZE):
    """Mean and covariance of the last state, one step at a time in NumPy."""
    inputs, targets = (np.asarray(part, dtype=np.float64) for part in context)
    mean, covariance = np.zeros(inputs.shape[1]), np.zeros((inputs.shape[1],) * 2)
    for _ in range(num_steps):
        mean = mean + step_size * inputs.T @ (targets - inputs @ mean) / len(targets)
        contraction = np.eye(len(mean)) - step_size * inputs.T @ inputs / len(targets)
        covariance = contraction @ covariance @ contraction.T + noise_std**2 * np.eye(len(mean))
    return mean, covariance
