"""The promises of every aggregator, in one table; each of them against NumPy, and votes against a count by hand."""

from collections import Counter
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.errors import assert_named
from tests.statistics import agrees
from ttc_jax import BinaryPrior, aggregation

COLD, WARM = 1e-6, 0.5
KEY = jax.random.key(8)
LEVEL = 1e-4
"""Probability that chance alone fails a test of ties."""


class Rule(NamedTuple):
    """An aggregator of (key, candidates, scores); what a NaN among the candidates does; who wins a tie, if anyone does."""

    aggregate: Callable
    nan: Literal["spreads", "is left out"]
    ties: Literal["shared", "first", "random"]


def _all(candidates):
    return (len(candidates),)


# At the low temperature a softmax selection has one outcome, as every test but those of ties and frequencies needs.
RULES = {
    "mean": Rule(lambda k, c, s: aggregation.mean(c), "spreads", "shared"),
    "median": Rule(lambda k, c, s: aggregation.median(c), "spreads", "shared"),
    "prefix_means": Rule(lambda k, c, s: aggregation.prefix_means(c, _all(c))[0], "spreads", "shared"),
    "best_of_n": Rule(lambda k, c, s: aggregation.best_of_n(c, s), "is left out", "first"),
    "best_of_n with a key": Rule(lambda k, c, s: aggregation.best_of_n(c, s, key=k), "is left out", "random"),
    "prefix_best_of_n": Rule(lambda k, c, s: aggregation.prefix_best_of_n(c, s, _all(c))[0], "is left out", "first"),
    "prefix_best_of_n with a key": Rule(
        lambda k, c, s: aggregation.prefix_best_of_n(c, s, _all(c), key=k)[0], "is left out", "random"
    ),
    "softmax_mean, warm": Rule(lambda k, c, s: aggregation.softmax_mean(c, s, temperature=WARM), "is left out", "shared"),
    "softmax_mean, cold": Rule(lambda k, c, s: aggregation.softmax_mean(c, s, temperature=COLD), "is left out", "shared"),
    "softmax_selection": Rule(
        lambda k, c, s: aggregation.softmax_selection(k, c, s, temperature=COLD), "is left out", "random"
    ),
}
every_rule = pytest.mark.parametrize("name", RULES)
scored_rules = pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.nan == "is left out"])


@pytest.fixture
def candidates(rng):
    return jnp.asarray(rng.normal(size=(7, 3)), jnp.float32)


@pytest.fixture
def scores(rng):
    return jnp.asarray(rng.permutation(7) / 4, jnp.float32)


@every_rule
def test_the_order_of_the_candidates_does_not_matter(name, candidates, scores, rng):
    expected = RULES[name].aggregate(KEY, candidates, scores)
    for _ in range(5):
        order = rng.permutation(7)
        np.testing.assert_allclose(RULES[name].aggregate(KEY, candidates[order], scores[order]), expected, rtol=1e-5)


@every_rule
@pytest.mark.parametrize("score", [1.5, -jnp.inf, jnp.inf])
def test_one_candidate_is_the_estimate(name, candidates, score):
    np.testing.assert_array_equal(RULES[name].aggregate(KEY, candidates[:1], jnp.array([score])), candidates[0])


@every_rule
def test_estimates_are_floating_and_have_one_candidates_shape(name):
    estimate = RULES[name].aggregate(KEY, jnp.array([[4, 5, 6], [4, 5, 6]]), jnp.array([2, 1]))
    assert estimate.dtype == jnp.result_type(float)
    np.testing.assert_allclose(estimate, [4.0, 5.0, 6.0], rtol=1e-6)
    assert RULES[name].aggregate(KEY, jnp.ones((2, 3), jnp.bfloat16), jnp.ones(2)).dtype == jnp.bfloat16


@every_rule
def test_jit_and_vmap_change_nothing(name, rng):
    candidates = jnp.asarray(rng.normal(size=(4, 7, 3)), jnp.float32)
    scores = jnp.asarray(np.stack([rng.permutation(7) for _ in range(4)]), jnp.float32)
    keys = jax.random.split(KEY, 4)
    together = jax.jit(jax.vmap(RULES[name].aggregate))(keys, candidates, scores)
    assert together.shape == (4, 3)
    one_by_one = [RULES[name].aggregate(*each) for each in zip(keys, candidates, scores, strict=True)]
    np.testing.assert_allclose(together, one_by_one, rtol=1e-5)


