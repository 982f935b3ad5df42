"""Tasks have the law that their configuration names, share random numbers across noise levels, and refuse bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from tests.statistics import agrees
from ttc_jax import BinaryPrior, GaussianPrior, GivenSpectrum, Isotropic, PowerLaw, TaskConfig, sample_context, sample_task

SPECTRA = {
    "isotropic": (Isotropic(2.0), [2.0, 2.0, 2.0]),
    "power law": (PowerLaw(1.5), [1.0, 2**-1.5, 3**-1.5]),
    "given": (GivenSpectrum([4.0, 0.0, 1.0]), [4.0, 0.0, 1.0]),
}
GAUSSIAN_PRIORS = {
    "default": (GaussianPrior(), [1 / 3] * 3),
    "one variance": (GaussianPrior(4.0), [4.0] * 3),
    "listed variances": (GaussianPrior((1.0, 2.0, 3.0)), [1.0, 2.0, 3.0]),
}
BINARY_PRIORS = [BinaryPrior(), BinaryPrior(0.0, 1.0, prob_high=0.25)]


def tasks(config, num=40_000, seed=0, **noise):
    keys = jax.random.split(jax.random.key(seed), num)
    return jax.jit(jax.vmap(lambda key: sample_task(key, config, **noise)))(keys)


@pytest.mark.parametrize("name", SPECTRA)
def test_inputs_have_the_spectrum(name):
    spectrum, expected = SPECTRA[name]
    batch = tasks(TaskConfig(3, 2, spectrum))
    np.testing.assert_allclose(batch.eigenvalues[0], expected, rtol=1e-6)
    products = jnp.einsum("bni,bnj->bij", batch.context.inputs, batch.context.inputs) / 2
    nonzero = np.asarray(expected) > 0
    assert agrees(products[:, nonzero][:, :, nonzero], np.diag(expected)[nonzero][:, nonzero])
    assert not agrees(products[:, :1, :1], 1.05 * np.diag(expected)[:1, :1])
    assert np.all(np.asarray(batch.context.inputs)[:, :, ~nonzero] == 0)


@pytest.mark.parametrize("name", GAUSSIAN_PRIORS)
def test_gaussian_coefficients_have_the_prior(name):
    prior, variances = GAUSSIAN_PRIORS[name]
    coefficients = np.asarray(tasks(TaskConfig(3, 2, prior=prior)).coefficients, dtype=np.float64)
    assert agrees(coefficients, np.zeros(3))
    assert agrees(coefficients[:, :, None] * coefficients[:, None, :], np.diag(variances))
    assert not agrees(coefficients[:, :, None] * coefficients[:, None, :], 1.05 * np.diag(variances))
    assert agrees(coefficients**4, 3 * np.square(variances))


@pytest.mark.parametrize("prior", BINARY_PRIORS)
def test_binary_coefficients_have_the_prior(prior):
    coefficients = np.asarray(tasks(TaskConfig(3, 2, prior=prior)).coefficients)
    assert set(np.unique(coefficients)) == {prior.low, prior.high}
    is_high = (coefficients == prior.high).astype(float)
    pairs = is_high[:, [0, 0, 1]] * is_high[:, [1, 2, 2]]
    assert agrees(is_high, np.full(3, prior.prob_high))
    assert agrees(pairs, np.full(3, prior.prob_high**2))
    assert not agrees(is_high, np.full(3, 1.05 * prior.prob_high))


def test_label_noise_is_added_to_the_targets():
    config = TaskConfig(3, 4)
    batch = tasks(config, label_noise_std=0.7)
    residuals = batch.context.targets - jnp.einsum("bni,bi->bn", batch.context.inputs, batch.coefficients)
    assert agrees(residuals**2, np.full(4, 0.49))
    assert agrees(residuals, np.zeros(4))


def test_noise_levels_share_random_numbers_and_are_traced():
    key, config = jax.random.key(3), TaskConfig(3, 4)
    levels = jnp.array([0.0, 1.0, 2.0])
    batch = jax.jit(jax.vmap(lambda level: sample_task(key, config, label_noise_std=level)))(levels)
    inputs, targets = batch.context
    np.testing.assert_array_equal(inputs[0], inputs[2])
    np.testing.assert_allclose(targets[2] - targets[0], 2 * (targets[1] - targets[0]), rtol=1e-4, atol=1e-5)
    slope = jax.grad(lambda level: sample_task(key, config, label_noise_std=level).context.targets[0])(1.0)
    assert slope == pytest.approx(float(targets[1, 0] - targets[0, 0]), rel=1e-5)


def test_double_precision_session_gives_double_precision_tasks():
    with jax.enable_x64(True):
        task = sample_task(jax.random.key(0), TaskConfig(3, 4), label_noise_std=0.1)
        assert {leaf.dtype for leaf in jax.tree.leaves(task)} == {np.dtype("float64")}


BAD = [
    (lambda: TaskConfig(0, 4), "dim", "0"),
    (lambda: TaskConfig(2.5, 4), "dim", "2.5"),
    (lambda: TaskConfig(True, 4), "dim", "True"),
    (lambda: TaskConfig(3, -1), "num_examples", "-1"),
    (lambda: TaskConfig(3, 4, GivenSpectrum((1.0, 2.0))), "values", "(2,)"),
    (lambda: GivenSpectrum((1.0, -2.0)), "values", "-2"),
    (lambda: GivenSpectrum((0.0, 0.0)), "values", "(0.0, 0.0)"),
    (lambda: Isotropic(0.0), "variance", "0"),
    (lambda: PowerLaw(-1.0), "exponent", "-1"),
    (lambda: GaussianPrior(-1.0), "variances", "-1"),
    (lambda: GaussianPrior("wide"), "variances", "'wide'"),
    (lambda: TaskConfig(3, 4, prior=GaussianPrior((1.0,))), "variances", "(1,)"),
    (lambda: BinaryPrior(prob_high=1.0), "prob_high", "1"),
    (lambda: BinaryPrior(low=1.0, high=1.0), "high", "1"),
    (lambda: sample_task(jax.random.key(0), TaskConfig(3, 4), label_noise_std=-0.1), "label_noise_std", "-0.1"),
    (lambda: sample_task(jax.random.key(0), TaskConfig(3, 4), label_noise_std=np.nan), "label_noise_std", "nan"),
    (lambda: TaskConfig(3, 4, spectrum="isotropic"), "spectrum", "'isotropic'"),
    (lambda: TaskConfig(3, 4, prior=[1.0]), "prior", "[1.0]"),
    (lambda: GivenSpectrum(5.0), "values", "()"),
    (lambda: PowerLaw([1.0]), "exponent", "(1,)"),
    (lambda: GaussianPrior(np.ones((2, 2))), "variances", "(2, 2)"),
    (lambda: sample_task(jax.random.key(0), TaskConfig(3, 4), label_noise_std=[0.1, 0.2]), "label_noise_std", "(2,)"),
    (lambda: sample_task(jax.random.split(jax.random.key(0), 2)[:1], TaskConfig(3, 4)), "key", "(1,)"),
    (lambda: sample_context(jax.random.key(0), jnp.ones(3), jnp.ones(2), 4), "eigenvalues", "(2,)"),
    (lambda: sample_context(jax.random.key(0), jnp.ones(3), jnp.ones(3), 0), "num_examples", "0"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
