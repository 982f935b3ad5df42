"""Binary chains compared with plain matrix products, and their predictions."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import theory
import ttc_jax
from benchmarks.timing import Table, host, medians, ratios
from ttc_jax import decoders
from ttc_jax.models import linear_attention

DIM, EXAMPLES, STEPS, CANDIDATES, TASKS = 1000, 2000, 20, 33, 32
SMALL, SMALL_TASKS = 12, 1000
CHAIN = {"step_size": 0.6, "label_noise_std": np.sqrt(250.0), "inverse_temperature": 2.0}


def tables() -> Iterator[Table]:
    """The chains, then the predictions."""
    config = ttc_jax.TaskConfig(DIM, EXAMPLES, prior=ttc_jax.BinaryPrior())
    tasks = jax.lax.map(
        lambda key: ttc_jax.sample_task(key, config, label_noise_std=CHAIN["label_noise_std"]),
        jax.random.split(jax.random.key(0), TASKS),
    )
    keys = jax.random.split(jax.random.key(1), TASKS)
    forms = {
        "through the transformer, cached keys": decoders.cached_attention(
            linear_attention.gradient_step(DIM, CHAIN["step_size"])
        ),
        "Gram recursion": decoders.gram(CHAIN["step_size"]),
    }

    def chains(decoder):
        def of_one(one):
            key, context = one
            sampler = ttc_jax.BinarySampler(CHAIN["inverse_temperature"])
            asked: dict[str, Any] = {"num_candidates": CANDIDATES, "num_steps": STEPS, "sampler": sampler}
            return ttc_jax.sample_candidates(key, context, decoder, **asked)

        return jax.jit(lambda keys, contexts: jax.lax.map(of_one, (keys, contexts)))

    def products(matrices):
        """As many products of the same shapes: scores of the examples, and the values they weigh."""

        def of_one(matrix):
            def step(states, _):
                return (states @ matrix.T) @ matrix / EXAMPLES, None

            return jax.lax.scan(step, jnp.ones((CANDIDATES, DIM), matrix.dtype), length=STEPS)[0]

        return jax.lax.map(of_one, matrices)

    plain, inputs = jax.jit(products), tasks.context.inputs
    rows = {"plain matrix products of the same shapes": lambda: host(plain(inputs))}
    for name, decoder in forms.items():
        rows[name] = functools.partial(lambda run: host(run(keys, tasks.context)), chains(decoder))
    title = f"{TASKS} tasks, d = {DIM}, n = {EXAMPLES}, T = {STEPS}, N = {CANDIDATES}, fed-back binary samples"
    yield ratios(title, medians(rows, repeats=3), "plain matrix products of the same shapes")

    draw = np.random.default_rng(0)
    small = draw.normal(size=(SMALL_TASKS, 2 * SMALL, SMALL)).astype(np.float32)
    targets = small.sum(axis=2) + draw.normal(size=(SMALL_TASKS, 2 * SMALL)).astype(np.float32)

    def chance(pair):
        return theory.discrete_bayes(*pair, label_noise_std=1.0).prob_high

    posterior = jax.jit(functools.partial(jax.lax.map, chance, batch_size=32))
    curve = functools.partial(theory.sampled_chain, DIM, EXAMPLES, **CHAIN, num_steps=STEPS)
    answers = np.array([0.012, *np.full(99, 0.988 / 99)])
    yield ratios(
        "Predictions",
        medians(
            {
                "sampled_chain, T = 20, 100 000 coefficients": curve,
                "the same with votes of 33": lambda: curve(num_candidates=(1, 33)),
                "discrete_bayes, d = 12, 1000 tasks": lambda: host(posterior((jnp.asarray(small), jnp.asarray(targets)))),
                "binary_bayes_error": lambda: theory.binary_bayes_error(
                    DIM, EXAMPLES, label_noise_std=CHAIN["label_noise_std"]
                ),
                "plurality_accuracy, 100 answers, N = 1000": lambda: theory.plurality_accuracy(answers, 1000),
                "plurality_accuracy, 100 answers, N = 10 000": lambda: theory.plurality_accuracy(answers, 10_000),
            },
            repeats=3,
        ),
        "sampled_chain, T = 20, 100 000 coefficients",
    )
