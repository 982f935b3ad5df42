"""Fits to cheap runs against chains simulated in NumPy: do their intervals have the risks of expensive ones in them?"""

import numpy as np
import pytest
from scipy import optimize, stats

import theory
from tests.errors import assert_named
from tests.statistics import agrees

pytestmark = pytest.mark.optimised

DIM, NUM_EXAMPLES = 12, 30
STEPS, NUMBERS = np.repeat([1, 2, 3, 5], 3), np.tile([1, 2, 4], 4)
FAR = {"num_steps": np.array([9, 60, 60]), "num_candidates": np.array([1, 1, 64])}
TRUTHS = {"noisy": (0.35, 0.5, 0.05, 1 / DIM), "without decoding noise": (0.3, 0.3, 0.0, 0.2)}
CHAIN = {"step_size": 0.35, "label_noise_std": 0.5, "decoding_noise_std": 0.05, "signal_var": 1 / DIM}


@pytest.fixture(scope="module")
def eigenvalues():
    """Of X^T X / n for many contexts."""
    inputs = np.random.default_rng(1).normal(size=(45_000, NUM_EXAMPLES, DIM))
    return np.linalg.eigvalsh(inputs.swapaxes(1, 2) @ inputs / NUM_EXAMPLES)


def simulated(rng, eigenvalues, truth, lengths, numbers):
    """Risks of averaged chains, one row a task, in the eigenbasis of the context; all points are of the same chains."""
    step_size, label_noise_std, decoding_noise_std, signal_var = truth
    error = -np.sqrt(signal_var) * rng.normal(size=(max(numbers), *eigenvalues.shape))
    error[:] = error[0]
    push = step_size * label_noise_std * np.sqrt(eigenvalues / NUM_EXAMPLES) * rng.normal(size=eigenvalues.shape)
    found = {}
    for length in range(1, max(lengths) + 1):
        error = (1 - step_size * eigenvalues) * error + push + decoding_noise_std * rng.normal(size=error.shape)
        for number in set(numbers):
            found[length, number] = np.sum(error[:number].mean(axis=0) ** 2, axis=-1)
    return np.stack([found[point] for point in zip(lengths.tolist(), numbers.tolist(), strict=True)], axis=-1)


def given_context(eigenvalues, truth):
    """Mean risk of each context at the expensive points, by sums over the steps."""
    step_size, label_noise_std, decoding_noise_std, signal_var = truth
    rows = []
    for length, number in zip(*FAR.values(), strict=True):
        kept = 1 - step_size * eigenvalues
        gathered = step_size * sum(kept**step for step in range(length))
        noise = sum(kept ** (2 * step) for step in range(length))
        label = label_noise_std**2 / NUM_EXAMPLES * eigenvalues * gathered**2
        rows.append(np.sum(signal_var * kept ** (2 * length) + label + decoding_noise_std**2 / number * noise, axis=-1))
    return np.stack(rows, axis=-1)


def fitted(risks, covariance=None):
    spread = np.cov(risks.T) / len(risks) if covariance is None else covariance
    return theory.planning.fit_chain(risks.mean(axis=0), spread, DIM, NUM_EXAMPLES, num_steps=STEPS, num_candidates=NUMBERS)


REPLICATIONS, TASKS = 150, 300
FEWEST = int(stats.binom.ppf(0.001, REPLICATIONS, 0.85))
MOST = int(stats.binom.ppf(0.999, REPLICATIONS, 0.95))


@pytest.mark.parametrize("truth", TRUTHS.values(), ids=TRUTHS)
def test_ninety_percent_intervals_cover(eigenvalues, truth):
    rng, exact = np.random.default_rng(7), given_context(eigenvalues, truth)
    expected, error = exact.mean(axis=0), exact.std(axis=0) / np.sqrt(len(exact))
    covered, narrow, misfits, ratios = np.zeros(3), np.zeros(3), [], []
    for part in eigenvalues.reshape(REPLICATIONS, TASKS, DIM):
        fit = fitted(simulated(rng, part, truth, STEPS, NUMBERS))
        further = theory.planning.extrapolated_risk(fit, **FAR)
        halved = theory.planning.extrapolated_risk(fit._replace(covariance=fit.covariance / 4), **FAR)
        covered += (further.low < expected) & (expected < further.high)
        narrow += (halved.low < expected) & (expected < halved.high)
        misfits.append(fit.misfit)
        ratios.append(further.standard_error / error)
    assert np.mean(ratios) > 5  # the true means are known well enough to judge by
    assert (covered >= FEWEST).all(), covered
    assert (covered <= MOST).all() or truth[2] == 0, covered  # an estimate that cannot be negative is nearer than it says
    assert (narrow < FEWEST).all(), narrow
    if truth[2] > 0:  # else candidates are all the same
        assert np.mean(misfits) == pytest.approx(fit.num_free, abs=4 * np.sqrt(2 * 8 / REPLICATIONS) + 0.3)


