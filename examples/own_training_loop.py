"""The library's softmax transformer inside a training loop of your own: ``python examples/own_training_loop.py``.

The weights are a plain tree of arrays and the forward pass is a pure function, so that any optimizer, loss or schedule will do.
Here half the examples are noisy, always the same half, and with learned positions the transformer finds out which.
"""

import jax
import jax.numpy as jnp
import optax

import ttc_jax
from ttc_jax import decoders
from ttc_jax.models import gpt

CONFIG = gpt.GPTConfig(dim=2, max_tokens=12, num_layers=2, width=32, num_heads=4, positions="learned")
TASKS = ttc_jax.TaskConfig(dim=2, num_examples=8)
OPTIMIZER = optax.lion(1e-3)


def sample(key):
    """Draw a task whose last four examples are noisy."""
    task_key, noise_key = jax.random.split(key)
    task = ttc_jax.sample_task(task_key, TASKS)
    noise_std = jnp.where(jnp.arange(8) < 4, 0.1, 1.0)
    targets = task.context.targets + noise_std * jax.random.normal(noise_key, (8,))
    return task._replace(context=task.context._replace(targets=targets))


def risk(params, task):
    """Excess risk of the first thought."""
    thought = ttc_jax.rollout(jax.random.key(0), task.context, decoders.gpt(params, CONFIG), num_steps=1)[-1]
    return ttc_jax.excess_risk(thought, task)


@jax.jit
def step(params, memory, key):
    """One step of the optimizer on a fresh batch."""
    tasks = jax.vmap(sample)(jax.random.split(key, 128))
    loss, gradient = jax.value_and_grad(lambda params: jax.vmap(risk, (None, 0))(params, tasks).mean())(params)
    updates, memory = OPTIMIZER.update(gradient, memory, params)
    return optax.apply_updates(params, updates), memory, loss


def main(num_steps: int = 1000) -> list[float]:
    """Train and print the loss; returns the loss of every step."""
    init_key, data_key = jax.random.split(jax.random.key(0))
    params = gpt.init(init_key, CONFIG)
    memory, losses = OPTIMIZER.init(params), []
    for number in range(num_steps):
        params, memory, loss = step(params, memory, jax.random.fold_in(data_key, number))
        losses.append(float(loss))
        if (number + 1) % 200 == 0:
            print(f"step {number + 1}: excess risk {sum(losses[-200:]) / 200:.3f}")
    return losses


if __name__ == "__main__":
    main()