@every_rule
def test_a_candidate_that_is_not_a_number_is_left_out_or_spreads(name, candidates, scores):
    best = int(jnp.argmin(scores))
    others = jnp.arange(7) != best
    broken = candidates.at[best, 1].set(jnp.nan)
    estimate = RULES[name].aggregate(KEY, broken, scores)
    if RULES[name].nan == "spreads":
        np.testing.assert_array_equal(jnp.isnan(estimate), [False, True, False])
    else:
        expected = RULES[name].aggregate(KEY, candidates[others], scores[others])
        np.testing.assert_allclose(estimate, expected, rtol=1e-5)


@scored_rules
def test_a_candidate_whose_score_is_not_a_number_is_left_out(name, candidates, scores):
    best = int(jnp.argmin(scores))
    others = jnp.arange(7) != best
    expected = RULES[name].aggregate(KEY, candidates[others], scores[others])
    np.testing.assert_allclose(RULES[name].aggregate(KEY, candidates, scores.at[best].set(jnp.nan)), expected, rtol=1e-5)


@scored_rules
def test_an_infinite_score_loses_to_every_finite_one_and_wins_over_none(name, candidates):
    aggregate = RULES[name].aggregate
    diverged = candidates.at[2].set(jnp.inf)  # whose zero weight must not make a NaN
    finite = jnp.array([0, 1, 3])
    scores = jnp.array([3.0, 2.0, jnp.inf, 1.0, jnp.inf, jnp.nan, jnp.inf])
    np.testing.assert_allclose(aggregate(KEY, diverged, scores), aggregate(KEY, candidates[finite], scores[finite]), rtol=1e-5)
    np.testing.assert_array_equal(aggregate(KEY, candidates, scores.at[2].set(-jnp.inf)), candidates[2])
    only = jnp.array([jnp.nan, jnp.nan, jnp.nan, jnp.inf, jnp.nan, jnp.nan, jnp.nan])
    np.testing.assert_array_equal(aggregate(KEY, candidates, only), candidates[3])


@every_rule
def test_without_an_eligible_candidate_the_estimate_is_not_a_number(name, candidates, scores):
    assert jnp.isnan(RULES[name].aggregate(KEY, jnp.full_like(candidates, jnp.nan), scores)).all()
    if RULES[name].nan == "is left out":
        assert jnp.isnan(RULES[name].aggregate(KEY, candidates, jnp.full_like(scores, jnp.nan))).all()
        between_them = scores.at[::2].set(jnp.nan)
        assert jnp.isnan(RULES[name].aggregate(KEY, candidates.at[1::2, 0].set(jnp.nan), between_them)).all()


def tied_winners(name, scores):
    """How often each of three tied candidates of five wins over 20 000 keys; nobody else may."""
    label = jnp.arange(5.0)[:, None]
    aggregate = jax.jit(jax.vmap(RULES[name].aggregate, in_axes=(0, None, None)))
    winners = np.asarray(aggregate(jax.random.split(KEY, 20_000), label, scores))[:, 0]
    counts = np.array([np.sum(winners == tied) for tied in (1, 3, 4)])
    assert counts.sum() == 20_000
    return counts


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.ties != "shared"])
@pytest.mark.parametrize("tied", [0.25, jnp.inf, -jnp.inf])
def test_ties_are_broken_uniformly_with_a_key_and_by_place_without(name, tied):
    losing = jnp.nan if tied == jnp.inf else 2.0
    counts = tied_winners(name, jnp.array([losing, tied, jnp.nan, tied, tied]))
    uniform = stats.chisquare(counts).pvalue > LEVEL
    assert uniform == (RULES[name].ties == "random")
    if not uniform:
        np.testing.assert_array_equal(counts, [20_000, 0, 0])


def test_means_and_medians_are_numpys(candidates):
    values = np.asarray(candidates)
    means = aggregation.prefix_means(candidates, (4, 1, 7))
    np.testing.assert_allclose(means, [values[:n].mean(0) for n in (4, 1, 7)], rtol=1e-5)
    np.testing.assert_allclose(aggregation.mean(candidates), values.mean(0), rtol=1e-5)
    for count in (6, 7):
        np.testing.assert_allclose(aggregation.median(candidates[:count]), np.median(values[:count], axis=0), rtol=1e-6)