def test_estimates_scatter_as_they_say(eigenvalues):
    rng, truth = np.random.default_rng(3), TRUTHS["noisy"]
    fits = [fitted(simulated(rng, part, truth, STEPS, NUMBERS)) for part in eigenvalues.reshape(75, 600, DIM)]
    found = np.array([(f.step_size, f.signal_var, f.label_noise_std**2, f.decoding_noise_std**2) for f in fits])
    said = np.mean([np.sqrt(np.diag(fit.covariance)) for fit in fits], axis=0)
    step_size, label_noise_std, decoding_noise_std, signal_var = truth
    true = np.array([step_size, signal_var, label_noise_std**2, decoding_noise_std**2])
    assert agrees(found, true)
    assert not agrees(found, 1.1 * true)
    np.testing.assert_allclose(found.std(axis=0, ddof=1) / said, 1.0, atol=4 / np.sqrt(150) + 0.05)


def test_weights_by_variances_alone_are_wrong(eigenvalues):
    """The risks of one task go up and down together; whoever forgets it finds a misfit far below what is left free."""
    rng = np.random.default_rng(5)
    risks = simulated(rng, eigenvalues[:3000], TRUTHS["noisy"], STEPS, NUMBERS)
    assert 1 < fitted(risks).misfit < 25
    assert fitted(risks, np.var(risks, axis=0) / len(risks)).misfit < 1


def test_chains_of_another_kind_are_told_by_their_misfit(eigenvalues):
    """A step size that halves with every step."""
    rng, found = np.random.default_rng(6), []
    steps = np.arange(1, 9)
    error = np.sqrt(1 / DIM) * rng.normal(size=eigenvalues.shape)
    for step in range(len(steps)):
        error = (1 - 0.35 / 2**step * eigenvalues) * error + 0.05 * rng.normal(size=error.shape)
        found.append(np.sum(error**2, axis=-1))
    risks = np.stack(found, axis=-1)
    fit = theory.planning.fit_chain(risks.mean(axis=0), np.cov(risks.T) / len(risks), DIM, NUM_EXAMPLES, num_steps=steps)
    assert stats.chi2.sf(fit.misfit, fit.num_free) < 1e-6


def test_no_other_numbers_fit_better():
    """A general optimiser, from the truth and from elsewhere, finds no smaller sum of squares."""
    rng = np.random.default_rng(0)
    both = (of(DIM, NUM_EXAMPLES, num_steps=STEPS, num_candidates=NUMBERS, **CHAIN).total for of in BOTH)
    spread = np.diag(np.linspace(1e-3, 3e-3, len(STEPS)) ** 2) + 1e-6
    risks = sum(both) + np.linalg.cholesky(spread) @ rng.normal(size=len(STEPS))
    fit = theory.planning.fit_chain(risks, spread, DIM, NUM_EXAMPLES, num_steps=STEPS, num_candidates=NUMBERS)

    def residuals(point):
        names = ("step_size", "label_noise_std", "decoding_noise_std", "signal_var")
        chain = dict(zip(names, np.abs(point), strict=True))
        model = sum(of(DIM, NUM_EXAMPLES, num_steps=STEPS, num_candidates=NUMBERS, **chain).total for of in BOTH)
        return np.linalg.solve(np.linalg.cholesky(spread), risks - model)

    starts = ([*CHAIN.values()], [0.1, 1.0, 0.2, 0.05])
    least = min(2 * optimize.least_squares(residuals, start, diff_step=1e-6).cost for start in starts)
    # Weights differ by what the formula may neglect.
    assert np.sum(residuals(fit[2:6]) ** 2) < 1.01 * least
    assert fit.misfit < 1.01 * least
    assert np.sum(residuals([1.02 * fit[2], *fit[3:6]]) ** 2) > 1.01 * least


BOTH = (theory.expected_risk, theory.chains.expected_risk_next_order)


