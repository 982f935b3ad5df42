"""Votes of many answers from few: known shares, a known law of problems, and recorded answers."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import theory
from tests.errors import assert_named

RECORDED = Path(__file__).parents[3] / "shared" / "data"


def ewens(total, different, strength):
    """Chance of so many different answers, but for a factor without the strength: answer j is new with s / (s + j)."""
    return strength**different / np.prod(strength + np.arange(total))


def test_strengths_satisfy_the_conditions_of_the_maximum():
    """No strength beside the law's own explains the problems better than the law does on average."""
    rng = np.random.default_rng(0)
    counts = np.concatenate([rng.multinomial(12, one) for one in ([[0.9, *[0.02] * 5]] * 40, [[1 / 6] * 6] * 40)])
    law = theory.fit_answer_rates(counts, np.zeros_like(counts)).wrong_strengths
    assert law.weights.sum() == pytest.approx(1.0, abs=1e-12)

    def gradient(law):
        found = 0.0
        tried = np.geomspace(1e-3, 300, 60)
        for row in counts:
            mixed = sum(w * ewens(12, np.count_nonzero(row), s) for s, w in zip(*law, strict=True))
            found += np.array([ewens(12, np.count_nonzero(row), s) / mixed for s in tried])
        return np.max(found) / len(counts)

    assert gradient(law) < 1.01  # one, but for the grid
    assert gradient(law._replace(values=3 * law.values)) > 1.05
    assert len(law.values) > 1


@pytest.mark.parametrize("number", [1, 2, 5, 40])
def test_known_shares_vote_as_the_exact_formula_says(number):
    shares = np.array([[0.5, 0.3, 0.2], [0.3, 0.4, 0.3], [0.25, 0.25, 0.5]])
    counts, correct = np.round(1e6 * shares).astype(int), np.array([[1, 0, 0]] * 3)
    rates = theory.fit_answer_rates(counts, correct, model="beta")
    rng = np.random.default_rng(0)
    found = theory.predicted_vote_accuracy(rng, rates, counts, correct, num_candidates=number, num_draws=20_000)
    exact = np.mean([theory.plurality_accuracy(one, number) for one in shares])
    assert found == pytest.approx(exact, abs=4 * 0.5 / np.sqrt(60_000))


def test_abstentions_cast_no_vote():
    """Of two answers, right 0.5, wrong 0.2 and silent 0.3: right unless a wrong vote stands against it."""
    counts, correct = np.full((2, 2), [500_000, 200_000]), np.array([[1, 0]] * 2)
    rates = theory.fit_answer_rates(counts, correct, 300_000, model="beta")
    rng = np.random.default_rng(1)
    found = theory.predicted_vote_accuracy(rng, rates, counts, correct, 300_000, num_candidates=[1, 2], num_draws=50_000)
    assert found == pytest.approx([0.5, 0.5**2 + 2 * 0.5 * 0.3 + 0.5 * 0.2], abs=0.007)


def test_answers_never_repeated_tie():
    """Where no answer is seen twice, each vote is for an answer of its own, and the winner is one of them."""
    counts = np.ones((30, 20), int)
    correct = np.zeros((30, 20), int)
    correct[:, :5] = 1
    rates = theory.fit_answer_rates(counts, correct, model="any law")
    rng = np.random.default_rng(2)
    found = theory.predicted_vote_accuracy(rng, rates, counts, correct, num_candidates=9, num_draws=1000)
    assert found == pytest.approx(0.25, abs=0.02)


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


def plug_in(rng, counts, correct, number, draws):
    """The vote of answers drawn from the observed shares."""
    shares = np.repeat(counts / counts.sum(axis=1, keepdims=True), draws, axis=0)
    return vote(rng.multinomial(number, shares), np.repeat(correct, draws, axis=0))


@pytest.fixture(scope="module")
def true_vote():
    return vote(*counted(urn(np.random.default_rng(11), 20_000, 25)))


def test_few_answers_predict_the_vote_of_many(true_vote):
    rng = np.random.default_rng(3)
    problems = counted(urn(rng, 3000, 5))
    found = theory.predicted_vote_accuracy(rng, theory.fit_answer_rates(*problems), *problems, num_candidates=25)
    assert found == pytest.approx(true_vote, abs=4 * np.sqrt(0.2 / 3000))
    assert plug_in(rng, *problems, 25, 20) < true_vote - 4 * np.sqrt(0.2 / 3000)


REPLICATIONS = 80


