"""Doubts about a record: its order, its flags and its golds."""

import numpy as np
import pytest

from experiments.records import checks, result, samples
from experiments.run import agreement
from tests.experiments.records.recorded import analysed
from ttc_jax.records.jsonl import Problem

pytestmark = pytest.mark.usefixtures("quick_intervals")


def of_flags(flags, answers=None):
    """Problems of these flags (problems, samples); right answers are "a", wrong ones "b"."""
    rows = enumerate(zip(flags, np.where(flags, "a", "b") if answers is None else answers, strict=True))
    return [Problem(place, answers=tuple(map(str, text)), correct=row) for place, (row, text) in rows]


def test_a_sorted_record_does_not_agree(rng):
    """Equal answers stand together in random order, so that the halves of a problem agree on average."""
    rates = rng.beta(1.0, 1.0, 40)
    shuffled = rng.random((40, 12)) < rates[:, None]
    blocks = np.sort(shuffled, axis=1)
    blocks[::2] = blocks[::2, ::-1]
    data = analysed(of_flags(blocks))
    assert "the order of samples within problems is not random" in data.attrs["warnings"]
    assert "beside them" in data.attrs["agreement_doubted"]
    assert agreement.judge(data).outcome != "agrees"
    assert "measured outside the 90 % interval" in result.findings(data)


def test_the_test_of_the_order_has_its_level(rng):
    """Records in random order pass, those that get worse or alternate do not."""
    rates = rng.beta(1.0, 1.0, (30, 1))

    def effect(flags):
        return checks.order_effect(rng, samples.Half.of([samples.of_problem(one) for one in of_flags(flags)]))

    assert not any(effect(rng.random((30, 10)) < rates) for _ in range(30))
    later = np.arange(10) >= 5
    assert "first half" in effect(rng.random((30, 10)) < np.where(later, rates / 3, rates))
    assert "beside them" in effect(np.tile([True, False], (30, 5)))


def test_an_answer_of_both_flags_is_a_mean_on_both_sides(rng):
    """One string is right in 40 % of its samples: a vote of one is pass@1, and a warning counts the problems."""
    flags = rng.random((40, 16)) < 0.4
    data = analysed(of_flags(flags, np.full((40, 16), "same")))
    assert "in 40 of 40 problems, 0 the first, the same answer is right in some samples" in data.attrs["warnings"]
    one = data.sel(quantity="vote of 1")
    assert float(one["measured"]) == pytest.approx(float(data.sel(quantity="pass@1")["measured"]))
    assert float(one["predicted"]) == pytest.approx(0.4, abs=0.08)
    assert agreement.judge(data).outcome != "disagrees"


def test_golds_that_no_answer_equals_are_named():
    def said(gold, answers):
        problems = [Problem(0, gold=gold, answers=answers)] * 4
        return " ".join(checks.warnings(problems, problems, 0, 1))

    assert "only in case or spaces, 'paris ' from 'Paris' in problem 0" in said("Paris", ("paris ", "Rome", "Paris"))
    assert "no answer equals the gold answer of its problem, '4.0' and '4'" in said("4", ("4.0", "5"))
    assert not said("Paris", ("Paris", "Paris", "paris"))
    assert not said("4", ("4", "5"))
