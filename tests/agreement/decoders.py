"""Every way to decode at one setting, measured and predicted: ``python -m tests.agreement.decoders``, a table of the README."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import theory
import ttc_jax
from experiments.families import enumerated, selection
from experiments.run.engine import Engine

CONFIG = enumerated.AnswersConfig(
    num_tasks=32_768,
    dim=10,
    num_examples=20,
    label_noise_std=(3.0,),
    step_size=0.4,
    inverse_temperature=(1.0,),
    num_steps=8,
    num_candidates=(1, 33),
    num_contexts=8192,
)
WAYS = enumerated.MAJORITY, selection.CONTEXT_LOSS, selection.ORACLE
ITERATIONS = 30


def chains(seed: int) -> list[tuple[str, float, float, float, float]]:
    """Rows of what is made of sampled chains: name, measured, its error, predicted, its error."""
    predicted = enumerated.predict(CONFIG, WAYS, "bit_error", lambda single, chosen: {})
    measured = enumerated.measure(CONFIG, seed, Engine(), WAYS, "bit_error")
    total = sum(predicted.terms.values())
    values = [array[0, 0] for array in (measured.mean, measured.standard_error, total, predicted.model_error)]
    places = {
        "one candidate": (0, 0),
        "majority vote of 33": (0, 1),
        "best of 33 by context loss": (1, 1),
        "best of 33 by the oracle": (2, 1),
    }
    return [(name, *(float(array[place]) for array in values)) for name, place in places.items()]


def limits(seed: int) -> list[tuple[str, float, float, float, float]]:
    """Rows of message passing, predicted in large dimension, and of the posterior, predicted by its doubt in other tasks."""
    config = ttc_jax.TaskConfig(CONFIG.dim, CONFIG.num_examples, prior=ttc_jax.BinaryPrior())
    (noise,) = CONFIG.label_noise_std

    def errors(key):
        task_key, chain_key = jax.random.split(key)
        task = ttc_jax.sample_task(task_key, config, label_noise_std=noise)
        decoder = ttc_jax.message_passing(ttc_jax.BinaryPrior())
        passed = ttc_jax.rollout(chain_key, task.context, decoder, num_steps=ITERATIONS)[-1]
        exact = theory.discrete_bayes(*task.context, label_noise_std=noise)
        return (
            ttc_jax.bit_error(passed, task),
            ttc_jax.bit_error(exact.mean, task),
            jnp.minimum(exact.prob_high, 1 - exact.prob_high).mean(),
        )

    keys = jax.random.split(jax.random.key(seed), 2 * CONFIG.num_tasks)
    found = np.array(jax.jit(lambda keys: jax.lax.map(errors, keys, batch_size=64))(keys), float)
    measured, others = found[:2, : CONFIG.num_tasks], found[2:, CONFIG.num_tasks :]
    (passed, passed_error), (exact, exact_error), (doubt, doubt_error) = (
        (float(value.mean()), float(value.std(ddof=1) / np.sqrt(value.size))) for value in (*measured, *others)
    )
    reached = float(theory.binary_bayes_error(CONFIG.dim, CONFIG.num_examples, label_noise_std=noise).reached_bit_error)
    return [
        ("message passing (predicted for large d)", passed, passed_error, reached, float("nan")),
        ("Bayes limit", exact, exact_error, doubt, doubt_error),
    ]


def main() -> None:
    """Print the table."""
    print("| decoder | measured | predicted |\n|---|---|---|")
    for name, mean, error, predicted, stray in [*chains(0), *limits(1)]:
        print(f"| {name} | {mean:.4f} ± {error:.4f} | {predicted:.4f}" + (f" ± {stray:.4f} |" if stray == stray else " |"))


if __name__ == "__main__":
    main()