def test_ninety_percent_intervals_cover(true_vote):
    rng, covered, missed = np.random.default_rng(4), 0, 0
    for _ in range(REPLICATIONS):
        counts, correct = counted(urn(rng, 100, 5))
        options = {"num_candidates": 25, "num_resamples": 40, "model": "beta"}
        interval = theory.vote_accuracy_interval(rng, counts, correct, **options)
        covered += interval.low <= true_vote <= interval.high
        resamples = rng.integers(100, size=(40, 100))
        naive = [plug_in(rng, counts[chosen], correct[chosen], 25, 1) for chosen in resamples]
        missed += not np.quantile(naive, 0.05) <= true_vote <= np.quantile(naive, 0.95)
    fewest = stats.binom.ppf(0.001, REPLICATIONS, 0.85)
    assert fewest <= covered <= stats.binom.ppf(0.999, REPLICATIONS, 0.95)
    assert REPLICATIONS - missed < fewest  # a bootstrap of the observed shares does not


def recorded(name, num_samples=None):
    """Counts of different answers, which are correct, and abstentions, of the first samples of the recorded problems."""
    path = RECORDED / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"no recorded samples at {path}")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    problems = []
    for line in lines:
        flags = line.get("correct") or [answer == line["gold"] for answer in line["answers"]]
        flag_of = dict(zip(line["answers"], flags, strict=True))
        given = line["answers"][:num_samples]
        problems.append([(given.count(answer), flag_of[answer]) for answer in dict.fromkeys(given) if answer])
    counts = np.zeros((len(problems), max(map(len, problems))), int)
    correct = np.zeros_like(counts)
    for row, flags, problem in zip(counts, correct, problems, strict=True):
        for place, (count, flag) in enumerate(problem):
            row[place], flags[place] = count, flag
    return counts, correct, len(lines[0]["answers"][:num_samples]) - counts.sum(axis=1)


MEASURED = {  # without replacement, from all recorded samples
    ("vcot_date_gpt35_np10", 10): {1: 0.624, 3: 0.684, 9: 0.723},
    ("vcot_date_gpt35_np10", 3): {1: 0.624, 3: 0.684, 9: 0.723},
    ("tot_game24_gpt4_cot", 25): {1: 0.041, 3: 0.042, 9: 0.059, 33: 0.076},
}


@pytest.mark.parametrize(("name", "num_samples"), MEASURED)
def test_recorded_votes_are_predicted(name, num_samples):
    problems, measured = recorded(name, num_samples), MEASURED[name, num_samples]
    interval = theory.vote_accuracy_interval(
        np.random.default_rng(5), *problems, num_candidates=list(measured), num_resamples=100
    )
    values = np.array(list(measured.values()))
    assert ((interval.low < values) & (values < interval.high)).all()
    assert (interval.high - interval.low).max() < 0.1
    assert np.abs(interval.estimate - values).max() < 0.015


def test_recorded_plug_in_is_biased_low():
    counts, correct, silent = recorded("vcot_date_gpt35_np10")
    rng = np.random.default_rng(6)
    shares = np.repeat(np.column_stack([counts, silent]) / 10, 200, axis=0)
    votes = rng.multinomial(9, shares)[:, :-1]
    top = (votes == votes.max(axis=1, keepdims=True)) & (votes > 0)
    won = (top * np.repeat(correct, 200, axis=0)).sum(axis=1) / np.maximum(top.sum(axis=1), 1)
    assert won.mean() == pytest.approx(0.707, abs=0.003)
    rates = theory.fit_answer_rates(counts, correct, silent)
    better = theory.predicted_vote_accuracy(rng, rates, counts, correct, silent, num_candidates=9, num_draws=200)
    assert better == pytest.approx(0.723, abs=0.006)


COUNTS, CORRECT = [[3, 1], [2, 2]], [[1, 0], [1, 0]]


def predicted(**change):
    arguments = {"answer_counts": COUNTS, "is_correct": CORRECT, "num_candidates": 3} | change
    rates = theory.fit_answer_rates(COUNTS, CORRECT, model="beta")
    return theory.predicted_vote_accuracy(np.random.default_rng(0), rates, **arguments)


def drawn_answers(**change):
    arguments = {"answer_counts": COUNTS, "is_correct": CORRECT, "num_candidates": 3} | change
    rates = theory.fit_answer_rates(COUNTS, CORRECT, model="beta")
    return theory.draw_answers(np.random.default_rng(0), rates, **arguments)


