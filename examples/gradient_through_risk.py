"""Gradients through a predicted risk: ``python examples/gradient_through_risk.py``.

The predictions are ordinary differentiable functions. Here gradient descent on the closed form finds a step size and a noise
level for a chain of 12 thoughts whose candidates must differ: a reward for decoding noise, against its cost in risk.
"""

import jax
import jax.numpy as jnp

import theory


def objective(log_settings):
    """Predicted risk of 8 averaged candidates, less a reward for the diversity of their thoughts."""
    step_size, noise = jnp.exp(log_settings)
    chain = {"num_steps": 12, "label_noise_std": 0.5, "num_candidates": 8}
    risk = theory.expected_risk(20, 40, step_size=step_size, decoding_noise_std=noise, **chain)
    return risk.total - 0.02 * jnp.log(noise)


def main(num_steps: int = 300) -> tuple[float, float, float]:
    """Descend and print; returns the step size, the noise and the objective."""
    settings = jnp.log(jnp.array([0.1, 0.01]))
    slope = jax.jit(jax.value_and_grad(objective))
    for number in range(num_steps):
        value, gradient = slope(settings)
        settings = settings - 0.5 * gradient
        if number % 100 == 0:
            print(f"step {number}: objective {value:.4f}")
    step_size, noise = map(float, jnp.exp(settings))
    print(f"step size {step_size:.3f}, decoding noise {noise:.3f}, objective {float(value):.4f}")
    return step_size, noise, float(value)


if __name__ == "__main__":
    main()
