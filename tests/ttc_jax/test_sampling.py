"""Binary thoughts: their probabilities, their samples, and the three ways in which a chain takes them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from tests.statistics import agrees
from ttc_jax import BinaryPrior, BinarySampler, Context, TaskConfig, decoders, rollout, rollout_candidates, sample_task
from ttc_jax.models import linear_attention
from ttc_jax.models.linear_attention import LinearAttentionParams

PRIOR = BinaryPrior(0.0, 1.0, 0.3)
STEP_SIZE = 0.4


@pytest.fixture
def task():
    return sample_task(jax.random.key(2), TaskConfig(4, 6, prior=PRIOR), label_noise_std=0.5)


def forms(task):
    params = linear_attention.gradient_step(task.coefficients.size, STEP_SIZE)
    return {
        "full": decoders.full_attention(params),
        "cached": decoders.cached_attention(params),
        "gram": decoders.gram(STEP_SIZE),
    }


def test_the_logistic_link_is_the_posterior_of_a_noisy_coefficient():
    fields, noise_var = np.linspace(-1, 2, 7), 0.2
    likelihood = [np.exp(-((fields - value) ** 2) / (2 * noise_var)) for value in (0.0, 1.0)]
    expected = 0.3 * likelihood[1] / (0.3 * likelihood[1] + 0.7 * likelihood[0])
    sampler = BinarySampler(0.5**2 / noise_var, PRIOR)  # half-gap squared over the noise variance
    np.testing.assert_allclose(sampler.probability(jnp.asarray(fields)), expected, rtol=1e-5)


def test_the_clipped_link_has_the_field_as_its_mean():
    fields = jnp.array([-0.5, 0.0, 0.2, 0.9, 1.0, 1.5])
    np.testing.assert_allclose(
        BinarySampler(1.0, PRIOR, "clipped_linear").probability(fields), np.clip(fields, 0, 1), atol=1e-6
    )


@pytest.mark.parametrize(("link", "threshold"), [("logistic", 0.5), ("clipped_linear", 0.3)])
def test_temperature_goes_from_the_prior_to_rounding(link, threshold):
    fields = jnp.array([-3.0, threshold - 0.01, threshold + 0.01, 3.0])
    np.testing.assert_allclose(BinarySampler(0.0, PRIOR, link).probability(fields), 0.3, rtol=1e-6)
    np.testing.assert_array_equal(BinarySampler(np.inf, PRIOR, link).probability(fields), [0, 0, 1, 1])
    np.testing.assert_allclose(BinarySampler(1e6, PRIOR, link).probability(fields), [0, 0, 1, 1], atol=1e-6)
    assert float(BinarySampler(np.inf, PRIOR, link).probability(jnp.asarray(threshold))) == pytest.approx(0.3)
    warm = BinarySampler(2.0, PRIOR, link).probability(jnp.linspace(-1, 2, 20))
    assert (jnp.diff(warm) >= 0).all()


@pytest.mark.parametrize("link", ["logistic", "clipped_linear"])
def test_samples_have_their_probability(link):
    fields = jnp.array([-0.2, 0.1, 0.5, 0.8])
    sampler = BinarySampler(1.2, PRIOR, link)
    samples = jax.vmap(lambda key: sampler.sample(key, fields))(jax.random.split(jax.random.key(0), 40_000))
    assert set(np.unique(samples)) == {0.0, 1.0}
    chance = np.asarray(sampler.probability(fields), np.float64)
    random = (chance > 0) & (chance < 1)
    assert agrees(samples[:, random], chance[random])
    assert not agrees(samples[:, random], 1.05 * chance[random])
    np.testing.assert_array_equal(samples[:, chance == 0], 0)
    one = sampler.log_probability(fields, jnp.array([0.0, 1.0, 0.0, 1.0]))
    expected = np.log(1 - chance[0]) + np.log(chance[1]) + np.log(1 - chance[2]) + np.log(chance[3])
    assert float(one) == pytest.approx(expected, rel=1e-5)


def test_a_field_that_is_not_a_number_has_no_sample():
    sampled = BinarySampler(2.0).sample(jax.random.key(0), jnp.array([jnp.nan, 5.0, jnp.inf, -jnp.inf]))
    np.testing.assert_array_equal(sampled, [np.nan, 1, 1, -1])
    np.testing.assert_array_equal(BinarySampler().sample(jax.random.key(0), jnp.array([jnp.nan, 5.0])), [np.nan, 1])


@pytest.mark.parametrize("name", ["full", "cached", "gram"])
@pytest.mark.parametrize("token_by_token", [False, True])
def test_all_decoders_take_the_same_thoughts(task, name, token_by_token):
    sampler = BinarySampler(1.5, PRIOR, token_by_token=token_by_token)
    chain = {"num_candidates": 20, "num_steps": 8, "sampler": sampler, "decoding_noise_std": 0.1}
    reference = rollout_candidates(jax.random.key(1), task.context, forms(task)["full"], **chain)
    assert reference.shape == (9, 20, 4)
    assert set(np.unique(reference[1:])) == {0.0, 1.0}
    np.testing.assert_allclose(reference[0], 0.3)
    np.testing.assert_array_equal(rollout_candidates(jax.random.key(1), task.context, forms(task)[name], **chain), reference)
    assert len(np.unique(reference[-1], axis=0)) > 1


@pytest.mark.parametrize("token_by_token", [False, True])
def test_thoughts_have_the_law_of_their_rule(task, token_by_token):
    """Two thoughts from a given one, against their law written out coefficient by coefficient."""
    inputs, targets = (np.asarray(part, np.float64) for part in task.context)
    sampler = BinarySampler(1.5, PRIOR, token_by_token=token_by_token)
    first = np.array([1.0, 0.0, 0.0, 1.0])

    def chance(field):
        return 1 / (1 + np.exp(-4 * 1.5 * (field - 0.5)) * 0.7 / 0.3)

    def after(thought):
        """Law of the next thought over the 16 vectors."""
        law = {}
        for code in range(16):
            new = np.array([(code >> place) & 1 for place in range(4)], float)
            now, probability = thought.copy(), 1.0
            field = now + STEP_SIZE / 6 * inputs.T @ (targets - inputs @ now)
            for place in range(4):
                if token_by_token:
                    field = now + STEP_SIZE / 6 * inputs.T @ (targets - inputs @ now)
                high = chance(field[place])
                probability *= high if new[place] else 1 - high
                now[place] = new[place]
            law[code] = probability
        return law

    expected = np.zeros(16)
    for code, probability in after(first).items():
        middle = np.array([(code >> place) & 1 for place in range(4)], float)
        expected += probability * np.array(list(after(middle).values()))
    chain = {"num_candidates": 60_000, "num_steps": 2, "sampler": sampler, "initial_state": jnp.asarray(first)}
    states = rollout_candidates(jax.random.key(3), task.context, forms(task)["gram"], **chain)[-1]
    codes = np.asarray(states) @ 2 ** np.arange(4)
    counts = codes[:, None] == np.arange(16)
    usual = expected > 1e-3
    assert agrees(counts[:, usual], expected[usual])
    other = np.roll(expected, 1)
    assert not agrees(counts[:, usual], other[usual])


def test_token_by_token_for_any_weights_equals_whole_steps(task, rng):
    size = linear_attention.gradient_step(4, 0.1).value.shape
    params = LinearAttentionParams(*(jnp.asarray(0.2 * rng.normal(size=size), jnp.float32) for _ in range(2)))
    fast = decoders.cached_attention(params)
    chain = {"num_candidates": 40, "num_steps": 5, "sampler": BinarySampler(1.0, PRIOR, token_by_token=True)}
    states = [
        rollout_candidates(jax.random.key(3), task.context, decoder, **chain)
        for decoder in (fast, fast._replace(coefficients=None), decoders.full_attention(params))
    ]
    np.testing.assert_array_equal(states[0], states[1])
    np.testing.assert_array_equal(states[0], states[2])


def test_a_sampler_changes_nothing_else(task):
    chain = {"num_steps": 5, "decoding_noise_std": 0.2}
    decoder = forms(task)["gram"]
    noisy = rollout(jax.random.key(1), task.context, decoder, **chain)
    longer = rollout(jax.random.key(1), task.context, decoder, **{**chain, "num_steps": 7})
    np.testing.assert_array_equal(noisy, longer[:6])
    sampler = BinarySampler(jnp.inf, PRIOR)
    sampled = rollout(jax.random.key(1), task.context, decoder, num_steps=3, sampler=sampler)
    state = np.full(4, 0.3)
    inputs, targets = (np.asarray(part, np.float64) for part in task.context)
    for step in range(3):
        state = (state + STEP_SIZE / 6 * inputs.T @ (targets - inputs @ state) > 0.5) * 1.0
        np.testing.assert_array_equal(sampled[step + 1], state)


def test_temperatures_are_swept_and_batched(task):
    def last(key, beta):
        sampler = BinarySampler(beta, PRIOR)
        return rollout(key, task.context, forms(task)["gram"], num_steps=4, sampler=sampler)[-1]

    betas, keys = jnp.array([0.0, 2.0, jnp.inf]), jax.random.split(jax.random.key(0), 5)
    grid = jax.jit(jax.vmap(jax.vmap(last, (0, None)), (None, 0)))(keys, betas)
    assert grid.shape == (3, 5, 4)
    for row, beta in zip(grid, betas, strict=True):
        np.testing.assert_array_equal(row, [last(key, float(beta)) for key in keys])


BAD = [
    (lambda: BinarySampler(-1.0), "inverse_temperature", "-1"),
    (lambda: BinarySampler(np.nan), "inverse_temperature", "nan"),
    (lambda: BinarySampler([1.0, 2.0]), "inverse_temperature", "(2,)"),
    (lambda: BinarySampler(jnp.array([1.0, 2.0])), "inverse_temperature", "(2,)"),
    (lambda: BinarySampler(1.0, "fair"), "prior", "fair"),
    (lambda: BinarySampler(1.0, BinaryPrior(prob_high=0.0)), "prob_high", "0"),
    (lambda: BinarySampler(1.0, BinaryPrior(1.0, 1.0)), "high", "1"),
    (lambda: BinarySampler(1.0, link="probit"), "link", "probit"),
    (lambda: BinarySampler(1.0).sample(0, jnp.zeros(3)), "key", "0"),
    (lambda: BinarySampler(1.0).log_probability(jnp.zeros(3), jnp.zeros(2)), "thought", "(2,)"),
    (
        lambda: rollout(
            jax.random.key(0), Context(jnp.ones((2, 3)), jnp.ones(2)), decoders.gram(0.1), num_steps=1, sampler="greedy"
        ),
        "sampler",
        "greedy",
    ),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
