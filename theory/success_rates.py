r"""From few samples of many problems to pass@k of many samples: the law of the success rates over problems.

    P(c of m) = int C(m, c) p^c (1 - p)^(m - c) dG(p),   pass@k = int 1 - (1 - p)^k dG(p)

The counts of m samples fix the first m moments of the law G and no more: what pass@k is at k > m also depends on how the mass
near zero is spread, which a model supplies (one Beta law, with atoms or not) or which is left open (any law). That nothing of k
samples is correct is one more event with a probability under G, so that likelihood intervals for pass@k come from fits with a
number of pseudo-problems of that outcome. Everything here runs in NumPy and SciPy on the host; nothing can be traced.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from theory._evaluate import check_count, check_plain, check_real, check_shape, check_sizes
from theory._rate_fits import FEW_OUTCOMES, Outcomes, fitted, grid, law_shares

MODELS = ("beta", "beta with atoms", "any law")
_NO_WEIGHT = 1e-9
_NUM_FOLDS = 20
_NUM_SIZES, _FEW_SIZES = 16, 5  # of groups of pseudo-problems, on either side
_KNOT_RATIO = 4.0  # of the k at which resamples are judged, the same whichever are asked for: 1, 2, 8, 32, ...
_ROUNDING = 1e-9


class SuccessRates(NamedTuple):
    """A law of success rates over problems, their mixing distribution: atoms beside one Beta law.

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


class Interval(NamedTuple):
    """A prediction with an interval.

    Attributes:
        estimate: the prediction.
        low: lower end of the interval.
        high: upper end.
    """

    estimate: Any
    low: Any
    high: Any


