"""What a price buys: ways of choosing against known laws, and against the samples that were not used to predict them."""

import numpy as np
import pytest
from scipy import stats

import theory
from experiments.records import prices, samples
from experiments.records.prices import BEST, CHECKED, STOPPED, VOTE
from experiments.records.samples import Half
from tests.experiments.records.recorded import RATES, analysed, halves, problems_of
from ttc_jax.records.jsonl import Problem


def ways(problems, budget, *, furthest=0, level=0.05, has_checker=False):
    return priced(*halves(problems, budget), furthest=furthest, level=level, has_checker=has_checker)


def priced(first, rest, *, furthest=0, level=0.05, has_checker=False):
    rng, furthest = np.random.default_rng(1), max(furthest, int(rest.num_samples.min()))
    law, votes = theory.records.fit_success_rates(first.num_correct, first.num_samples), None
    if first.samples is not None:
        given, numbers = samples.answer_counts(first.samples), samples.numbers_up_to(furthest, odd=True)
        votes = theory.records.predicted_vote_accuracy(theory.records.fit_answer_rates(*given), np.array(numbers))
    asked = {"furthest": furthest, "stop_level": level, "has_checker": has_checker}
    return prices.ways(rng, first, rest, law=law, votes=votes, **asked)


@pytest.fixture(scope="module")
def known():
    """Problems of four kinds, so often sampled that their rates are known."""
    rates = np.tile(RATES, 20)
    found = ways(problems_of(rates, 600, np.random.default_rng(2), scores=True), 590, furthest=33)
    return found | ways(problems_of(rates, 600, np.random.default_rng(2)), 590, furthest=33, has_checker=True)


def test_votes_and_checks_of_known_rates(known):
    """The exact plurality of answers of known probabilities, and geometric laws."""
    for number in (1, 5, 33):
        exact = np.mean([theory.plurality_accuracy([p, *[(1 - p) / 3] * 3], number) for p in RATES])
        assert known[f"{VOTE}{number}"].accuracy == pytest.approx(exact, abs=0.02)
        assert known[f"{VOTE}{number}"].samples == number
    for number in (2, 4, 33):
        way = known[f"{CHECKED}{number}"]
        assert way.accuracy == pytest.approx(np.mean(1 - (1 - RATES) ** number), abs=0.01)
        taken = np.mean([stats.geom.expect(lambda k, n=number: np.minimum(k, n), args=(p,)) for p in RATES])
        assert way.samples == pytest.approx(taken, rel=0.03)
        assert way.is_checked


def test_the_best_by_score_of_known_rates(known):
    """Scores of right answers are normal around one, of wrong ones around zero: the largest of N by quadrature."""
    scores = np.linspace(-8, 9, 4001)
    right, wrong = stats.norm(1, 1), stats.norm(0, 1)
    for number in (2, 4, 8):
        exact = []
        for p in RATES:
            below = p * right.cdf(scores) + (1 - p) * wrong.cdf(scores)
            exact.append(np.trapezoid(number * below ** (number - 1) * p * right.pdf(scores), scores))
        assert known[f"{BEST}{number}"].accuracy == pytest.approx(np.mean(exact), abs=0.02)


def test_a_way_of_one_sample_is_a_vote(known):
    assert f"{VOTE}1" in known
    assert not {f"{kind}1" for kind in (STOPPED, BEST, CHECKED)} & set(known)


def test_stopped_votes_of_one_answer_stop_at_nine():
    """As the rule says of answers that all agree; and what is measured in any order is the same."""
    unanimous = [Problem(place, gold="0", answers=("0",) * 60) for place in range(3)]
    found = ways(unanimous, 40)
    for number in (3, 9, 17):
        way = found[f"{STOPPED}{number}"]
        assert way.measured_samples == min(number, 9)
        assert way.samples == pytest.approx(min(number, 9), abs=0.3)
        assert way.accuracy == pytest.approx(1.0, abs=1e-9)
        assert way.measured_accuracy == 1.0