def test_what_is_fitted_is_predicted():
    """Exact risks give back the numbers, and with them every other risk; few errors, whatever the scale."""
    chain = {**CHAIN, "signal_var": 3.0, "label_noise_std": 2.0}
    risks = sum(of(DIM, NUM_EXAMPLES, num_steps=STEPS, num_candidates=NUMBERS, **chain).total for of in BOTH)
    fit = theory.planning.fit_chain(risks, 1e-8 * risks**2, DIM, NUM_EXAMPLES, num_steps=STEPS, num_candidates=NUMBERS)
    for name, value in chain.items():
        assert getattr(fit, name) == pytest.approx(value, rel=2e-3)
    further = theory.planning.extrapolated_risk(fit, **FAR)
    expected = [sum(of(DIM, NUM_EXAMPLES, **FAR, **chain)) for of in BOTH]
    np.testing.assert_allclose(further.risk.total, expected[0] + expected[1], rtol=1e-3)
    one = theory.planning.extrapolated_risk(fit, num_steps=60, num_candidates=np.array([[1], [64]]))
    assert one.low.shape == (2, 1)
    assert one.risk.total[1, 0] == pytest.approx(further.risk.total[2], rel=1e-12)


def test_the_error_is_the_change_of_the_risk(eigenvalues):
    """Predictions of estimates drawn from the fit's own law scatter by the standard error."""
    rng = np.random.default_rng(2)
    fit = theory.planning.ChainFit(DIM, NUM_EXAMPLES, *[*CHAIN.values()], np.diag([1e-3, 1e-4, 1e-3, 1e-5]) ** 2, 0.0, 0)
    draws = rng.multivariate_normal([0.35, 1 / DIM, 0.25, 0.0025], fit.covariance, size=4000)
    risks = theory.expected_risk(
        DIM,
        NUM_EXAMPLES,
        num_steps=9,
        num_candidates=2,
        step_size=draws[:, 0],
        signal_var=draws[:, 1],
        label_noise_std=np.sqrt(draws[:, 2]),
        decoding_noise_std=np.sqrt(draws[:, 3]),
    ).total
    said = theory.planning.extrapolated_risk(fit, num_steps=9, num_candidates=2, level=0.5)
    assert risks.std() == pytest.approx(said.standard_error, rel=0.05)
    assert np.mean((said.low < risks) & (risks < said.high)) == pytest.approx(0.5, abs=0.035)


RISKS, STEPS_OF_FOUR = [0.5, 0.4, 0.35, 0.3], [1, 1, 2, 3]


def call(**change):
    points = {"num_steps": STEPS_OF_FOUR, "num_candidates": [1, 2, 1, 1]}
    arguments = {"risks": RISKS, "covariance": [1e-4] * 4, "dim": 4, "num_examples": 8, **points} | change
    return theory.planning.fit_chain(**arguments)


def further(**change):
    fit = theory.planning.ChainFit(4, 8, 0.3, 0.5, 0.05, 0.25, 1e-6 * np.eye(4), 0.0, 0)
    return theory.planning.extrapolated_risk(fit, **({"num_steps": 10} | change))


BAD = [
    (lambda: call(risks=RISKS[:3], num_steps=[1, 2, 3], num_candidates=1), "risks", "3"),
    (lambda: call(risks=[[0.5]]), "risks", "(1, 1)"),
    (lambda: call(risks=[0.5, 0.4, -0.3, 0.3]), "risks", "-0.3"),
    (lambda: call(covariance=[1e-4] * 3), "covariance", "(3,)"),
    (lambda: call(covariance=[1e-4, 1e-4, 0.0, 1e-4]), "covariance", "0"),
    (lambda: call(covariance=np.eye(4) + np.eye(4, k=1)), "covariance", "transpose"),
    (lambda: call(covariance=np.eye(4) - 2 * np.eye(4)[::-1]), "covariance", "-1"),
    (lambda: call(dim=0), "dim", "0"),
    (lambda: call(num_examples=[8, 8]), "num_examples", "[8, 8]"),
    (lambda: call(num_steps=[1, 2, 3]), "num_steps", "(3,)"),
    (lambda: call(num_steps=[1, 2, 3, -1]), "num_steps", "-1"),
    (lambda: call(num_candidates=[1, 2]), "num_candidates", "(2,)"),
    (lambda: call(num_candidates=0), "num_candidates", "0"),
    (lambda: call(num_steps=[1, 1, 1, 1], num_candidates=[1, 2, 3, 4]), "num_steps", "cannot"),
    (lambda: further(num_steps=-1), "num_steps", "-1"),
    (lambda: further(num_candidates=0.5), "num_candidates", "0.5"),
    (lambda: further(level=1.0), "level", "1"),
    (lambda: further(num_steps=[1, 2], num_candidates=[1, 2, 3]), "broadcast", "(3,)"),
]


@pytest.mark.parametrize(("bad", "name", "value"), BAD)
def test_bad_input_is_named(bad, name, value):
    assert_named(bad, name, value)
