r"""From few samples of many problems to pass@k of many samples: the law of the success rates over problems.

    P(c of m) = int C(m, c) p^c (1 - p)^(m - c) dG(p),   pass@k = int 1 - (1 - p)^k dG(p)

The counts of m samples fix the first m moments of the law G and no more. For k > m, pass@k also depends on how the mass near
zero is spread. A model supplies that for an estimate (one Beta law, with atoms or not); intervals leave it open (any law).
Everything here runs in NumPy and SciPy on the host; nothing can be traced.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from theory._arguments import Count, Domain, Instance, Number, OneOf, Real, Size, host_only
from theory.records._likelihood_intervals import Evidence, allowed_falls, check_resamples, ends
from theory.records._rate_fits import FEW_OUTCOMES, Outcomes, fitted, grid, law_shares, outcome_chances
from theory.results import Interval

MODELS = ("beta", "beta with atoms", "any law")
_NO_WEIGHT = 1e-4
_NUM_FOLDS = 20
_KNOT_RATIO = 4.0  # ratio of the k at which resamples are judged; these k do not depend on the requested ones: 1, 2, 8, 32, ...
_ROUNDING = 1e-9
_FURTHEST = 1e6  # largest k for which all intervals have the same grid of rates


_COUNTS: dict[str, Domain] = {
    "num_correct": Count(0, shape=("p",), plain=True),
    "num_samples": Count(1, shape=("p",), or_scalar=True, plain=True),
}
_MODEL = OneOf(("chosen", *MODELS))


class SuccessRates(NamedTuple):
    """A law of success rates over problems, their mixing distribution: atoms and one Beta law.

    Attributes:
        support: rates that have a probability of their own, shape (s,), ascending.
        weights: their probabilities, shape (s,).
        beta_weight: probability of the Beta law; it and the weights sum to one.
        a: first parameter of the Beta law, NaN if it has no weight.
        b: second parameter.
        model: name of the model that was fitted.
        log_likelihood: of all counts.
        held_out: log-likelihood of every problem's counts under the fit to the others, by name of the models compared, if any.
    """

    support: np.ndarray
    weights: np.ndarray
    beta_weight: float
    a: float
    b: float
    model: str
    log_likelihood: float
    held_out: dict[str, float]


@host_only(**_COUNTS, model=_MODEL)
def fit_success_rates(num_correct: ArrayLike, num_samples: ArrayLike, model: str = "chosen") -> SuccessRates:
    r"""The law of success rates under which the counts of the problems are most probable.

        max over G of sum_i log int C(m_i, c_i) p^{c_i} (1 - p)^{m_i - c_i} dG(p)

    Models of G: "beta" is one Beta(a, b). "beta with atoms" has weight w_0 at rate 0, w_1 at rate 1 and the rest Beta(a, b).
    "any law" is the nonparametric maximum likelihood (NPMLE), which has few atoms, on a grid whose step is a quarter of a
    rate's standard error. "chosen" is the one of largest held-out likelihood, of each problem under the fit to the others (to
    those of other folds, twenty random ones, where more than fifty different outcomes would make that slow). Problems are held
    out, not samples: pass@k depends on the law of rates; a left-out problem, with all its samples, is a draw from it. Samples
    held out of the same problems would score how well their own rates are known, and leave fewer to see small rates with.

    Args:
        num_correct: c_i from 0 to m_i, shape (P,).
        num_samples: m_i >= 1, shape (P,) or one number for all.
        model: "chosen", or a model's name.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: Skellam (1948) for the Beta law; Lindsay, Ann. Statist. 11 (1983) and Wang, J. R. Stat. Soc. B 69 (2007).

    Example:
        >>> rates = fit_success_rates([0, 0, 20, 20, 20, 40], 40, model="any law")
        >>> rates.support.tolist(), rates.weights.round(4).tolist()
        ([0.0, 0.5, 1.0], [0.3333, 0.5, 0.1667])
    """
    outcomes = _outcomes(num_correct, num_samples)
    held_out = {name: _held_out(outcomes, name) for name in MODELS} if model == "chosen" else {}
    best = max(held_out, key=lambda name: held_out[name]) if held_out else model
    fits = fitted(outcomes, best, outcomes.counts[None])
    return _law(outcomes, best, fits.parameters[0], float(outcomes.counts @ fits.log_chances[0]), held_out)


@host_only(rates=Instance((SuccessRates,)), k=Real(1.0, plain=True))
def predicted_pass_at_k(rates: SuccessRates, k: ArrayLike) -> Any:
    r"""Mean pass@k over problems whose success rates have a fitted law.

        1 - sum_s w_s (1 - p_s)^k - w_B B(a, b + k) / B(a, b)

    Args:
        rates: of :func:`theory.records.fit_success_rates`.
        k: >= 1; any shape, which is the result's.

    Raises:
        ValueError: k is out of range.

    Source: the law of total probability.

    Example:
        >>> predicted_pass_at_k(fit_success_rates([2, 2, 2], 4, model="any law"), np.array([1, 2])).round(6).tolist()
        [0.5, 0.75]
    """
    k = np.asarray(k, np.float64)[..., None]
    missed = np.sum(rates.weights * (1 - rates.support) ** k, axis=-1)
    if rates.beta_weight > 0:
        missed = missed + rates.beta_weight * np.exp(
            special.betaln(rates.a, rates.b + k[..., 0]) - special.betaln(rates.a, rates.b)
        )
    return np.clip(1 - missed, 0.0, 1.0)[()]


@host_only(**_COUNTS, k=Real(1.0, plain=True), level=Number(0.0, 1.0, open_ends=True), model=_MODEL, num_resamples=Size(0))
def pass_at_k_interval(
    num_correct: ArrayLike,
    num_samples: ArrayLike,
    k: ArrayLike,
    *,
    level: float = 0.9,
    model: str = "chosen",
    num_resamples: int | None = None,
) -> Interval:
    r"""Mean pass@k over problems like these, for any k, with a likelihood interval.

    With l(psi) the largest log-likelihood of the counts among all laws whose pass@k is psi, the interval has all psi for which

        2 [max l - l(psi)] <= q(psi)

    q(psi) is the quantile of the statistic at ``level`` in resamples: as many problems, drawn from the most probable law whose
    pass@k is psi. It is at least the quantile of chi^2_1. The interval has every value that the counts do not reject, however
    the mass near zero is spread, and the estimate, which is that of the model asked for. ``python -m tests.agreement.coverage``
    measures the coverage of intervals of level 0.9.

    Args:
        num_correct: c_i from 0 to m_i, shape (P,).
        num_samples: m_i >= 1, shape (P,) or one number for all.
        k: >= 1; any shape, which is that of the results.
        level: probability, strictly between 0 and 1, that such an interval covers, over draws of problems and samples.
        model: of the estimate, "chosen" or a model's name as in :func:`theory.records.fit_success_rates`.
        num_resamples: problem sets drawn for each quantile, >= 20; from 24 to 200, as their size allows, if None; 0 for the
            quantile of chi^2_1 alone. They are the same each time.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: Murphy and van der Vaart, J. Am. Stat. Assoc. 95 (2000), for the profile likelihood; Chuang and Lai, Statistica
    Sinica 10 (2000), for the resamples.

    Example:
        >>> half = pass_at_k_interval([5, 0, 3, 10, 1, 0, 0, 2], 10, np.array([10, 40]), model="beta")
        >>> bool((half.low < half.estimate).all() and (half.estimate < half.high).all())
        True
    """
    outcomes = _outcomes(num_correct, num_samples)
    check_resamples(num_resamples)
    estimate = np.asarray(predicted_pass_at_k(fit_success_rates(num_correct, num_samples, model), k))
    every = np.ravel(np.asarray(k, np.float64))
    if not every.size:
        return Interval(estimate, estimate, estimate)
    rates = grid(outcomes, 0.01 / max(every.max(), _FURTHEST))
    evidence = _evidence(outcomes, rates)
    knots = _knots(every)
    falls = allowed_falls(evidence, _passed(rates, knots), level, num_resamples)
    allowed = np.stack([np.interp(np.log(every), np.log(knots), side) for side in falls.T], axis=1)
    low, high = (side.reshape(estimate.shape) for side in ends(evidence, _passed(rates, every), allowed)[0].T)
    return Interval(estimate[()], np.minimum(low, estimate)[()], np.maximum(high, estimate)[()])


def _evidence(outcomes: Outcomes, rates: np.ndarray) -> Evidence:
    """The problems' outcomes under every rate, and resamples with as many samples."""
    samples = np.repeat(outcomes.samples, outcomes.counts.astype(int)).astype(int)

    def draw(rng: np.random.Generator, law: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        correct = rng.binomial(samples, rng.choice(rates, size=(number, samples.size), p=law))
        pairs = np.stack([correct.ravel(), np.tile(samples, number)])
        kinds, which = np.unique(pairs, axis=1, return_inverse=True)
        return outcome_chances(kinds[0], kinds[1], rates), which.reshape(correct.shape)

    return Evidence(outcome_chances(outcomes.correct, outcomes.samples, rates), outcomes.counts, draw)


def _passed(rates: np.ndarray, k: np.ndarray) -> np.ndarray:
    """pass@k of each k at each rate."""
    return -np.expm1(special.xlog1py(k[:, None], -rates))


def _knots(every: np.ndarray) -> np.ndarray:
    """The k at which resamples are judged, 1 or twice powers of a fixed ratio, around all that are asked for."""
    ends_of_all = np.log(np.array([every.min(), every.max()]) / 2) / np.log(_KNOT_RATIO)
    powers = np.arange(np.floor(ends_of_all[0] + _ROUNDING), np.ceil(ends_of_all[1] - _ROUNDING) + 1)
    return np.unique(np.maximum(2 * _KNOT_RATIO**powers, 1.0))


def _outcomes(num_correct: ArrayLike, num_samples: ArrayLike) -> Outcomes:
    """The problems' counts, checked."""
    correct, samples = (np.asarray(x, np.float64) for x in np.broadcast_arrays(num_correct, num_samples))
    if correct.size < 2:
        raise ValueError(f"num_correct must list at least two problems, got {correct.size}")
    if (correct > samples).any():
        worst = np.argmax(correct - samples)
        raise ValueError(f"num_correct must not exceed num_samples = {samples[worst]:g}, got {correct[worst]:g}")
    return _paired(correct, samples)


def _paired(correct: np.ndarray, samples: np.ndarray) -> Outcomes:
    """The distinct outcomes of problems."""
    pairs, counts = np.unique(np.stack([correct, samples]), axis=1, return_counts=True)
    return Outcomes(pairs[0], pairs[1], counts.astype(float))


def _held_out(outcomes: Outcomes, model: str) -> float:
    """Log-likelihood of each problem under the fit to all others, or to those of other folds where outcomes are many.

    All problems of one outcome have the same others. Folds are random: those that share out every outcome evenly would be
    predicted by a fit to the rest as if they had been part of it, and favour the most flexible model.
    """
    size = outcomes.counts.size
    left_out, repeats = np.eye(size), outcomes.counts
    if size > FEW_OUTCOMES:
        which = np.random.default_rng(0).permutation(np.repeat(np.arange(size), outcomes.counts.astype(int)))
        left_out, repeats = np.zeros((_NUM_FOLDS, size)), np.ones(_NUM_FOLDS)
        np.add.at(left_out, (np.arange(which.size) % _NUM_FOLDS, which), 1.0)
    fits = fitted(outcomes, model, outcomes.counts - left_out)
    return float(repeats @ np.sum(left_out * fits.log_chances, axis=1))


def _law(outcomes: Outcomes, model: str, parameters: np.ndarray, value: float, held_out: dict[str, float]) -> SuccessRates:
    if model == "any law":
        none, kept = float("nan"), parameters > _NO_WEIGHT
        support, weights = grid(outcomes)[kept], parameters[kept] / parameters[kept].sum()
        return SuccessRates(support, weights, 0.0, none, none, model, value, held_out)
    a, b = np.exp(parameters[:2])
    atoms, rest = law_shares(parameters)
    kept = atoms > 0
    return SuccessRates(np.array([0.0, 1.0])[kept], atoms[kept], float(rest), float(a), float(b), model, value, held_out)
