"""Studies of small binary problems: parts of their prediction, rare events, and one set of chains for all choosers."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.families import enumerated
from experiments.families.enumerated import AnswersConfig
from experiments.run.engine import Engine
from tests.errors import assert_named

CONFIG = AnswersConfig(
    num_tasks=4000, dim=2, num_examples=3, num_steps=2, num_candidates=(3, 1), inverse_temperature=(2.0, 0.5), num_contexts=64
)


def test_a_prediction_is_that_of_one_candidate_and_what_choosing_changes():
    prediction = enumerated.predict_bit_error(CONFIG)
    assert [way.name for way in enumerated.votes_and_choices(CONFIG)] == [
        "majority vote",
        "context loss",
        "held-out 4",
        "oracle",
    ]
    one, choice = prediction.terms["one_candidate"], prediction.terms["choice"]
    assert one.shape == choice.shape == (1, 2, 4, 2)
    np.testing.assert_allclose(choice[..., 0], 0.0, atol=1e-12)  # numbers of candidates are sorted
    assert (choice[:, :, -1, 1] < choice[:, :, 0, 1]).all()  # the oracle beats the vote
    assert (choice[:, :, -1, 1] < 0).all()
    wrong, right = prediction.wrong["with_independent_candidates"], one + choice
    np.testing.assert_allclose(wrong[:, :, 1:], right[:, :, 1:], rtol=1e-12)
    assert (wrong[:, :, 0, 1] < right[:, :, 0, 1]).all()


def test_rare_events_are_not_judged_and_temperatures_that_are_not_drawn_are_said():
    few, many = (enumerated.predict_bit_error(replace(CONFIG, num_tasks=number)) for number in (100, 4000))
    assert many.judged.any()
    assert not few.judged.any()
    assert "inverse_temperature has 2 values" in many.warnings[0]
    assert enumerated.predict_bit_error(CONFIG, temperatures_drawn=True).warnings == ()


def test_one_candidate_has_no_chooser():
    """All choosers share the chains of a task: with one candidate they err alike, and the oracle errs least with three."""
    found = enumerated.measure_bit_error(replace(CONFIG, num_tasks=64), 0, Engine())
    assert list(found.axes) == ["label_noise_std", "inverse_temperature", "chooser", "num_candidates"]
    assert found.axes["inverse_temperature"].tolist() == [0.5, 2.0]
    assert (found.mean[..., 0] == found.mean[:, :, :1, 0]).all()
    assert (found.mean[:, :, -1, 1] <= found.mean[:, :, :, 1].min(axis=2)).all()
    assert found.mean.min() >= 0
    assert found.mean.max() < 0.7


@pytest.mark.parametrize(
    ("changed", "name", "value"), [({"num_candidates": (2,)}, "num_candidates", "2"), ({"dim": 0}, "dim", "0")]
)
def test_bad_settings_are_named(changed, name, value):
    assert_named(lambda: enumerated.predict_bit_error(replace(CONFIG, **changed)), name, value)
