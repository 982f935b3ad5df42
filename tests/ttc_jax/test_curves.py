"""Risks of all prefixes of one rollout and of collapsed candidates, averaged and selected; errors of binary answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from tests.statistics import agrees
from tests.ttc_jax.chains import STEP_SIZE, forms, law_of_the_chain
from ttc_jax import (
    BinaryPrior,
    BinarySampler,
    TaskConfig,
    aggregation,
    answer_errors,
    averaged_risk,
    bit_error,
    collapsed_averaged_risk,
    collapsed_selected_risk,
    decoders,
    exact_recovery,
    excess_risk,
    rollout_candidates,
    sample_task,
    selected_risk,
    verifiers,
)

KEY = jax.random.key(9)
ASKED = {"num_steps": (5, 0, 2, 5), "num_candidates": (8, 1, 3), "decoding_noise_std": 0.2}


def scores_of(task):
    """Verifiers as functions of a key and of all candidates of one step: one without and one with random numbers."""

    def context_loss(key, candidates):
        return jax.vmap(verifiers.context_loss, in_axes=(0, None))(candidates, task.context)

    def noisy(key, candidates):
        def score(key, candidate):
            return verifiers.noisy_oracle(key, candidate, task, noise_std=0.3)

        return jax.vmap(score)(jax.random.split(key, len(candidates)), candidates)

    return {"context loss": context_loss, "noisy oracle": noisy}


def walk(key, task):
    return rollout_candidates(key, task.context, forms()["gram"], num_candidates=8, num_steps=5, decoding_noise_std=0.2)


def test_averaged_risk_reuses_one_rollout(task):
    risks = averaged_risk(KEY, task, forms()["gram"], **ASKED)
    states = walk(KEY, task)
    for row, steps in enumerate(ASKED["num_steps"]):
        for column, number in enumerate(ASKED["num_candidates"]):
            expected = np.sum((np.asarray(states[steps, :number]).mean(0) - np.asarray(task.coefficients)) ** 2)
            assert float(risks[row, column]) == pytest.approx(float(expected), rel=1e-4)


def test_collapsed_averaged_risk_has_the_exact_mean(task):
    chain = {"num_steps": (1, 6), "num_candidates": (1, 5), "decoding_noise_std": 0.3}
    draw = jax.jit(jax.vmap(lambda key: collapsed_averaged_risk(key, task, step_size=STEP_SIZE, **chain)))
    risks = draw(jax.random.split(jax.random.key(1), 20_000))
    expected = np.empty((2, 2))
    for row, steps in enumerate(chain["num_steps"]):
        mean, covariance = law_of_the_chain(task.context, steps, 0.3)
        bias = np.sum((mean - np.asarray(task.coefficients)) ** 2)
        expected[row] = [bias + np.trace(covariance) / number for number in chain["num_candidates"]]
    assert agrees(risks, expected)
    assert not agrees(risks, 1.05 * expected)


@pytest.mark.parametrize("verifier", ["context loss", "noisy oracle"])
def test_selected_risk_is_the_brute_force_one(task, verifier):
    score = scores_of(task)[verifier]
    risks = jax.jit(lambda key: selected_risk(key, task, forms()["gram"], score, **ASKED))(KEY)
    assert risks.shape == (4, 3)
    chain_key, score_key = jax.random.split(KEY)
    states = walk(chain_key, task)
    for row, steps in enumerate(ASKED["num_steps"]):
        scores = np.asarray(score(jax.random.fold_in(score_key, steps), states[steps]))
        for column, number in enumerate(ASKED["num_candidates"]):
            best = np.asarray(states[steps, np.argmin(scores[:number])])
            expected = np.sum((best - np.asarray(task.coefficients)) ** 2)
            assert float(risks[row, column]) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("verifier", ["context loss", "noisy oracle"])
def test_collapsed_selected_risk_has_the_law_of_the_walked_one(task, verifier):
    score = scores_of(task)[verifier]
    asked = {"num_steps": (1, 6), "num_candidates": (1, 2, 7)}

    def collapsed(key, noise):
        return collapsed_selected_risk(key, task, score, step_size=STEP_SIZE, decoding_noise_std=noise, **asked)

    def walked(key, noise):
        return selected_risk(key, task, forms()["gram"], score, decoding_noise_std=noise, **asked)

    # The keys are disjoint, so that a difference of two draws has the sum of their variances.
    keys = jax.random.split(jax.random.key(2), (2, 20_000))
    drawn = np.asarray(jax.jit(jax.vmap(walked, in_axes=(0, None)))(keys[0], 0.3))
    draw = jax.jit(jax.vmap(collapsed, in_axes=(0, None)))
    same, other = (np.asarray(draw(keys[1], noise)) for noise in (0.3, 0.31))
    for power in (1, 2):
        assert agrees(drawn**power - same**power, np.zeros((2, 3)))
    assert not agrees(drawn - other, np.zeros((2, 3)))


def test_only_the_steps_listed_are_scored(task):
    seen = []

    def score(key, candidates):
        jax.debug.callback(lambda first: seen.append(float(first)), candidates[0, 0])
        return candidates[:, 0]

    selected_risk(KEY, task, forms()["gram"], score, **{**ASKED, "num_steps": (5, 2)})
    jax.effects_barrier()
    states = walk(jax.random.split(KEY)[0], task)
    np.testing.assert_allclose(sorted(seen), sorted(states[jnp.array([2, 5]), 0, 0].tolist()), rtol=1e-5)


def test_every_step_has_a_score_key_of_its_own(task):
    asked = {"num_steps": tuple(range(6)), "num_candidates": (2,), "decoding_noise_std": 0.0}
    for collapsed in (False, True):
        keys = []

        def score(key, candidates, keys=keys):
            jax.debug.callback(lambda data: keys.append(tuple(data.tolist())), jax.random.key_data(key))
            return candidates[:, 0]

        if collapsed:
            collapsed_selected_risk(KEY, task, score, step_size=STEP_SIZE, **asked)
        else:
            selected_risk(KEY, task, forms()["gram"], score, **asked)
        jax.effects_barrier()
        assert len(keys) == len(set(keys)) == 6


def test_candidates_without_a_score_have_no_risk(task):
    def score(key, candidates):
        return jnp.where(jnp.arange(len(candidates)) < 2, jnp.nan, 1.0)

    risks = selected_risk(KEY, task, forms()["gram"], score, **ASKED)
    np.testing.assert_array_equal(jnp.isnan(risks), [[False, True, False]] * 4)


def test_selected_risk_is_differentiable(task):
    @jax.jit
    def risk(noise):
        return jnp.sum(selected_risk(KEY, task, forms()["gram"], score, **{**ASKED, "decoding_noise_std": noise}))

    with jax.enable_x64(True):
        task = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), task)
        score = scores_of(task)["context loss"]
        assert float(jax.jit(jax.grad(risk))(0.2)) == pytest.approx(float(risk(0.2 + 1e-6) - risk(0.2 - 1e-6)) / 2e-6, rel=1e-5)


BITS = sample_task(jax.random.key(1), TaskConfig(2, 3, prior=BinaryPrior()))
BAD = [
    (lambda task: _averaged(task, num_steps=()), "num_steps", "()"),
    (lambda task: _averaged(task, num_steps=(1, -1)), "num_steps", "-1"),
    (lambda task: _averaged(task, num_candidates=()), "num_candidates", "()"),
    (lambda task: _averaged(task, num_candidates=(0,)), "num_candidates", "0"),
    (lambda task: _selected(task, num_steps=()), "num_steps", "()"),
    (lambda task: _selected(task, num_candidates=(0,)), "num_candidates", "0"),
    (lambda task: _selected(task, decoding_noise_std=-1.0), "decoding_noise_std", "-1"),
    (lambda task: _selected(task, score=lambda key, candidates: candidates), "score", "(2, 4)"),
    (lambda task: _selected(task, key=3), "key", "3"),
    (lambda task: _collapsed(task, score=lambda key, candidates: 1.0), "score", "()"),
    (lambda task: _collapsed(task, num_candidates=()), "num_candidates", "()"),
    (lambda task: _collapsed(task, step_size=np.nan), "step_size", "nan"),
    (lambda task: _collapsed(task, key=3), "key", "3"),
    (lambda task: collapsed_averaged_risk(3, task, step_size=0.1, **SHORT), "key", "3"),
    (
        lambda task: answer_errors(KEY, BITS, decoders.gram(0.1), lambda k, s, n: s, num_steps=(1,), num_candidates=(3, 1)),
        "answer",
        "(3, 2)",
    ),
]
SHORT = {"num_steps": (1,), "num_candidates": (2,), "decoding_noise_std": 0.1}


def _averaged(task, **changed):
    return averaged_risk(KEY, task, forms()["gram"], **{**SHORT, **changed})


def _selected(task, key=KEY, score=lambda key, candidates: candidates[:, 0], **changed):
    return selected_risk(key, task, forms()["gram"], score, **{**SHORT, **changed})


def _collapsed(task, key=KEY, score=lambda key, candidates: candidates[:, 0], step_size=STEP_SIZE, **changed):
    return collapsed_selected_risk(key, task, score, step_size=step_size, **{**SHORT, **changed})


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(task, call, name, value):
    assert_named(lambda: call(task), name, value)


ANSWER_KEY = jax.random.key(8)


@pytest.mark.parametrize("at_the_end", [False, True])
def test_errors_of_answers_reuse_one_rollout(at_the_end):
    task = sample_task(jax.random.key(1), TaskConfig(6, 5, prior=BinaryPrior()), label_noise_std=0.8)
    sampler, decoder = BinarySampler(0.7), decoders.gram(0.3)
    chain = {"decoding_noise_std": 0.2} if at_the_end else {"sampler": sampler}
    seen = {}

    def vote(key, states, sizes):
        samples = sampler.sample(key, states) if at_the_end else states
        return aggregation.prefix_majority_votes(samples, sizes)

    found = answer_errors(ANSWER_KEY, task, decoder, vote, num_steps=(3, 0, 5), num_candidates=(7, 1), **chain)
    chain_key, answer_key = jax.random.split(ANSWER_KEY)
    states = rollout_candidates(chain_key, task.context, decoder, num_candidates=7, num_steps=5, **chain)
    for row, steps in enumerate((3, 0, 5)):
        estimates = vote(jax.random.fold_in(answer_key, steps), states[steps], (7, 1))
        for column in (0, 1):
            seen[row, column] = estimates[column]
            assert float(found.bit_error[row, column]) == pytest.approx(float(bit_error(estimates[column], task)))
            assert float(found.exact_recovery[row, column]) == float(exact_recovery(estimates[column], task))
            assert float(found.excess_risk[row, column]) == pytest.approx(float(excess_risk(estimates[column], task)), rel=1e-5)
    assert len({tuple(np.asarray(answer).tolist()) for answer in seen.values()}) > 2
