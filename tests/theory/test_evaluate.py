"""One contract for every prediction: jit, vmap, forward and reverse derivatives of first and second order, in float32."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory

INPUTS = np.random.default_rng(1).normal(size=(6, 4))
CHAIN = {"num_steps": 5, "step_size": 0.2, "label_noise_std": 0.4, "decoding_noise_std": 0.1}


def total(function, *arguments, **fixed):
    return lambda **changed: function(*arguments, **{**fixed, **changed}).total


# Function of keyword scalars, and the point at which each of them is moved.
CASES = {
    "expected_risk": (
        total(theory.expected_risk, 20, 40, **CHAIN),
        {"step_size": 0.2, "label_noise_std": 0.4, "decoding_noise_std": 0.1, "signal_var": 0.05},
    ),
    "expected_risk, more coefficients than examples": (
        total(theory.expected_risk, 40, 20, **CHAIN),
        {"step_size": 0.05, "label_noise_std": 0.4, "decoding_noise_std": 0.1},
    ),
    "expected_risk_next_order": (total(theory.chains.expected_risk_next_order, 20, 40, **CHAIN), {"step_size": 0.2}),
    "risk_given_context": (
        total(theory.risk_given_context, INPUTS, **CHAIN),
        {"step_size": 0.2, "label_noise_std": 0.4, "decoding_noise_std": 0.1},
    ),
    "best_of_n_risk": (
        lambda noise_std: theory.best_of_n_risk(
            theory.selection.Gaussian(np.zeros(2), np.eye(2)),
            theory.selection.Quadratic(np.diag([1.0, 2.0]), np.ones(2), noise_std),
            np.ones(2),
            np.ones(2),
            8,
        ),
        {"noise_std": 0.7},
    ),
    "best_of_n_risk_gaussian": (
        lambda noise_std: theory.selection.best_of_n_risk_gaussian(
            theory.selection.Gaussian(np.zeros(2), np.eye(2)),
            theory.selection.Quadratic(np.diag([1.0, 2.0]), np.ones(2), noise_std),
            np.ones(2),
            np.ones(2),
            8,
        ),
        {"noise_std": 0.7},
    ),
    "scalar_best_of_n": (lambda offset: theory.scalar_best_of_n(offset, 8), {"offset": 0.7}),
    "scalar_softmax_selection": (
        lambda reward_offset=0.4, temperature=0.3: theory.scalar_softmax_selection(0.7, reward_offset, temperature, 8),
        {"reward_offset": 0.4, "temperature": 0.3},
    ),
    "divergence_probability": (functools.partial(theory.divergence_probability, 20, 40), {"step_size": 0.6}),
    "largest_stable_step": (functools.partial(theory.largest_stable_step, 20, 40), {"probability": 0.01}),
}


@pytest.fixture(params=CASES)
def case(request):
    """A function of keyword scalars and a point whose coordinates are exact in single precision."""
    function, point = CASES[request.param]
    return function, {name: float(np.float32(value)) for name, value in point.items()}


def differences(function, value):
    """First and second derivative by five-point central differences in double precision."""
    step = 3e-3 * value
    values = np.array([function(value + shift * step) for shift in (-2, -1, 0, 1, 2)])
    return values @ [1, -8, 0, 8, -1] / (12 * step), values @ [-1, 16, -30, 16, -1] / (12 * step**2)


def along(function, point, argument):
    """The function of one of its arguments; the others stay at the point."""
    return lambda value: function(**{**point, argument: value})


def test_plain_values_give_numpy_double_precision(case):
    function, point = case
    assert isinstance(function(**point), np.float64)
    assert function(**{name: np.array([value, value]) for name, value in point.items()}).dtype == np.float64


def test_first_derivatives_in_every_argument(case):
    function, point = case
    for derivative in (jax.jit(jax.grad(lambda given: function(**given))), jax.jacfwd(lambda given: function(**given))):
        slopes = derivative(point)
        for name, value in point.items():
            slope, _ = differences(along(function, point, name), value)
            assert float(slopes[name]) == pytest.approx(slope, rel=1e-5, abs=1e-7 * abs(function(**point)) / value)
            assert float(slopes[name]) != pytest.approx(1.01 * slope, rel=1e-5)


def test_second_derivatives(case):
    function, point = case
    name, value = next(iter(point.items()))
    one = along(function, point, name)
    slope, curvature = differences(one, value)
    for second in (jax.hessian(one), jax.grad(jax.grad(one))):
        assert float(second(value)) == pytest.approx(curvature, rel=1e-3, abs=1e-3 * abs(slope) / value)


def test_derivatives_of_a_batch(case):
    function, point = case
    name, value = next(iter(point.items()))
    one = along(function, point, name)
    values = jnp.asarray(value * np.array([0.9, 1.1], np.float32))
    expected = [differences(one, float(value))[0] for value in values]
    np.testing.assert_allclose(jax.vmap(jax.grad(one))(values), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(lambda values: one(values).sum())(values), expected, rtol=1e-5)


@pytest.mark.parametrize("counted", ["num_steps", "num_candidates"])
def test_counts_may_be_traced(counted):
    function = total(theory.expected_risk, 20, 40, **CHAIN)
    counts = np.array([1, 2, 30])
    expected = [function(**{counted: int(count)}) for count in counts]
    np.testing.assert_allclose(jax.vmap(lambda count: function(**{counted: count}))(counts), expected, rtol=1e-6)
    np.testing.assert_allclose(function(**{counted: counts}), expected, rtol=1e-12)


def test_sizes_may_be_traced():
    found = jax.vmap(lambda dim: theory.expected_risk(dim, 40, **CHAIN).total)(jnp.array([10, 20]))
    np.testing.assert_allclose(found, [theory.expected_risk(dim, 40, **CHAIN).total for dim in (10, 20)], rtol=1e-6)


def test_derivative_in_the_inputs():
    def risk(inputs):
        return theory.risk_given_context(inputs, **CHAIN).total

    slope = jax.grad(risk)(jnp.asarray(INPUTS, jnp.float32))
    inputs = np.asarray(INPUTS, np.float32).astype(float)
    for index in ((0, 0), (3, 2), (5, 3)):
        shift = np.zeros_like(inputs)
        shift[index] = 1e-5
        assert float(slope[index]) == pytest.approx((risk(inputs + shift) - risk(inputs - shift)) / 2e-5, rel=1e-4)
    many = jax.vmap(risk)(jnp.stack([jnp.asarray(INPUTS, jnp.float32)] * 2))
    np.testing.assert_allclose(many, risk(inputs), rtol=1e-6)


@pytest.mark.parametrize(
    "inputs", [np.sqrt(2) * np.eye(2), np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])], ids=["equal", "zero"]
)
def test_derivative_in_inputs_with_repeated_eigenvalues(inputs):
    def risk(inputs):
        return theory.risk_given_context(inputs, **CHAIN).total

    slope = jax.grad(risk)(jnp.asarray(inputs, jnp.float32))
    shift = np.zeros_like(inputs)
    shift[0, 1] = shift[1, 0] = 1e-4
    expected = (risk(inputs + shift) - risk(inputs - shift)) / 2e-4
    assert float(np.sum(slope * shift / 1e-4)) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_derivative_in_spectrum_and_prior():
    ones = jnp.ones(4)

    def risk(eigenvalues, prior):
        return theory.risk_given_context(INPUTS, eigenvalues=eigenvalues, prior_variances=prior, **CHAIN).total

    slopes = jax.grad(risk, argnums=(0, 1))(ones, ones)
    # The risk is linear in the spectrum, and its bias in the prior (Euler's relation).
    terms = theory.risk_given_context(INPUTS, eigenvalues=np.ones(4), prior_variances=np.ones(4), **CHAIN)
    assert float(slopes[0].sum()) == pytest.approx(terms.total, rel=1e-6)
    assert float(slopes[1].sum()) == pytest.approx(terms.bias, rel=1e-6)


def test_double_precision_session_keeps_double_precision():
    function = total(theory.expected_risk, 20, 40, **CHAIN)
    with jax.enable_x64(True):
        traced = jax.jit(lambda step: function(step_size=step))(0.2)
        assert traced.dtype == np.float64
        assert float(traced) == pytest.approx(function(step_size=0.2), rel=1e-13)


def test_a_caller_s_scan_may_hold_plain_predictions():
    def body(carry, step):
        plain = theory.expected_maximum_normal(5)
        risk = theory.expected_risk(20, 40, num_steps=3, step_size=step, label_noise_std=0.5, decoding_noise_std=0.1)
        return carry + plain, risk.total

    steps = jnp.array([0.1, 0.2])
    total, risks = jax.lax.scan(body, 0.0, steps)
    chain = {"num_steps": 3, "label_noise_std": 0.5, "decoding_noise_std": 0.1}
    np.testing.assert_allclose(risks, theory.expected_risk(20, 40, step_size=np.asarray(steps), **chain).total, rtol=1e-6)
    assert float(total) == pytest.approx(2 * theory.expected_maximum_normal(5), rel=1e-6)


def test_failures_leave_nothing_in_jax_caches():
    values = np.array([1.0, 2.0, 3.0])
    chain = {"num_steps": 3, "step_size": 0.1, "decoding_noise_std": 0.1}

    def failing(noise):
        theory.expected_risk_covariance(values, 10, label_noise_std=noise, **chain)
        raise RuntimeError("in the caller's code")

    float(jax.jit(theory.chains.spectral_edge)(values, 10))
    for transform in (jax.jit, jax.vmap, jax.grad):
        with pytest.raises(RuntimeError, match="in the caller's code"):
            transform(failing)(0.1 if transform is not jax.vmap else jnp.array([0.1]))
        with pytest.raises(ValueError, match="label_noise_std"):
            transform(lambda x: theory.expected_risk_covariance(values, 10, label_noise_std=-1.0, **chain).total * x)(
                1.0 if transform is not jax.vmap else jnp.ones(1)
            )
    doubled = jax.jit(lambda z: z * 2)(values)
    assert doubled.dtype == np.float32
    np.testing.assert_array_equal(doubled, 2 * values)
