"""Votes of many answers from few: known laws of problems, sharp bounds, and recorded answers."""

from collections import Counter

import numpy as np
import pytest

import theory
from tests.errors import assert_named
from tests.fixtures import recorded_answers, vote_accuracy


def urn(rng, num_problems, num_samples):
    """Answers to problems, 0 the correct one: p ~ Beta(1.2, 0.8), wrong ones from an urn of strength 1.5, new ones numbered."""
    rates, answers = rng.beta(1.2, 0.8, num_problems), np.zeros((num_problems, num_samples), int)
    wrong = rng.random((num_problems, num_samples)) > rates[:, None]
    for row, own in zip(answers, wrong, strict=True):
        drawn: list[int] = []
        for place in np.flatnonzero(own):
            new = rng.random() < 1.5 / (1.5 + len(drawn))
            drawn.append(max(drawn, default=0) + 1 if new else drawn[rng.integers(len(drawn))])
            row[place] = drawn[-1]
    return answers


def counted(answers):
    counts = (answers[:, :, None] == np.arange(answers.max() + 1)).sum(axis=1)
    return counts, np.broadcast_to(np.arange(counts.shape[1]) == 0, counts.shape)


def vote(counts, correct):
    top = counts == counts.max(axis=1, keepdims=True)
    return np.mean((top & correct).sum(axis=1) / top.sum(axis=1))


def test_few_answers_predict_the_vote_of_many():
    """Observed shares are biased low."""
    true_vote = vote(*counted(urn(np.random.default_rng(11), 20_000, 25)))
    rng = np.random.default_rng(3)
    counts, correct = counted(urn(rng, 3000, 5))
    found = theory.records.predicted_vote_accuracy(theory.records.fit_answer_rates(counts, correct), 25)
    assert found == pytest.approx(true_vote, abs=4 * np.sqrt(0.2 / 3000))
    shares = np.repeat(counts / counts.sum(axis=1, keepdims=True), 20, axis=0)
    assert vote(rng.multinomial(25, shares), np.repeat(correct, 20, axis=0)) < true_vote - 4 * np.sqrt(0.2 / 3000)


def test_three_votes_from_two_calls_are_known_to_the_sharp_moment_bounds():
    """Two answers determine E q = .6 and E q^2 = .48, which allow votes of three from .552 to .672.

    [m_2 + 2 (m_1 - m_2)^2 / (1 - m_1), 3 m_2 - 2 m_2^2 / m_1]
    """
    number = 20_000
    outcomes = [([2, 0], 0.48), ([1, 1], 0.24), ([0, 2], 0.28)]
    counts = np.concatenate([np.tile(row, (round(share * number), 1)) for row, share in outcomes])
    interval = theory.records.vote_accuracy_interval(
        counts, np.tile([1, 0], (number, 1)), num_candidates=[1, 3], num_resamples=0
    )
    assert interval.low[1] < 0.552 + 0.002
    assert interval.high[1] > 0.672 - 0.002
    assert interval.high[1] - interval.low[1] < 0.15  # the bounds, and the sampling error of the moments
    assert interval.high[0] - interval.low[0] < 0.06  # a vote of one is known


@pytest.mark.parametrize("right", [True, False])
def test_thirty_problems_of_one_kind_leave_others_possible(right):
    """After 30 problems without an exception, one problem in 30 / 2.3 may be one, so that no interval has length zero."""
    vote = theory.records.vote_accuracy_interval(np.full((30, 1), 10), np.full((30, 1), int(right)), num_candidates=[1, 25])
    width = vote.high - vote.low
    assert ((width > 0.044) & (width < 0.13)).all()
    assert vote.estimate == pytest.approx([float(right)] * 2, abs=1e-3)


def test_an_answer_of_both_flags_is_right_as_often_as_its_flags():
    """A vote of one is pass@1, which a threshold at one half would make 0."""
    counts, worth = np.tile([6, 4], (40, 1)), np.tile([0.4, 0.3], (40, 1))
    rates = theory.records.fit_answer_rates(counts, worth)
    assert theory.records.predicted_vote_accuracy(rates, 1) == pytest.approx(0.6 * 0.4 + 0.4 * 0.3, abs=0.02)
    assert theory.records.predicted_vote_accuracy(theory.records.fit_answer_rates(counts, worth > 0.5), 1) < 0.01