def interval(**change):
    arguments = {"answer_counts": COUNTS, "is_correct": CORRECT, "num_candidates": 3} | change
    return theory.vote_accuracy_interval(np.random.default_rng(0), **arguments)


BAD = [
    (lambda: theory.fit_answer_rates([3, 1], [1, 0]), "answer_counts", "(2,)"),
    (lambda: theory.fit_answer_rates([[3, -1], [2, 2]], CORRECT), "answer_counts", "-1"),
    (lambda: theory.fit_answer_rates([[0, 0], [2, 2]], CORRECT), "answer_counts", "0"),
    (lambda: theory.fit_answer_rates(COUNTS, [[1, 2], [1, 0]]), "is_correct", "2"),
    (lambda: theory.fit_answer_rates(COUNTS, [[1, 0]]), "is_correct", "(1, 2)"),
    (lambda: theory.fit_answer_rates(COUNTS, CORRECT, -1), "abstentions", "-1"),
    (lambda: theory.fit_answer_rates(COUNTS, CORRECT, [1, 2, 3]), "abstentions", "(3,)"),
    (lambda: theory.fit_answer_rates(COUNTS, CORRECT, model="best"), "model", "best"),
    (lambda: predicted(num_candidates=0), "num_candidates", "0"),
    (lambda: predicted(num_draws=0), "num_draws", "0"),
    (lambda: drawn_answers(num_candidates=0), "num_candidates", "0"),
    (lambda: drawn_answers(num_draws=0), "num_draws", "0"),
    (lambda: drawn_answers(is_correct=[[1, 0]]), "is_correct", "(1, 2)"),
    (lambda: interval(num_candidates=2.5), "num_candidates", "2.5"),
    (lambda: interval(level=0.0), "level", "0"),
    (lambda: interval(num_resamples=5), "num_resamples", "5"),
]


def test_drawn_answers_have_the_shares_that_are_known():
    """Of so many answers that their shares are: frequencies, flags, abstentions, and independence of what follows."""
    counts, correct = np.array([[500_000, 300_000], [100_000, 400_000]]), np.array([[1, 0], [1, 0]])
    rates = theory.fit_answer_rates(counts, correct, [200_000, 0], model="beta")
    rng = np.random.default_rng(4)
    drawn = theory.draw_answers(rng, rates, counts, correct, [200_000, 0], num_candidates=5, num_draws=8000)
    assert drawn.answers.shape == drawn.is_correct.shape == (2, 8000, 5)
    right, silent = drawn.is_correct.mean(axis=(1, 2)), (drawn.answers < 0).mean(axis=(1, 2))
    np.testing.assert_allclose(right, [0.5, 0.2], atol=4 * 0.5 / 200)
    np.testing.assert_allclose(silent, [0.2, 0.0], atol=4 * 0.4 / 200)
    assert not drawn.is_correct[drawn.answers < 0].any()
    both = drawn.is_correct[..., :-1] & drawn.is_correct[..., 1:]
    np.testing.assert_allclose(both.mean(axis=(1, 2)), [0.25, 0.04], atol=4 * 0.5 / 178)
    for answers, flags in zip(drawn.answers, drawn.is_correct, strict=True):
        assert not np.intersect1d(answers[flags], answers[~flags]).size  # an answer is right or wrong


def test_drawn_answers_vote_as_predicted():
    rng = np.random.default_rng(9)
    problems = counted(urn(rng, 400, 6))
    rates = theory.fit_answer_rates(*problems)
    drawn = theory.draw_answers(rng, rates, *problems, num_candidates=15, num_draws=20)
    won = []
    for answers, flags in zip(drawn.answers.reshape(-1, 15), drawn.is_correct.reshape(-1, 15), strict=True):
        _, places, votes = np.unique(answers, return_index=True, return_counts=True)
        won.append(flags[places[votes == votes.max()]].mean())
    found = theory.predicted_vote_accuracy(rng, rates, *problems, num_candidates=15, num_draws=100)
    assert np.mean(won) == pytest.approx(found, abs=4 * 0.5 / np.sqrt(8000))
    assert drawn.is_correct.mean() == pytest.approx(0.6, abs=0.05)


def test_answers_never_repeated_are_drawn_apart():
    counts = np.ones((30, 20), int)
    correct = np.zeros((30, 20), int)
    correct[:, :5] = 1
    rates = theory.fit_answer_rates(counts, correct, model="any law")
    drawn = theory.draw_answers(np.random.default_rng(2), rates, counts, correct, num_candidates=9)
    assert np.mean([np.unique(one).size for one in drawn.answers[:, 0]]) > 8.5


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
