"""Chain-steps per second on the device compared with its limits, and the error of single precision.

W1 is that of `candidates`, here all its tasks in one call.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

import ttc_jax
from benchmarks import candidates
from benchmarks.candidates import CANDIDATES, DECODING_NOISE, DIM, EXAMPLES, STEP_SIZE, STEPS, TASKS
from benchmarks.timing import Table, host, medians
from ttc_jax import aggregation, decoders
from ttc_jax.normals import standard_normal

SIZES = [2**power for power in range(10, 17)]
REPEATS = 5
STREAMED, STREAMS = 2**26, 32  # numbers of an array, and how often a call goes through them


def _w1(keys):
    return jnp.sum(jax.vmap(candidates.step_by_step)(keys))


def _noise(keys):
    return jnp.sum(candidates.own_normals(keys))


def _run(program, *arguments):
    return host(program(*arguments))


def _scratch_bytes(program) -> int:
    analysis = program.memory_analysis()
    return analysis.temp_size_in_bytes if analysis else 0


def _triad(left, right, times):
    return jax.lax.fori_loop(0, times, lambda _, total: 0.5 * total + right, left)[0]


def task_keys(num_tasks: int):
    """Keys of as many tasks, on the device."""
    return jax.random.split(candidates.KEY, num_tasks)


def memory_bytes() -> float:
    """Memory of the first device; half of the machine's if it does not tell, as a CPU."""
    limit = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    return limit or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2


def bandwidth() -> float:
    """Bytes a second of an elementwise a <- a / 2 + b."""
    arrays = jnp.zeros(STREAMED, jnp.float32), jnp.ones(STREAMED, jnp.float32)
    run = jax.jit(_triad, static_argnums=2)
    taken = medians({times: functools.partial(_run, run, *arrays, times) for times in (STREAMS, 2 * STREAMS)}, REPEATS)
    # The difference leaves out what every call costs, such as the memory of its result.
    return 3 * arrays[0].nbytes * STREAMS / (taken[2 * STREAMS] - taken[STREAMS])


def exact_risk(inputs, targets, coefficients, noise):
    """Risk of the mean of the candidates of one task, as the definition of the chain says it, in its arguments' precision."""

    def step(states, noise):
        residuals = targets - states @ inputs.T
        return states + STEP_SIZE / EXAMPLES * residuals @ inputs + DECODING_NOISE * noise, None

    states, _ = jax.lax.scan(step, jnp.zeros_like(noise[0]), noise)
    return jnp.sum((jnp.mean(states, axis=0) - coefficients) ** 2)


def speed() -> Table:
    """Chain-steps a second, and what share of the time the noise alone takes."""
    rows, left_out = [], []
    for num_tasks in SIZES:
        keys = task_keys(num_tasks)
        programs = {name: jax.jit(run).lower(keys).compile() for name, run in {"all": _w1, "noise": _noise}.items()}
        if max(_scratch_bytes(program) for program in programs.values()) > memory_bytes():
            left_out.append(num_tasks)
            continue
        taken = medians({name: functools.partial(_run, program, keys) for name, program in programs.items()}, REPEATS)
        work = num_tasks * CANDIDATES * STEPS
        rows.append((num_tasks, 1e3 * taken["all"], work / taken["all"], 1e3 * taken["noise"], taken["noise"] / taken["all"]))
    note = (
        "One call, nothing transferred but a sum. A chain-step is one step of one candidate of one task; the share of the "
        "ceiling is the time of the decoding noise alone over the time of everything: drawing, recursion, scores."
    )
    if left_out:
        note += f" Too large for the device's memory: {', '.join(map(str, left_out))} tasks."
    columns = ("tasks a call", "ms", "chain-steps/s", "noise alone, ms", "share of the ceiling")
    return Table("W1 step by step", columns, rows, note)


def ceilings(rate: float) -> Table:
    """Memory bandwidth, and the chain-steps that it allows."""
    bytes_per_second = bandwidth()
    allowed = bytes_per_second / (2 * 4 * DIM)
    rows = [
        ("memory bandwidth, GB/s", bytes_per_second / 1e9),
        ("chain-steps/s if each reads and writes its state", allowed),
        ("fastest W1 above, share of that", rate / allowed),
    ]
    note = f"Bandwidth is that of a <- a / 2 + b over {STREAMED} numbers. A program that keeps states in caches may exceed it."
    return Table("Ceiling of the memory", ("", "value"), rows, note)


def single_precision() -> Table:
    """Relative differences of the library's float32 risks from float64 ones of the same tasks and noise."""
    tasks, chain_keys = jax.jit(jax.vmap(candidates.draw_task))(task_keys(TASKS))

    def noise_of(key):
        return jax.vmap(lambda index: standard_normal(key, (CANDIDATES, DIM), index=index))(jnp.arange(STEPS))

    def library_risk(key, task):
        states = ttc_jax.sample_candidates(key, task.context, decoders.gram(STEP_SIZE), **candidates.CHAINS)
        return ttc_jax.excess_risk(aggregation.mean(states), task)

    drawn = (*tasks.context, tasks.coefficients, jax.jit(jax.vmap(noise_of))(chain_keys))
    doubles = [np.asarray(values, np.float64) for values in drawn]
    with jax.enable_x64(True):
        exact = host(jax.jit(jax.vmap(exact_risk))(*doubles))
    rows = []
    for precision in ("highest", "default"):
        with jax.default_matmul_precision(precision):
            risks = host(jax.jit(jax.vmap(library_risk))(chain_keys, tasks))
        error = np.abs(risks - exact) / exact
        rows.append((precision, float(np.median(error)), float(error.max()), float(risks.mean() / exact.mean() - 1)))
    note = (
        f"Risk of the mean of {CANDIDATES} candidates, {TASKS} tasks; the reference is the chain written out in float64, with "
        "the same tasks and noise, drawn in float32."
    )
    columns = ("precision of products", "median", "largest", "of the mean risk")
    return Table("Relative error of float32", columns, rows, note)


def tables() -> Iterator[Table]:
    """Speed, ceilings, error."""
    yield (measured := speed())
    yield ceilings(max(row[2] for row in measured.rows))
    yield single_precision()
