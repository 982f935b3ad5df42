"""Compile a measurement for chunks of tasks: one chunk per device at a time, in bounded memory.

Every device runs the same program on a different chunk, without communication. A call is given two integers and gives back
summaries; nothing else passes to the host.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ttc_jax import _files
from ttc_jax.sweep.summary import ChunkSummary, summarise

_HOST_BUDGET = 16 * 2**20
"""Bytes of a chunk on a CPU, where it is fastest while it stays in the caches."""
_ACCELERATOR_SHARE = 0.25
_INTERMEDIATES = 4
"""Arrays as large as the largest one that a program is expected to hold at once; only a first guess."""
_FIRST_GUESS = 256
_MOST_TRIALS = 4
_AXIS = "tasks"


class Program(NamedTuple):
    """A sweep that can be run.

    Attributes:
        chunk_size: tasks of a chunk.
        num_devices: chunks of a call.
        run: tasks from a first one on, but before another one: their chunks' summaries, stacked.
    """

    chunk_size: int
    num_devices: int
    run: Callable[[int, int], ChunkSummary]


class _Compiled(NamedTuple):
    """A program without its inputs, and the memory of a call on each device, as far as the compiler knows it."""

    chunk_size: int
    executable: Callable[..., ChunkSummary]
    bytes_used: int


class Measurement(NamedTuple):
    """The part of a sweep that determines its compiled program.

    Attributes:
        function: of a key, of weights if it has any, and of one scalar a name.
        names: of its swept arguments.
        reused: shape of what it returns.
        has_params: whether it is given weights.
        matmul_precision: of its matrix products, a name of JAX's.
    """

    function: Callable[..., Array]
    names: tuple[str, ...]
    reused: tuple[int, ...]
    has_params: bool
    matmul_precision: str

    def at_tasks(self, tasks: Array, key: Array, values: Sequence[Array], params: Any) -> Array:
        """Values of each of the tasks at every point of the grid, (tasks, *grid, *reused)."""

        def of_task(task):
            at = functools.partial(_one_point(self), jax.random.fold_in(key, task), params)
            for position in reversed(range(len(values))):
                at = jax.vmap(at, in_axes=[0 if position == other else None for other in range(len(values))])
            return at(*values)

        return jax.vmap(of_task)(tasks)


class Inputs(NamedTuple):
    """Inputs of a program: the sweep's key, the values of each swept argument, and weights or None."""

    key: Array
    values: tuple[np.ndarray, ...]
    params: Any


@functools.lru_cache(maxsize=64)
def _one_point(measurement: Measurement) -> Any:
    """The function of (key, params, *point), traced once for all programs that contain it."""

    def measure(key, params, *point):
        given = [params] if measurement.has_params else []
        measured = measurement.function(key, *given, **dict(zip(measurement.names, point, strict=True)))
        if not isinstance(measured, jax.Array | np.ndarray | float):
            raise ValueError(f"measure must return one array, got {type(measured).__name__}")
        if np.shape(measured) != measurement.reused:
            expected = f"shape {measurement.reused} as reused_axes says"
            raise ValueError(f"measure must return {expected}, got {np.shape(measured)}")
        values = jnp.asarray(measured)
        if jnp.issubdtype(values.dtype, jnp.complexfloating):
            raise ValueError(f"measure must return real numbers, got {values.dtype}")
        # Sums of half-precision numbers, integers and booleans need a wider type.
        return values if values.dtype in (jnp.float32, jnp.float64) else values.astype(jnp.result_type(float))

    return jax.jit(measure)


