"""Training compared with PyTorch, and an ensemble compared with one model.

The softmax transformer of d = 8, n = 16, 4 layers, width 64 predicts the coefficients from the context, batches of 256 tasks
drawn on the fly, Adam with clipped gradients, float32. The ensemble has 8 such models at 8 noise levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

import ttc_jax
from benchmarks.timing import NO_TORCH, Table, host, medians, torch_is_here
from ttc_jax import training
from ttc_jax.models.gpt import GPTConfig

DIM, EXAMPLES, LAYERS, WIDTH, HEADS, BATCH, MODELS = 8, 16, 4, 64, 4, 256, 8
LABEL_NOISE, STEPS = 0.5, 20
CONFIG = training.TrainingConfig(
    GPTConfig(DIM, EXAMPLES + 1, LAYERS, WIDTH, HEADS), ttc_jax.TaskConfig(DIM, EXAMPLES), num_steps=10**6, batch_size=BATCH
)


def ours(num_models: int) -> Callable[[], object]:
    """``STEPS`` steps of as many models at once."""
    keys = jax.random.split(jax.random.key(0), num_models)
    noises = jnp.linspace(LABEL_NOISE, 1.0, num_models)

    def steps(key, state, noise):
        return training.advance(key, state, CONFIG, num_steps=STEPS, label_noise_std=noise)

    if num_models == 1:
        one_state, run_one = training.init_state(keys[0], CONFIG), jax.jit(steps)
        return lambda: host(run_one(keys[0], one_state, LABEL_NOISE)[1])
    states, run = jax.vmap(lambda key: training.init_state(key, CONFIG))(keys), jax.jit(jax.vmap(steps))
    return lambda: host(run(keys, states, noises)[1])


def torch_steps() -> Callable[[], object]:
    """The same in PyTorch, written as its tutorials write it."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm_attention, self.norm_mlp = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.query_key_value, self.output = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, hidden):
            heads = self.query_key_value(self.norm_attention(hidden)).unflatten(-1, (3, HEADS, WIDTH // HEADS))
            query, key, value = heads.permute(2, 0, 3, 1, 4)
            attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            hidden = hidden + self.output(attended.transpose(1, 2).flatten(2))
            return hidden + self.down(functional.gelu(self.up(self.norm_mlp(hidden)), approximate="tanh"))

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Linear(2 * DIM + 2, WIDTH)
            self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
            self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, DIM)

        def forward(self, tokens):
            return self.head(self.norm(self.blocks(self.embedding(tokens))))[:, -1]

    model = Transformer()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def run():
        losses = []
        for _ in range(STEPS):
            truth = torch.randn(BATCH, DIM) / math.sqrt(DIM)
            inputs = torch.randn(BATCH, EXAMPLES, DIM)
            targets = (inputs @ truth[:, :, None])[..., 0] + LABEL_NOISE * torch.randn(BATCH, EXAMPLES)
            tokens = torch.zeros(BATCH, EXAMPLES + 1, 2 * DIM + 2)
            tokens[:, :-1, :DIM], tokens[:, :-1, DIM], tokens[:, -1, -1] = inputs, targets, 1.0
            loss = ((model(tokens) - truth) ** 2).sum(-1).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        return np.array(losses)

    return run


def tables() -> Iterator[Table]:
    """Prompts a second."""
    ensemble = f"ttc-jax, {MODELS} models vmapped"
    runs: dict[str, Callable[[], object]] = {"ttc-jax": ours(1), ensemble: ours(MODELS)}
    if torch_is_here():
        runs["PyTorch"] = torch_steps()
    rows = []
    seconds = medians(runs, repeats=5)
    for name, taken in seconds.items():
        prompts = BATCH * STEPS * (MODELS if name == ensemble else 1)
        rows.append((name, prompts / taken, taken / seconds["ttc-jax"]))
    title = f"The softmax transformer, {STEPS} steps of {BATCH} tasks"
    yield Table(title, ("", "prompts/s", "time of one model"), rows, "" if torch_is_here() else NO_TORCH)
