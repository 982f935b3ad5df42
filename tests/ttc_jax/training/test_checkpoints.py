"""Checkpoints: nothing is lost to a kill or a full disk, and damaged or foreign ones are named."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from tests.errors import assert_named
from tests.ttc_jax.training.settings import KEY, KEYS, LINEAR, NOISES, TEACHER
from ttc_jax import TaskConfig, training
from ttc_jax.training import checkpoints


class Stop(Exception):
    pass


def interrupted(folder, after, **options):
    """A training that is stopped after as many steps, and then left alone."""

    def stop(step, loss):
        if step == after:
            raise Stop

    with pytest.raises(Stop):
        training.fit(KEYS, LINEAR, label_noise_std=NOISES, folder=folder, steps_between=4, progress=stop, **options)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


def test_an_interrupted_training_goes_on_to_the_same_numbers(tmp_path):
    whole = training.fit(KEYS, LINEAR, label_noise_std=NOISES, steps_between=4)
    interrupted(tmp_path / "here", 8)
    heard = []

    def listen(step, loss):
        heard.append((step, loss))

    again = {"label_noise_std": NOISES, "folder": tmp_path / "here", "steps_between": 4}
    resumed = training.fit(KEYS, LINEAR, **again, progress=listen)
    assert [step for step, _ in heard] == [12]
    assert heard[0][1] == pytest.approx(float(whole.losses[:, 8:].mean()))
    assert same(whole, resumed)
    assert same(whole, training.fit(KEYS, LINEAR, **again, progress=listen))  # read, not trained
    assert len(heard) == 1
    assert not same(whole, training.fit(KEYS[::-1], LINEAR, label_noise_std=NOISES))


def test_a_training_killed_while_it_writes_goes_on_from_the_checkpoint_before(tmp_path, monkeypatch):
    whole = training.fit(KEYS, LINEAR, label_noise_std=NOISES, steps_between=4)
    interrupted(tmp_path, 4)
    again = {"label_noise_std": NOISES, "folder": tmp_path, "steps_between": 4}

    def killed(*_):
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(Stop):
            training.fit(KEYS, LINEAR, **again)
    assert (tmp_path / "weights-at-step-8").is_dir()
    assert same(whole, training.fit(KEYS, LINEAR, **again))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "checkpoint.json", "weights-at-step-12"]


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    for name in ("step-4", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("kept")
    training.fit(KEYS, LINEAR, label_noise_std=NOISES, folder=tmp_path, steps_between=4)
    assert [(tmp_path / name / "notes.txt").read_text() for name in ("step-4", "mine")] == ["kept", "kept"]


def test_numbers_of_any_kind_name_the_same_training():
    kinds = [replace(LINEAR, learning_rate=value) for value in (0.25, np.float32(0.25), np.float64(0.25))]
    assert len({training.fingerprint(config, KEYS) for config in kinds}) == 1


def test_a_full_disk_is_said_and_the_last_checkpoint_kept(tmp_path, monkeypatch):
    interrupted(tmp_path, 4)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert_named(lambda: training.fit(KEYS, LINEAR, label_noise_std=NOISES, folder=tmp_path), "folder", "No space left")
    whole = training.fit(KEYS, LINEAR, label_noise_std=NOISES, steps_between=4)
    assert same(whole, training.fit(KEYS, LINEAR, label_noise_std=NOISES, folder=tmp_path, steps_between=4))


def test_a_damaged_checkpoint_is_named(tmp_path):
    interrupted(tmp_path / "good", 4)
    files = [path.relative_to(tmp_path / "good") for path in (tmp_path / "good").rglob("[!.]*") if path.is_file()]
    assert len(files) > 3
    for number, file in enumerate(files):
        for damage in ("altered", "cut", "gone"):
            folder = tmp_path / f"{number} {damage}"
            shutil.copytree(tmp_path / "good", folder)
            content = bytearray((folder / file).read_bytes())
            if damage == "gone":
                if file.name == "checkpoint.json":
                    continue
                (folder / file).unlink()
            elif damage == "cut" and content:
                (folder / file).write_bytes(content[: len(content) // 2])
            else:
                (folder / file).write_bytes(b"{" + content[1:] + b"!")
            call = {"label_noise_std": NOISES, "folder": folder}
            assert_named(lambda call=call: training.fit(KEYS, LINEAR, **call), "folder", file.name)


def test_a_checkpoint_of_other_shapes_or_elsewhere_is_named(tmp_path):
    interrupted(tmp_path, 4)
    index = json.loads((tmp_path / "checkpoint.json").read_text())
    edited = {"place": "../elsewhere", "files": 3, "training": "[" * 100_000}
    for text in (*(json.dumps({**index, name: value}) for name, value in edited.items()), "[" * 100_000):
        (tmp_path / "checkpoint.json").write_text(text)
        assert_named(lambda: training.fit(KEYS, LINEAR, label_noise_std=NOISES, folder=tmp_path), "folder", "is damaged")
    shutil.rmtree(tmp_path)
    with checkpoints.Checkpoints(tmp_path, LINEAR, KEYS, NOISES) as store:
        store.write(4, (training.init_state(KEY, LINEAR), np.zeros((2, 4), np.float32)))  # of one model, not of two
    assert_named(lambda: training.fit(KEYS, LINEAR, label_noise_std=NOISES, folder=tmp_path), "folder", "other shapes")


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    interrupted(tmp_path, 4)
    other = replace(LINEAR, batch_size=9, objective=replace(TEACHER, num_steps=1))
    told = "batch_size is 8 instead of 9"
    assert_named(lambda: training.fit(KEYS, other, label_noise_std=NOISES, folder=tmp_path), "folder", told)
    assert_named(lambda: training.fit(KEYS, LINEAR, label_noise_std=0.1, folder=tmp_path), "folder", "label_noise_std is")
    assert_named(lambda: training.fit(KEYS[:1], LINEAR, label_noise_std=0.1, folder=tmp_path), "folder", "keys is")


def test_the_name_of_a_training_is_the_same_in_every_session_and_tells_all_apart():
    names = {
        training.fingerprint(config, keys, label_noise_std=noise)
        for config in (LINEAR, replace(LINEAR, learning_rate=1e-3), replace(LINEAR, task=TaskConfig(3, 7)))
        for keys in (KEYS, KEYS[:1])
        for noise in (0.1, 0.2)
    }
    assert len(names) == 12
    assert training.fingerprint(LINEAR, KEYS, label_noise_std=[0.1, 0.1]) in names
    code = (
        "from tests.ttc_jax.training.settings import KEYS, LINEAR; from ttc_jax import training; "
        "print(training.fingerprint(LINEAR, KEYS, label_noise_std=0.1))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.strip() in names


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert_named(lambda: training.fit(KEYS, LINEAR, folder=tmp_path / "file" / "here"), "folder", "here")
