"""Training: what is taught, that pieces make a whole, that nothing is lost, and what goes wrong is said in one line."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import theory
from tests.errors import assert_named
from tests.statistics import agrees
from ttc_jax import BinaryPrior, BinarySampler, PowerLaw, Task, TaskConfig, excess_risk, training
from ttc_jax.models.gpt import GPTConfig
from ttc_jax.models.linear_attention import LinearAttentionConfig
from ttc_jax.training import Curriculum, DivergedError, Objective, TrainingConfig, checkpoints, objectives

KEY = jax.random.key(0)
TASKS = TaskConfig(3, 7, PowerLaw(0.5))
LINEAR = TrainingConfig(LinearAttentionConfig(3), TASKS, num_steps=12, batch_size=8, warmup_steps=2)
GPT = GPTConfig(3, 12, num_layers=1, width=8, num_heads=2)
BINARY = replace(GPT, head="binary")
BITS = TaskConfig(3, 7, prior=BinaryPrior(0.0, 1.0, 0.3))
TEACHER = Objective("teacher", num_steps=4, step_size=0.3, decoding_noise_std=0.2)
KEYS = jax.random.split(KEY, 2)
NOISES = jnp.array([0.1, 1.0])


def lesson(model, task, objective, **options):
    return training.sample_lesson(KEY, model, task, objective, **{"label_noise_std": 0.5, **options})


def test_the_teacher_takes_gradient_steps_from_the_thoughts_that_are_read():
    drawn = lesson(GPT, TASKS, TEACHER)
    inputs, targets = map(np.asarray, drawn.context)
    states = np.asarray(drawn.states)
    expected = states + 0.3 / 7 * (targets - states @ inputs.T) @ inputs
    np.testing.assert_allclose(drawn.answers, expected, rtol=1e-5, atol=1e-6)
    noise = states[1:] - expected[:-1]
    assert 0.05 < noise.std() < 0.5
    quiet = lesson(GPT, TASKS, replace(TEACHER, decoding_noise_std=0.0))
    np.testing.assert_allclose(quiet.states[1:], quiet.answers[:-1], rtol=1e-5, atol=1e-6)


def test_the_truth_is_taught_after_every_thought_and_the_direct_prediction_reads_none():
    every = lesson(GPT, TASKS, replace(TEACHER, target="truth"))
    direct = lesson(GPT, TASKS, Objective())
    assert every.answers.shape == (4, 3)
    assert direct.states.tolist() == [[0.0, 0.0, 0.0]]
    answers = np.asarray(every.answers)
    assert (answers == np.asarray(direct.answers)[0]).all()
    task = Task(direct.answers[0], direct.weights, jnp.asarray(0.5), direct.context)
    params = objectives.init_params(KEY, GPT)
    emitted = objectives.next_states(params, GPT, direct.context, direct.states)[0]
    assert objectives.loss(params, GPT, direct) == pytest.approx(float(excess_risk(emitted, task)), rel=1e-5)


def test_a_binary_head_is_taught_probabilities():
    drawn = lesson(BINARY, BITS, replace(TEACHER, inverse_temperature=2.0))
    assert set(np.unique(drawn.states[1:])) <= {0.0, 1.0}
    inputs, targets = map(np.asarray, drawn.context)
    states = np.asarray(drawn.states)
    fields = states + 0.3 / 7 * (targets - states @ inputs.T) @ inputs
    expected = BinarySampler(2.0, BITS.prior).probability(jnp.asarray(fields))
    np.testing.assert_allclose(drawn.answers, expected, rtol=1e-4)
    bits = lesson(BINARY, BITS, replace(TEACHER, target="truth"))
    assert set(np.unique(bits.answers)) <= {0.0, 1.0}
    params = objectives.init_params(KEY, BINARY)
    logits = np.asarray(objectives.next_states(params, BINARY, bits.context, bits.states), np.float64)
    chance = np.where(np.asarray(bits.answers) == 1, 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(logits)))
    assert objectives.loss(params, BINARY, bits) == pytest.approx(-np.log(chance).sum(axis=1).mean(), rel=1e-4)


def test_curricula_begin_with_fewer_coefficients_and_another_noise():
    curriculum = Curriculum(num_steps=10, initial_dim=1, initial_noise=3.0)
    stages = [objectives.stage(curriculum, 3, jnp.asarray(step)) for step in (0, 5, 10, 99)]
    assert [float(active) for active, _ in stages] == [1, 2, 3, 3]
    np.testing.assert_allclose([float(noise) for _, noise in stages], [3.0, 2.0, 1.0, 1.0])
    drawn = lesson(GPT, TASKS, TEACHER, active=2, label_noise_std=0.0)
    for array in (drawn.context.inputs, drawn.states, drawn.answers):
        assert not np.asarray(array)[:, 2].any()
        assert np.asarray(array)[:, :2].any()
    whole = lesson(GPT, TASKS, Objective(), label_noise_std=0.0, active=2)
    np.testing.assert_allclose(whole.context.inputs @ whole.answers[0], whole.context.targets, rtol=1e-4, atol=1e-5)


def test_every_step_of_a_training_has_its_stage():
    """The loss of a step, at the weights before it, on tasks of that stage drawn with that step's keys."""
    config = replace(LINEAR, curriculum=Curriculum(num_steps=4, initial_dim=1, initial_noise=3.0))
    trained = training.train(KEY, config, label_noise_std=0.5)
    _, data_key = jax.random.split(KEY)
    state = training.init_state(KEY, config)
    for step, (active, noise) in enumerate([(1, 3.0), (1, 2.5), (2, 2.0), (2, 1.5), (3, 1.0), (3, 1.0)]):
        keys = jax.random.split(jax.random.fold_in(data_key, step), config.batch_size)

        def of_one(key, params=state.params, active=active, noise=noise):
            drawn = training.sample_lesson(
                key, LINEAR.model, TASKS, LINEAR.objective, label_noise_std=0.5 * noise, active=active
            )
            return objectives.loss(params, LINEAR.model, drawn)

        assert trained.losses[step] == pytest.approx(float(jnp.mean(jax.vmap(of_one)(keys))), rel=1e-4)
        state, _ = training.advance(KEY, state, config, num_steps=1, label_noise_std=0.5)


