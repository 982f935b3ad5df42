"""Samples of one problem: votes and the best by score against all subsets, and halves that are kept apart."""

from itertools import combinations as subsets

import numpy as np

import theory
from experiments.records import samples
from experiments.records.samples import Samples
from tests.experiments.records.recorded import RATES, halves, problems_of
from tests.fixtures import ANSWERS, recorded_answers, vote_accuracy
from ttc_jax.records import jsonl


def test_votes_without_replacement_are_those_of_all_subsets(rng):
    """Every subset of six samples: two samples abstain, and the right ones have two names."""
    answers, flags = np.array([0, 1, 2, -1, 1, -1]), np.array([1, 0, 1, 0, 0, 0], bool)
    numbers = np.array([1, 3, 5, 6])
    exact = []
    for number in numbers:
        values = []
        for subset in subsets(range(6), number):
            votes = np.bincount(answers[list(subset)][answers[list(subset)] >= 0], minlength=3)
            winners = np.flatnonzero((votes == votes.max()) & (votes > 0))
            values.append(np.mean([bool(flags[answers == winner][0]) for winner in winners]) if winners.size else 0.0)
        exact.append(np.mean(values))
    found = np.mean([samples.vote_accuracies(rng, Samples(answers, flags, None), numbers) for _ in range(50)], axis=0)
    np.testing.assert_allclose(found, exact, atol=5 * 0.5 / (50 * 200) ** 0.5)
    assert found[-1] == exact[-1]


def test_recorded_votes_are_those_of_all_subsets(rng):
    problems, recorded, numbers = list(jsonl.read(ANSWERS))[:20], recorded_answers()[:20], np.array([1, 3, 5])
    found = np.mean([samples.vote_accuracies(rng, samples.of_problem(problem), numbers) for problem in problems], axis=0)
    every = [[(gold, subset) for gold, answers in recorded for subset in subsets(answers, number)] for number in numbers]
    exact = [np.mean([vote_accuracy(*vote) for vote in votes]) for votes in every]
    np.testing.assert_allclose(found, exact, atol=4 * 0.5 / (200 * len(problems)) ** 0.5)


def test_the_best_of_a_pool_is_that_of_all_subsets():
    """Six samples, two of equal score: every subset of each size, and the library's own formula."""
    one = Samples(np.zeros(6, int), np.array([1, 0, 1, 0, 0, 1], bool), np.array([0.3, 2.0, 2.0, -1.0, 0.1, 0.3]))
    numbers = np.array([1, 2, 4, 6])
    exact = []
    for number in numbers:
        chosen = []
        for subset in map(list, subsets(range(6), number)):
            top = one.scores[subset] == one.scores[subset].max()
            chosen.append(one.flags[subset][top].mean())
        exact.append(np.mean(chosen))
    found = samples.best_accuracies(one, numbers)
    np.testing.assert_allclose(found, exact, rtol=1e-12)
    np.testing.assert_allclose(found, theory.answers.best_of_pool(-one.scores, one.flags.astype(float), numbers), rtol=1e-9)


def test_halves_with_samples_are_kept_apart():
    first, rest = halves(problems_of(RATES, 20, np.random.default_rng(0)), 12)
    assert (first.num_samples == 12).all()
    assert (rest.num_samples == 8).all()
    assert isinstance(first.samples[0], Samples)
