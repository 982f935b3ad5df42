"""The risk of a chain against explicit matrices, exact Wishart values, an independent evaluation, and simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory
from tests.errors import assert_named
from tests.statistics import agrees

CHAIN = {"num_steps": 7, "step_size": 0.3, "label_noise_std": 0.4, "decoding_noise_std": 0.1, "num_candidates": 3}


def by_matrices(
    inputs, eigenvalues, prior_variances, *, num_steps, step_size, label_noise_std, decoding_noise_std, num_candidates
):
    """The three terms with explicit sums of matrix powers."""
    num_examples, dim = inputs.shape
    gram = inputs.T @ inputs / num_examples
    contraction, identity = np.eye(dim) - step_size * gram, np.eye(dim)
    powers = [np.linalg.matrix_power(contraction, s) for s in range(num_steps)]
    gathered = step_size * sum(powers, 0 * identity)
    spread = sum((power @ power for power in powers), 0 * identity)
    decay = np.linalg.matrix_power(contraction, num_steps)
    covariance = np.diag(eigenvalues)
    return (
        np.trace(covariance @ decay @ np.diag(prior_variances) @ decay),
        label_noise_std**2 / num_examples * np.trace(covariance @ gathered @ gram @ gathered),
        decoding_noise_std**2 / num_candidates * np.trace(covariance @ spread),
    )


@pytest.mark.parametrize("sizes", [(9, 5), (3, 6), (5, 5)])
@pytest.mark.parametrize("num_steps", [0, 1, 2, 7, 31])
def test_given_context_is_the_matrix_formula(sizes, num_steps, rng):
    inputs = rng.normal(size=sizes)
    eigenvalues, prior = rng.uniform(0.1, 2, sizes[1]), rng.uniform(0.1, 2, sizes[1])
    chain = {**CHAIN, "num_steps": num_steps}
    found = theory.risk_given_context(inputs, eigenvalues=eigenvalues, prior_variances=prior, **chain)
    np.testing.assert_allclose(found, by_matrices(inputs, eigenvalues, prior, **chain), rtol=1e-10, atol=1e-14)
    assert found.total == pytest.approx(sum(found))


def test_given_context_defaults_are_isotropic(rng):
    inputs = rng.normal(size=(9, 4))
    explicit = theory.risk_given_context(inputs, eigenvalues=np.ones(4), prior_variances=np.full(4, 0.25), **CHAIN)
    np.testing.assert_array_equal(theory.risk_given_context(inputs, **CHAIN), explicit)
    tenth = theory.risk_given_context(inputs, prior_variances=np.full(4, 0.1), **CHAIN)
    np.testing.assert_array_equal(theory.risk_given_context(inputs, prior_variances=0.1, **CHAIN), tenth)


def test_given_context_is_the_mean_over_coefficients_and_noises(rng):
    inputs, eigenvalues, prior = rng.normal(size=(6, 3)), np.array([1.0, 0.5, 2.0]), np.array([0.3, 1.0, 0.1])
    repeats = 40_000
    coefficients = rng.normal(size=(repeats, 3)) * np.sqrt(prior)
    targets = coefficients @ inputs.T + CHAIN["label_noise_std"] * rng.normal(size=(repeats, 6))
    states = np.zeros((repeats, CHAIN["num_candidates"], 3))
    for _ in range(CHAIN["num_steps"]):
        residuals = targets[:, None] - states @ inputs.T
        states += CHAIN["step_size"] / 6 * residuals @ inputs + CHAIN["decoding_noise_std"] * rng.normal(size=states.shape)
    risks = np.sum(eigenvalues * (states.mean(1) - coefficients) ** 2, axis=1, keepdims=True)
    predicted = theory.risk_given_context(inputs, eigenvalues=eigenvalues, prior_variances=prior, **CHAIN)
    assert agrees(risks, [predicted.total])
    for wrong in (*(predicted.total - term for term in predicted), 1.05 * predicted.total, 0.95 * predicted.total):
        assert not agrees(risks, [wrong])


def test_expected_risk_has_the_known_values():
    # (n, d, eta, T) = (40, 20, .4, 10); leading and corrected averages of the bias and decoding-noise functions.
    chain = {"num_steps": 10, "step_size": 0.4, "label_noise_std": 0.0, "decoding_noise_std": 1.0, "signal_var": 1.0}
    risk = theory.expected_risk(20, 40, **chain)
    assert risk.bias / 20 == pytest.approx(0.049403, abs=5e-7)
    assert risk.decoding_noise / 20 == pytest.approx(2.521658, abs=5e-7)


@pytest.mark.parametrize("sizes", [(20, 40), (12, 5), (6, 6), (2, 1)])
def test_one_and_two_steps_are_exact_wishart_moments(sizes):
    dim, n = sizes
    m1, m2 = 1.0, (n + dim + 1) / n
    m3 = (n**2 + dim**2 + 3 * n * dim + 3 * n + 3 * dim + 4) / n**2
    eta, sigma, tau = 0.3, 0.7, 0.2
    noise = {"step_size": eta, "label_noise_std": sigma, "decoding_noise_std": tau, "signal_var": 1.0}
    one = theory.expected_risk(dim, n, num_steps=1, **noise)
    expected = (dim * (1 - 2 * eta * m1 + eta**2 * m2), sigma**2 * dim / n * eta**2 * m1, tau**2 * dim)
    np.testing.assert_allclose(one, expected, rtol=1e-9)
    np.testing.assert_array_equal(theory.chains.expected_risk_next_order(dim, n, num_steps=np.array([1, 2]), **noise), 0)
    two = theory.expected_risk(dim, n, num_steps=2, **noise)  # x (2 eta - eta^2 x)^2 and 1 + (1 - eta x)^2
    m4 = n**3 + 6 * n**2 * dim + 6 * n * dim**2 + dim**3 + 6 * n**2 + 17 * n * dim + 6 * dim**2 + 21 * (n + dim)
    bias = dim * (1 - 4 * eta * m1 + 6 * eta**2 * m2 - 4 * eta**3 * m3 + eta**4 * (m4 + 20) / n**3)
    label = sigma**2 * dim / n * (4 * eta**2 * m1 - 4 * eta**3 * m2 + eta**4 * m3)
    decoding = tau**2 * dim * (2 - 2 * eta * m1 + eta**2 * m2)
    np.testing.assert_allclose(two, [bias, label, decoding], rtol=1e-7)
    assert abs(two[0] / (bias - dim * eta**4 * 20 / n**3) - 1) > 1e-6  # without the order after the next


def independent_expected_risk(dim, n, *, num_steps, step_size, label_noise_std, decoding_noise_std, num_candidates):
    """Leading order and first correction by dense midpoint sums in the angle, in NumPy double precision."""
    gamma, points = dim / n, 400_000
    angle = (np.arange(points) + 0.5) * np.pi / points
    nodes = 1 + gamma - 2 * gamma**0.5 * np.cos(angle)

    def functions(x):
        ratio = 1 - step_size * x
        total, squares = 0 * x, 0 * x
        for power in range(num_steps):
            total, squares = total + ratio**power, squares + ratio ** (2 * power)
        return ratio ** (2 * num_steps), x * (step_size * total) ** 2, squares

    edges = functions(np.array([(1 - gamma**0.5) ** 2, (1 + gamma**0.5) ** 2]))
    atom = functions(np.zeros(1))
    averages = [
        2 / points * np.sum(np.sin(angle) ** 2 * inside / nodes)
        + max(0.0, 1 - 1 / gamma) * zero[0]
        + (edge.sum() / 4 - inside.mean() / 2) / dim
        for inside, edge, zero in zip(functions(nodes), edges, atom, strict=True)
    ]
    scales = (1.0, label_noise_std**2 * dim / n, decoding_noise_std**2 * dim / num_candidates)
    return [scale * average for scale, average in zip(scales, averages, strict=True)]


@pytest.mark.parametrize("sizes", [(20, 40), (40, 20), (100, 1000), (64, 60)])
@pytest.mark.parametrize("num_steps", [0, 1, 10, 50])
def test_a_float32_session_gets_double_precision(sizes, num_steps):
    assert jnp.zeros(1).dtype == jnp.float32
    chain = {**CHAIN, "num_steps": num_steps}
    found = theory.expected_risk(*sizes, **chain)
    np.testing.assert_allclose(found, independent_expected_risk(*sizes, **chain), rtol=1e-8, atol=1e-12)
    traced = jax.jit(lambda step: theory.expected_risk(*sizes, **{**chain, "step_size": step}))(jnp.float32(0.3))
    exact = theory.expected_risk(*sizes, **{**chain, "step_size": float(np.float32(0.3))})
    np.testing.assert_allclose(traced, exact, rtol=1e-6, atol=1e-12)
    assert {leaf.dtype for leaf in jax.tree.leaves(traced)} == {np.dtype("float32")}


def test_long_chains_settle():
    chain = {**CHAIN, "num_steps": np.array([10**4, 10**6]), "step_size": 0.5}
    risk = theory.expected_risk(20, 40, **chain)
    least_squares = theory.expected_risk(20, 40, **{**chain, "num_steps": 10**7})
    np.testing.assert_allclose(risk.bias, 0, atol=1e-10)
    np.testing.assert_allclose(risk.label_noise, least_squares.label_noise, rtol=1e-8)
    # Leading order of least squares is sigma^2 d / (n - d); exactly sigma^2 d / (n - d - 1) on average.
    assert least_squares.label_noise == pytest.approx(0.4**2 * 20 / 19, rel=0.01)


@pytest.mark.parametrize(("sizes", "num_steps"), [((99, 100), 3000), ((495, 500), 10_000), ((990, 1000), 100_000)])
def test_long_chains_near_square_contexts(sizes, num_steps):
    """Dense midpoint sums in the angle resolve the edge that the rule's nodes must resolve too."""
    dim, n = sizes
    gamma, points, step = dim / n, 2_000_000, 0.4
    angle = (np.arange(points) + 0.5) * np.pi / points
    nodes = (1 - gamma**0.5) ** 2 + 4 * gamma**0.5 * np.sin(angle / 2) ** 2
    spread = -np.expm1(2 * num_steps * np.log(np.abs(1 - step * nodes))) / (step * nodes * (2 - step * nodes))
    edges = (1 - gamma**0.5) ** 2, (1 + gamma**0.5) ** 2
    ends = [-np.expm1(2 * num_steps * np.log(abs(1 - step * x))) / (step * x * (2 - step * x)) for x in edges]
    average = 2 / points * np.sum(np.sin(angle) ** 2 * spread / nodes) + (sum(ends) / 4 - spread.mean() / 2) / dim
    chain = {"num_steps": num_steps, "step_size": step, "label_noise_std": 0.0, "decoding_noise_std": 1.0}
    assert theory.expected_risk(dim, n, **chain).decoding_noise == pytest.approx(dim * average, rel=1e-6)


