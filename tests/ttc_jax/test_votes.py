"""Votes over coefficients and over whole answers, against a count by hand; errors of binary answers along a rollout."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.errors import assert_named
from ttc_jax import (
    BinaryPrior,
    BinarySampler,
    TaskConfig,
    aggregation,
    answer_errors,
    bit_error,
    decoders,
    exact_recovery,
    excess_risk,
    rollout_candidates,
    sample_task,
)

KEY = jax.random.key(8)
SIZES = (1, 4, 7, 2)
VOTES = {
    "majority": (jax.jit(aggregation.majority_vote), jax.jit(aggregation.prefix_majority_votes, static_argnums=1)),
    "plurality": (jax.jit(aggregation.plurality_vote), jax.jit(aggregation.prefix_plurality_votes, static_argnums=1)),
}
every_vote = pytest.mark.parametrize("name", VOTES)


@pytest.fixture
def candidates(rng):
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
def test_weighted_votes_are_counted_by_hand(name, candidates, log_weights):
    whole, prefix = VOTES[name]
    weights = np.exp(np.asarray(log_weights))
    found = prefix(candidates, SIZES, log_weights=log_weights)
    expected = [counted_by_hand(name, candidates[:size], weights[:size]) for size in SIZES]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(whole(candidates, log_weights=log_weights), expected[SIZES.index(7)])
    np.testing.assert_array_equal(whole(candidates, log_weights=log_weights - 1000), expected[SIZES.index(7)])


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
def test_the_order_of_the_candidates_does_not_matter(name, candidates, log_weights, rng):
    whole, _ = VOTES[name]
    expected = whole(candidates, log_weights=log_weights)
    for _ in range(5):
        order = rng.permutation(7)
        np.testing.assert_array_equal(whole(candidates[order], log_weights=log_weights[order]), expected)


@every_vote
def test_weights_of_any_size_count_within_their_prefix(name, candidates, log_weights):
    whole, prefix = VOTES[name]
    late = log_weights.at[6].set(500.0)
    np.testing.assert_array_equal(
        prefix(candidates, (5, 7), log_weights=late)[0], whole(candidates[:5], log_weights=log_weights[:5])
    )
    np.testing.assert_array_equal(prefix(candidates, (7,), log_weights=late)[0], candidates[6])
    for weight in (jnp.nan, -jnp.inf):
        left_out = whole(candidates, log_weights=log_weights.at[0].set(weight))
        np.testing.assert_array_equal(left_out, whole(candidates[1:], log_weights=log_weights[1:]))
    np.testing.assert_array_equal(whole(candidates, log_weights=log_weights.at[3].set(jnp.inf)), candidates[3])


@every_vote
def test_one_candidate_is_the_answer(name, candidates):
    np.testing.assert_array_equal(VOTES[name][0](candidates[:1]), candidates[0])


@every_vote
def test_jit_and_vmap_change_nothing(name, rng):
    whole, _ = VOTES[name]
    batch = jnp.asarray(rng.choice([-1.0, 1.0], size=(4, 5, 3)), jnp.float32)
    together = jax.jit(jax.vmap(lambda key, one: whole(one, key=key), in_axes=(None, 0)))(KEY, batch)
    np.testing.assert_array_equal(together, [whole(one, key=KEY) for one in batch])


def test_a_candidate_that_is_not_a_number_spreads_or_has_no_vote(candidates):
    broken = candidates.at[2, 1].set(jnp.nan)
    np.testing.assert_array_equal(jnp.isnan(aggregation.majority_vote(broken)), [False, True, False])
    np.testing.assert_array_equal(jnp.isnan(aggregation.prefix_majority_votes(broken, (1, 3)))[:, 1], [False, True])
    others = np.delete(np.asarray(candidates), 2, axis=0)
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


def test_bit_errors_count_the_wrong_side():
    prior = BinaryPrior(0.0, 1.0)
    task = sample_task(jax.random.key(1), TaskConfig(4, 3, prior=prior))
    truth = task.coefficients
    values = {"prior": prior}
    for wrong in range(5):
        estimate = jnp.where(jnp.arange(4) < wrong, 1 - truth, truth) * 0.6 + 0.2
        assert float(bit_error(estimate, task, **values)) == wrong / 4
        assert float(exact_recovery(estimate, task, **values)) == (wrong == 0)
    assert float(bit_error(jnp.full(4, 0.5), task, **values)) == 0.5
    assert float(exact_recovery(truth.at[0].set(0.5), task, **values)) == 0
    broken = truth.at[0].set(jnp.nan)
    assert jnp.isnan(bit_error(broken, task, **values))
    assert jnp.isnan(exact_recovery(broken, task, **values))


@pytest.mark.parametrize("at_the_end", [False, True])
def test_errors_of_answers_reuse_one_rollout(at_the_end):
    task = sample_task(jax.random.key(1), TaskConfig(6, 5, prior=BinaryPrior()), label_noise_std=0.8)
    sampler, decoder = BinarySampler(0.7), decoders.gram(0.3)
    chain = {"decoding_noise_std": 0.2} if at_the_end else {"sampler": sampler}
    seen = {}

    def vote(key, states, sizes):
        samples = sampler.sample(key, states) if at_the_end else states
        return aggregation.prefix_majority_votes(samples, sizes)

    found = answer_errors(KEY, task, decoder, vote, num_steps=(3, 0, 5), num_candidates=(7, 1), **chain)
    chain_key, answer_key = jax.random.split(KEY)
    states = rollout_candidates(chain_key, task.context, decoder, num_candidates=7, num_steps=5, **chain)
    for row, steps in enumerate((3, 0, 5)):
        estimates = vote(jax.random.fold_in(answer_key, steps), states[steps], (7, 1))
        for column in (0, 1):
            seen[row, column] = estimates[column]
            assert float(found.bit_error[row, column]) == pytest.approx(float(bit_error(estimates[column], task)))
            assert float(found.exact_recovery[row, column]) == float(exact_recovery(estimates[column], task))
            assert float(found.excess_risk[row, column]) == pytest.approx(float(excess_risk(estimates[column], task)), rel=1e-5)
    assert len({tuple(np.asarray(answer).tolist()) for answer in seen.values()}) > 2


FOUR = jnp.ones((4, 2))
TASK = sample_task(jax.random.key(1), TaskConfig(2, 3, prior=BinaryPrior()))
BAD = [
    (lambda: aggregation.majority_vote(FOUR), "number of candidates", "4"),
    (lambda: aggregation.prefix_majority_votes(FOUR, (1, 2)), "number of candidates", "2"),
    (lambda: aggregation.prefix_majority_votes(FOUR, (5,)), "sizes", "5"),
    (lambda: aggregation.majority_vote(FOUR[:3], prior=(0, 1)), "prior", "(0, 1)"),
    (lambda: aggregation.majority_vote(FOUR, key=3), "key", "3"),
    (lambda: aggregation.majority_vote(FOUR[:3], log_weights=jnp.ones(2)), "log_weights", "(2,)"),
    (lambda: aggregation.plurality_vote(jnp.ones(3)), "candidates", "(3,)"),
    (lambda: aggregation.plurality_vote(jnp.ones((0, 3))), "candidates", "(0, 3)"),
    (lambda: aggregation.prefix_plurality_votes(FOUR, (0,)), "sizes", "0"),
    (lambda: bit_error(jnp.ones(3), TASK), "estimate", "(3,)"),
    (lambda: exact_recovery(jnp.ones(3), TASK), "estimate", "(3,)"),
    (
        lambda: answer_errors(KEY, TASK, decoders.gram(0.1), lambda k, s, n: s, num_steps=(1,), num_candidates=(3, 1)),
        "answer",
        "(3, 2)",
    ),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
