"""A model of your own, decoded by the library's chains and measured by its sweep: ``python examples/own_model.py``.

A decoder is two functions: what is computed once a context, and one step. Here a step is one of gradient descent with momentum,
whose memory is the velocity. How long should it think, and how much does averaging buy?
"""

import jax
import jax.numpy as jnp

import ttc_jax
from ttc_jax.decoders import Decoder

TASKS = ttc_jax.TaskConfig(dim=20, num_examples=40)
STEPS, CANDIDATES = (1, 2, 4, 8, 16), (1, 8)


def momentum(step_size, friction):
    """The decoder."""

    def start(context, num_steps):
        return context, jnp.zeros(context.inputs.shape[1])

    def step(context, velocity, state):
        gradient = context.inputs.T @ (context.inputs @ state - context.targets) / context.targets.size
        velocity = (1 - friction) * velocity - step_size * gradient
        return state + velocity, velocity

    return Decoder(start, step)


def risks(key, friction):
    """Excess risk of one task at every number of steps and candidates."""
    task_key, chain_key = jax.random.split(key)
    task = ttc_jax.sample_task(task_key, TASKS, label_noise_std=0.5)
    decoder = momentum(0.3, friction)
    return ttc_jax.averaged_risk(chain_key, task, decoder, num_steps=STEPS, num_candidates=CANDIDATES, decoding_noise_std=0.05)


def main(num_tasks: int = 2048) -> ttc_jax.SweepResult:
    """Sweep and print; returns the result."""
    result = ttc_jax.sweep(
        jax.random.key(0),
        risks,
        {"friction": [1.0, 0.5]},  # a friction of one is plain gradient descent
        reused_axes={"num_steps": STEPS, "num_candidates": CANDIDATES},
        num_tasks=num_tasks,
    )
    for friction, by_steps in zip(result.axes["friction"], result.mean, strict=True):
        for number, by_candidates in zip(CANDIDATES, by_steps.T, strict=True):
            print(f"friction {friction:g}, {number} averaged: " + "  ".join(f"{risk:.3f}" for risk in by_candidates))
    return result


if __name__ == "__main__":
    main()