def fit_success_rates(num_correct: ArrayLike, num_samples: ArrayLike, model: str = "chosen") -> SuccessRates:
    r"""The law of success rates under which the counts of the problems are most probable.

        max over G of sum_i log int C(m_i, c_i) p^{c_i} (1 - p)^{m_i - c_i} dG(p)

    Models of G: "beta", one Beta(a, b); "beta with atoms", w_0 at rate 0, w_1 at rate 1 and the rest Beta(a, b); "any law",
    the nonparametric maximum likelihood (NPMLE), which has few atoms (on a grid whose step is a quarter of a rate's standard
    error). "chosen" is the one of largest held-out likelihood, of each problem under the fit to the others (to those of other
    folds, twenty random ones, where more than fifty different outcomes would make that slow). Problems are held out, not
    samples: pass@k is about the law of rates, of which a left-out problem is a draw, with all its samples. Samples held out of
    the same problems would score how well their own rates are known, and leave fewer to see small rates with.

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
    _check_model(model)
    held_out = {name: _held_out(outcomes, name) for name in MODELS} if model == "chosen" else {}
    best = max(held_out, key=lambda name: held_out[name]) if held_out else model
    counts = _padded(outcomes.counts)
    fits = fitted(outcomes, best, counts[None])
    return _law(outcomes, best, fits.parameters[0], float(counts @ fits.log_chances[0]), held_out)


def predicted_pass_at_k(rates: SuccessRates, k: ArrayLike) -> Any:
    r"""Mean pass@k over problems whose success rates have a fitted law.

        1 - sum_s w_s (1 - p_s)^k - w_B B(a, b + k) / B(a, b)

    Args:
        rates: of :func:`theory.fit_success_rates`.
        k: >= 1; any shape, which is the result's.

    Raises:
        ValueError: k is out of range.

    Source: the law of total probability.

    Example:
        >>> predicted_pass_at_k(fit_success_rates([2, 2, 2], 4, model="any law"), np.array([1, 2])).round(6).tolist()
        [0.5, 0.75]
    """
    check_real("k", check_plain("k", k), minimum=1.0)
    k = np.asarray(k, np.float64)[..., None]
    missed = np.sum(rates.weights * (1 - rates.support) ** k, axis=-1)
    if rates.beta_weight > 0:
        missed = missed + rates.beta_weight * np.exp(
            special.betaln(rates.a, rates.b + k[..., 0]) - special.betaln(rates.a, rates.b)
        )
    return np.clip(1 - missed, 0.0, 1.0)[()]


def pass_at_k_interval(
    num_correct: ArrayLike,
    num_samples: ArrayLike,
    k: ArrayLike,
    *,
    level: float = 0.9,
    model: str = "chosen",
    num_resamples: int = 60,
) -> Interval:
    r"""Mean pass@k over problems like these, for any k, with a likelihood interval.

    With l(psi) the largest log-likelihood of the counts among laws whose pass@k is psi, the interval has all psi for which

        2 [max l - l(psi)] <= q

    and the estimate, which is that of the model asked for. The laws are all there are ("any law"): the interval has every
    value that the counts do not reject, however the mass near zero is spread, whichever model predicts best. The statistic
    has no chi^2 law there, because the most probable laws are discrete; q is the quantile at ``level`` of its values in
    resamples, problems with as many samples drawn from the most probable law. The interval of "beta" or "beta with atoms" is
    among laws of that model, with q that of chi^2_1, and is too narrow where the model is wrong.

    At k = 4 m and level 0.9, 85 to 99 % of intervals covered, for fourteen laws and 60 to 300 problems of 5 to 25 samples; the
    fewest for two far rates, the most for smooth laws, which are in the middle of all that the counts allow.

    Args:
        num_correct: c_i from 0 to m_i, shape (P,).
        num_samples: m_i >= 1, shape (P,) or one number for all.
        k: >= 1; any shape, which is that of the results.
        level: probability, strictly between 0 and 1, that such an interval covers, over draws of problems and samples.
        model: "chosen", or the name of the only model used.
        num_resamples: problem sets drawn for q, >= 20; the more, the nearer the level is to one. They are the same each time.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: profile likelihood; Murphy and van der Vaart, J. Am. Stat. Assoc. 95 (2000).

    Example:
        >>> half = pass_at_k_interval([5, 0, 3, 10, 1, 0, 0, 2], 10, np.array([10, 40]), model="beta")
        >>> bool((half.low < half.estimate).all() and (half.estimate < half.high).all())
        True
    """
    outcomes = _outcomes(num_correct, num_samples)
    check_real("k", check_plain("k", k), minimum=1.0)
    check_shape("level", check_plain("level", level), ())
    check_real("level", level, minimum=0.0, maximum=1.0, open_ends=True)
    check_sizes(num_resamples=(num_resamples, 20))
    rates = fit_success_rates(num_correct, num_samples, model)
    estimate, every = np.asarray(predicted_pass_at_k(rates, k)), np.asarray(k, np.float64)
    among = "any law" if model == "chosen" else model
    if among == "any law":
        most_probable = rates if rates.model == among else fit_success_rates(num_correct, num_samples, among)
        allowed = _allowed(outcomes, most_probable, every, level, num_resamples)
    else:
        allowed = np.full(every.shape, stats.chi2.ppf(level, 1))
    ends = np.array([_ends(outcomes, among, *one) for one in zip(every.flat, allowed.flat, strict=True)])
    low, high = ends.reshape(*every.shape, 2)[..., 0], ends.reshape(*every.shape, 2)[..., 1]
    return Interval(estimate[()], np.minimum(low, estimate)[()], np.maximum(high, estimate)[()])


def resampled_success_rates(
    num_correct: np.ndarray, num_samples: np.ndarray, model: str, resamples: np.ndarray
) -> list[SuccessRates]:
    """The law of one model fitted to each resample (B, P) of the problems."""
    outcomes = _outcomes(num_correct, num_samples)
    matches = (num_correct[:, None] == outcomes.correct) & (num_samples[:, None] == outcomes.samples)
    which = np.argmax(matches, axis=1)[resamples]
    counts = np.stack([np.bincount(row, minlength=outcomes.correct.size) for row in which]).astype(float)
    fits = fitted(outcomes, model, _padded(counts))
    values = np.sum(_padded(counts) * fits.log_chances, axis=1)
    return [_law(outcomes, model, one, float(value), {}) for one, value in zip(fits.parameters, values, strict=True)]


def draw_rates(rng: np.random.Generator, rates: SuccessRates, num_correct: np.ndarray, num_samples: np.ndarray) -> np.ndarray:
    """One success rate of each problem (P,) from its posterior, given its counts (P,)."""
    correct, wrong = num_correct[:, None], (num_samples - num_correct)[:, None]
    log_chances = np.log(rates.weights) + special.xlogy(correct, rates.support) + special.xlog1py(wrong, -rates.support)
    values = np.broadcast_to(rates.support, log_chances.shape)
    if rates.beta_weight > 0:
        log_beta = special.betaln(rates.a + correct, rates.b + wrong) - special.betaln(rates.a, rates.b)
        log_chances = np.concatenate([log_chances, log_beta + np.log(rates.beta_weight)], axis=1)
        values = np.concatenate([values, rng.beta(rates.a + correct, rates.b + wrong)], axis=1)
    chances = np.exp(log_chances - log_chances.max(axis=1, keepdims=True))
    totals = np.cumsum(chances, axis=1)
    chosen = np.sum(totals < rng.random((len(totals), 1)) * totals[:, -1:], axis=1)
    return np.take_along_axis(values, np.minimum(chosen, values.shape[1] - 1)[:, None], axis=1)[:, 0]


def _outcomes(num_correct: ArrayLike, num_samples: ArrayLike) -> Outcomes:
    """The problems' counts, checked."""
    check_shape("num_correct", check_plain("num_correct", num_correct), (None,))
    check_count("num_correct", num_correct, minimum=0)
    check_count("num_samples", check_plain("num_samples", num_samples), minimum=1)
    if np.ndim(num_samples) != 0:
        check_shape("num_samples", num_samples, np.shape(num_correct))
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


