"""Chunks are merged sixteen at a time, however long the sweep is and wherever it stops."""

import pytest

from tests.ttc_jax.sweep.stores import chunks, swept
from tests.ttc_jax.sweep.swept import digest
from ttc_jax import StoreError
from ttc_jax.sweep.store import Store


def test_a_run_of_any_length_keeps_few_files_to_the_bit(tmp_path):
    """Of 300 chunks there are never more than fifteen of each size, and the parts of a merged one are gone."""
    small, most, left, stops = {"chunk_size": 2}, 0, {}, [150, 532]

    def progress(done):
        nonlocal most
        most = max(most, len(chunks(tmp_path)))
        if done == 300:
            left.update({path: path.read_bytes() for path in chunks(tmp_path)})
        if done in stops:
            stops.remove(done)
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            swept(tmp_path, progress=progress, **small)
    for path, content in left.items():  # as a writer leaves them that is killed before it removes them
        path.write_bytes(content)
    result = swept(tmp_path, progress=progress, **small)
    assert result.num_resumed == 532
    assert 16 <= most <= 2 * 15 + 2
    assert len(left) > 10
    assert [path.name for path in chunks(tmp_path)] == ["000000000000-000000000600.chunk"]
    assert digest(result) == digest(swept(**small))
    for path, content in left.items():
        path.write_bytes(content)
    assert swept(tmp_path, **small).num_resumed == 600
    assert len(chunks(tmp_path)) == 1


def test_no_room_to_gather_the_chunks_keeps_them(tmp_path, monkeypatch, whole):
    true = Store.write

    def full(self, first, last, summary):
        if last - first > 16:
            raise StoreError("no room")
        true(self, first, last, summary)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "write", full)
        assert digest(swept(tmp_path)) == digest(whole)
    assert len(chunks(tmp_path)) == 38
    assert digest(swept(tmp_path)) == digest(whole)