# Losses of the first steps, for the numerics of which they are those. A change of them needs another number in checkpoints.py,
# or cached weights of the old one would be taken for those of the new one.
GOLDEN = {1: {"linear": [1.34411, 0.77996, 0.56606, 0.84268], "softmax": [1.38432, 1.0613, 0.91342, 0.74508]}}


def test_numbers_change_only_with_their_version():
    softmax = TrainingConfig(GPT, TASKS, TEACHER, num_steps=4, batch_size=8)
    found = {
        "linear": training.train(KEY, LINEAR, label_noise_std=0.5).losses[:4],
        "softmax": training.train(KEY, softmax, label_noise_std=0.5).losses,
    }
    for name, losses in GOLDEN[checkpoints.NUMERICS].items():
        np.testing.assert_allclose(found[name], losses, rtol=1e-3)


def test_a_training_is_a_loop_of_adam_steps():
    """The scan against a plain loop over fresh batches."""
    trained = jax.jit(lambda: training.train(KEY, LINEAR, label_noise_std=0.5))()
    init_key, data_key = jax.random.split(KEY)
    params = objectives.init_params(init_key, LINEAR.model)
    schedule = optax.warmup_cosine_decay_schedule(0.0, LINEAR.learning_rate, 2, LINEAR.num_steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    memory, losses = optimizer.init(params), []

    @jax.jit
    def batch_loss(params, keys):
        def of_one(key):
            drawn = training.sample_lesson(key, LINEAR.model, TASKS, LINEAR.objective, label_noise_std=0.5)
            return objectives.loss(params, LINEAR.model, drawn)

        return jnp.mean(jnp.stack([of_one(keys[number]) for number in range(8)]))

    for step in range(LINEAR.num_steps):
        keys = jax.random.split(jax.random.fold_in(data_key, step), 8)
        loss, gradient = jax.value_and_grad(batch_loss)(params, keys)
        updates, memory = optimizer.update(gradient, memory)
        params = optax.apply_updates(params, updates)
        losses.append(float(loss))
    np.testing.assert_allclose(trained.losses, losses, rtol=1e-4)
    np.testing.assert_allclose(trained.params.value, params.value, rtol=1e-3, atol=1e-5)


def test_an_ensemble_is_its_models_one_by_one():
    together = training.fit(KEYS, LINEAR, label_noise_std=NOISES)
    for number in range(2):
        alone = training.train(KEYS[number], LINEAR, label_noise_std=NOISES[number])
        np.testing.assert_allclose(together.losses[number], alone.losses, rtol=1e-4)
        np.testing.assert_allclose(together.params.value[number], alone.params.value, rtol=1e-3, atol=1e-5)
    assert abs(together.losses[0, 0] - together.losses[1, 0]) > 1e-3


@pytest.mark.optimised
def test_linear_attention_learns_its_closed_form():
    """Eight seeds, against the risk that no weights of one layer beat; with one example fewer it is another one."""
    config = TrainingConfig(LinearAttentionConfig(3), TASKS, num_steps=600, batch_size=64, learning_rate=0.02)
    losses = training.fit(jax.random.split(KEY, 8), config, label_noise_std=0.5, steps_between=600).losses[:, -100:]
    spectrum = PowerLaw(0.5).eigenvalues(3)
    predicted = [theory.pretrained_attention_risk(spectrum, n, label_noise_std=0.5) for n in (7, 6)]
    assert agrees(losses.reshape(-1, 1), [predicted[0]])
    assert not agrees(losses.reshape(-1, 1), [predicted[1]])


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


def test_strict_promotion_of_the_session_is_no_matter():
    def weights(key):
        return training.train(key, replace(LINEAR, curriculum=Curriculum())).params

    with jax.numpy_dtype_promotion("strict"):
        strict = jax.eval_shape(weights, KEY)
    assert strict == jax.eval_shape(weights, KEY)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    interrupted(tmp_path, 4)
    other = replace(LINEAR, batch_size=9, objective=replace(TEACHER, num_steps=1))
    told = "batch_size is 8 instead of 9"
    assert_named(lambda: training.fit(KEYS, other, label_noise_std=NOISES, folder=tmp_path), "folder", told)
    assert_named(lambda: training.fit(KEYS, LINEAR, label_noise_std=0.1, folder=tmp_path), "folder", "label_noise_std is")
    assert_named(lambda: training.fit(KEYS[:1], LINEAR, label_noise_std=0.1, folder=tmp_path), "folder", "keys is")


def test_a_loss_that_is_not_a_number_stops_the_training(tmp_path):
    wild = replace(LINEAR, learning_rate=1e19, max_gradient_norm=1e30)
    with pytest.raises(DivergedError, match=r"model \d in step \d+ with learning rate .*1e\+19") as error:
        training.fit(KEYS, wild, label_noise_std=NOISES, folder=tmp_path, steps_between=1)
    assert "\n" not in str(error.value)
    kept = json.loads((tmp_path / "checkpoint.json").read_text())["place"]
    step = kept.removeprefix("weights-at-step-")
    assert f"in step {int(step) + 1} with" in str(error.value)
    assert str(error.value).endswith(f"last good checkpoint is that of step {step}")
    with pytest.raises(DivergedError) as error:
        training.fit(KEYS, wild, label_noise_std=NOISES)
    assert "checkpoint" not in str(error.value)


def test_the_name_of_a_training_is_the_same_in_every_session_and_tells_all_apart():
    names = {
        training.fingerprint(config, keys, label_noise_std=noise)
        for config in (LINEAR, replace(LINEAR, learning_rate=1e-3), replace(LINEAR, task=TaskConfig(3, 7)))
        for keys in (KEYS, KEYS[:1])
        for noise in (0.1, 0.2)
    }
    assert len(names) == 12
    assert training.fingerprint(LINEAR, KEYS, label_noise_std=[0.1, 0.1]) in names
    code = "from tests.ttc_jax.training.test_loop import *; print(training.fingerprint(LINEAR, KEYS, label_noise_std=0.1))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.strip() in names


BAD = [
    (lambda: Objective("copy"), "target", "copy"),
    (lambda: Objective(num_steps=3), "num_steps", "3"),
    (lambda: Objective("teacher", 0), "num_steps", "0"),
    (lambda: Objective("teacher", decoding_noise_std=-1.0), "decoding_noise_std", "-1"),
    (lambda: Curriculum(-1), "num_steps", "-1"),
    (lambda: Curriculum(5, initial_dim=0), "initial_dim", "0"),
    (lambda: replace(LINEAR, curriculum=Curriculum(5, initial_dim=4)), "initial_dim", "4"),
    (lambda: replace(LINEAR, learning_rate=0.0), "learning_rate", "0"),
    (lambda: replace(LINEAR, warmup_steps=12), "warmup_steps", "12"),
    (lambda: replace(LINEAR, model=LinearAttentionConfig(4)), "model", "4"),
    (lambda: replace(LINEAR, model="gpt"), "model", "gpt"),
    (lambda: TrainingConfig(BINARY, TASKS), "head", "binary"),
    (lambda: TrainingConfig(GPT, TASKS, replace(TEACHER, num_steps=6)), "max_tokens", "12"),
    (lambda: training.train(KEY, LINEAR, label_noise_std=-1.0), "label_noise_std", "-1"),
    (lambda: training.train(0, LINEAR), "key", "0"),
    (lambda: training.fit(KEYS, LINEAR, label_noise_std=[0.1, 0.2, 0.3]), "label_noise_std", "(3,)"),
    (lambda: training.fit(KEYS, LINEAR, steps_between=0), "steps_between", "0"),
    (lambda: training.fit(KEY, LINEAR), "keys", "()"),
    (lambda: training.fit(KEYS[:0], LINEAR), "keys", "0"),
    (lambda: training.fit(list(KEYS), LINEAR), "keys", "list"),
    (lambda: training.advance(KEY, training.init_state(KEY, LINEAR), LINEAR, num_steps=-1), "num_steps", "-1"),
    (lambda: Curriculum(initial_dim=1), "num_steps", "0"),
    (lambda: replace(LINEAR, curriculum=Curriculum(13, initial_dim=1)), "curriculum", "13"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert_named(lambda: training.fit(KEYS, LINEAR, folder=tmp_path / "file" / "here"), "folder", "here")