def test_whole_numbers_are_averaged_as_numbers():
    np.testing.assert_allclose(aggregation.prefix_means(jnp.array([[1], [2]]), (1, 2)), [[1.0], [1.5]])


def first_best(candidates, scores):
    """The first eligible candidate of the least score, one at a time."""
    winner, least = np.full(candidates.shape[1], np.nan), None
    for candidate, score in zip(candidates, scores, strict=True):
        if not np.isnan(score) and not np.isnan(candidate).any() and (least is None or score < least):
            winner, least = candidate, score
    return winner


@pytest.mark.parametrize("kind", ["distinct", "tied", "tied and broken"])
def test_prefixes_have_their_best_candidate(kind, rng):
    sizes = tuple(rng.permutation(np.arange(1, 18)).tolist())
    prefixes = jax.jit(lambda candidates, scores, key=None: aggregation.prefix_best_of_n(candidates, scores, sizes, key=key))
    for trial in range(20):
        candidates = rng.normal(size=(17, 3)).astype(np.float32)
        scores = rng.normal(size=17) if kind == "distinct" else rng.choice([0.0, 1.0, 2.0, np.inf], 17)
        if kind == "tied and broken":
            scores[rng.random(17) < 0.4] = np.nan
            candidates[rng.random(17) < 0.3, 1] = np.nan
        scores = scores.astype(np.float32)
        expected = np.array([first_best(candidates[:size], scores[:size]) for size in sizes])
        arrays = jnp.asarray(candidates), jnp.asarray(scores)
        np.testing.assert_array_equal(prefixes(*arrays), expected)
        np.testing.assert_array_equal(aggregation.best_of_n(*arrays), first_best(candidates, scores))
        # With a key the winner may be another, but not its score; and one draw of the ties serves both forms.
        key = jax.random.key(trial)
        labelled = jnp.concatenate([arrays[0], arrays[1][:, None]], axis=1)
        winners = prefixes(labelled, arrays[1], key)
        least = [first_best(np.asarray(labelled)[:size], scores[:size])[-1] for size in sizes]
        np.testing.assert_array_equal(winners[:, -1], least)
        full = winners[sizes.index(17)]
        np.testing.assert_array_equal(full, aggregation.best_of_n(labelled, arrays[1], key=key))


def test_softmax_means_are_numpys(candidates, scores):
    weights = np.exp(-np.asarray(scores, np.float64) / WARM)
    expected = weights @ np.asarray(candidates, np.float64) / weights.sum()
    np.testing.assert_allclose(aggregation.softmax_mean(candidates, scores, temperature=WARM), expected, rtol=1e-5)
    np.testing.assert_allclose(
        aggregation.softmax_mean(candidates, 1e4 + scores, temperature=WARM), expected, rtol=1e-2
    )  # float32 rounds the scores


@pytest.mark.parametrize("temperature", [1e-6, 1e-25, 1e-42, 1e-300])
def test_a_cold_softmax_is_the_best_of_n(candidates, scores, temperature):
    best = aggregation.best_of_n(candidates, scores)
    for softmax in (
        aggregation.softmax_mean(candidates, scores, temperature=temperature),
        aggregation.softmax_selection(KEY, candidates, scores, temperature=temperature),
    ):
        np.testing.assert_allclose(softmax, best, rtol=1e-6)
    tied = jnp.where(jnp.arange(7) < 3, -1.0, scores)
    shared = aggregation.softmax_mean(candidates, tied, temperature=temperature)
    np.testing.assert_allclose(shared, aggregation.mean(candidates[:3]), rtol=1e-5)


def test_a_hot_softmax_is_the_mean(candidates, scores):
    hot = aggregation.softmax_mean(candidates, scores, temperature=1e30)
    np.testing.assert_allclose(hot, aggregation.mean(candidates), rtol=1e-5)
    infinite = aggregation.softmax_mean(candidates, jnp.full(7, jnp.inf).at[0].set(jnp.nan), temperature=WARM)
    np.testing.assert_allclose(infinite, aggregation.mean(candidates[1:]), rtol=1e-5)


