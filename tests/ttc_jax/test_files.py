"""Files are written as a whole or not at all, and only regular ones of bounded size are read."""

import json
import os

import jax
import pytest

from ttc_jax import _files


def test_a_file_is_there_as_a_whole_or_as_it_was(tmp_path):
    path = tmp_path / "index"
    _files.write(path, b"old")
    with pytest.raises(RuntimeError, match="stop"), _files.whole(path) as file:  # noqa: PT012
        file.write(b"new, and half of it")
        raise RuntimeError("stop")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["index"]
    with _files.whole(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_only_regular_files_of_bounded_size_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert _files.read(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="5 bytes, more than the 4 that are read"):
        _files.read(tmp_path / "file", 4)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        _files.read(tmp_path / "pipe", 4)


NO_OBJECTS = [("[1]", "must be an object"), ("[" * 100_000, "nested too deeply"), ("{", "Expecting property name")]


@pytest.mark.parametrize(("text", "reason"), NO_OBJECTS, ids=["list", "deep", "cut"])
def test_what_is_no_json_object_is_a_value_error(tmp_path, text, reason):
    (tmp_path / "index").write_text(text)
    with pytest.raises(ValueError, match=reason):
        _files.read_json(tmp_path / "index")


def test_files_that_a_killed_writer_left_are_removed_alone(tmp_path):
    (tmp_path / ".index.17.unfinished").write_text("half")
    (tmp_path / ".mine.unfinished").mkdir()
    (tmp_path / "mine.unfinished").write_text("whole")
    _files.remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.unfinished", "mine.unfinished"]


def test_differences_name_nested_values_and_both_sides():
    found, own = {"config": {"dim": 3, "task": {"noise": 0.1}}}, {"config": {"dim": 4, "task": {"noise": 0.1}}, "seed": 0}
    assert _files.differences(found, own) == "dim is 3 instead of 4, seed is None instead of 0"
    assert _files.differences(own, own) == ""


def test_the_description_of_keys_is_plain_and_tells_generators_apart():
    one, other = (_files.key_description(jax.random.key(3, impl=kind)) for kind in ("threefry2x32", "rbg"))
    assert json.loads(json.dumps(one)) == one
    assert one["keys"] == [0, 3]
    assert one["generator"] != other["generator"]
