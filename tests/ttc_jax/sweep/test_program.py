"""Devices share the tasks of a sweep and change nothing but its time; the memory bounds a chunk."""

import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from tests.ttc_jax.sweep import swept
from tests.ttc_jax.sweep.processes import OPTIONS, finish, start
from tests.ttc_jax.sweep.swept import AXES, REUSED, risks
from ttc_jax import sweep
from ttc_jax.sweep import program
from ttc_jax.sweep.program import Inputs, Measurement

KEY = swept.key()
INPUTS = Inputs(KEY, (np.array([0.0, 0.1]),), None)


def measured(function=risks, reused=(2, 2), precision="highest"):
    return Measurement(function, tuple(AXES), reused, False, precision)


def traced(measurement, chunk_size=16):
    mesh = jax.make_mesh((1,), ("tasks",), axis_types=(jax.sharding.AxisType.Auto,))
    with jax.default_matmul_precision(measurement.matmul_precision):
        return program._traced(measurement, INPUTS, mesh, chunk_size)


def test_devices_change_nothing_beyond_rounding():
    """19 chunks on 1, 2 and 8 devices: some have no task of their own in the last call."""
    found = {devices: finish(start(devices, **OPTIONS)) for devices in (1, 2, 8)}
    assert {devices: one["devices"] for devices, one in found.items()} == {1: 1, 2: 2, 8: 8}
    for one in found.values():
        np.testing.assert_allclose(one["mean"], found[1]["mean"], rtol=1e-7)
        np.testing.assert_allclose(one["standard_error"], found[1]["standard_error"], rtol=1e-6)
    other = finish(start(2, **{**OPTIONS, "num_tasks": 299}))
    assert not np.allclose(other["mean"], found[1]["mean"], rtol=1e-5)


def test_devices_talk_to_nobody():
    """The compiled program of two devices has no instruction that waits for another one."""
    code = (
        "import jax, numpy as np; from tests.ttc_jax.sweep import test_program as t; from ttc_jax.sweep import program; "
        "mesh = jax.make_mesh((2,), ('tasks',), axis_types=(jax.sharding.AxisType.Auto,)); "
        "print(program._traced(t.measured(), t.INPUTS, mesh, 16).lower().compile().as_text())"
    )
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    text = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    assert "HloModule" in text
    assert "num_partitions=2" in text
    assert not re.search(r"all-reduce|all-gather|collective|all-to-all|send|recv|infeed|outfeed|callback", text)


def fitting(memory, **options):
    """The chunk that the memory allows."""
    asked = {"limit": 10**6, "chunk_size": None, "memory_bytes": memory, **options}
    return program.compile_program(measured(), INPUTS, jax.local_devices()[:1], **asked).chunk_size


def test_the_chunk_is_what_fits_into_the_memory():
    """By what the compiler says of the program that runs: it fits, and is not so small that another one is worth its making."""
    sizes = {memory: fitting(memory) for memory in (2**14, 2**18, 2**22)}
    assert sizes[2**14] < sizes[2**18] < sizes[2**22]
    for memory, size in sizes.items():
        used = traced(measured(), size).lower().compile().memory_analysis()
        assert memory / 32 < used.temp_size_in_bytes + used.output_size_in_bytes <= memory
    assert fitting(1) == 1
    assert fitting(2**30, limit=100) == 100
    assert fitting(2**18, chunk_size=7) == 7


def test_memory_bounds_a_sweep_and_changes_nothing_beyond_rounding():
    small, large = (sweep(KEY, risks, AXES, num_tasks=64, reused_axes=REUSED, memory_bytes=memory) for memory in (2**14, 2**24))
    np.testing.assert_allclose(small.mean, large.mean, rtol=1e-6)


def test_matrix_products_are_as_precise_as_their_dtype():
    """On an accelerator the default may be TF32 or bfloat16; every product says what it must be, unless its author did."""

    def product(key, *, decoding_noise_std):
        matrix = jax.random.normal(key, (4, 4))
        own = jnp.dot(matrix, matrix, precision="default")
        return jnp.sum(matrix @ matrix + own) * decoding_noise_std

    def precisions(precision):
        text = traced(measured(product, (), precision)).lower().as_text()
        return re.findall(r"precision = \[(\w+), \w+\]", text)

    assert sorted(precisions("highest")) == ["DEFAULT", "HIGHEST"]
    assert sorted(precisions("default")) == ["DEFAULT", "DEFAULT"]
    risky = traced(measured(precision="highest")).lower().as_text()
    assert len(re.findall(r"dot_general", risky)) == len(re.findall(r"precision = \[HIGHEST, HIGHEST\]", risky)) > 0
    assert_named(lambda: sweep(KEY, risks, AXES, num_tasks=2, matmul_precision="tf32"), "matmul_precision", "'tf32'")


def test_nothing_passes_to_the_host_within_a_chunk():
    text = traced(measured()).lower().compile().as_text()
    assert "HloModule" in text
    assert not re.search(r"infeed|outfeed|callback|send|recv", text)


def test_weights_larger_than_the_budget_do_not_count_for_every_task():
    held = Inputs(KEY, (), {"weights": jnp.zeros(2**16)})
    asked = {"limit": 10**4, "chunk_size": None, "memory_bytes": 2**17}
    one = Measurement(lambda key, params: params["weights"][0] + jax.random.normal(key), (), (), True, "highest")
    assert program.compile_program(one, held, jax.local_devices()[:1], **asked).chunk_size > 100


def test_no_device_is_named():
    assert_named(lambda: sweep(KEY, risks, AXES, reused_axes=REUSED, num_tasks=2, devices=[]), "devices", "none")


@pytest.mark.parametrize(("name", "value"), [("memory_bytes", 0), ("memory_bytes", 1.5), ("chunk_size", 0)])
def test_bad_sizes_are_named(name, value):
    assert_named(lambda: sweep(KEY, risks, AXES, reused_axes=REUSED, num_tasks=2, **{name: value}), name, str(value))