def compile_program(
    measurement: Measurement,
    inputs: Inputs,
    devices: Sequence[jax.Device],
    *,
    limit: int,
    chunk_size: int | None,
    memory_bytes: int | None,
) -> Program:
    """The program of a sweep, compiled once for the same function, shapes, devices and chunk.

    Args:
        measurement: what is averaged.
        inputs: key, values and weights of the sweep.
        devices: of this process.
        limit: tasks of the largest chunk that makes sense.
        chunk_size: number of tasks of a chunk; None chooses the largest that fits.
        memory_bytes: what a chunk may take on its device; what :func:`default_memory_bytes` says if None.
    """
    mesh = jax.make_mesh((len(devices),), (_AXIS,), axis_types=(AxisType.Auto,), devices=devices)
    budget = default_memory_bytes(devices[0]) if memory_bytes is None else memory_bytes
    with jax.default_matmul_precision(measurement.matmul_precision):
        if chunk_size is not None:
            program = _compiled(measurement, inputs, mesh, min(chunk_size, limit))
        else:
            size = _guessed(measurement, inputs, mesh, budget, limit)
            for _ in range(_MOST_TRIALS):
                program = _compiled(measurement, inputs, mesh, size)
                fitting = _fitting(budget, program.bytes_used // size, limit)
                # The guess was too large, or so small that another compilation is worth it.
                if not (fitting < size or fitting >= 16 * size):
                    break
                size = fitting

    def run(first: int, stop: int) -> ChunkSummary:
        return program.executable(np.uint32(first), np.uint32(stop), inputs)

    return Program(program.chunk_size, len(devices), run)


def _fitting(budget: int, each: int, limit: int) -> int:
    """The largest power of two of tasks that fits, at most the limit, at least one."""
    return min(limit, 2 ** int(math.log2(max(1, budget // max(1, each)))))


def default_memory_bytes(device: jax.Device) -> int:
    """Bytes that a chunk may take: what stays in a CPU's caches, or a quarter of an accelerator's memory."""
    if device.platform == "cpu":
        return _HOST_BUDGET
    stats = device.memory_stats() or {}
    return int(_ACCELERATOR_SHARE * stats.get("bytes_limit", 2**32))


_made: dict[Any, Any] = {}
_MOST_MADE = 128


def _once(wanted: Any, make: Callable[[], Any]) -> Any:
    """Return the cached result for this key, or make it and drop the oldest entry if there are too many."""
    if wanted not in _made:
        while len(_made) >= _MOST_MADE:
            del _made[next(iter(_made))]
        _made[wanted] = make()
    return _made[wanted]


def _compiled(measurement: Measurement, inputs: Inputs, mesh: Mesh, chunk_size: int) -> _Compiled:
    def make():
        compiled = _traced(measurement, inputs, mesh, chunk_size).lower().compile()
        found = compiled.memory_analysis()
        # Weights and grid are there once, however many tasks there are.
        used = found.temp_size_in_bytes + found.output_size_in_bytes if found else 0
        return _Compiled(chunk_size, compiled, used)

    return _once(_wanted(measurement, inputs, mesh, chunk_size), make)


def _guessed(measurement: Measurement, inputs: Inputs, mesh: Mesh, budget: int, limit: int) -> int:
    """A chunk that about fits, by the largest array of its program."""

    def make():
        size = min(_FIRST_GUESS, limit)
        largest = max(_sizes(_traced(measurement, inputs, mesh, size).jaxpr.jaxpr))
        return _fitting(budget, _INTERMEDIATES * largest // size, limit)

    return _once(_wanted(measurement, inputs, mesh, (budget, limit)), make)


def _wanted(measurement: Measurement, inputs: Inputs, mesh: Mesh, what: Any) -> tuple[Any, ...]:
    """Cache key of a program: the same function and shapes in the same place."""
    leaves, tree = jax.tree.flatten(inputs)
    shapes = tuple((np.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)
    return measurement, mesh, what, tree, shapes, jnp.result_type(float)


def _traced(measurement: Measurement, inputs: Inputs, mesh: Mesh, chunk_size: int) -> Any:
    """One chunk a device: tasks ``first`` and following, as far as they come before ``stop``."""

    def of_device(first, stop, inputs):
        place = jax.lax.axis_index(_AXIS).astype(jnp.uint32)
        tasks = first + place * chunk_size + jnp.arange(chunk_size, dtype=jnp.uint32)
        # In place of tasks beyond the last it is repeated, and not counted.
        found = measurement.at_tasks(jnp.minimum(tasks, stop - 1), *inputs)
        return jax.tree.map(lambda part: part[None], summarise(found, tasks < stop))

    whole = PartitionSpec()
    everywhere = jax.shard_map(of_device, mesh=mesh, in_specs=whole, out_specs=PartitionSpec(_AXIS), check_vma=False)
    return jax.jit(everywhere, in_shardings=NamedSharding(mesh, whole)).trace(np.uint32(0), np.uint32(0), inputs)


def _sizes(jaxpr: Any):
    """Bytes of every array that a program or a program within it makes."""
    for equation in jaxpr.eqns:
        for variable in equation.outvars:
            yield math.prod(getattr(variable.aval, "shape", ())) * getattr(variable.aval.dtype, "itemsize", 8)
        for parameter in jax.tree.leaves(tuple(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from _sizes(inner)


def evaluate(measurement: Measurement, inputs: Inputs, task: int) -> np.ndarray:
    """Values of one task alone, at every point of the grid."""
    with jax.default_matmul_precision(measurement.matmul_precision):
        return np.asarray(jax.jit(measurement.at_tasks)(np.array([task], np.uint32), *inputs)[0])


def program_digest(measurement: Measurement, inputs: Inputs) -> str:
    """Hash of what the function computes at one point: another function, size or version of this package has another."""
    with jax.default_matmul_precision(measurement.matmul_precision):
        traced = _one_point(measurement).trace(inputs.key, inputs.params, *(axis[0] for axis in inputs.values))
    # Lowered for one platform, wherever it is to run; arrays that the function holds may be beside its text.
    constants = b"".join(np.asarray(array).tobytes() for array in traced.jaxpr.consts)
    return _files.digest(traced.lower(lowering_platforms=("cpu",)).as_text().encode() + constants)