def test_plain_and_array_sizes_agree():
    plain = theory.expected_risk(30, 40, **CHAIN)
    np.testing.assert_array_equal(theory.expected_risk(jnp.array(30), 40, **CHAIN), plain)


def test_strict_promotion_of_the_session_is_no_hindrance():
    with jax.numpy_dtype_promotion("strict"):
        strict = theory.expected_risk(20, 40, **CHAIN)
        theory.risk_given_context(INPUTS, **CHAIN)
    np.testing.assert_array_equal(strict, theory.expected_risk(20, 40, **CHAIN))


def test_steps_beyond_the_edge_of_stability_are_refused():
    wild = {**CHAIN, "step_size": 0.9}
    with pytest.raises(
        ValueError, match=r"step_size must be below the edge of stability = 0.6863, got 0.9; .*largest_stable_step"
    ):
        theory.expected_risk(20, 40, **wild)
    with pytest.raises(
        ValueError, match=r"step_size must be below the edge of stability = 0.6863, got 0.9; .*largest_stable_step"
    ):
        theory.expected_risk_covariance(np.ones(20), 40, **wild)
    asked = theory.expected_risk(20, 40, **wild, allow_divergence=True)
    assert asked.total > theory.expected_risk(20, 40, **{**CHAIN, "step_size": 0.68}).total
    orders = theory.expected_risk_covariance, theory.chains.expected_risk_covariance_next_order
    same = sum(order(np.ones(20), 40, **wild, allow_divergence=True).total for order in orders)
    assert same == pytest.approx(asked.total, rel=1e-8)
    assert np.isnan(jax.jit(lambda step: theory.expected_risk(20, 40, **{**CHAIN, "step_size": step}).total)(0.9))


