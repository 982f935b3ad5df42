r"""Excess risk of averaged noisy gradient-descent chains, split into three terms.

A chain takes T steps w_{t+1} = w_t + (eta/n) X^T (y - X w_t) + tau xi_t from w_0 = 0 on a context y = X w* + sigma eps, with
w* ~ N(0, Psi), and N candidates are averaged. With G = X^T X / n, A = I - eta G, Q = eta sum_{s<T} A^s, S = sum_{s<T} A^{2s}:

    E R = tr(H A^T Psi A^T)            bias: what T steps have not yet learned
        + (sigma^2 / n) tr(H Q G Q)    label noise: what they learned of the noise
        + (tau^2 / N) tr(H S)          decoding noise, which averaging divides
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from theory._arguments import Count, Domain, Flag, Real, checked, default_signal_var
from theory._evaluate import evaluate
from theory.chains.spectrum import spectral_rule
from theory.chains.stability import check_stable, edge_of_stability
from theory.results import RiskTerms, warn_if_large

LARGEST_NEGLECTED = 0.25  # largest neglected share of the risk without a warning
REMEDY = "average theory.risk_given_context over drawn inputs"
CHAIN_DOMAINS: dict[str, Domain] = {
    "num_steps": Count(0),
    "step_size": Real(0.0),
    "label_noise_std": Real(0.0),
    "decoding_noise_std": Real(0.0),
    "num_candidates": Count(1),
}


@checked(dim=Count(1), num_examples=Count(1), **CHAIN_DOMAINS, signal_var=Real(0.0), allow_divergence=Flag())
def expected_risk(
    dim: ArrayLike,
    num_examples: ArrayLike,
    *,
    num_steps: ArrayLike,
    step_size: ArrayLike,
    label_noise_std: ArrayLike,
    decoding_noise_std: ArrayLike,
    num_candidates: ArrayLike = 1,
    signal_var: ArrayLike | None = None,
    allow_divergence: bool = False,
) -> RiskTerms:
    r"""Excess risk of the mean of N chains of T steps, averaged over contexts of standard normal inputs (H = I).

    A chain starts at zero and takes T noisy gradient steps on n examples; see the module's docstring.

        E R = d psi <(1 - eta x)^{2T}> + (sigma^2 d / n) <x (eta sum_{s<T} (1 - eta x)^s)^2>
            + (tau^2 d / N) <sum_{s<T} (1 - eta x)^{2s}>

    with <.> the average over the spectrum of X^T X / n: Marchenko-Pastur plus the first finite-size correction. The neglected
    order is O(1/d^2), :func:`expected_risk_next_order`. Chains of at most two steps are exact at every size.

    Regime: min(n, d) of at least about 4. If contexts may diverge (:func:`theory.divergence_probability`), they dominate the
    true mean, and the formula does not contain them. Three kinds of terms are beyond an expansion in 1/d: a bias so small that
    rare small eigenvalues carry it (large T at d < n), a bias that rare large eigenvalues carry (step sizes near
    :func:`theory.largest_stable_step`), and any term at n = d with T of the order of d^2. A call with plain arguments warns
    (:class:`theory.results.ExpansionWarning`) where the neglected order exceeds a quarter of the risk; a traced call cannot
    warn. A traced number of steps is exact to rounding up to 2000 steps and loses digits beyond.

    All arguments are scalars or arrays that broadcast, plain or traced.

    Args:
        dim: d >= 1.
        num_examples: n >= 1.
        num_steps: T >= 0.
        step_size: eta >= 0, below the edge of stability 2 / (1 + sqrt(d / n))^2.
        label_noise_std: sigma >= 0.
        decoding_noise_std: tau >= 0.
        num_candidates: N >= 1.
        signal_var: psi >= 0, the variance of each coefficient; 1/d if None.
        allow_divergence: return the number of a step size at or beyond the edge all the same, without a warning. Rare diverging
            contexts dominate the true mean there.

    Returns:
        RiskTerms of the broadcast shape: NumPy float64, or traced values of the session's dtype if an argument is traced.

    Raises:
        ValueError: an argument is out of range, or the step size is at or beyond the edge of stability.

    Source: the terms follow from the linear recursion; for the averages see :func:`theory.chains.spectrum.spectral_rule`.

    Example:
        >>> risk = expected_risk(20, 40, num_steps=10, step_size=0.4, label_noise_std=0.5, decoding_noise_std=0.05)
        >>> round(float(risk.total), 4)
        0.3141
    """
    orders = _risk_by_order(
        dim,
        num_examples,
        num_steps,
        step_size,
        label_noise_std,
        decoding_noise_std,
        num_candidates,
        signal_var,
        allow_divergence,
    )
    risk = orders[0]
    if not allow_divergence:
        warn_if_large("expected_risk", risk.total, sum(map(abs, orders[2])), LARGEST_NEGLECTED, REMEDY)
    return risk


@checked(dim=Count(1), num_examples=Count(1), **CHAIN_DOMAINS, signal_var=Real(0.0), allow_divergence=Flag())
def expected_risk_next_order(
    dim: ArrayLike,
    num_examples: ArrayLike,
    *,
    num_steps: ArrayLike,
    step_size: ArrayLike,
    label_noise_std: ArrayLike,
    decoding_noise_std: ArrayLike,
    num_candidates: ArrayLike = 1,
    signal_var: ArrayLike | None = None,
    allow_divergence: bool = False,
) -> RiskTerms:
    """The O(1/d^2) order that :func:`expected_risk` neglects, term by term and with its sign.

    It is the stated error of :func:`expected_risk`; adding it leaves an error of O(1/d^3). Arguments, shapes and errors as
    there; derivation in :func:`theory.chains.spectrum.spectral_rule`.

    Example:
        >>> chain = dict(num_steps=20, step_size=0.4, label_noise_std=0.5, decoding_noise_std=0.05)
        >>> round(float(expected_risk_next_order(20, 40, **chain).total / expected_risk(20, 40, **chain).total), 4)
        -0.0002
    """
    return _risk_by_order(
        dim,
        num_examples,
        num_steps,
        step_size,
        label_noise_std,
        decoding_noise_std,
        num_candidates,
        signal_var,
        allow_divergence,
    )[2]


def _risk_by_order(
    dim,
    num_examples,
    num_steps,
    step_size,
    label_noise_std,
    decoding_noise_std,
    num_candidates,
    signal_var,
    allow_divergence,
) -> tuple[RiskTerms, ...]:
    """Leading order with the first finite-size correction, that correction, and the next order, of the averaged risk."""
    if not allow_divergence:
        step_size = check_stable(step_size, edge_of_stability(dim, num_examples))
    signal_var = default_signal_var(dim) if signal_var is None else signal_var
    arguments = (dim, num_examples, num_steps, step_size, label_noise_std, decoding_noise_std, signal_var)
    orders = evaluate(risk_by_order, *arguments, num_bits=bits_of(num_steps), num_nodes=nodes_of(num_steps))
    return tuple(_averaged(terms, num_candidates) for terms in orders)


def _averaged(terms: RiskTerms, num_candidates: ArrayLike) -> RiskTerms:
    """The terms of the mean of N candidates from those of one; outside the formula, so that no N needs compiling."""
    is_traced = any(isinstance(value, jax.core.Tracer) for value in (*terms, num_candidates))
    module = jnp if is_traced else np
    unknown = module.where(module.isnan(num_candidates), np.nan, 0.0)
    bias, label_noise, decoding_noise, numbers = module.broadcast_arrays(*terms, num_candidates)
    return RiskTerms((bias + unknown)[()], (label_noise + unknown)[()], decoding_noise / numbers)


def risk_by_order(
    dim, num_examples, num_steps, step_size, label_noise_std, decoding_noise_std, signal_var, *, num_bits, num_nodes
):
    """The formulas of ``expected_risk`` for one candidate, for float64 arrays: the risk, its correction, the next order."""
    rule = spectral_rule(dim, num_examples, num_nodes)
    functions = _eigenvalue_functions(rule.nodes, num_steps[..., None], step_size[..., None], num_bits)
    scales = (dim * signal_var, label_noise_std**2 * dim / num_examples, decoding_noise_std**2 * dim)

    def average(weights):
        sums = (jnp.sum(weights * function, axis=-1) for function in functions)
        # A node that overflows is infinite, even if its weight is zero.
        overflows = (~jnp.all(jnp.isfinite(function), axis=-1) for function in functions)
        sums = (jnp.where(overflow, jnp.inf, total) for overflow, total in zip(overflows, sums, strict=True))
        sums = (jnp.where(jnp.isinf(total) & (scale == 0), 0.0, total) for scale, total in zip(scales, sums, strict=True))
        terms = (scale * total for scale, total in zip(scales, sums, strict=True))
        return RiskTerms(*jnp.broadcast_arrays(*terms))

    leading, correction, next_order = average(rule.leading), average(rule.correction), average(rule.next_order)
    # Up to two steps the terms are polynomials of degree four, of whose average one term is beyond the next order: exact.
    last = 20 * dim * signal_var * step_size**4 / num_examples**3 * (num_steps == 2)
    correction = jax.tree.map(lambda first, second: first + jnp.where(num_steps == 2, second, 0.0), correction, next_order)
    next_order = jax.tree.map(lambda second: jnp.where(num_steps <= 2, 0.0, second), next_order)
    correction = correction._replace(bias=correction.bias + last)
    # Both may be infinite, with other signs: then the risk is.
    risk = jax.tree.map(lambda one, two: jnp.where(jnp.isposinf(one), jnp.inf, one + two), leading, correction)
    return risk, correction, next_order


@checked(
    inputs=Real(shape=("n", "d")),
    **CHAIN_DOMAINS,
    eigenvalues=Real(0.0, shape=("d",)),
    prior_variances=Real(0.0, shape=("d",), or_scalar=True),
)
def risk_given_context(
    inputs: ArrayLike,
    *,
    num_steps: ArrayLike,
    step_size: ArrayLike,
    label_noise_std: ArrayLike,
    decoding_noise_std: ArrayLike,
    num_candidates: ArrayLike = 1,
    eigenvalues: ArrayLike | None = None,
    prior_variances: ArrayLike | None = None,
) -> RiskTerms:
    r"""Excess risk of the mean of N chains of T steps on given inputs, exactly.

        E[R | X] = tr(H A^T Psi A^T) + (sigma^2 / n) tr(H Q G Q) + (tau^2 / N) tr(H S)

    The average is over coefficients, label noise and decoding noise. Exact for any inputs and any diagonal H and Psi, which
    are not read off the inputs: pass the variances of inputs and coefficients unless they are 1 and 1/d.

    Args:
        inputs: X, shape (n, d), finite.
        num_steps: T >= 0; this and the following scalars may be arrays that broadcast, plain or traced.
        step_size: eta >= 0.
        label_noise_std: sigma >= 0.
        decoding_noise_std: tau >= 0.
        num_candidates: N >= 1.
        eigenvalues: diagonal of H, shape (d,), >= 0; ones if None.
        prior_variances: diagonal of Psi, shape (d,) or a scalar, >= 0; 1/d if None.

    Returns:
        RiskTerms of the broadcast shape of the scalars.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Example:
        >>> inputs = np.sqrt(2.0) * np.eye(2)  # X^T X / n = I: every step multiplies the error by 1 - eta
        >>> risk = risk_given_context(
        ...     inputs, num_steps=2, step_size=0.5, label_noise_std=0.0, decoding_noise_std=0.0, prior_variances=1.0
        ... )
        >>> round(float(risk.total), 10)  # 2 * (1/2)^4
        0.125
    """
    dim = np.shape(inputs)[1]
    eigenvalues = np.ones(dim) if eigenvalues is None else eigenvalues
    prior_variances = spread_out(1 / dim if prior_variances is None else prior_variances, dim)
    return evaluate(
        _given_context_formula,
        *(inputs, eigenvalues, prior_variances),
        *(num_steps, step_size, label_noise_std, decoding_noise_std, num_candidates),
        core_dims=(2, 1, 1),
        num_bits=bits_of(num_steps),
    )


def _given_context_formula(
    inputs,
    eigenvalues,
    prior_variances,
    num_steps,
    step_size,
    label_noise_std,
    decoding_noise_std,
    num_candidates,
    *,
    num_bits,
):
    num_examples, dim = inputs.shape
    gram = inputs.T @ inputs / num_examples
    # Powers and sums of matrices by doubling, not by eigenvectors: their derivatives exist at equal eigenvalues too.
    contraction = jnp.eye(dim) - step_size[..., None, None] * gram
    steps = num_steps[..., None, None]
    power, power_sum = geometric_sum(contraction, steps, num_bits, jnp.eye(dim), jnp.matmul)
    _, square_sum = geometric_sum(contraction @ contraction, steps, num_bits, jnp.eye(dim), jnp.matmul)
    gathered = step_size[..., None, None] * power_sum
    factors = (
        jnp.einsum("i,...ij,j,...ij->...", eigenvalues, power, prior_variances, power),
        jnp.einsum("i,...ij,...ij->...", eigenvalues, gathered @ gram, gathered),
        jnp.einsum("i,...ii->...", eigenvalues, square_sum),
    )
    scales = jnp.ones(()), label_noise_std**2 / num_examples, decoding_noise_std**2 / num_candidates
    # A factor that overflows is infinite, unless its scale is zero.
    finite = (jnp.where(jnp.isnan(factor), jnp.inf, factor) for factor in factors)
    terms = (jnp.where(scale == 0, 0.0, scale * factor) for scale, factor in zip(scales, finite, strict=True))
    return RiskTerms(*jnp.broadcast_arrays(*terms))


def _eigenvalue_functions(eigenvalue: Array, num_steps: Array, step_size: Array, num_bits: int) -> tuple[Array, Array, Array]:
    """The factors of bias, label noise and decoding noise as functions of one eigenvalue of G."""
    ratio = 1 - step_size * eigenvalue
    power, power_sum = geometric_sum(ratio, num_steps, num_bits)
    _, square_sum = geometric_sum(ratio**2, num_steps, num_bits)
    return power**2, eigenvalue * (step_size * power_sum) ** 2, square_sum


def spread_out(variances: Any, dim: int) -> Any:
    """The variances of ``dim`` coefficients from one number for all or from one number each."""
    if isinstance(variances, jax.core.Tracer):
        return jnp.broadcast_to(variances, dim)
    return np.broadcast_to(np.asarray(variances, np.float64), dim)


def geometric_sum(
    ratio: Array, count: Array, num_bits: int, one: Array | float = 1.0, times: Callable[[Array, Array], Array] = operator.mul
) -> tuple[Array, Array]:
    """``ratio**count`` and ``sum_{s<count} ratio**s`` for counts below ``2**num_bits``; of numbers, or of matrices by matmul.

    By doubling, from the highest bit of the count down: no division, so that ratios near one and their derivatives are exact.
    """
    ratio, count = jnp.broadcast_arrays(ratio, count.astype(int))

    def double(sums, bit):
        power, total = sums
        total, power = total + times(power, total), times(power, power)
        is_set = (count >> bit) & 1 == 1
        total, power = jnp.where(is_set, one + times(ratio, total), total), jnp.where(is_set, times(ratio, power), power)
        return (power, total), None

    start = jnp.broadcast_to(jnp.asarray(one, ratio.dtype), ratio.shape), jnp.zeros_like(ratio)
    # The few bits of a known count are unrolled, which is faster; those of a traced one are not, which compiles sooner.
    unroll = num_bits if num_bits <= 16 else 1
    return jax.lax.scan(double, start, jnp.arange(num_bits)[::-1], unroll=unroll)[0]


def bits_of(num_steps: ArrayLike) -> int:
    """Bits that hold every number of steps, 8 at least, so that short chains share a compiled program; 31 for a traced one."""
    return 31 if isinstance(num_steps, jax.core.Tracer) else max(8, int(np.max(np.asarray(num_steps), initial=0)).bit_length())


def nodes_of(num_steps: ArrayLike) -> int:
    """Spectral nodes that resolve (1 - eta x)^{2T} up to the edge of its stability: several times the root of T."""
    if isinstance(num_steps, jax.core.Tracer):
        return 256
    return 256 * 2 ** min(5, max(0, (bits_of(num_steps) - 10) // 2))
