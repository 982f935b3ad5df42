"""Training: pieces make a whole, a plain loop gives the same weights, and what goes wrong is said in one line."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import theory
from tests.errors import assert_named
from tests.statistics import agrees
from tests.ttc_jax.training.settings import BINARY, GPT, KEY, KEYS, LINEAR, NOISES, TASKS, TEACHER
from ttc_jax import PowerLaw, training
from ttc_jax.models.linear_attention import LinearAttentionConfig
from ttc_jax.training import Curriculum, DivergedError, Objective, TrainingConfig, checkpoints, objectives


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


def test_strict_promotion_of_the_session_is_no_matter():
    def weights(key):
        return training.train(key, replace(LINEAR, curriculum=Curriculum())).params

    with jax.numpy_dtype_promotion("strict"):
        strict = jax.eval_shape(weights, KEY)
    assert strict == jax.eval_shape(weights, KEY)


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