def test_what_is_predicted_is_measured():
    """Every way of 150 problems whose rates vary: within its standard error of both halves, and not when the rates change."""
    rng = np.random.default_rng(3)
    rates = rng.beta(1.0, 1.0, 150)
    found = ways(problems_of(rates, 64, rng, scores=True), 32, level=0.2)
    found |= ways(problems_of(rates, 64, rng), 32, has_checker=True)
    judged = [way for name, way in found.items() if np.isfinite(way.measured_accuracy)]
    assert {name.rstrip("0123456789") for name in found} == {VOTE, STOPPED, BEST, CHECKED}

    def largest_z(ways):
        return max(
            max(abs(way.accuracy - way.measured_accuracy) / way.measured_accuracy_error for way in ways),
            max(
                abs(way.samples - way.measured_samples) / way.measured_samples_error
                for way in ways
                if way.measured_samples_error > 0
            ),
        )

    # Both halves have the same problems, so that the error over problems is more than what divides them.
    assert largest_z(judged) < 3
    saved = {name: way for name, way in found.items() if name.startswith(STOPPED)}
    assert saved[f"{STOPPED}17"].samples < 17
    assert largest_z([way._replace(samples=1.2 * way.samples) for way in saved.values()]) > 3
    assert largest_z([way._replace(accuracy=1.2 * way.accuracy) for way in judged]) > 3


def test_stopping_costs_little_accuracy():
    rng = np.random.default_rng(5)
    found = ways(problems_of(np.tile([0.3, 0.9], 30), 80, rng), 40)
    stopped, every = found[f"{STOPPED}33"], found[f"{VOTE}33"]
    assert stopped.samples < 0.8 * 33
    assert stopped.accuracy == pytest.approx(every.accuracy, abs=0.02)
    assert stopped.measured_accuracy == pytest.approx(every.measured_accuracy, abs=0.02)


def test_beyond_the_record_nothing_is_measured():
    found = ways(problems_of(RATES, 20, np.random.default_rng(6)), 10, furthest=40, has_checker=True)
    far, near = found[f"{VOTE}33"], found[f"{VOTE}9"]
    assert np.isnan(far.measured_accuracy)
    assert np.isfinite([far.accuracy, near.measured_accuracy]).all()
    assert np.isnan(found[f"{CHECKED}40"].measured_samples)


def test_choices_by_score_end_where_the_record_ends():
    """Nothing measures the best of more, whose prediction came out as much as 13 points too high."""
    found = ways(problems_of(RATES, 20, np.random.default_rng(6), scores=True), 10, furthest=40)
    numbers = [int(name.removeprefix(BEST)) for name in found if name.startswith(BEST)]
    assert max(numbers) == 10
    assert all(np.isfinite(way.measured_accuracy) for name, way in found.items() if name.startswith(BEST))
    assert f"{VOTE}33" in found  # votes have intervals


def test_counts_alone_can_only_be_checked():
    def half(num_samples, num_correct):
        return Half(np.full(3, num_samples), np.array(num_correct), None)

    parts = half(10, [0, 3, 9]), half(8, [1, 2, 8])
    assert not priced(*parts)
    assert {name.rstrip("0123456789") for name in priced(*parts, has_checker=True)} == {CHECKED}


def test_samples_of_no_score_are_not_chosen_by_score():
    mixed = problems_of(RATES, 20, np.random.default_rng(9), scores=True)
    mixed[0] = mixed[0].__class__("mute", gold="0", answers=mixed[0].answers)
    assert not any(name.startswith(BEST) for name in ways(mixed, 10))
    data = analysed(mixed, verifier_price=1.0)  # the price of a score is not that of a checker
    assert not any(str(way).startswith((BEST, CHECKED)) for way in data["way"].to_numpy())
    assert "1 of 4 problems have no scores, 'mute' the first" in data.attrs["warnings"]


def test_one_vote_that_stops_is_counted_by_hand():
    answers = np.array([0, 1, *[0] * 30])
    taken, gained = prices._stopped(answers, answers == 0, np.array([1, 2, 32]), 0.05)
    stop = theory.records.stop_when_certain(answers, level=0.05).num_samples
    assert taken.tolist() == [1, 2, stop]
    assert gained.tolist() == [0, 0, 0]
    turned = np.array([*[1] * 9, *[0] * 20])  # wrong at first, and certain of it
    taken, gained = prices._stopped(turned, turned == 0, np.array([29]), 0.05)
    assert (taken.tolist(), gained.tolist()) == ([9], [-1.0])
