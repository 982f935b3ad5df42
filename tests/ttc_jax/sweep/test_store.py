"""A sweep that is killed, robbed of room or given damaged chunks ends with the numbers of one that was left alone."""

import io
import itertools
import os
import re
import signal
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from tests.errors import assert_named
from tests.ttc_jax.sweep.processes import finish, num_measured, start
from tests.ttc_jax.sweep.stores import KEY, OPTIONS, chunks, interrupted, opened, swept
from tests.ttc_jax.sweep.swept import AXES, REUSED, digest, risks
from ttc_jax import DamagedChunkWarning, OtherSweepError, StoreError, sweep
from ttc_jax.sweep.store import INDEX, NUMERICS, Store
from ttc_jax.sweep.summary import from_device, summarise


def test_kills_lose_nothing(tmp_path, rng):
    """Killed while it imports and compiles, or some moments after its next chunks; what is on disk afterwards is whole."""
    long = {**OPTIONS, "num_tasks": 4800}  # far more than the runs get done
    for number in range(8):
        process = start(store=str(tmp_path), pause=0.03, **long)
        if number % 4 == 0:
            time.sleep(rng.uniform(0.0, 1.0))
        else:
            _wait_for(tmp_path, process, num_measured(tmp_path) + 16 * rng.integers(1, 4))
            time.sleep(rng.uniform(0.0, 0.06))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        if chunks(tmp_path):
            store = opened(tmp_path)
            assert sum(last - first for first, last, _ in store.intact(0, 4800)) == num_measured(tmp_path)
            assert store.take_damage_messages() == []
    assert num_measured(tmp_path) >= 6 * 16
    last = finish(start(store=str(tmp_path), **long))
    assert last["resumed"] >= 6 * 16
    assert last["digest"] == finish(start(**long))["digest"]


def _wait_for(folder, process, number):
    """Until so many tasks are measured."""
    while num_measured(folder) < number:
        time.sleep(0.01)
        assert process.poll() is None, process.communicate()


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_a_crash_at_any_call_of_the_system_loses_nothing(tmp_path, monkeypatch, whole, call):
    """The process ends before or after the n-th call of a kind, for every n of the first chunks."""

    class Crash(BaseException):
        pass

    true = getattr(os, call)
    for number, before in itertools.product(range(7), (True, False)):
        folder, calls = tmp_path / f"{number}-{before}", itertools.count()

        def crashing(*arguments, calls=calls, number=number, before=before, **options):
            crashes = next(calls) == number
            if crashes and before:
                raise Crash
            found = true(*arguments, **options)
            if crashes:
                raise Crash
            return found

        with monkeypatch.context() as patched:
            patched.setattr(os, call, crashing)
            with pytest.raises(Crash):
                swept(folder)
        assert digest(swept(folder)) == digest(whole)


def test_a_damaged_or_renamed_file_neither_hides_others_nor_shifts_a_boundary(tmp_path, whole):
    interrupted(tmp_path, 200)
    (tmp_path / "000000000000-000000000208.chunk").write_bytes(b"damaged, and over all others")
    (tmp_path / "000000000213-000000000229.chunk").write_bytes(chunks(tmp_path)[-1].read_bytes())
    with pytest.warns(DamagedChunkWarning) as caught:
        result = swept(tmp_path)
    assert len(caught) == 2
    assert result.num_resumed == 208
    assert digest(result) == digest(whole)
    assert len(chunks(tmp_path)) == 1


def test_processes_divide_their_tasks_at_the_end_of_a_merged_range(tmp_path):
    interrupted(tmp_path, 300)
    store = opened(tmp_path)
    assert [store.border(0, place, 600) for place in (0, 150, 256, 450)] == [0, 256, 256, 450]
    assert store.border(16, 150, 600) == 150  # not within the tasks


def test_every_bit_of_a_chunk_is_checked(tmp_path, rng):
    swept(tmp_path, num_tasks=16)
    (path,) = chunks(tmp_path)
    data = path.read_bytes()
    assert opened(tmp_path).read(0, 16) is not None
    for place in rng.choice(len(data), 100, replace=False):
        changed = bytearray(data)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        store = opened(tmp_path)
        assert store.read(0, 16) is None
        assert list(store.intact(0, 16)) == []
        (said,) = store.take_damage_messages()
        assert path.name in said


def _compressed(data):
    """The same members, compressed."""
    file = io.BytesIO()
    with np.load(io.BytesIO(data)) as members:
        np.savez_compressed(file, **members)
    return file.getvalue()