def test_what_overflows_is_infinite_and_not_nan():
    wild = {**CHAIN, "step_size": 3.0, "num_steps": 200, "allow_divergence": True}
    assert all(term == np.inf for term in theory.expected_risk(20, 40, **wild))
    quiet = theory.expected_risk(20, 40, **{**wild, "decoding_noise_std": 0.0})
    assert quiet.decoding_noise == 0.0
    assert quiet.total == np.inf


def test_decoding_noise_grows_without_bound_when_some_directions_are_unseen():
    chain = {**CHAIN, "step_size": 0.1, "num_steps": np.array([1000, 2000])}
    first, second = theory.expected_risk(40, 20, **chain).decoding_noise
    assert second - first == pytest.approx(0.1**2 / 3 * (40 - 20) * 1000, rel=1e-6)


def test_arguments_broadcast():
    risk = theory.expected_risk(
        np.array([10, 20]),
        40,
        num_steps=np.arange(3)[:, None],
        step_size=0.1,
        label_noise_std=0.1,
        decoding_noise_std=np.zeros((4, 1, 1)),
    )
    assert {term.shape for term in risk} == {(4, 3, 2)}
    single = theory.expected_risk(20, 40, num_steps=2, step_size=0.1, label_noise_std=0.1, decoding_noise_std=0.0)
    assert risk.total[0, 2, 1] == pytest.approx(single.total, rel=1e-14)