def test_a_third_of_recorded_answers_predicts_votes_of_all():
    """Measured votes are those of random subsets of all twelve answers, counted without the package."""
    rng, numbers, problems = np.random.default_rng(0), [1, 3, 9], recorded_answers()
    counts, correct, silent = np.zeros((len(problems), 5), int), np.zeros((len(problems), 5)), []
    for row, flags, (gold, answers) in zip(counts, correct, problems, strict=True):
        first = Counter(answer for answer in answers[:4] if answer)
        row[: len(first)], flags[: len(first)] = list(first.values()), [answer == gold for answer in first]
        silent.append(4 - first.total())
    drawn = [[(gold, rng.permutation(answers)) for _ in range(200)] for gold, answers in problems]
    votes = [[[vote_accuracy(gold, order[:number].tolist()) for gold, order in row] for row in drawn] for number in numbers]
    measured = np.mean(votes, axis=(1, 2))
    interval = theory.records.vote_accuracy_interval(counts, correct, silent, num_candidates=numbers, num_resamples=0)
    assert ((interval.low < measured) & (measured < interval.high)).all()
    assert (interval.high - interval.low < 0.4).all()


def test_drawn_answers_have_the_shares_of_their_types():
    """Frequencies, flags, abstentions, independence of what follows, and votes."""
    counts, correct = np.array([[5, 3], [1, 4]] * 20), np.array([[1, 0]] * 40)
    rates = theory.records.fit_answer_rates(counts, correct, [2, 0] * 20)
    assert rates.weights.sum() == pytest.approx(1.0)
    drawn = theory.records.draw_answers(np.random.default_rng(4), rates, 40_000, 5)
    assert drawn.answers.shape == drawn.is_correct.shape == (40_000, 5)
    chances = rates.weights @ rates.probabilities
    assert drawn.is_correct.mean() == pytest.approx(chances[: rates.num_right].sum(), abs=4 * 0.5 / 200)
    assert (drawn.answers < 0).mean() == pytest.approx(chances[-1], abs=4 * 0.4 / 200)
    assert not drawn.is_correct[drawn.answers < 0].any()
    both = np.mean(drawn.is_correct[:, :-1] & drawn.is_correct[:, 1:])
    assert both == pytest.approx(rates.weights @ rates.probabilities[:, : rates.num_right].sum(axis=1) ** 2, abs=0.01)
    won = []
    for answers, flags in zip(drawn.answers[:4000], drawn.is_correct[:4000], strict=True):
        assert not np.intersect1d(answers[flags], answers[~flags]).size  # an answer is right or wrong
        voted = answers >= 0
        _, places, votes = np.unique(answers[voted], return_index=True, return_counts=True)
        won.append(flags[voted][places[votes == votes.max()]].mean() if voted.any() else 0.0)
    assert np.mean(won) == pytest.approx(theory.records.predicted_vote_accuracy(rates, 5), abs=4 * 0.5 / np.sqrt(4000))


def test_answers_never_repeated_are_drawn_apart():
    counts = np.ones((30, 20), int)
    correct = np.zeros((30, 20), int)
    correct[:, :5] = 1
    drawn = theory.records.draw_answers(np.random.default_rng(2), theory.records.fit_answer_rates(counts, correct), 30, 9)
    assert np.mean([np.unique(one).size for one in drawn.answers]) > 8.5


COUNTS, CORRECT = [[3, 1], [2, 2]], [[1, 0], [1, 0]]


def predicted(num_candidates):
    return theory.records.predicted_vote_accuracy(theory.records.fit_answer_rates(COUNTS, CORRECT), num_candidates)


def drawn_answers(num_problems, num_candidates):
    return theory.records.draw_answers(
        np.random.default_rng(0), theory.records.fit_answer_rates(COUNTS, CORRECT), num_problems, num_candidates
    )


def interval(**change):
    return theory.records.vote_accuracy_interval(COUNTS, CORRECT, **({"num_candidates": 3} | change))


BAD = [
    (lambda: theory.records.fit_answer_rates([3, 1], [1, 0]), "answer_counts", "(2,)"),
    (lambda: theory.records.fit_answer_rates([[3, -1], [2, 2]], CORRECT), "answer_counts", "-1"),
    (lambda: theory.records.fit_answer_rates([[0, 0], [2, 2]], CORRECT), "answer_counts", "0"),
    (lambda: theory.records.fit_answer_rates(COUNTS, [[1, 2], [1, 0]]), "is_correct", "2"),
    (lambda: theory.records.fit_answer_rates(COUNTS, [[1, 0]]), "is_correct", "(1, 2)"),
    (lambda: theory.records.fit_answer_rates(COUNTS, CORRECT, -1), "abstentions", "-1"),
    (lambda: theory.records.fit_answer_rates(COUNTS, CORRECT, [1, 2, 3]), "abstentions", "(3,)"),
    (lambda: predicted(0), "num_candidates", "0"),
    (lambda: drawn_answers(0, 3), "num_problems", "0"),
    (lambda: drawn_answers(3, 0), "num_candidates", "0"),
    (lambda: interval(num_candidates=2.5), "num_candidates", "2.5"),
    (lambda: interval(level=0.0), "level", "0"),
    (lambda: interval(num_resamples=5), "num_resamples", "5"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
