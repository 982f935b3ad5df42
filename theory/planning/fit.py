r"""From risks of short chains and few candidates to those of long chains and many: noisy gradient descent, fitted.

    E R(T, N) = psi B_T(eta) + sigma^2 V_T(eta) + (tau^2 / N) D_T(eta)

with B, V and D the averages of :func:`theory.expected_risk` for a variance of one. For every step size the risk is linear in
the variances, which nonnegative least squares finds; the step size is scanned and then refined, so that there is no start to
choose. Everything here runs in NumPy and SciPy on the host; nothing can be traced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize
from scipy.stats import norm

from theory._arguments import Count, Instance, Number, Real, Size, check_shape, host_only
from theory.chains.isotropic import expected_risk, expected_risk_next_order
from theory.results import RiskTerms

_NUM_PARAMETERS = 4
_SCANNED = np.concatenate([np.geomspace(1e-3, 0.05, 30, endpoint=False), np.linspace(0.05, 0.999, 80)])  # of the edge
_ZOOMS, _NUM_NEARBY = 6, 15  # to one part in 10^7
_NUDGE = 1e-4  # of the step size, for its derivative
_LEAST_TOLD = 1e-10  # singular value, over the largest, of a direction that the risks tell


class ChainFit(NamedTuple):
    """Noisy gradient descent that explains measured risks.

    Attributes:
        dim: d, as given.
        num_examples: n, as given.
        step_size: eta.
        label_noise_std: sigma.
        decoding_noise_std: tau.
        signal_var: psi, the variance of each coefficient.
        covariance: of eta, psi, sigma^2 and tau^2, in this order, shape (4, 4).
        misfit: sum of squared residuals, each in units of its error and independent of the others.
        num_free: what the misfit is on average if the chains are what they are taken for, P - 4.
    """

    dim: int
    num_examples: int
    step_size: float
    label_noise_std: float
    decoding_noise_std: float
    signal_var: float
    covariance: np.ndarray
    misfit: float
    num_free: int


class Extrapolation(NamedTuple):
    """Predicted risk with its error.

    Attributes:
        risk: the prediction, by cause.
        standard_error: of its total, as far as the fit is the reason.
        low: lower end of the interval.
        high: upper end.
    """

    risk: RiskTerms
    standard_error: Any
    low: Any
    high: Any


@host_only(
    risks=Real(0.0, shape=("p",), plain=True),
    covariance=Real(plain=True),
    dim=Size(),
    num_examples=Size(),
    num_steps=Count(0, shape=("p",), plain=True),
    num_candidates=Count(1, shape=("p",), or_scalar=True, plain=True),
)
def fit_chain(
    risks: ArrayLike,
    covariance: ArrayLike,
    dim: int,
    num_examples: int,
    *,
    num_steps: ArrayLike,
    num_candidates: ArrayLike = 1,
) -> ChainFit:
    r"""Step size, noises and signal under which measured risks of averaged chains are explained best.

        min over eta > 0; psi, sigma^2, tau^2 >= 0 of  r^T C^{-1} r,   r_p = risk_p - E R(T_p, N_p)

    Generalised least squares: risks of the same tasks at several lengths and numbers are strongly correlated, and C says how;
    the square of what the formula may neglect (:func:`theory.chains.expected_risk_next_order`) is added to its diagonal.
    Four numbers are found, so that at least four risks are needed, of at least two numbers of candidates or of enough lengths
    to tell the terms apart. Inputs are isotropic and step sizes below 2 / (1 + sqrt(d/n))^2, beyond which chains diverge. A
    ``misfit`` far above ``num_free`` shows that the chains follow another law; then nothing follows from the fit. But four
    numbers are much freedom, and chains of another kind are only told by precise risks at many lengths.

    Args:
        risks: mean excess risks, shape (P,).
        covariance: of those means (for K tasks, 1/K of that of one task), shape (P, P); or their variances,
            shape (P,), if they are independent.
        dim: d >= 1.
        num_examples: n >= 1.
        num_steps: T >= 0 of each risk, shape (P,).
        num_candidates: N >= 1 of each, shape (P,) or one number for all.

    Raises:
        ValueError: an argument has the wrong shape or range, or the risks do not identify the four parameters.

    Source: Aitken (1935) for the weights; Golub and Pereyra, SIAM J. Numer. Anal. 10 (1973), for the separation of variables.

    Example:
        >>> steps, numbers = np.repeat([1, 2, 4], 2), np.tile([1, 4], 3)
        >>> chain = dict(step_size=0.4, label_noise_std=0.5, decoding_noise_std=0.1)
        >>> cheap = expected_risk(20, 40, num_steps=steps, num_candidates=numbers, **chain).total
        >>> fit = fit_chain(cheap, 1e-6 * cheap**2, 20, 40, num_steps=steps, num_candidates=numbers)
        >>> [round(one, 2) for one in (fit.step_size, fit.label_noise_std, fit.decoding_noise_std, fit.signal_var)]
        [0.4, 0.5, 0.1, 0.05]
    """
    risks, covariance, steps, numbers = map(np.asarray, (risks, covariance, num_steps, num_candidates))
    if len(risks) < _NUM_PARAMETERS:
        raise ValueError(f"risks must list at least {_NUM_PARAMETERS}, as many as there are unknowns, got {len(risks)}")
    numbers, spread = np.broadcast_to(numbers, steps.shape), _checked_covariance(covariance, len(steps))
    scanned = _SCANNED * 2 / (1 + np.sqrt(dim / num_examples)) ** 2
    columns = _unit_risks(dim, num_examples, scanned, steps, numbers)

    def found(whiten: np.ndarray) -> _Fitted:
        """The least sum of squares of the whitened residuals: over the variances at every step size, then over that."""
        best, around = _best(whiten, risks, scanned, columns)
        for _ in range(_ZOOMS):
            nearby = np.linspace(*around, _NUM_NEARBY)
            best, around = _best(whiten, risks, nearby, _unit_risks(dim, num_examples, nearby, steps, numbers))
        return best

    # The neglected order depends on the fit, so a first fit uses the variances alone.
    first = found(np.diag(np.diag(spread) ** -0.5))
    neglected = _columns(expected_risk_next_order, dim, num_examples, first.step_size, steps, numbers) @ first.variances
    whiten = _whitening(spread + np.diag(neglected**2))
    step_size, variances, misfit = found(whiten)
    estimates = _spread(whiten @ _slopes(dim, num_examples, step_size, variances, steps, numbers))
    signal_var, label_var, decoding_var = map(float, variances)
    noises = label_var**0.5, decoding_var**0.5
    return ChainFit(dim, num_examples, step_size, *noises, signal_var, estimates, misfit, len(steps) - _NUM_PARAMETERS)


@host_only(
    fit=Instance((ChainFit,)),
    num_steps=Count(0, plain=True),
    num_candidates=Count(1, plain=True),
    level=Number(0.0, 1.0, open_ends=True),
)
def extrapolated_risk(
    fit: ChainFit, *, num_steps: ArrayLike, num_candidates: ArrayLike = 1, level: float = 0.9
) -> Extrapolation:
    r"""Excess risk of chains of any length, averaged over any number of candidates, with an interval.

        total exp(-+ z s / total),   s^2 = g^T Sigma g,   g = d total / d (eta, psi, sigma^2, tau^2)

    with Sigma the covariance of the fit and z the two-sided quantile of ``level``: the law of the estimates is taken for normal
    on the scale of the logarithm, which needs a fit whose own errors are small. Neglected as in
    :func:`theory.expected_risk`, of which :func:`theory.chains.expected_risk_next_order` is added.

    Args:
        fit: of :func:`theory.planning.fit_chain`.
        num_steps: T >= 0, broadcast with the next.
        num_candidates: N >= 1.
        level: probability, strictly between 0 and 1, that such an interval covers.

    Raises:
        ValueError: an argument is out of range.

    Source: the delta method.

    Example:
        >>> chain = dict(step_size=0.4, label_noise_std=0.5, decoding_noise_std=0.1, signal_var=0.05)
        >>> fit = ChainFit(20, 40, *chain.values(), 1e-6 * np.eye(4), 0.0, 0)
        >>> long = extrapolated_risk(fit, num_steps=100, num_candidates=64)
        >>> round(float(long.risk.total), 2), bool(long.low < long.risk.total < long.high)
        (0.27, True)
    """
    steps, numbers = (np.ravel(one) for one in np.broadcast_arrays(num_steps, num_candidates))
    shape = np.broadcast_shapes(np.shape(num_steps), np.shape(num_candidates))
    variances = np.array([fit.signal_var, fit.label_noise_std**2, fit.decoding_noise_std**2])
    slopes = _slopes(fit.dim, fit.num_examples, fit.step_size, variances, steps, numbers)
    bias, label, decoding = (slopes[:, 1:] * variances).T
    total = bias + label + decoding
    error = np.sqrt(np.einsum("pi,ij,pj->p", slopes, fit.covariance, slopes))
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.exp(norm.ppf((1 + level) / 2) * error / total)
    risk, (error, low, high) = (
        [np.reshape(one, shape)[()] for one in ones]
        for ones in ((bias, label, decoding), (error, total / factor, total * factor))
    )
    return Extrapolation(RiskTerms(*risk), error, low, high)


def _checked_covariance(spread: np.ndarray, size: int) -> np.ndarray:
    """The covariance of the risks, (P, P)."""
    if spread.ndim == 1:
        check_shape("covariance", spread, (size,))
        spread = np.diag(spread)
    check_shape("covariance", spread, (size, size))
    Real(0.0, open_ends=True)("the diagonal of covariance", np.diag(spread))
    if not np.allclose(spread, spread.T, rtol=1e-6, atol=0):
        raise ValueError("covariance must be symmetric, got a matrix that differs from its transpose")
    least, largest = np.linalg.eigvalsh(spread)[[0, -1]]
    if least < -_LEAST_TOLD * largest:
        raise ValueError(f"covariance must have no negative eigenvalue, got {least:g}")
    return spread


def _whitening(spread: np.ndarray) -> np.ndarray:
    """The matrix that makes risks of this covariance independent and of variance one; parts below rounding are left out."""
    values, vectors = np.linalg.eigh(spread)
    kept = values > np.finfo(float).eps * len(values) * values[-1]
    return (vectors[:, kept] / np.sqrt(values[kept])).T


class _Fitted(NamedTuple):
    """Step size; psi, sigma^2 and tau^2; and the sum of squares."""

    step_size: float
    variances: np.ndarray
    misfit: float


def _best(
    whiten: np.ndarray, risks: np.ndarray, step_sizes: np.ndarray, columns: np.ndarray
) -> tuple[_Fitted, tuple[float, float]]:
    """The best of these step sizes, whose risks of unit variances are ``columns``, and its neighbours."""
    fits = [optimize.nnls(whiten @ one, whiten @ risks) for one in columns]
    place = int(np.argmin([distance for _, distance in fits]))
    variances, distance = fits[place]
    around = float(step_sizes[max(place - 1, 0)]), float(step_sizes[min(place + 1, len(step_sizes) - 1)])
    return _Fitted(float(step_sizes[place]), variances, float(distance**2)), around


def _unit_risks(dim: int, num_examples: int, step_sizes: np.ndarray, steps: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Risk of unit psi, sigma^2 and tau^2, the next order included, shape (step sizes, P, 3)."""
    both = (
        _columns(of, dim, num_examples, step_sizes[:, None], steps, numbers) for of in (expected_risk, expected_risk_next_order)
    )
    return sum(both, start=np.zeros(()))


