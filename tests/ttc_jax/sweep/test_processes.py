"""Processes that share a sweep: they give the numbers of one, and an error of one is said by all."""

import re
import signal

import numpy as np

from tests.ttc_jax.sweep.processes import OPTIONS, finish, free_address, start


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
    """Another number of tasks or another chunk size in one of them would skip tasks, or count them twice."""
    for name, value, word in (("num_tasks", 301, "looks"), ("chunk_size", 15, "chunk_size")):
        address = free_address()
        first = start(2, meet=[address, 2, 0], **OPTIONS)
        second = start(2, meet=[address, 2, 1], **{**OPTIONS, name: value})
        for found in (finish(first), finish(second)):
            assert found["kind"] == "ProcessError"
            assert re.search(rf"process [01] whose {word} is .* instead of", found["error"])


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
