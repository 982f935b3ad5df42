"""Objectives: what is taught after each thought, and the stages of a curriculum."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from tests.ttc_jax.training.settings import BINARY, BITS, GPT, KEY, TASKS, TEACHER
from ttc_jax import BinarySampler, Task, excess_risk, training
from ttc_jax.training import Curriculum, Objective, objectives


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
