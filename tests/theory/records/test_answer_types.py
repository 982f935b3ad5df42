"""Types of problems: chances of counts over all sequences, and votes under a type."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

import theory
from theory.records import _answer_types as answer_types
from theory.records._answer_types import Shares, Structure, product


@pytest.mark.parametrize("shares", [Shares((0.5, 0.3), 3), Shares((0.4,), 3), Shares((0.6, 0.4)), Shares((), 4)])
def test_chances_of_counts_are_those_of_all_sequences(shares):
    """Four answers of one kind, by every labelled sequence; all types share the number of ways to label counts."""
    columns = shares.columns()
    probabilities, found = columns[columns > 0], Counter()
    for sequence in itertools.product(range(len(probabilities)), repeat=4):
        pattern = tuple(sorted(Counter(sequence).values(), reverse=True))
        found[pattern] += math.prod(probabilities[answer] for answer in sequence)
    patterns = np.array([(*pattern, *[0] * (4 - len(pattern))) for pattern in found])
    for pattern, log_chance in zip(found, answer_types._log_chances([shares], patterns)[:, 0], strict=True):
        ways = math.factorial(4) / math.prod(map(math.factorial, [*pattern, *Counter(pattern).values()]))
        assert ways * math.exp(log_chance) == pytest.approx(found[pattern], rel=1e-9)


@pytest.mark.parametrize("number", [1, 5, 40])
def test_votes_under_a_type_are_the_exact_plurality(number):
    one = Shares((1.0,))
    types = product([0.4, 0.5], [Structure(one, Shares((0.6,), 8)), Structure(one, Shares((0.9, 0.1)))])
    exact = [
        theory.plurality_accuracy([rate, *((1 - rate) * wrong)], number)
        for rate in (0.4, 0.5)
        for wrong in (np.array([0.6, *[0.05] * 8]), np.array([0.9, 0.1]))
    ]
    np.testing.assert_allclose(answer_types.vote(types, number), exact, atol=4 * 0.5 / 500)


def test_abstentions_and_rare_answers_vote_as_they_should():
    """Right .5, wrong .2 and silent .3: right unless a wrong vote stands against it. Answers that are all different tie."""
    one = Shares((1.0,))
    silent = product([0.5], [Structure(one, one, 0.6)])
    assert answer_types.vote(silent, 1) == pytest.approx(0.5, abs=0.003)
    assert answer_types.vote(silent, 2) == pytest.approx(0.5**2 + 2 * 0.5 * 0.3 + 0.5 * 0.2, abs=0.003)
    rare = product([0.25], [Structure(Shares(), Shares())])
    assert answer_types.vote(rare, 9) == pytest.approx(0.25, abs=0.003)