def test_softmax_selections_have_the_softmax_mean(scores, rng):
    risks = jnp.asarray(rng.exponential(size=(7, 1)), jnp.float32)
    scores = scores.at[2].set(jnp.nan)
    draw = jax.jit(jax.vmap(lambda key: aggregation.softmax_selection(key, risks, scores, temperature=WARM)))
    drawn = draw(jax.random.split(KEY, 20_000))
    assert agrees(drawn, aggregation.softmax_mean(risks, scores, temperature=WARM))
    assert not agrees(drawn, aggregation.softmax_mean(risks, scores, temperature=2 * WARM))
    assert not agrees(drawn, aggregation.softmax_mean(risks, jnp.nan_to_num(scores), temperature=WARM))


@pytest.mark.parametrize("temperature", [1e-30, 1e-3, WARM, 1e10])
@pytest.mark.parametrize("broken", ["candidate", "score", "score is infinite", "both infinite"])
def test_derivatives_are_those_without_the_broken_candidate(candidates, scores, temperature, broken):
    def length(candidates, scores, temperature):
        return jnp.sum(aggregation.softmax_mean(candidates, scores, temperature=temperature) ** 2)

    worst = int(jnp.argmax(scores))
    if broken in ("candidate", "both infinite"):
        candidates = candidates.at[worst, 0].set(jnp.nan if broken == "candidate" else jnp.inf)
    if broken != "candidate":
        scores = scores.at[worst].set(jnp.nan if broken == "score" else jnp.inf)
    slopes = jax.grad(length, argnums=(0, 1, 2))
    found = slopes(candidates, scores, temperature)
    assert all(jnp.isfinite(slope).all() for slope in found)
    kept = np.delete(np.arange(7), worst)
    expected = slopes(candidates[kept], scores[kept], temperature)
    for slope, reference in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_array_equal(slope[worst], jnp.zeros_like(slope[worst]))
        np.testing.assert_allclose(slope[kept], reference, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-4, atol=1e-6)


def test_derivatives_are_differences(candidates, scores):
    with jax.enable_x64(True):
        candidates, scores = (jnp.asarray(np.asarray(array), jnp.float64) for array in (candidates, scores))

        @jax.jit
        def shifted(shift):
            moved = scores + shift * jnp.arange(7.0)
            return aggregation.softmax_mean((1 + shift) * candidates, moved, temperature=WARM + shift)[0]

        difference = (shifted(1e-6) - shifted(-1e-6)) / 2e-6
        assert float(jax.grad(shifted)(0.0)) == pytest.approx(float(difference), rel=1e-6)
        assert float(jax.jvp(shifted, (0.0,), (1.0,))[1]) == pytest.approx(float(difference), rel=1e-6)


THREE = jnp.ones((3, 2))


def _softmax(temperature):
    return aggregation.softmax_mean(THREE, jnp.ones(3), temperature=temperature)


