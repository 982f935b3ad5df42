"""Excess risk of averaged noisy chains for inputs of any covariance, averaged over contexts in large dimension."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from theory._arguments import Count, Domain, Flag, Real, checked
from theory._evaluate import evaluate
from theory.chains import resolvents
from theory.chains.isotropic import CHAIN_DOMAINS, LARGEST_NEGLECTED, REMEDY, bits_of, geometric_sum, spread_out
from theory.chains.resolvents import check_spectrum
from theory.chains.stability import check_stable
from theory.results import RiskTerms, warn_if_large

_DOMAINS: dict[str, Domain] = {
    "eigenvalues": Real(0.0, shape=("d",)),
    "num_examples": Count(1),
    **CHAIN_DOMAINS,
    "prior_variances": Real(0.0, shape=("d",), or_scalar=True),
    "allow_divergence": Flag(),
}


@checked(**_DOMAINS)
def expected_risk_covariance(
    eigenvalues: ArrayLike,
    num_examples: ArrayLike,
    *,
    num_steps: ArrayLike,
    step_size: ArrayLike,
    label_noise_std: ArrayLike,
    decoding_noise_std: ArrayLike,
    num_candidates: ArrayLike = 1,
    prior_variances: ArrayLike | None = None,
    allow_divergence: bool = False,
) -> RiskTerms:
    r"""Excess risk of the mean of N chains of T steps for inputs x ~ N(0, H), averaged over contexts; leading order in 1/n.

    With G = X^T X / n, A = I - eta G, Q = eta sum_{s<T} A^s, S = sum_{s<T} A^{2s} and deterministic equivalents of the
    resolvents of G on a contour around its spectrum (:mod:`theory.chains.resolvents`),

        E R = E tr(H A^T Psi A^T) + (sigma^2 / n) E tr(H Q G Q) + (tau^2 / N) E tr(H S).

    For H = I and Psi = psi I this is the leading order of :func:`theory.expected_risk`. The neglected order is O(1/n),
    :func:`expected_risk_covariance_next_order`, whose size is the stated error; adding it leaves O(1/n^2).

    Regime: d < n, d = n and d > n alike; T up to 1000 and beyond (a traced T up to 4000); tested to d = 4096. Chains must be
    stable: ``step_size`` times the right edge of the spectrum (:func:`spectral_edge`) below 2. A term below 1e-14 of the signal
    is rounding. A bias so small that rare small or large eigenvalues carry it (large T at d < n, or step sizes near the edge)
    is beyond an expansion in 1/n; the error may then exceed the stated one many times. A call with plain arguments computes the
    next order too, and warns (:class:`theory.results.ExpansionWarning`) where it exceeds a quarter of the risk. A traced call
    cannot warn.

    Args:
        eigenvalues: diagonal of H, shape (d,), >= 0, not all zero.
        num_examples: n >= 1; this and the following scalars may be arrays that broadcast, plain or traced.
        num_steps: T >= 0.
        step_size: eta >= 0.
        label_noise_std: sigma >= 0.
        decoding_noise_std: tau >= 0.
        num_candidates: N >= 1.
        prior_variances: diagonal of Psi, shape (d,) or a scalar, >= 0; 1/d if None.
        allow_divergence: return the number of a step size at or beyond the edge of stability all the same, without a warning.
            Rare diverging contexts dominate the true mean there.

    Returns:
        RiskTerms of the broadcast shape of the scalars: NumPy float64, or traced values of the session's dtype.

    Raises:
        ValueError: an argument has the wrong shape or range, or the step size is at or beyond the edge of stability.

    Source: deterministic equivalents as in Bach, SIAM J. Math. Data Sci. 6 (2024); the terms from the linear recursion.

    Example:
        >>> chain = dict(num_steps=np.array([5, 50]), step_size=0.6, label_noise_std=0.3, decoding_noise_std=0.01)
        >>> risk = expected_risk_covariance(np.arange(1, 101) ** -1.0, 50, **chain, prior_variances=1.0)
        >>> risk.total.round(3).tolist()
        [2.587, 1.54]
    """
    chain = num_steps, step_size, label_noise_std, decoding_noise_std, num_candidates
    given = eigenvalues, num_examples, chain, prior_variances, allow_divergence
    risk = _terms("leading_order", *given)
    traced = any(isinstance(value, jax.core.Tracer) for value in (eigenvalues, num_examples, *chain, prior_variances))
    if not (traced or allow_divergence):
        neglected = sum(map(abs, _terms("next_order", *given)))
        warn_if_large("expected_risk_covariance", risk.total, neglected, LARGEST_NEGLECTED, REMEDY)
    return risk


@checked(**_DOMAINS)
def expected_risk_covariance_next_order(
    eigenvalues: ArrayLike,
    num_examples: ArrayLike,
    *,
    num_steps: ArrayLike,
    step_size: ArrayLike,
    label_noise_std: ArrayLike,
    decoding_noise_std: ArrayLike,
    num_candidates: ArrayLike = 1,
    prior_variances: ArrayLike | None = None,
    allow_divergence: bool = False,
) -> RiskTerms:
    """The O(1/n) order that :func:`expected_risk_covariance` neglects, term by term and with its sign.

    Its size is the stated error of the leading order. The error after adding it, relative to a term, is about the square
    of the relative size of this order (within a factor of four in the checks). Arguments, shapes and errors as there.

    Source: Gaussian integration by parts, :func:`theory.chains.resolvents.next_order`. For H = I it is the correction of
        Bai and Silverstein, Ann. Probab. 32 (2004).

    Example:
        >>> chain = dict(num_steps=5, step_size=0.6, label_noise_std=0.3, decoding_noise_std=0.01)
        >>> spectrum = np.arange(1, 101) ** -1.0
        >>> leading = expected_risk_covariance(spectrum, 50, **chain).total
        >>> round(float(expected_risk_covariance_next_order(spectrum, 50, **chain).total / leading), 4)
        0.0023
    """
    return _terms(
        "next_order",
        eigenvalues,
        num_examples,
        (num_steps, step_size, label_noise_std, decoding_noise_std, num_candidates),
        prior_variances,
        allow_divergence,
    )


@checked(eigenvalues=Real(0.0, shape=("d",)), num_examples=Count(1))
def spectral_edge(eigenvalues: ArrayLike, num_examples: ArrayLike) -> Any:
    r"""Right edge of the spectrum of X^T X / n for inputs x ~ N(0, diag(eigenvalues)) in large dimension.

        (1/c) (1 + (1/n) sum c lambda / (1 - c lambda)),   sum (c lambda / (1 - c lambda))^2 = n,   0 < c < 1 / max lambda

    Gradient descent is stable for step sizes below two over it, but for fluctuations
    (:func:`theory.chains.divergence_probability_covariance`). For H = I it is (1 + sqrt(d / n))^2.

    Args:
        eigenvalues: diagonal of H, shape (d,), >= 0, not all zero.
        num_examples: n >= 1, broadcasts.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: Silverstein and Choi, J. Multivariate Anal. 54 (1995).

    Example:
        >>> round(float(spectral_edge(np.ones(25), 100)), 12)
        2.25
    """
    return evaluate(_edge_formula, check_spectrum(eigenvalues), num_examples, core_dims=(1,))


def _terms(order: str, eigenvalues, num_examples, chain, prior_variances, allow_divergence) -> RiskTerms:
    eigenvalues, dim = check_spectrum(eigenvalues), np.size(eigenvalues)
    num_steps, step_size, *others = chain
    if not allow_divergence:
        step_size = check_stable(step_size, 2 / evaluate(_edge_formula, eigenvalues, num_examples, core_dims=(1,)))
    prior_variances = spread_out(1 / dim if prior_variances is None else prior_variances, dim)
    most = 1000 if isinstance(num_steps, jax.core.Tracer) else int(np.max(num_steps, initial=1))
    return evaluate(
        _risk_formula,
        *(eigenvalues, prior_variances, num_examples, num_steps, step_size, *others),
        core_dims=(1, 1),
        order=order,
        size=resolvents.num_nodes(most),
        num_bits=bits_of(num_steps),
    )


def _edge_formula(eigenvalues, num_examples):
    return jnp.vectorize(lambda count: resolvents.edge(eigenvalues, count))(num_examples)


def _risk_formula(
    eigenvalues,
    prior_variances,
    num_examples,
    num_steps,
    step_size,
    label_noise_std,
    decoding_noise_std,
    num_candidates,
    *,
    order,
    size,
    num_bits,
):
    def kernels(count):
        nodes = resolvents.contour(eigenvalues, count, size)
        return nodes, getattr(resolvents, order)(nodes, eigenvalues, prior_variances, count)

    # Everything that costs depends on n alone: the other scalars only weigh the kernels.
    nodes, (one, two) = jax.tree.map(
        lambda leaf: leaf.reshape(*num_examples.shape, *leaf.shape[1:]), jax.lax.map(kernels, num_examples.ravel())
    )
    ratio = 1 - step_size[..., None] * nodes.points
    steps = num_steps[..., None]
    power, power_sum = geometric_sum(ratio, steps, num_bits)
    _, square_sum = geometric_sum(ratio**2, steps, num_bits)
    learned = nodes.points * (step_size[..., None] * power_sum) ** 2
    rows = nodes.weights * power
    columns = jnp.concatenate([rows, jnp.conj(rows)], axis=-1)

    def single(function):
        return -2 * jnp.sum(jnp.real(nodes.weights * function * one), axis=-1)

    terms = (
        2 * jnp.real(jnp.einsum("...i,...ij,...j->...", rows, two, columns)),
        label_noise_std**2 / num_examples * single(learned),
        decoding_noise_std**2 / num_candidates * single(square_sum),
    )
    return RiskTerms(*jnp.broadcast_arrays(*terms))
