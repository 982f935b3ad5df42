"""Small trainings that several tests share."""

from dataclasses import replace

import jax
import jax.numpy as jnp

from ttc_jax import BinaryPrior, PowerLaw, TaskConfig
from ttc_jax.models.gpt import GPTConfig
from ttc_jax.models.linear_attention import LinearAttentionConfig
from ttc_jax.training import Objective, TrainingConfig

KEY = jax.random.key(0)
TASKS = TaskConfig(3, 7, PowerLaw(0.5))
LINEAR = TrainingConfig(LinearAttentionConfig(3), TASKS, num_steps=12, batch_size=8, warmup_steps=2)
GPT = GPTConfig(3, 12, num_layers=1, width=8, num_heads=2)
BINARY = replace(GPT, head="binary")
BITS = TaskConfig(3, 7, prior=BinaryPrior(0.0, 1.0, 0.3))
TEACHER = Objective("teacher", num_steps=4, step_size=0.3, decoding_noise_std=0.2)
KEYS = jax.random.split(KEY, 2)
NOISES = jnp.array([0.1, 1.0])
