"""Best of N against direct simulation for every kind of verifier, against scalar closed forms, and in its limits.

Its large-dimension form against simulated moments, and where the two part.
"""

import itertools

import jax
import numpy as np
import pytest
from scipy import integrate, special, stats

import theory
from tests.errors import assert_named
from tests.statistics import agrees
from theory.selection import Gaussian, Quadratic

NUMBERS = np.array([1, 2, 8, 64])
MANY = np.array([4, 16, 64, 256, 1024])


def context(dim, num_examples, rng, num_steps=6, step=0.2, noise=0.1):
    """A context, the law of its candidates in NumPy, and its least-squares solution."""
    inputs, truth = rng.normal(size=(num_examples, dim)), rng.normal(size=dim) / dim**0.5
    targets = inputs @ truth + 0.5 * rng.normal(size=num_examples)
    gram = inputs.T @ inputs / num_examples
    contraction = np.eye(dim) - step * gram
    mean, covariance = np.zeros(dim), np.zeros((dim, dim))
    for _ in range(num_steps):
        mean = contraction @ mean + step * inputs.T @ targets / num_examples
        covariance = contraction @ covariance @ contraction + noise**2 * np.eye(dim)
    return Gaussian(mean, covariance), truth, gram, np.linalg.lstsq(inputs, targets, rcond=None)[0]


def verifiers(dim, truth, gram, solution, eigenvalues, rng):
    held_out = rng.normal(size=(3, dim))  # fewer examples than coefficients: a singular matrix
    noisy = held_out @ truth + 0.5 * rng.normal(size=3)
    return {
        "oracle": Quadratic(np.diag(eigenvalues), truth),
        "noisy oracle": Quadratic(np.diag(eigenvalues), truth, 0.3),
        "context loss": Quadratic(gram, solution),
        "held-out loss": Quadratic(held_out.T @ held_out / 3, np.linalg.lstsq(held_out, noisy, rcond=None)[0]),
    }


def simulated(candidates, verifier, truth, eigenvalues, repeats, rng):
    """Risk of the best of N in each of many draws, for every N; shape (repeats, len(NUMBERS))."""
    values, directions = np.linalg.eigh(candidates.covariance)
    root = directions * np.sqrt(np.maximum(values, 0))
    states = candidates.mean + rng.normal(size=(repeats, NUMBERS[-1], len(truth))) @ root.T
    away = states - verifier.centre
    scores = np.sum((away @ verifier.matrix) * away, axis=-1) + verifier.noise_std * rng.normal(size=states.shape[:2])
    risks = np.sum(eigenvalues * (states - truth) ** 2, axis=-1)
    chosen = [np.argmin(scores[:, :number], axis=1) for number in NUMBERS]
    return np.stack([risks[np.arange(repeats), index] for index in chosen], axis=1)


@pytest.mark.parametrize("dim", [2, 5, 12])
@pytest.mark.parametrize("kind", ["oracle", "noisy oracle", "context loss", "held-out loss"])
def test_best_of_n_is_the_simulated_one(dim, kind, rng):
    eigenvalues = rng.uniform(0.5, 2.0, dim)
    candidates, truth, gram, solution = context(dim, 2 * dim, rng)
    verifier = verifiers(dim, truth, gram, solution, eigenvalues, rng)[kind]
    risks = simulated(candidates, verifier, truth, eigenvalues, 20_000, rng)
    predicted = theory.best_of_n_risk(candidates, verifier, truth, eigenvalues, NUMBERS)
    assert agrees(risks, predicted)
    assert not agrees(risks, 1.05 * predicted)
    if kind == "noisy oracle":  # the noise dropped from the formula
        exact = verifier._replace(noise_std=0.0)
        assert not agrees(risks, theory.best_of_n_risk(candidates, exact, truth, eigenvalues, NUMBERS))


