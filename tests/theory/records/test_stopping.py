"""A vote that stops when its leader is certain is rarely wrong, however often it looks."""

import numpy as np
import pytest
from scipy import integrate

from tests.errors import assert_named
from theory.records import stopping
from theory.records.stopping import Stop, stop_when_certain


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 5), (12, 4), (40, 60)])
def test_the_wealth_is_its_integral(first, second):
    exact, _ = integrate.quad(lambda theta: theta**first * (1 - theta) ** second, 0.5, 1, epsabs=0)
    assert np.exp(stopping.log_wealth(first, second)) == pytest.approx(2.0 ** (first + second + 1) * exact, rel=1e-9)


def test_the_wealth_is_a_fair_bet_on_a_fair_coin_and_shrinks_on_others():
    """By the sum over all outcomes of n tosses."""
    for chance, fair in ((0.5, True), (0.4, False)):
        means = []
        for tosses in range(12):
            heads = np.arange(tosses + 1)
            law = np.array([float(np.prod((tosses - np.arange(k)) / (np.arange(k) + 1))) for k in heads])
            law *= chance**heads * (1 - chance) ** (tosses - heads)
            means.append(sum(p * np.exp(stopping.log_wealth(k, tosses - k)) for k, p in zip(heads, law, strict=True)))
        assert means[0] == pytest.approx(1)
        assert (np.diff(means) < 1e-12).all()
        assert fair == np.allclose(means, 1, rtol=1e-9)


def slow_stop(answers, level):
    """The rule as it is written: for each leader, every other answer, votes after its first."""
    for place in range(1, len(answers) + 1):
        seen = [answer for answer in answers[:place] if answer >= 0]
        names = list(dict.fromkeys(seen))
        if not names:
            continue
        leader = max(names, key=seen.count)  # the first of several
        rest = seen[seen.index(leader) + 1 :]
        bound = np.pi**2 * (names.index(leader) + 1) ** 2 / (6 * level)
        others = [rest.count(name) for name in names if name != leader] + [0]
        if all(np.exp(stopping.log_wealth(rest.count(leader), other)) >= bound for other in others):
            return Stop(place, leader, True)
    return Stop(len(answers), max(names, key=seen.count) if names else -1, False)


def test_the_rule_is_the_one_that_is_written(rng):
    certain = 0
    for _ in range(60):
        answers = rng.choice([-1, 0, 1, 2, 3], size=60, p=[0.1, 0.55, 0.2, 0.1, 0.05])
        found = stop_when_certain(answers, level=0.1)
        assert found == slow_stop(answers.tolist(), 0.1)
        certain += found.is_certain
    assert certain > 10


@pytest.mark.parametrize("probabilities", [(0.3, 0.28, 0.22, 0.2), (0.26, 0.25, 0.25, 0.24), (0.55, 0.45)])
def test_it_stops_at_a_wrong_leader_no_more_often_than_it_says(rng, probabilities):
    """Watched after every one of 300 votes. The control, a test at the same level at every vote, is wrong far more often."""
    level, runs = 0.2, 250
    wrong = naive_wrong = 0
    for _ in range(runs):
        answers = rng.choice(len(probabilities), size=300, p=probabilities)
        found = stop_when_certain(answers, level=level)
        wrong += found.is_certain and found.leader != 0
        counts = np.cumsum(answers[:, None] == np.arange(len(probabilities)), axis=0)
        ordered = np.sort(counts, axis=1)
        ahead = (ordered[:, -1] - ordered[:, -2]) / np.sqrt(ordered[:, -1] + ordered[:, -2])
        stops = np.flatnonzero(ahead > 0.8416)  # one-sided level 0.2
        naive_wrong += counts[stops[0]].argmax() != 0 if stops.size else 0
    spread = 4 * (level * (1 - level) / runs) ** 0.5
    assert wrong / runs <= level + spread
    assert naive_wrong / runs > level + spread


def test_clear_votes_stop_early(rng):
    saved = [stop_when_certain(rng.choice(3, size=200, p=[0.8, 0.15, 0.05])) for _ in range(100)]
    assert all(stop.is_certain and stop.leader == 0 for stop in saved)
    assert np.mean([stop.num_samples for stop in saved]) < 40


def test_edges():
    assert_named(lambda: stop_when_certain([]), "answers", "(0,)")
    assert stop_when_certain([-1, -1]) == Stop(2, -1, False)
    assert stop_when_certain(np.zeros(50, int), level=1e-12).is_certain
    assert_named(lambda: stop_when_certain([0.5]), "answers", "0.5")
    assert_named(lambda: stop_when_certain([-2]), "answers", "-2")
    assert_named(lambda: stop_when_certain([0], level=1.0), "level", "1")
    assert_named(lambda: stop_when_certain([[0]]), "answers", "(1, 1)")