def _corrupt(data):
    """The same members, the first of which cannot be expanded."""
    start = data.index(b".npy") + 24  # after an extra field
    return data[:start] + b"\xff" * 10 + data[start + 10 :]


FORGED = {  # from an intact summary to the bytes of another one, and the reason of its refusal
    "compressed": (lambda summary: _compressed(summary.to_bytes()), "compressed"),
    "corrupt": (lambda summary: _corrupt(_compressed(summary.to_bytes())), "compressed"),
    "empty": (lambda _: b"", "not a zip file"),
    "no largest values": (lambda summary: summary._replace(largest=summary.largest[:0]).to_bytes(), "0 largest values"),
    "negative": (
        lambda summary: summary._replace(moments=summary.moments._replace(squared_deviations=np.full(3, -1.0))).to_bytes(),
        "negative squared deviations",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_chunk_with_a_valid_hash_is_refused(tmp_path, name):
    forge, reason = FORGED[name]
    summary = from_device(jax.jit(summarise)(np.ones((16, 3), np.float32), np.arange(16) < 16), 0, 16)
    store = Store(tmp_path, {"axes": {"noise": [1, 2, 3]}}, "")
    store.write(0, 16, summary)
    assert store.read(0, 16) is not None
    store.write(0, 16, SimpleNamespace(to_bytes=lambda: forge(summary)))
    assert store.read(0, 16) is None
    (message,) = store.take_damage_messages()
    assert reason in message


def test_foreign_entries_of_a_store_are_left_alone(tmp_path):
    """A folder that is named like an unfinished file, and a chunk whose name has fewer digits."""
    (tmp_path / ".mine.unfinished").mkdir()
    swept(tmp_path, num_tasks=16)
    chunks(tmp_path)[0].rename(tmp_path / "0-16.chunk")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DamagedChunkWarning)
        assert swept(tmp_path, num_tasks=16).num_resumed == 0
    assert (tmp_path / ".mine.unfinished").is_dir()


def test_a_chunk_of_another_sweep_is_not_averaged_in(tmp_path, whole):
    """Intact, of the same tasks, but put there by a process that another run has left behind."""
    swept(tmp_path / "other", num_tasks=16, key=jax.random.key(30))
    interrupted(tmp_path / "own", 100)
    foreign = next((tmp_path / "other").glob("*.chunk"))
    (tmp_path / "own" / foreign.name).write_bytes(foreign.read_bytes())
    with pytest.warns(DamagedChunkWarning, match="of another sweep"):
        assert digest(swept(tmp_path / "own")) == digest(whole)


_SHIFTS = np.linspace(0, 1, 100)


def _own(key, noise):
    return risks(key, decoding_noise_std=noise)


OTHERS = {
    "keys": {"key": jax.random.key(30)},
    "generator": {"key": jax.random.key(29, impl="rbg")},
    "decoding_noise_std": {"axes": {"decoding_noise_std": [0.0, 0.2]}},
    "num_steps": {"reused": {**REUSED, "num_steps": [0, 5]}},
    "matmul_precision": {"matmul_precision": "default"},
    "program": {"measure": lambda key, *, decoding_noise_std: risks(key, decoding_noise_std=decoding_noise_std) * 2},
    "program, by an array that it holds": {
        "measure": lambda key, *, decoding_noise_std: _SHIFTS.sum() + _own(key, decoding_noise_std)
    },
    "params": {"measure": lambda key, params, *, decoding_noise_std: risks(key, decoding_noise_std=params), "params": 0.1},
}


@pytest.mark.parametrize("name", OTHERS)
def test_chunks_of_another_sweep_are_refused_and_kept(tmp_path, name):
    swept(tmp_path, num_tasks=32)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = {"key": KEY, "measure": risks, "axes": AXES, "reused": REUSED, **OTHERS[name]}
    positional = [other.pop(part) for part in ("key", "measure", "axes")]

    def another(**options):
        return sweep(*positional, reused_axes=other["reused"], store=tmp_path, num_tasks=32, **options)

    options = {part: other[part] for part in ("params", "matmul_precision") if part in other}
    with pytest.raises(OtherSweepError, match=rf"{name.partition(',')[0]} is .* instead of"):
        another(**options)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert another(**options, overwrite=True).num_resumed == 0
    with pytest.raises(StoreError, match="instead of"):
        swept(tmp_path, num_tasks=32)


def test_other_weights_of_the_same_shape_are_another_sweep(tmp_path):
    def scaled(key, params):
        return params * jax.random.normal(key)

    for scale in (1.0, 2.0):
        sweep(KEY, scaled, {}, num_tasks=5, params=scale, store=tmp_path / str(scale))
    with pytest.raises(StoreError, match="params is"):
        sweep(KEY, scaled, {}, num_tasks=5, params=1.5, store=tmp_path / "1.0")


def test_two_writers_do_not_meet(tmp_path, whole):
    """One has the folder until it dies, however it dies; then the other goes on with what it left."""
    first = start(store=str(tmp_path), pause=60, **OPTIONS)
    _wait_for(tmp_path, first, 1)
    second = finish(start(store=str(tmp_path), **OPTIONS))
    assert second["kind"] == "StoreError"
    assert "no other run uses" in second["error"]
    assert str(tmp_path) in second["error"]
    with pytest.raises(StoreError, match="where one is running"):
        swept(tmp_path)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    result = finish(start(store=str(tmp_path), **OPTIONS))
    assert result["resumed"] > 0
    np.testing.assert_allclose(result["mean"], whole.mean, rtol=1e-6)


def test_a_full_disk_is_named_and_nothing_is_lost(tmp_path):
    """A limit on the size of files stands in for a quota: the chunk that does not fit is not there, those before it are."""
    interrupted(tmp_path, 100)
    kept = len(chunks(tmp_path))
    found = finish(start(store=str(tmp_path), limit_bytes=chunks(tmp_path)[0].stat().st_size // 2, **OPTIONS))
    assert found["kind"] == "StoreError"
    assert str(tmp_path) in found["error"]
    assert re.search(r"\(File too large\)", found["error"])
    assert len(chunks(tmp_path)) == kept
    assert not list(tmp_path.glob("*.unfinished"))


def test_no_room_left_is_named_and_nothing_is_lost(tmp_path, monkeypatch, whole):
    true, calls = os.fsync, itertools.count()

    def full(descriptor):
        if next(calls) >= 12:
            raise OSError(28, "No space left on device")
        true(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=rf"{tmp_path} \(No space left on device\)"):
            swept(tmp_path)
    assert len(chunks(tmp_path)) >= 4
    assert not list(tmp_path.glob(".*.unfinished"))
    result = swept(tmp_path)
    assert result.num_resumed >= 64
    assert digest(result) == digest(whole)


def test_a_folder_that_cannot_be_one_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert_named(lambda: swept(tmp_path / "file"), "store", "file")
    swept(tmp_path / "here", num_tasks=16)
    for text in ("{", "[" * 100_000, "3"):
        (tmp_path / "here" / INDEX).write_text(text)
        assert_named(lambda: swept(tmp_path / "here"), "store", "sweep.json is missing or damaged")
    chunks(tmp_path / "here")[0].unlink()
    assert_named(lambda: swept(tmp_path / "here"), "store", "sweep.json is missing or damaged")  # a file of someone else
    (tmp_path / "there" / ".lock").mkdir(parents=True)
    assert_named(lambda: swept(tmp_path / "there"), "store", "there")


def test_ranges_cover_what_they_can(tmp_path, rng, monkeypatch):
    """Against marking every task, for ranges that overlap as those of other chunk sizes do."""
    monkeypatch.setattr(Store, "read", lambda *_: "intact")
    monkeypatch.setattr(Store, "_remove_parts", lambda *_: None)
    store = Store(tmp_path, {}, "")
    for _ in range(50):
        for path in chunks(tmp_path):
            path.unlink()
        ends = rng.integers(0, 30, (6, 2))
        there = {(int(a), int(b)) for a, b in ends if a < b}
        for first, last in there:
            Path(tmp_path / f"{first:012d}-{last:012d}.chunk").write_text("")
        start_at, stop = sorted(rng.integers(0, 30, 2).tolist())
        covered = np.zeros(30, int)
        found = [(first, last) for first, last, _ in store.intact(start_at, stop)]
        for first, last in found:
            covered[first:last] += 1
        assert set(found) <= there
        assert covered.max() <= 1
        assert covered[:start_at].sum() == covered[stop:].sum() == 0
        for first, last in there:  # what is left out would have overlapped
            if start_at <= first and last <= stop and (first, last) not in found:
                assert covered[first:last].any()


# Of 50 tasks, for the numerics of which they are. A change of them needs another number in store.py, or chunks of the old ones
# would be averaged with those of the new.
GOLDEN = {1: ([0.26316, 0.286331], [0.0313226, 0.0352894])}


def test_numbers_change_only_with_their_version():
    result = swept(num_tasks=50)
    for found, known in zip((result.mean, result.standard_error), GOLDEN[NUMERICS], strict=True):
        np.testing.assert_allclose(found[:, 1, 1], known, rtol=1e-4)
