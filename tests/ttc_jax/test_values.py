"""Values of problems: arrays are taken and copied, and what no file may hold is refused."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from ttc_jax.records.jsonl import Problem


def test_arrays_are_taken_and_copied():
    scores = np.array([1.0, 2.0], np.float32)
    problem = Problem(
        np.int32(3),
        answers=["a", "b"],
        correct=jnp.array([True, False]),
        scores=scores,
        lengths=np.array([1, 2]),
        num_samples=2,
    )
    scores[:] = 9
    assert problem.scores.tolist() == [1.0, 2.0]
    assert problem.correct.tolist() == [True, False]
    assert type(problem.problem) is int
    assert type(problem.answers) is tuple
    with pytest.raises(ValueError, match="read-only"):
        problem.scores[0] = np.nan


TWO = {"problem": 1, "answers": ("a", "b")}
BAD = [
    (lambda: Problem(**TWO, scores=np.ones((2, 1))), "scores", "[[1.0], [1.0]]"),
    (lambda: Problem(**TWO, scores=np.array([1, np.nan])), "scores", "nan at index 1"),
    (lambda: Problem(**TWO, scores=np.array(["1", "2"])), "scores", "['1', '2']"),
    (lambda: Problem(**TWO, scores=np.array([True, False])), "scores", "[True, False]"),
    (lambda: Problem(**TWO, scores=[10**400, 1]), "scores", "above"),
    (lambda: Problem(**TWO, correct=np.array([0.0, 1.0])), "correct", "[0.0, 1.0]"),
    (lambda: Problem(**TWO, lengths=[1, math.inf]), "lengths", "inf at index 1"),
    (lambda: Problem(**TWO, ratings=np.ones(2)), "ratings", "[1.0, 1.0]"),
    (lambda: Problem(**TWO, ratings=np.array([[1, 2], [np.nan, 1]])), "ratings", "nan at index 0"),
    (lambda: Problem(1, answers="ab"), "answers", "'ab'"),
    (lambda: Problem(1), "answers", "neither"),
    (lambda: Problem(None), "problem", "None"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_a_problem_that_could_not_be_read_cannot_be_made(call, name, value):
    assert_named(call, name, value)
