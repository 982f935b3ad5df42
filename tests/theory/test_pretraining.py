"""Trained linear attention against least squares on simulated prompts, and the limits of its formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory
from tests.errors import assert_named
from tests.statistics import agrees, threshold

EIGENVALUES, VARIANCES = np.array([2.0, 1.0, 0.3]), np.array([0.2, 1.0, 0.7])
EXAMPLES, NOISE = 6, 0.8


def contexts(rng, num, num_examples, eigenvalues, noise):
    """Coefficients (num, d) and X^T y / n (num, d)."""
    inputs = rng.normal(size=(num, num_examples, 3)) * np.sqrt(eigenvalues)
    truth = rng.normal(size=(num, 3)) * np.sqrt(VARIANCES)
    targets = np.einsum("cnd,cd->cn", inputs, truth) + noise * rng.normal(size=(num, num_examples))
    return truth, np.einsum("cnd,cn->cd", inputs, targets) / num_examples


def test_the_trained_matrix_leaves_no_correlation(rng):
    """At the least squared error the residual w - P v is uncorrelated with v."""
    truth, seen = contexts(rng, 200_000, EXAMPLES, EIGENVALUES, NOISE)
    matrix = theory.pretraining.trained_attention(EIGENVALUES, EXAMPLES, label_noise_std=NOISE, prior_variances=VARIANCES)
    assert agrees(seen * (truth - matrix * seen), np.zeros(3))
    assert not agrees(seen * (truth - 1.05 * matrix * seen), np.zeros(3))
    across = np.stack([seen[:, i] * (truth - matrix * seen)[:, j] for i in range(3) for j in range(3) if i != j], axis=1)
    assert agrees(across, np.zeros(6))


@pytest.mark.parametrize(
    ("test_eigenvalues", "test_examples", "test_noise"), [(EIGENVALUES, 6, 0.8), (np.array([0.5, 3.0, 1.0]), 20, 0.3)]
)
def test_its_risk_is_the_simulated_one(test_eigenvalues, test_examples, test_noise, rng):
    truth, seen = contexts(rng, 200_000, test_examples, test_eigenvalues, test_noise)
    given = {"label_noise_std": NOISE, "prior_variances": VARIANCES}
    matrix = theory.pretraining.trained_attention(EIGENVALUES, EXAMPLES, **given)
    risks = ((matrix * seen - truth) ** 2) @ test_eigenvalues
    predicted = theory.pretrained_attention_risk(
        *(EIGENVALUES, EXAMPLES),
        **given,
        test_eigenvalues=test_eigenvalues,
        test_examples=test_examples,
        test_label_noise_std=test_noise,
    )
    assert agrees(risks[:, None], [predicted])
    assert not agrees(risks[:, None], [1.03 * predicted])
    if test_examples != EXAMPLES:
        untold = theory.pretrained_attention_risk(EIGENVALUES, EXAMPLES, **given)
        assert not agrees(risks[:, None], [untold])


def test_isotropic_inputs_have_the_best_step_of_one_step():
    matrix = theory.pretraining.trained_attention(np.ones(5), 20, label_noise_std=1.0, prior_variances=0.5)
    np.testing.assert_allclose(matrix, 20 / (20 + 5 + 1 + 2), rtol=1e-12)
    risk = theory.pretrained_attention_risk(np.ones(5), 20, label_noise_std=1.0, prior_variances=1.0)
    assert risk == pytest.approx(5 * (5 + 1 + 1) / (20 + 5 + 1 + 1))
    one_step = functools.partial(theory.expected_risk, 5, 20, num_steps=1, label_noise_std=1.0, decoding_noise_std=0.0)
    assert one_step(step_size=20 / 27, signal_var=1.0).total == pytest.approx(float(risk), rel=1e-9)


def test_many_lengths_at_once_are_one_by_one():
    lengths, noises = np.array([5, 20]), np.array([[0.1], [1.0], [2.0]])
    many = theory.pretraining.trained_attention(EIGENVALUES, lengths, label_noise_std=noises, prior_variances=VARIANCES)
    assert many.shape == (3, 2, 3)
    one = theory.pretraining.trained_attention(EIGENVALUES, 20, label_noise_std=1.0, prior_variances=VARIANCES)
    np.testing.assert_allclose(many[1, 1], one, rtol=1e-12)


def test_longer_contexts_than_trained_on_leave_a_bias():
    lengths = np.array([5, 20, 10**6])
    risk = theory.pretrained_attention_risk(np.ones(5), 20, label_noise_std=1.0, test_examples=lengths)
    matrix = theory.pretraining.trained_attention(np.ones(5), 20, label_noise_std=1.0)
    assert (np.diff(risk) < 0).all()
    assert risk[-1] == pytest.approx(np.sum((1 - matrix) ** 2) / 5, rel=1e-4)


def fitted_error(rng, dim, alpha, kappa, tau, noise):
    """Squared error on new tasks of the least-squares fit of least norm to tau d^2 prompts."""
    tasks = rng.normal(size=(round(kappa * dim), dim)) if np.isfinite(kappa) else None
    num_examples = round(alpha * dim)

    def prompts(count, tasks):
        truth = rng.normal(size=(count, dim)) if tasks is None else tasks[rng.integers(len(tasks), size=count)]
        inputs = rng.normal(size=(count, num_examples + 1, dim)) / np.sqrt(dim)
        targets = np.einsum("pnd,pd->pn", inputs, truth) + np.sqrt(noise) * rng.normal(size=(count, num_examples + 1))
        seen = dim / num_examples * np.einsum("pn,pnd->pd", targets[:, :-1], inputs[:, :-1])
        seen = np.concatenate([seen, (targets[:, :-1] ** 2).mean(axis=1, keepdims=True)], axis=1)
        return np.einsum("pi,pj->pij", inputs[:, -1], seen).reshape(count, -1), targets[:, -1]

    features, answers = prompts(round(tau * dim**2), tasks)
    if tau < 1:
        weights = features.T @ np.linalg.solve(features @ features.T, answers)
    else:
        weights = np.linalg.solve(features.T @ features, features.T @ answers)
    fresh, labels = prompts(2000, None)
    return np.mean((fresh @ weights - labels) ** 2)


@pytest.mark.parametrize(
    ("alpha", "kappa", "tau", "noise"), [(2.0, np.inf, 0.5, 0.1), (1.0, 2.0, 3.0, 0.2), (2.0, 0.5, 4.0, 0.1)]
)
def test_few_prompts_cost_what_simulated_ones_do(alpha, kappa, tau, noise, rng):
    """Extrapolated from three dimensions; what the third one changes is the size of what is left."""
    runs = [
        [fitted_error(rng, dim, alpha, kappa, tau, noise) for _ in range(count)]
        for dim, count in ((8, 160), (16, 60), (32, 16))
    ]
    means, errors = np.array([[np.mean(run), np.std(run, ddof=1) / np.sqrt(len(run))] for run in runs]).T
    linear, quadratic = np.array([0.0, -1.0, 2.0]), np.array([1 / 3, -2.0, 8 / 3])
    left = np.abs((quadratic - linear) @ means)
    error = np.hypot(np.linalg.norm(quadratic * errors), left)
    predicted = float(theory.ridgeless_icl_risk(alpha, kappa, tau, noise))
    assert abs(quadratic @ means - predicted) / error < threshold(1)
    # Not what it would be if nothing were scarce: neither prompts nor tasks.
    plenty = [theory.ridgeless_icl_risk(alpha, kappa, 1e9, noise), theory.ridgeless_icl_risk(alpha, np.inf, tau, noise)]
    assert max(abs(quadratic @ means - float(wrong)) / error for wrong in plenty) > threshold(1)


def test_limits_of_many_prompts():
    """With all prompts and all tasks, the error is that of the trained layer in large dimension, plus the label noise."""
    alpha, noise = 2.0, 0.1
    limit = float(theory.ridgeless_icl_risk(alpha, np.inf, 1e9, noise))
    dim = 20_000
    spectrum, variances = np.full(dim, 1 / dim), np.ones(dim)
    trained = theory.pretrained_attention_risk(
        spectrum, round(alpha * dim), label_noise_std=np.sqrt(noise), prior_variances=variances
    )
    assert limit == pytest.approx(float(trained) + noise, rel=1e-3)
    near = theory.ridgeless_icl_risk(alpha, np.inf, np.array([0.999, 1.001]), noise)
    assert (near > 100).all()
    many = theory.ridgeless_icl_risk(alpha, np.array([1e7, np.inf]), np.array([[0.5], [2.0]]), noise)
    np.testing.assert_allclose(many[:, 0], many[:, 1], rtol=1e-5)


def deep_errors(rng, dim, alpha, tau, noise, depth):
    """Squared error of a coefficient after every step of a chain whose matrix is fitted to tau d contexts."""
    num_examples = round(alpha * dim)

    def context():
        inputs, truth = rng.normal(size=(num_examples, dim)), rng.normal(size=dim)
        return inputs, inputs @ truth + np.sqrt(noise * dim) * rng.normal(size=num_examples), truth

    pairs = [
        (inputs.T @ targets / num_examples, truth) for inputs, targets, truth in (context() for _ in range(round(tau * dim)))
    ]
    seen, truths = (np.array(part) for part in zip(*pairs, strict=True))
    matrix = np.linalg.lstsq(seen, truths, rcond=None)[0].T
    inputs, targets, truth = context()
    state, errors = np.zeros(dim), []
    for _ in range(depth + 1):
        errors.append(np.mean((state - truth) ** 2))
        state = state + matrix @ inputs.T @ (targets - inputs @ state) / num_examples
    return errors


@pytest.mark.parametrize(("alpha", "tau", "noise"), [(3.0, 1.5, 0.0), (1.5, 3.0, 0.3)])
def test_errors_by_depth_are_the_simulated_ones(alpha, tau, noise, rng):
    depth = 5
    runs = [
        np.array([deep_errors(rng, dim, alpha, tau, noise, depth) for _ in range(count)])
        for dim, count in ((40, 120), (120, 24))
    ]
    (small, large), errors = [run.mean(axis=0) for run in runs], [run.std(axis=0, ddof=1) / np.sqrt(len(run)) for run in runs]
    limit = 1.5 * large - 0.5 * small
    error = np.sqrt((1.5 * errors[1]) ** 2 + (0.5 * errors[0]) ** 2 + ((large - small) / 3) ** 2)
    predicted = theory.chain_depth_risk(alpha, tau, noise, num_steps=depth)
    assert (np.abs(limit - predicted) / error).max() < threshold(depth + 1)
    assert (np.abs(limit - 1.25 * predicted) / error).max() > threshold(depth + 1)
    endless = theory.chain_depth_risk(alpha, 1e9, noise, num_steps=depth)
    assert (np.abs(limit - endless) / error).max() > threshold(depth + 1)


def test_without_sampling_error_depth_is_a_longer_chain():
    """With tau infinite the chain is gradient descent with the best step of one step."""
    alpha, noise, dim = 2.0, 0.2, 10**7
    found = theory.chain_depth_risk(alpha, 1e12, noise, num_steps=6)
    expected = theory.expected_risk(
        dim,
        round(alpha * dim),
        num_steps=np.arange(7),
        step_size=1 / (1 + (1 + noise) / alpha),
        label_noise_std=np.sqrt(noise),
        decoding_noise_std=0.0,
        signal_var=1 / dim,
    ).total
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_traced_values_broadcast_and_have_derivatives():
    depths = theory.chain_depth_risk(np.array([[2.0], [3.0]]), np.array([1.5, 2.0, 4.0]), 0.1, num_steps=3)
    assert depths.shape == (2, 3, 4)
    np.testing.assert_allclose(
        jax.jit(lambda a: theory.chain_depth_risk(a, 2.0, 0.1, num_steps=3))(3.0), depths[1, 1], rtol=1e-6
    )
    slope = jax.grad(lambda tau: theory.chain_depth_risk(3.0, tau, 0.1, num_steps=3)[3])(jnp.float32(2.0))
    plain = [theory.chain_depth_risk(3.0, tau, 0.1, num_steps=3)[3] for tau in (1.999, 2.001)]
    assert float(slope) == pytest.approx((plain[1] - plain[0]) / 0.002, rel=1e-4)
    for tau in (0.5, 2.0):
        slope = jax.grad(lambda value: theory.ridgeless_icl_risk(2.0, np.inf, value, 0.1))(jnp.float32(tau))
        plain = [theory.ridgeless_icl_risk(2.0, np.inf, value, 0.1) for value in (tau - 1e-4, tau + 1e-4)]
        assert float(slope) == pytest.approx((plain[1] - plain[0]) / 2e-4, rel=1e-4)
    risk = jax.vmap(lambda m: theory.pretrained_attention_risk(EIGENVALUES, 6, label_noise_std=0.8, test_examples=m))
    expected = theory.pretrained_attention_risk(EIGENVALUES, 6, label_noise_std=0.8, test_examples=np.array([3, 9]))
    np.testing.assert_allclose(risk(jnp.array([3, 9])), expected, rtol=1e-6)


BAD = [
    (lambda: theory.pretraining.trained_attention([1.0, 0.0], 5, label_noise_std=0.1), "eigenvalues", "0"),
    (lambda: theory.pretraining.trained_attention([1.0], 0, label_noise_std=0.1), "num_examples", "0"),
    (
        lambda: theory.pretraining.trained_attention([1.0], 5, label_noise_std=0.1, prior_variances=[1.0, 2.0]),
        "prior_variances",
        "(2,)",
    ),
    (lambda: theory.pretrained_attention_risk([1.0], 5, label_noise_std=0.1, test_eigenvalues=[1.0, 2.0]), "test_eig", "(2,)"),
    (lambda: theory.pretrained_attention_risk([1.0], 5, label_noise_std=0.1, test_examples=0), "test_examples", "0"),
    (lambda: theory.ridgeless_icl_risk(2.0, 1.0, 1.0, 0.1), "tau", "1"),
    (lambda: theory.ridgeless_icl_risk(0.0, 1.0, 2.0, 0.1), "alpha", "0"),
    (lambda: theory.ridgeless_icl_risk(2.0, -1.0, 2.0, 0.1), "kappa", "-1"),
    (lambda: theory.ridgeless_icl_risk(2.0, 1.0, 2.0, -0.1), "noise", "-0.1"),
    (lambda: theory.chain_depth_risk(2.0, 1.0, 0.1, num_steps=3), "tau", "1"),
    (lambda: theory.chain_depth_risk(2.0, 2.0, 0.1, num_steps=-1), "num_steps", "-1"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
