"""Averages of resolvents: the Marchenko-Pastur law, one large context, and the edge of the spectrum."""

import numpy as np
import pytest
from scipy import integrate, optimize

import theory
from tests.theory.chains.spectra import NOISES, power_law


@pytest.mark.parametrize("aspect", [0.5, 1.0, 2.0])
def test_isotropic_leading_order_is_the_marchenko_pastur_integral(aspect):
    dim, step, steps = 1000, 0.3, 7
    low, high = (1 - aspect**0.5) ** 2, (1 + aspect**0.5) ** 2
    atom = max(0.0, 1 - 1 / aspect)

    def average(function):
        def smooth(angle):  # x = low + (high - low) sin^2(angle / 2)
            x = low + (high - low) * np.sin(angle / 2) ** 2
            inside = ((high - low) * np.sin(angle) / 2) ** 2 / (2 * np.pi * aspect * x) if x > 0 else 0.0
            return function(x) * inside

        return integrate.quad(smooth, 0, np.pi, epsabs=1e-13, epsrel=1e-13)[0] + atom * function(0.0)

    risk = theory.expected_risk_covariance(np.ones(dim), dim / aspect, num_steps=steps, step_size=step, **NOISES)
    expected = [
        average(lambda x: (1 - step * x) ** (2 * steps)),
        0.7**2 * aspect * average(lambda x: x * (step * sum((1 - step * x) ** s for s in range(steps))) ** 2),
        0.3**2 * dim * average(lambda x: sum((1 - step * x) ** (2 * s) for s in range(steps))),
    ]
    np.testing.assert_allclose(risk, expected, rtol=1e-9)


@pytest.mark.parametrize(("dim", "num_examples", "steps"), [(512, 256, 1000), (4096, 200, 1000)])
def test_one_large_context_is_its_own_average(dim, num_examples, steps, rng):
    """Fluctuations of a trace are of relative order 1/n."""
    eigenvalues, prior = power_law(dim, 1.0), power_law(dim, 0.5)
    step = 1.5 / float(theory.chains.spectral_edge(eigenvalues, num_examples))
    inputs = rng.normal(size=(num_examples, dim)) * np.sqrt(eigenvalues)
    # The nonzero eigenvalues and their vectors suffice: orthogonal to the inputs, nothing moves.
    _, singular, basis = np.linalg.svd(inputs, full_matrices=False)
    values = singular**2 / num_examples
    left = (1 - step * values) ** steps - 1
    spread, mass = (basis * eigenvalues) @ basis.T, (basis * prior) @ basis.T
    cross = 2 * np.sum(left * np.sum(basis * (eigenvalues * prior) * basis, axis=1))
    bias = np.sum(eigenvalues * prior) + cross + np.einsum("i,ij,j,ji->", left, spread, left, mass)
    sums = -left / values
    label = NOISES["label_noise_std"] ** 2 / num_examples * np.sum(np.diag(spread) * values * sums**2)
    squares = (1 - (1 - step * values) ** (2 * steps)) / (1 - (1 - step * values) ** 2)
    decoding = steps * np.sum(eigenvalues) + np.sum(np.diag(spread) * (squares - steps))
    chain = {**NOISES, "num_steps": steps, "step_size": step, "prior_variances": prior}
    predicted = np.array(theory.expected_risk_covariance(eigenvalues, num_examples, **chain))
    found = np.array([bias, label, NOISES["decoding_noise_std"] ** 2 * decoding])
    np.testing.assert_allclose(found, predicted, rtol=8 / num_examples)
    assert not np.allclose(found, 1.05 * predicted, rtol=8 / num_examples)


def test_edge_of_the_spectrum(rng):
    assert theory.chains.spectral_edge(np.full(40, 3.0), 10) == pytest.approx(3 * (1 + 4**0.5) ** 2, rel=1e-12)
    inputs = rng.normal(size=(400, 800))
    largest = np.linalg.eigvalsh(inputs @ inputs.T / 400)[-1]
    assert largest == pytest.approx(float(theory.chains.spectral_edge(np.ones(800), 400)), rel=0.02)  # fluctuates like n^{-2/3}
    for exponent in (0.3, 1.0):
        eigenvalues = power_law(60, exponent)
        # The edge is the least value that the inverse of the spectrum's Stieltjes transform takes right of the spectrum.
        inverse = lambda c, lam=eigenvalues: (1 + np.sum(c * lam / (1 - c * lam)) / 40) / c  # noqa: E731
        least = optimize.minimize_scalar(inverse, bounds=(1e-3, 1 - 1e-6), method="bounded", options={"xatol": 1e-10})
        assert theory.chains.spectral_edge(eigenvalues, 40) == pytest.approx(least.fun, rel=1e-8)