BAD = [
    (lambda: aggregation.prefix_means(THREE, (1, 4)), "sizes", "4"),
    (lambda: aggregation.prefix_means(THREE, ()), "sizes", "()"),
    (lambda: aggregation.prefix_best_of_n(THREE, jnp.ones(3), (1, 4)), "sizes", "4"),
    (lambda: aggregation.prefix_best_of_n(THREE, jnp.ones(3), (0,)), "sizes", "0"),
    (lambda: aggregation.prefix_best_of_n(THREE, jnp.ones((3, 1)), (1,)), "scores", "(3, 1)"),
    (lambda: aggregation.prefix_best_of_n(THREE, jnp.ones(3), (1,), key=3), "key", "3"),
    (lambda: aggregation.best_of_n(THREE, jnp.ones(2)), "scores", "(2,)"),
    (lambda: aggregation.best_of_n(jnp.ones((0, 2)), jnp.ones(0)), "candidates", "(0, 2)"),
    (lambda: aggregation.best_of_n(THREE, jnp.ones(3), key=jax.random.split(KEY)), "key", "(2,)"),
    (lambda: aggregation.mean(jnp.ones(3)), "candidates", "(3,)"),
    (lambda: aggregation.mean(jnp.ones((0, 3))), "candidates", "(0, 3)"),
    (lambda: aggregation.median(jnp.ones(3)), "candidates", "(3,)"),
    (lambda: _softmax(0.0), "temperature", "0"),
    (lambda: _softmax(-1.0), "temperature", "-1"),
    (lambda: _softmax(np.nan), "temperature", "nan"),
    (lambda: _softmax([1.0, 2.0]), "temperature", "(2,)"),
    (lambda: aggregation.softmax_mean(THREE, jnp.ones(2), temperature=1.0), "scores", "(2,)"),
    (lambda: aggregation.softmax_selection(KEY, THREE, jnp.ones(3), temperature=0.0), "temperature", "0"),
    (lambda: aggregation.softmax_selection(3, THREE, jnp.ones(3), temperature=1.0), "key", "3"),
    (lambda: aggregation.softmax_selection(KEY, jnp.ones(3), jnp.ones(3), temperature=1.0), "candidates", "(3,)"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)


SIZES = (1, 4, 7, 2)
VOTES = {
    "majority": (jax.jit(aggregation.majority_vote), jax.jit(aggregation.prefix_majority_votes, static_argnums=1)),
    "plurality": (jax.jit(aggregation.plurality_vote), jax.jit(aggregation.prefix_plurality_votes, static_argnums=1)),
}
every_vote = pytest.mark.parametrize("name", VOTES)


@pytest.fixture
def ballots(rng):
    return jnp.asarray(rng.choice([-1.0, 1.0], size=(7, 3)), jnp.float32)


@pytest.fixture
def log_weights(rng):
    return jnp.asarray(rng.normal(size=7), jnp.float32)


def counted_by_hand(name, candidates, weights):
    """The winner of a vote without ties."""
    candidates, weights = np.asarray(candidates, np.float64), np.asarray(weights, np.float64)
    if name == "majority":
        return np.sign(weights @ candidates)
    votes: Counter = Counter()
    for candidate, weight in zip(candidates, weights, strict=True):
        votes[tuple(candidate)] += weight
    return np.array(max(votes, key=votes.__getitem__))


@every_vote
def test_weighted_votes_are_counted_by_hand(name, ballots, log_weights):
    whole, prefix = VOTES[name]
    weights = np.exp(np.asarray(log_weights))
    found = prefix(ballots, SIZES, log_weights=log_weights)
    expected = [counted_by_hand(name, ballots[:size], weights[:size]) for size in SIZES]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(whole(ballots, log_weights=log_weights), expected[SIZES.index(7)])
    np.testing.assert_array_equal(whole(ballots, log_weights=log_weights - 1000), expected[SIZES.index(7)])


@every_vote
def test_every_prefix_is_a_vote_of_its_own(name, rng):
    whole, prefix = VOTES[name]
    candidates = jnp.asarray(rng.choice([-1.0, 1.0], size=(33, 3)), jnp.float32)
    sizes = (1, 5, 17, 33)
    found = prefix(candidates, sizes)
    np.testing.assert_array_equal(found, [whole(candidates[:size]) for size in sizes])
    for row, size in zip(np.asarray(found), sizes, strict=True):
        votes = Counter(map(tuple, np.asarray(candidates[:size]).tolist()))
        if name == "plurality":
            assert votes[tuple(row.tolist())] == max(votes.values())
        else:
            np.testing.assert_array_equal(row, np.sign(np.asarray(candidates[:size]).sum(axis=0)))


@every_vote
def test_the_order_of_the_candidates_does_not_matter_to_a_vote(name, ballots, log_weights, rng):
    whole, _ = VOTES[name]
    expected = whole(ballots, log_weights=log_weights)
    for _ in range(5):
        order = rng.permutation(7)
        np.testing.assert_array_equal(whole(ballots[order], log_weights=log_weights[order]), expected)


@every_vote
def test_weights_of_any_size_count_within_their_prefix(name, ballots, log_weights):
    whole, prefix = VOTES[name]
    late = log_weights.at[6].set(500.0)
    np.testing.assert_array_equal(prefix(ballots, (5, 7), log_weights=late)[0], whole(ballots[:5], log_weights=log_weights[:5]))
    np.testing.assert_array_equal(prefix(ballots, (7,), log_weights=late)[0], ballots[6])
    for weight in (jnp.nan, -jnp.inf):
        left_out = whole(ballots, log_weights=log_weights.at[0].set(weight))
        np.testing.assert_array_equal(left_out, whole(ballots[1:], log_weights=log_weights[1:]))
    np.testing.assert_array_equal(whole(ballots, log_weights=log_weights.at[3].set(jnp.inf)), ballots[3])


@every_vote
def test_one_candidate_is_the_answer(name, ballots):
    np.testing.assert_array_equal(VOTES[name][0](ballots[:1]), ballots[0])


@every_vote
def test_jit_and_vmap_change_no_vote(name, rng):
    whole, _ = VOTES[name]
    batch = jnp.asarray(rng.choice([-1.0, 1.0], size=(4, 5, 3)), jnp.float32)
    together = jax.jit(jax.vmap(lambda key, one: whole(one, key=key), in_axes=(None, 0)))(KEY, batch)
    np.testing.assert_array_equal(together, [whole(one, key=KEY) for one in batch])


def test_a_candidate_that_is_not_a_number_spreads_or_has_no_vote(ballots):
    broken = ballots.at[2, 1].set(jnp.nan)
    np.testing.assert_array_equal(jnp.isnan(aggregation.majority_vote(broken)), [False, True, False])
    np.testing.assert_array_equal(jnp.isnan(aggregation.prefix_majority_votes(broken, (1, 3)))[:, 1], [False, True])
    others = np.delete(np.asarray(ballots), 2, axis=0)
    counts = Counter(map(tuple, others.tolist()))
    winner = tuple(np.asarray(aggregation.plurality_vote(broken)).tolist())
    assert counts[winner] == max(counts.values())
    assert jnp.isnan(aggregation.plurality_vote(jnp.full((3, 2), jnp.nan))).all()


def test_ties_of_a_majority_are_broken_fairly_coordinate_by_coordinate():
    tied = jnp.array([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])
    votes = jax.vmap(lambda key: aggregation.majority_vote(tied, key=key))(jax.random.split(KEY, 20_000))
    counts = np.unique(np.asarray(votes)[:, :2], axis=0, return_counts=True)[1]
    assert stats.chisquare(counts).pvalue > 1e-4
    assert len(counts) == 4
    np.testing.assert_array_equal(votes[:, 2], 1)
    assert (aggregation.majority_vote(tied, log_weights=jnp.zeros(2)) == jnp.array([0.0, 0.0, 1.0])).all()


def test_ties_of_answers_are_broken_uniformly_among_the_candidates():
    label = jnp.array([[1.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0]])
    votes = jax.vmap(lambda key: aggregation.plurality_vote(label, key=key))(jax.random.split(KEY, 20_000))
    won = np.asarray(votes)[:, 0] == 1
    assert stats.binomtest(int(won.sum()), 20_000).pvalue > 1e-4
    np.testing.assert_array_equal(aggregation.plurality_vote(label), label[0])
    assert (np.asarray(votes)[:, 1] == 1).all()


def test_other_values_vote_for_the_nearer_one():
    candidates = jnp.array([[0.1, 0.9], [0.2, 0.8], [1.0, 0.0]])
    np.testing.assert_array_equal(aggregation.majority_vote(candidates, prior=BinaryPrior(0.0, 1.0)), [0.0, 1.0])


FOUR = jnp.ones((4, 2))
BAD_VOTES = [
    (lambda: aggregation.majority_vote(FOUR), "number of candidates", "4"),
    (lambda: aggregation.prefix_majority_votes(FOUR, (1, 2)), "number of candidates", "2"),
    (lambda: aggregation.prefix_majority_votes(FOUR, (5,)), "sizes", "5"),
    (lambda: aggregation.majority_vote(FOUR[:3], prior=(0, 1)), "prior", "(0, 1)"),
    (lambda: aggregation.majority_vote(FOUR, key=3), "key", "3"),
    (lambda: aggregation.majority_vote(FOUR[:3], log_weights=jnp.ones(2)), "log_weights", "(2,)"),
    (lambda: aggregation.plurality_vote(jnp.ones(3)), "candidates", "(3,)"),
    (lambda: aggregation.plurality_vote(jnp.ones((0, 3))), "candidates", "(0, 3)"),
    (lambda: aggregation.prefix_plurality_votes(FOUR, (0,)), "sizes", "0"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD_VOTES)
def test_bad_votes_are_named(call, name, value):
    assert_named(call, name, value)
