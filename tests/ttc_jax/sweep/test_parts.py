"""Parts of a sweep: what a store has is used, what is damaged is measured again, and the numbers are those of one part."""

import os
import re

import jax
import numpy as np
import pytest

from tests.ttc_jax.sweep.stores import chunks, interrupted, opened, swept
from tests.ttc_jax.sweep.swept import digest
from ttc_jax import DamagedChunkWarning
from ttc_jax.sweep.summary import from_device, summarise


def test_an_interrupted_sweep_goes_on_to_the_same_bits(tmp_path, whole):
    for task in (50, 200, 210, 590):
        interrupted(tmp_path, task)
    assert len(chunks(tmp_path)) == 2 + 5  # sixteen chunks are one file, and the last chunk, of 8 tasks, is missing
    result = swept(tmp_path)
    assert digest(result) == digest(whole)
    assert result.num_resumed == 592
    assert [path.name for path in chunks(tmp_path)] == ["000000000000-000000000600.chunk"]
    again = swept(tmp_path)
    assert digest(again) == digest(whole)
    assert again.num_resumed == 600
    assert digest(swept(key=jax.random.key(30))) != digest(whole)


def test_more_tasks_begin_with_those_that_are_there(tmp_path, whole):
    swept(tmp_path, num_tasks=320)
    result = swept(tmp_path)
    assert result.num_resumed == 320
    np.testing.assert_allclose(result.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(result.standard_error, whole.standard_error, rtol=1e-12)
    # Fewer tasks cannot be told from the summary of more, which stays.
    assert swept(tmp_path, num_tasks=320).num_resumed == 0
    assert swept(tmp_path).num_resumed == 600


def test_another_chunk_size_goes_on_between_the_chunks(tmp_path, whole):
    interrupted(tmp_path, 200)
    result = swept(tmp_path, chunk_size=50)
    assert result.num_resumed == 208
    np.testing.assert_allclose(result.mean, whole.mean, rtol=1e-6)
    np.testing.assert_allclose(result.standard_error, whole.standard_error, rtol=1e-5)


def test_damaged_chunks_are_named_and_measured_again(tmp_path, rng, whole):
    """Truncated, bits flipped, filled with noise, put in another's place, a pipe, a summary of another grid: six of seven."""
    interrupted(tmp_path, 590)
    files = chunks(tmp_path)
    ranges = [tuple(map(int, path.stem.split("-"))) for path in files]
    assert [last - first for first, last in ranges] == [256, 256, 16, 16, 16, 16, 16]
    other = from_device(jax.jit(summarise)(np.ones((16, 3), np.float32), np.arange(16) < 16), 0, 16)
    for place, path in enumerate(files[:-1]):
        data = bytearray(path.read_bytes())
        if place < 4:
            flipped = data.copy()
            flipped[rng.integers(len(data))] ^= 1 << rng.integers(8)
            path.write_bytes([data[: rng.integers(len(data))], flipped, rng.bytes(len(data)), files[-1].read_bytes()][place])
        elif place == 4:
            path.unlink()
            os.mkfifo(path)
        else:
            opened(tmp_path).write(*ranges[place], other)
    with pytest.warns(DamagedChunkWarning) as caught:
        result = swept(tmp_path)
    said = "\n".join(str(warning.message) for warning in caught)
    assert [int(first) for first in re.findall(r"(\d{12})-\d{12}\.chunk in the store is damaged", said)] == [
        first for first, _ in ranges[:-1]
    ]
    assert all(reason in said for reason in ("checksum", "another sweep or range", "not a regular file", "grid of shape (3,)"))
    assert digest(result) == digest(whole)
    assert result.num_resumed == 16