def _check_model(model: str) -> None:
    if model != "chosen" and model not in MODELS:
        raise ValueError(f"model must be 'chosen' or one of {MODELS}, got {model!r}")


def _padded(counts: np.ndarray) -> np.ndarray:
    """Counts (..., R) of the outcomes, with none of the two pseudo-outcomes."""
    return np.concatenate([counts, np.zeros((*counts.shape[:-1], 2))], axis=-1)


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
    fits = fitted(outcomes, model, _padded(outcomes.counts - left_out))
    return float(repeats @ np.sum(_padded(left_out) * fits.log_chances, axis=1))


def _law(outcomes: Outcomes, model: str, parameters: np.ndarray, value: float, held_out: dict[str, float]) -> SuccessRates:
    if model == "any law":
        none, kept = float("nan"), parameters > _NO_WEIGHT
        support, weights = grid(outcomes, 1.0)[kept], parameters[kept] / parameters[kept].sum()
        return SuccessRates(support, weights, 0.0, none, none, model, value, held_out)
    a, b = np.exp(parameters[:2])
    atoms, rest = law_shares(parameters)
    kept = atoms > 0
    return SuccessRates(np.array([0.0, 1.0])[kept], atoms[kept], float(rest), float(a), float(b), model, value, held_out)


def _ends(outcomes: Outcomes, model: str, k: float, allowed: float) -> tuple[float, float]:
    """Least and largest pass@k at which the log-likelihood is at most half of ``allowed`` below its maximum."""
    counts, sides = _padded(outcomes.counts), []
    sizes = counts.sum() * np.geomspace(1e-3, 1e2, _NUM_SIZES)
    for down in (True, False):
        values, falls = _path(outcomes, model, k, counts, sizes, down=down)
        sides.append(np.interp(np.sqrt(allowed), np.sqrt(falls), values))
    return float(sides[0]), float(sides[1])


def _path(
    outcomes: Outcomes, model: str, k: float, counts: np.ndarray, sizes: np.ndarray, *, down: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Values of pass@k, from the most probable one down or up, and twice the fall of the log-likelihood at each.

    The most probable law of a given pass@k is the fit to the counts and some number of pseudo-problems of which none (or some)
    of k samples is correct; the larger that number, the further it is from the maximum.
    """
    tried = np.repeat(counts[None], len(sizes) + 1, axis=0)
    tried[1:, -2 if down else -1] = sizes
    log_chances = fitted(outcomes, model, tried, k).log_chances
    falls = 2 * np.maximum(log_chances[0] @ counts - log_chances @ counts, 0.0)
    values = np.exp(log_chances[:, -1])
    # Rounding must not turn the path round where it stands still.
    return (np.minimum if down else np.maximum).accumulate(values), np.maximum.accumulate(falls)


def _allowed(outcomes: Outcomes, rates: SuccessRates, every: np.ndarray, level: float, num_resamples: int) -> np.ndarray:
    """Quantiles of the statistic at each k in problems drawn from a law; between k of fixed ratio, interpolated.

    Those of chi^2_1 where nothing, or all, was correct in every problem, so that all resamples would be the same.
    """
    if not every.size or np.isin(rates.support, (0.0, 1.0)).all():
        return np.full(every.shape, stats.chi2.ppf(level, 1))
    rng = np.random.default_rng(0)
    ends = np.log(np.array([every.min(), every.max()]) / 2) / np.log(_KNOT_RATIO)
    powers = np.arange(np.floor(ends[0] + _ROUNDING), np.ceil(ends[1] - _ROUNDING) + 1)
    some = np.maximum(2 * _KNOT_RATIO**powers, 1.0)
    samples = np.repeat(outcomes.samples, outcomes.counts.astype(int))
    drawn = rng.choice(rates.support, size=(num_resamples, samples.size), p=rates.weights)
    resamples = [_paired(correct, samples) for correct in rng.binomial(samples.astype(int), drawn)]
    quantiles = []
    for k in some:
        value = float(predicted_pass_at_k(rates, k))
        falls = [_fall(resample, k, value) for resample in resamples]
        quantiles.append(np.quantile(falls, level, method="weibull"))
    return np.interp(np.log(every), np.log(some), quantiles)


def _fall(outcomes: Outcomes, k: float, value: float) -> float:
    """Twice the fall of the log-likelihood of any law from its maximum to where pass@k has this value."""
    counts = _padded(outcomes.counts)
    sizes = counts.sum() * np.geomspace(1e-2, 10, _FEW_SIZES)
    best = np.exp(fitted(outcomes, "any law", counts[None], k).log_chances[0, -1])
    down = bool(value < best)
    values, falls = _path(outcomes, "any law", k, counts, sizes, down=down)
    order = slice(None, None, -1) if down else slice(None)
    return float(np.interp(value, values[order], np.sqrt(falls)[order]) ** 2)