def test_signal_variance_is_one_over_the_dimension_by_default():
    np.testing.assert_array_equal(
        theory.expected_risk(20, 40, **CHAIN), theory.expected_risk(20, 40, signal_var=1 / 20, **CHAIN)
    )
    assert theory.expected_risk(20, 40, **{**CHAIN, "num_steps": 0}).total == pytest.approx(1.0, rel=1e-12)


def _expected(dim=20, num_examples=40, **changed):
    return theory.expected_risk(dim, num_examples, **{**CHAIN, **changed})


def _given(inputs, **changed):
    return theory.risk_given_context(inputs, **{**CHAIN, **changed})


INPUTS = np.ones((4, 3))
BAD = [
    (lambda: _expected(dim=0), "dim", "0"),
    (lambda: _expected(dim=2.5), "dim", "2.5"),
    (lambda: _expected(num_examples=-3), "num_examples", "-3"),
    (lambda: _expected(num_steps=-1), "num_steps", "-1"),
    (lambda: _expected(num_steps=10**20), "num_steps", "1e+20"),
    (lambda: _expected(step_size=None), "step_size", "None"),
    (lambda: _expected(num_steps=[3, 1.5]), "num_steps", "1.5"),
    (lambda: _expected(step_size=np.inf), "step_size", "inf"),
    (lambda: _expected(label_noise_std=-1), "label_noise_std", "-1"),
    (lambda: _expected(decoding_noise_std=np.nan), "decoding_noise_std", "nan"),
    (lambda: _expected(num_candidates=0), "num_candidates", "0"),
    (lambda: _expected(signal_var=-2), "signal_var", "-2"),
    (lambda: _expected(signal_var="big"), "signal_var", "'big'"),
    (lambda: _expected(num_steps=[1, 2], step_size=[0.1, 0.2, 0.3]), "num_steps", "(3,)"),
    (lambda: _given(np.ones(3)), "inputs", "(3,)"),
    (lambda: _given(np.ones((0, 3))), "inputs", "(0, 3)"),
    (lambda: _given(np.full((2, 2), np.nan)), "inputs", "nan"),
    (lambda: _given(INPUTS, eigenvalues=np.ones(4)), "eigenvalues", "(4,)"),
    (lambda: _given(INPUTS, eigenvalues=[1, 1, -1]), "eigenvalues", "-1"),
    (lambda: _given(INPUTS, prior_variances=[1, 1]), "prior_variances", "(2,)"),
    (lambda: _given(INPUTS, num_steps=-1), "num_steps", "-1"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
