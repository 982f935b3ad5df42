"""Devices and processes share the tasks of a sweep and change nothing but its time."""

import os
import re
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from tests.ttc_jax.sweep import swept
from tests.ttc_jax.sweep.processes import finish, free_address, start
from tests.ttc_jax.sweep.swept import AXES, REUSED, risks
from ttc_jax import sweep
from ttc_jax.sweep import program
from ttc_jax.sweep.program import Inputs, Measurement

KEY = swept.key()
OPTIONS = {"num_tasks": 300, "chunk_size": 16}
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


def together(folder, **options):
    """Two processes of two devices each."""
    address = free_address()
    return [start(2, store=folder, meet=[address, 2, index], **{**OPTIONS, **options}) for index in (0, 1)]


def test_two_processes_of_two_devices_give_the_numbers_of_one(tmp_path):
    found = [finish(process) for process in together(str(tmp_path))]
    one = finish(start(2, **OPTIONS))
    assert found[0]["digest"] == found[1]["digest"]
    np.testing.assert_allclose(found[0]["mean"], one["mean"], rtol=1e-13)
    np.testing.assert_allclose(found[0]["standard_error"], one["standard_error"], rtol=1e-12)
    assert sorted(path.name for path in tmp_path.glob("*.chunk")) == ["000000000000-000000000300.chunk"]
    # One process reads what two have measured, and two what one has.
    alone = finish(start(store=str(tmp_path), **OPTIONS))
    assert (alone["digest"], alone["resumed"]) == (found[0]["digest"], 300)
    again = [finish(process) for process in together(str(tmp_path))]
    assert [one["resumed"] for one in again] == [300, 300]
    assert again[0]["digest"] == again[1]["digest"] == found[0]["digest"]


def test_a_process_that_is_killed_is_named_by_the_other_and_the_sweep_goes_on(tmp_path):
    first, second = (
        start(2, store=str(tmp_path), meet=meet, die_at=die_at, **OPTIONS)
        for address in [free_address()]
        for meet, die_at in (([address, 2, 0], None), ([address, 2, 1], 100))
    )
    second.communicate(timeout=60)
    assert second.returncode == -9
    said = finish(first)
    assert said["kind"] == "ProcessError"
    assert "process 0 of 2 waits for another one, which is gone" in said["error"]
    assert len(list(tmp_path.glob("*.chunk"))) >= 12  # all of the first one's, and what the second had
    found = [finish(process) for process in together(str(tmp_path))]
    assert sum(one["resumed"] for one in found) > 160
    np.testing.assert_allclose(found[0]["mean"], finish(start(2, **OPTIONS))["mean"], rtol=1e-13)


def test_an_error_of_one_process_is_said_by_all(tmp_path):
    """The second has no room; the first, which could go on, says who stopped and why."""
    address = free_address()
    first = start(2, store=str(tmp_path), meet=[address, 2, 0], **OPTIONS)
    second = start(2, store=str(tmp_path), meet=[address, 2, 1], limit_bytes=200, **OPTIONS)
    own, other = finish(second), finish(first)
    assert own["kind"] == "StoreError"
    assert other["kind"] == "ProcessError"
    assert re.search(
        r"process 1 of 2 stopped: store must be a folder that can be written, .* \(File too large\)", other["error"]
    )


def test_a_store_in_use_is_said_by_all_processes(tmp_path):
    alone = start(store=str(tmp_path), pause=60, **OPTIONS)
    while not list(tmp_path.glob("*.chunk")):
        assert alone.poll() is None
    found = [finish(process) for process in together(str(tmp_path))]
    alone.kill()
    alone.communicate()
    assert all("where one is running" in one["error"] for one in found)


def test_processes_that_make_different_sweeps_are_told(tmp_path):
    """Other settings in one of them would skip tasks, or count them twice. Here the chunk size differs."""
    address = free_address()
    first = start(2, meet=[address, 2, 0], **OPTIONS)
    second = start(2, meet=[address, 2, 1], **{**OPTIONS, "chunk_size": 15})
    for found in (finish(first), finish(second)):
        assert found["kind"] == "ProcessError"
        assert re.search(r"process [01] whose chunk_size is .* instead of", found["error"])


def test_processes_with_different_devices_are_told():
    address = free_address()
    first, second = (start(devices, meet=[address, 2, index], **OPTIONS) for index, devices in enumerate((1, 2)))
    assert "equally many devices, got 1 of 3 in process 0 of 2" in finish(first)["error"]
    second.communicate(timeout=60)  # which says the same, if it is not cut off before
    assert second.returncode in (3, -signal.SIGABRT)


def test_a_damaged_chunk_of_another_process_is_named_by_all_and_its_tasks_counted(tmp_path):
    """Two processes go to a target over several looks; one is killed, and a chunk of the second half damaged."""
    target = {**OPTIONS, "num_tasks": 150, "target_error": 1e-9, "max_tasks": 300}
    first, second = (
        start(2, store=str(tmp_path), meet=meet, die_at=die_at, **target)
        for address in [free_address()]
        for meet, die_at in (([address, 2, 0], None), ([address, 2, 1], 260))
    )
    second.communicate(timeout=60)
    finish(first)
    chunks = sorted(tmp_path.glob("*.chunk"))
    assert chunks[0].name == "000000000000-000000000150.chunk"  # the first look was whole
    chunks[-1].write_bytes(b"")
    found = [finish(process) for process in together(str(tmp_path), **target)]
    assert all(chunks[-1].name in one["warnings"][0] for one in found)
    assert found[0]["resumed"] == found[1]["resumed"] == 150 + 16 * (len(chunks) - 2)
    whole = finish(start(2, **target))
    np.testing.assert_allclose(found[0]["mean"], whole["mean"], rtol=1e-13)
    assert np.shape(whole["mean"]) == (2, 2, 2)


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