def test_one_candidate_has_the_mean_risk(rng):
    candidates, truth, gram, solution = context(20, 40, rng)
    ones = np.ones(20)
    expected = np.sum((candidates.mean - truth) ** 2) + np.trace(candidates.covariance)
    for verifier in verifiers(20, truth, gram, solution, ones, rng).values():
        assert theory.best_of_n_risk(candidates, verifier, truth, ones, 1) == pytest.approx(expected, rel=1e-5)


def test_derivatives_exist_beside_one_candidate(rng):
    candidates, truth, ones = Gaussian(rng.normal(size=2), 0.3 * np.eye(2)), rng.normal(size=2), np.ones(2)

    def risk(noise_std):
        verifier = Quadratic(np.eye(2), truth, noise_std)
        return theory.best_of_n_risk(candidates, verifier, truth, ones, NUMBERS).sum()

    expected = (risk(0.701) - risk(0.699)) / 0.002
    assert float(jax.grad(risk)(0.7)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("offset", [0.0, 0.5, 3.0, 30.0])
def test_one_dimension_is_the_scalar_closed_form(offset):
    numbers = np.array([1, 2, 8, 64, 1024])
    oracle = Quadratic(np.eye(1), np.array([-offset]))
    found = theory.best_of_n_risk(Gaussian(np.zeros(1), np.eye(1)), oracle, np.array([-offset]), np.ones(1), numbers)
    np.testing.assert_allclose(found, theory.scalar_best_of_n(offset, numbers), rtol=1e-4)


@pytest.mark.parametrize("dim", [2, 3, 8, 64])
@pytest.mark.parametrize("number", [1, 16, 1024])
def test_a_centred_oracle_is_the_minimum_of_chi_squares(dim, number):
    # E min of N = int P(chi2 > s)^N ds, by adaptive quadrature.
    upper = stats.chi2.isf(1e-14, dim)
    pieces = [0.0, *stats.chi2.ppf([1e-6 / number, 0.01 / number, 1 / number], dim), upper]
    expected = sum(
        integrate.quad(lambda s: stats.chi2.sf(s, dim) ** number, low, high, epsabs=0, epsrel=1e-10, limit=200)[0]
        for low, high in itertools.pairwise(pieces)
    )
    origin, identity = np.zeros(dim), np.eye(dim)
    found = theory.best_of_n_risk(Gaussian(origin, identity), Quadratic(identity, origin), origin, np.ones(dim), number)
    assert found == pytest.approx(expected, rel=1e-4)


def test_selection_cannot_help_where_candidates_do_not_differ(rng):
    truth, ones = rng.normal(size=4), np.ones(4)
    still = Gaussian(np.zeros(4), np.zeros((4, 4)))
    expected = np.sum(truth**2)
    for noise in (0.0, 0.5):
        assert theory.best_of_n_risk(still, Quadratic(np.eye(4), truth, noise), truth, ones, 9) == pytest.approx(expected)
    blind = Quadratic(np.zeros((4, 4)), truth)
    moving = Gaussian(np.zeros(4), np.eye(4))
    assert theory.best_of_n_risk(moving, blind, truth, ones, 9) == pytest.approx(expected + 4, rel=1e-5)


def test_candidates_in_a_plane(rng):
    basis = np.linalg.qr(rng.normal(size=(6, 2)))[0]
    flat = Gaussian(rng.normal(size=6), 0.3 * basis @ basis.T)
    truth, ones = rng.normal(size=6), np.ones(6)
    verifier = Quadratic(np.eye(6), truth)
    predicted = theory.best_of_n_risk(flat, verifier, truth, ones, NUMBERS)
    assert agrees(simulated(flat, verifier, truth, ones, 20_000, rng), predicted)


@pytest.mark.parametrize("dim", [2, 4])
def test_many_candidates_follow_the_curse_of_dimension(dim):
    # E min ~ Gamma(1 + 2/d) (N V_d f_0)^{-2/d}, f_0 the density of candidates at the truth, V_d the risk's unit ball.
    truth, eigenvalues = np.full(dim, 0.4), np.linspace(0.8, 1.2, dim)
    volume = np.pi ** (dim / 2) / special.gamma(1 + dim / 2) / np.sqrt(np.prod(eigenvalues))
    density = np.exp(-np.sum(truth**2) / 2) / (2 * np.pi) ** (dim / 2)
    numbers = np.array([10**4, 10**6])
    law = special.gamma(1 + 2 / dim) * (numbers * volume * density) ** (-2 / dim)
    candidates, oracle = Gaussian(np.zeros(dim), np.eye(dim)), Quadratic(np.diag(eigenvalues), truth)
    found = theory.best_of_n_risk(candidates, oracle, truth, eigenvalues, numbers)
    # The density is not constant over the nearest ball: a relative correction of the order of the ball's squared radius.
    assert np.all(np.abs(found / law - 1) < law + 1e-3)
    assert not np.any(np.abs(found / (1.2 * law) - 1) < law + 1e-3)


def centred_oracle(dim):
    origin, identity = np.zeros(dim), np.eye(dim)
    return Gaussian(origin, identity), Quadratic(identity, origin), origin, np.ones(dim)


def gaussian_error(*arguments):
    """Relative error of the large-dimension form, at each of MANY."""
    return theory.selection.best_of_n_risk_gaussian(*arguments, MANY) / theory.best_of_n_risk(*arguments, MANY) - 1


@pytest.mark.parametrize("kind", ["oracle", "noisy oracle", "context loss", "held-out loss"])
def test_gaussian_form_has_the_simulated_moments(kind, rng):
    dim, batches = 5, 200
    eigenvalues = rng.uniform(0.5, 2.0, dim)
    candidates, truth, gram, solution = context(dim, 2 * dim, rng)
    verifier = verifiers(dim, truth, gram, solution, eigenvalues, rng)[kind]
    states = rng.multivariate_normal(*candidates, size=(batches, 2000))
    away = states - verifier.centre
    scores = np.sum((away @ verifier.matrix) * away, axis=-1) + verifier.noise_std * rng.normal(size=states.shape[:2])
    risks = np.sum(eigenvalues * (states - truth) ** 2, axis=-1)
    covariances = np.mean((risks - risks.mean(axis=1, keepdims=True)) * (scores - scores.mean(axis=1, keepdims=True)), axis=1)
    samples = np.stack([risks.mean(axis=1), covariances / scores.std(axis=1)], axis=1)

    def moments(verifier):
        one, two = theory.selection.best_of_n_risk_gaussian(candidates, verifier, truth, eigenvalues, np.array([1, 2]))
        return np.array([one, (one - two) * np.sqrt(np.pi)])  # the larger of two normals has mean 1 / sqrt(pi)

    assert agrees(samples, moments(verifier))
    assert not agrees(samples, 1.02 * moments(verifier))
    if kind == "noisy oracle":
        assert not agrees(samples, moments(verifier._replace(noise_std=0.0)))


def test_gaussian_form_is_the_limit_of_many_dimensions():
    # Of the oracle's risk d it lacks (2/3) (E x^2 - 1), x the largest of 16 normals: the skewness of chi-squares.
    second = integrate.quad(lambda x: x**2 * 16 * stats.norm.pdf(x) * special.ndtr(x) ** 15, -10, 12)[0]
    dims = np.array([4, 10, 20, 64])
    errors = np.array([gaussian_error(*centred_oracle(dim))[1] for dim in dims])
    misses = np.abs(dims * errors / (-2 / 3 * (second - 1)) - 1)
    assert np.all(np.diff(np.abs(errors)) < 0)
    assert np.all(np.diff(misses) < 0)
    assert misses[-1] < 0.5


def test_gaussian_form_is_rejected_where_the_exact_one_holds(rng):
    arguments = centred_oracle(10)
    risks = simulated(*arguments, 20_000, rng)[:, list(NUMBERS).index(64)]
    assert agrees(risks, theory.best_of_n_risk(*arguments, MANY)[2])
    assert not agrees(risks, theory.selection.best_of_n_risk_gaussian(*arguments, MANY)[2])


def test_gaussian_form_errs_as_documented(rng):
    table = [line.split() for line in theory.selection.best_of_n_risk_gaussian.__doc__.splitlines() if " d=" in line]
    assert len(table) == 8
    for kind, size, *documented in table:
        dim = int(size.removeprefix("d="))
        if kind == "oracle":
            found, tolerance = gaussian_error(*centred_oracle(dim)), 0.06
        else:
            errors = []
            for _ in range(20):
                candidates, truth, gram, solution = context(dim, 2 * dim, rng)
                errors.append(gaussian_error(candidates, Quadratic(gram, solution), truth, np.ones(dim)))
            found, tolerance = np.median(errors, axis=0), 0.3
        np.testing.assert_allclose(np.array(documented, float), found, rtol=tolerance, atol=6e-4)


@pytest.mark.parametrize("scale", [1e-150, 1e-20, 1e100])
@pytest.mark.parametrize("risk", [theory.best_of_n_risk, theory.selection.best_of_n_risk_gaussian])
def test_units_change_nothing(risk, scale, rng):
    root, matrix = rng.normal(size=(3, 3)), np.diag([1.0, 2.0, 0.5])
    mean, centre = rng.normal(size=(2, 3))
    truth = centre + 0.1

    def of(size, unit):
        """Candidates in other units, and a score in other units."""
        candidates = Gaussian(mean * size**0.5, root @ root.T * size)
        verifier = Quadratic(matrix * unit, centre * size**0.5, 0.3 * unit * size)
        return risk(candidates, verifier, truth * size**0.5, np.ones(3), np.array([1, 8])) / size

    expected = of(1.0, 1.0)
    np.testing.assert_allclose(of(scale, 1.0), expected, rtol=1e-6)
    np.testing.assert_allclose(of(1.0, scale), expected, rtol=1e-6)
    assert expected[1] < 0.99 * expected[0]


def test_gaussian_form_without_a_choice_is_the_mean_risk():
    def risk(scale):
        blind = Quadratic(scale * np.eye(3), np.ones(3))
        return theory.selection.best_of_n_risk_gaussian(Gaussian(np.zeros(3), np.eye(3)), blind, np.ones(3), np.ones(3), 9)

    assert risk(0.0) == 6
    assert float(jax.grad(risk)(0.0)) == 0


def _best(function=theory.best_of_n_risk, **changed):
    arguments = {
        "candidates": Gaussian(np.zeros(3), np.eye(3)),
        "verifier": Quadratic(np.eye(3), np.zeros(3)),
        "truth": np.zeros(3),
        "eigenvalues": np.ones(3),
        "num_candidates": 4,
    }
    return function(**{**arguments, **changed})


BAD = [
    (lambda: _best(candidates=Gaussian(np.zeros(3), -np.eye(3))), "covariance", "-1"),
    (lambda: _best(candidates=Gaussian(np.zeros(3), np.eye(2))), "covariance", "(2, 2)"),
    (lambda: _best(candidates=Gaussian(np.zeros((3, 1)), np.eye(3))), "mean", "(3, 1)"),
    (lambda: _best(verifier=Quadratic(np.diag([1.0, 1.0, -2.0]), np.zeros(3))), "matrix", "-2"),
    (lambda: _best(verifier=Quadratic(np.triu(np.ones((3, 3))), np.zeros(3))), "symmetric", "1"),
    (lambda: _best(verifier=Quadratic(np.eye(3), np.full(3, np.nan))), "centre", "nan"),
    (lambda: _best(verifier=Quadratic(np.eye(3), np.zeros(3), -0.5)), "noise_std", "-0.5"),
    (lambda: _best(truth=np.zeros(2)), "truth", "(2,)"),
    (lambda: _best(eigenvalues=np.array([1.0, 1.0, -1.0])), "eigenvalues", "-1"),
    (lambda: _best(num_candidates=0), "num_candidates", "0"),
    (lambda: _best(theory.selection.best_of_n_risk_gaussian, truth=np.zeros(2)), "truth", "(2,)"),
    (lambda: _best(theory.selection.best_of_n_risk_gaussian, num_candidates=2.5), "num_candidates", "2.5"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)