def _columns(
    of: Callable[..., RiskTerms], dim: int, num_examples: int, step_size: ArrayLike, steps: np.ndarray, numbers: np.ndarray
) -> np.ndarray:
    """The three terms of unit variances, on a last axis."""
    units = {"label_noise_std": 1.0, "decoding_noise_std": 1.0, "signal_var": 1.0}
    return np.stack(of(dim, num_examples, num_steps=steps, step_size=step_size, num_candidates=numbers, **units), axis=-1)


def _slopes(
    dim: int, num_examples: int, step_size: float, variances: np.ndarray, steps: np.ndarray, numbers: np.ndarray
) -> np.ndarray:
    """Derivatives of the risks in eta, psi, sigma^2 and tau^2, shape (P, 4); ``variances`` are the last three."""
    nearby = step_size * np.array([1 - _NUDGE, 1.0, 1 + _NUDGE])
    below, here, above = _unit_risks(dim, num_examples, nearby, steps, numbers)
    change = (above - below) @ variances / (nearby[2] - nearby[0])
    return np.concatenate([change[:, None], here], axis=1)


def _spread(slopes: np.ndarray) -> np.ndarray:
    """Covariance of the four estimates from the whitened slopes (P, 4).

    That of an estimate at zero is taken as if it might be negative, which makes it a little too large.
    """
    scales = np.maximum(np.linalg.norm(slopes, axis=0), np.finfo(float).tiny)
    _, told, directions = np.linalg.svd(slopes / scales, full_matrices=False)
    if told[-1] <= _LEAST_TOLD * told[0]:
        raise ValueError("num_steps and num_candidates must tell step size, noises and signal apart, got points that cannot")
    half = (directions.T / told) / scales[:, None]
    return half @ half.T
