r"""Best-of-N risk averaged over contexts: exact given each context, Monte Carlo over contexts alone.

A context of isotropic inputs enters through the eigenvalues l of X^T X / n only. In its eigenbasis, with u, e ~ N(0, I),

    w* = sqrt(psi) u,   X^T y / n = l w* + sigma sqrt(l / n) e,   candidates ~ N(q X^T y / n, tau^2 diag(S)),
    q = eta sum_{s<T} (1 - eta l)^s,   S = sum_{s<T} (1 - eta l)^{2s}.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from theory._arguments import Flag, Instance, Real, Size, check_broadcast, checked
from theory._evaluate import evaluate
from theory.chains.isotropic import CHAIN_DOMAINS, bits_of, geometric_sum, nodes_of, risk_by_order
from theory.chains.stability import check_stable, edge_of_stability
from theory.results import Estimate
from theory.selection.given_context import Reduced, gaussian_risk, selected_risk

_BATCH = 64  # contexts evaluated together; bounds the memory
_CORE_DIMS = (2, 2, 2, 3, 2)  # of the draws, which come before the scalars


class Oracle(NamedTuple):
    """Scores a candidate by its excess risk, plus noise ~ N(0, noise_std^2); ``noise_std`` broadcasts and may be traced."""

    noise_std: Any = 0.0


class ContextLoss(NamedTuple):
    """Scores a candidate by its mean squared error on the context that it was made from."""


class HeldOutLoss(NamedTuple):
    """Scores a candidate by its mean squared error on ``num_examples`` fresh examples with the context's label noise."""

    num_examples: int


Verifier = Oracle | ContextLoss | HeldOutLoss


@checked(
    dim=Size(),
    num_examples=Size(),
    verifier=Instance((Oracle, ContextLoss, HeldOutLoss)),
    **CHAIN_DOMAINS,
    signal_var=Real(0.0),
    num_contexts=Size(8),
    seed=Size(0),
    gaussian=Flag(),
)
def expected_best_of_n_risk(
    dim: int,
    num_examples: int,
    verifier: Verifier,
    *,
    num_steps: ArrayLike,
    step_size: ArrayLike,
    label_noise_std: ArrayLike,
    decoding_noise_std: ArrayLike,
    num_candidates: ArrayLike,
    signal_var: ArrayLike | None = None,
    num_contexts: int = 256,
    seed: int = 0,
    gaussian: bool = False,
) -> Estimate:
    r"""Excess risk of the best of N chains of T steps under a verifier, averaged over contexts of standard normal inputs.

    Given a context, the risk is that of :func:`theory.best_of_n_risk`. Contexts are drawn; two quantities that are known both
    for a context and on average, the risk of the chain's mean and the variance of one candidate, serve as control variates:

        E R ~ mean over contexts of R_i - b_1 (|m_i - w*_i|^2 - E |m - w*|^2) - b_2 (tr S_i - E tr S)

    with b fitted by least squares and the averages from :func:`theory.expected_risk` and its next order. What those neglect is
    part of the standard error, as the next term of a geometric series of their orders; for dimensions or examples below 4 it is
    not to be trusted. The same seed draws the same contexts for every verifier and setting: differences are better known than
    each value. The scalars broadcast, plain or traced; what costs is computed once for all numbers of candidates.

    Args:
        dim: d >= 1.
        num_examples: n >= 1.
        verifier: :class:`Oracle`, :class:`ContextLoss` or :class:`HeldOutLoss`.
        num_steps: T >= 0.
        step_size: eta, below the edge of stability 2 / (1 + sqrt(d / n))^2 (checked unless traced).
        label_noise_std: sigma >= 0.
        decoding_noise_std: tau >= 0.
        num_candidates: N >= 1.
        signal_var: psi >= 0, the variance of each coefficient; 1/d if None.
        num_contexts: contexts drawn, at least 8.
        seed: of the contexts, >= 0.
        gaussian: take the large-dimension form of :func:`theory.selection.best_of_n_risk_gaussian` for each context instead.

    Returns:
        Mean and standard error, each of the broadcast shape of the scalars.

    Raises:
        ValueError: an argument is out of range.

    Source: control variates as in Owen, "Monte Carlo theory, methods and examples" (2013), chapter 8.

    Example:
        >>> chain = dict(num_steps=8, step_size=0.3, label_noise_std=0.5, decoding_noise_std=0.1, num_contexts=200)
        >>> risk = expected_best_of_n_risk(6, 12, Oracle(), **chain, num_candidates=np.array([1, 16]))
        >>> risk.mean.round(2).tolist(), bool(risk.standard_error.max() < 0.02)
        ([0.38, 0.11], True)
    """
    noise_std = Real(0.0)("verifier.noise_std", verifier.noise_std if isinstance(verifier, Oracle) else 0.0)
    num_held_out = Size()("verifier.num_examples", verifier.num_examples if isinstance(verifier, HeldOutLoss) else 1)
    scalars = {
        "num_steps": num_steps,
        "step_size": check_stable(step_size, edge_of_stability(dim, num_examples), remedy=""),
        "label_noise_std": label_noise_std,
        "decoding_noise_std": decoding_noise_std,
        "signal_var": 1 / dim if signal_var is None else signal_var,
        "verifier.noise_std": noise_std,
        "num_candidates": num_candidates,
    }
    check_broadcast(**scalars)
    if 0 in np.shape(num_candidates):
        raise ValueError(f"num_candidates must have at least one entry, got shape {np.shape(num_candidates)}")
    draws = (
        *_draws(dim, num_examples, num_contexts, seed),
        *_held_out(isinstance(verifier, HeldOutLoss), dim, num_held_out, num_contexts, seed),
    )
    num_bits = bits_of(num_steps)
    static = {"kind": type(verifier), "num_examples": num_examples, "num_bits": num_bits}
    risk = gaussian_risk if gaussian else selected_risk
    num_nodes = nodes_of(num_steps)
    if any(isinstance(value, jax.core.Tracer) for value in scalars.values()):
        arguments = *draws, *scalars.values()
        return evaluate(_expected_formula, *arguments, core_dims=_CORE_DIMS, risk=risk, num_nodes=num_nodes, **static)
    return _in_pieces(draws, scalars, risk, num_nodes, static)


def _in_pieces(
    draws: tuple, scalars: dict[str, Any], risk: Callable[..., Array], num_nodes: int, static: dict[str, Any]
) -> Estimate:
    """The formula for plain numbers, compiled in pieces, the expensive one for all verifiers and similar dimensions."""
    *chain, numbers = (np.asarray(value, np.float64) for value in scalars.values())
    points = np.broadcast_arrays(*chain)
    dim, num_examples, num_bits = draws[0].shape[1], static["num_examples"], static["num_bits"]
    # Directions without variance, and repeated numbers, change the shape alone.
    wanted = np.append(numbers.ravel(), np.full(-numbers.size % 16, numbers.flat[0]))
    found = []
    for *of_chain, noise_std in zip(*(value.ravel() for value in points), strict=True):
        reduced, controls = evaluate(_reduced_formula, *draws, *of_chain, core_dims=_CORE_DIMS, **static)
        padded = [
            np.pad(leaf, [(0, 0)] + [(0, -leaf.shape[1] % 8)] * (leaf.ndim - 1)) if leaf.ndim > 1 else leaf for leaf in reduced
        ]
        core_dims = (*(leaf.ndim for leaf in padded), 0, 1)
        values = evaluate(_selected_formula, *padded, noise_std, wanted, core_dims=core_dims, risk=risk)
        known = evaluate(_known_formula, dim, num_examples, *of_chain, num_bits=num_bits, num_nodes=num_nodes)
        found.append(evaluate(_controlled, values, controls, known, core_dims=(2, 2, 2)))
    mean, error = np.moveaxis(np.array(found), 1, 0)  # (points, numbers)
    at, of = np.arange(len(found)).reshape(points[0].shape), np.arange(numbers.size).reshape(numbers.shape)
    places = tuple(np.broadcast_arrays(at, of))
    return Estimate(mean[places], error[places])


def _draws(dim: int, num_examples: int, num_contexts: int, seed: int) -> tuple[np.ndarray, ...]:
    """Eigenvalues of X^T X / n, and standard normals for the coefficients and the label noise; each (contexts, d)."""
    generator = np.random.default_rng([seed, 0])
    inputs = generator.normal(size=(num_contexts, num_examples, dim))
    eigenvalues = np.zeros((num_contexts, dim))
    rank = min(dim, num_examples)
    eigenvalues[:, :rank] = np.linalg.svd(inputs, compute_uv=False) ** 2 / num_examples
    return eigenvalues, generator.normal(size=(num_contexts, dim)), generator.normal(size=(num_contexts, dim))


def _held_out(asked: bool, dim: int, num_examples: int, num_contexts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard normals for held-out inputs (contexts, m, d) and their label noise (contexts, m); empty unless asked for."""
    generator = np.random.default_rng([seed, 1])
    size = (num_contexts, num_examples if asked else 0)
    return generator.normal(size=(*size, dim)), generator.normal(size=size)


def _expected_formula(*arguments, risk, kind, num_examples, num_bits, num_nodes):
    """The estimate of traced scalars, which broadcast."""
    draws, (*chain, num_candidates) = arguments[: len(_CORE_DIMS)], arguments[len(_CORE_DIMS) :]
    shape = jnp.broadcast_shapes(*(jnp.shape(scalar) for scalar in chain))
    numbers, dim = num_candidates.ravel(), jnp.asarray(float(draws[0].shape[1]))

    def at(point):
        *of_chain, nu = point
        reduced, controls = _reduced_formula(*draws, *of_chain, kind=kind, num_examples=num_examples, num_bits=num_bits)
        known = _known_formula(dim, jnp.asarray(float(num_examples)), *of_chain, num_bits=num_bits, num_nodes=num_nodes)
        return _controlled(_selected_formula(*reduced, nu, numbers, risk=risk), controls, known)

    mean, error = jax.lax.map(at, tuple(jnp.broadcast_to(scalar, shape).ravel() for scalar in chain))  # (points, numbers)
    # Every point has been computed for every number; the broadcast says which are wanted.
    places = jnp.arange(mean.shape[0]).reshape(shape), jnp.arange(numbers.size).reshape(num_candidates.shape)
    wanted = tuple(jnp.broadcast_arrays(*places))
    return Estimate(mean[wanted], error[wanted])


def _selected_formula(*arguments, risk):
    """Risk of the best of each number of candidates in each context, (contexts, numbers)."""
    *reduced, noise_std, numbers = arguments
    contexts = Reduced(*reduced)
    return jax.lax.map(lambda reduced: risk(reduced, noise_std, numbers), contexts, batch_size=_BATCH)


def _reduced_formula(*arguments, kind, num_examples, num_bits):
    """Score and risk in every context, and the control variates (contexts, 2)."""
    in_axes = tuple(0 if index < len(_CORE_DIMS) else None for index in range(len(arguments)))
    given = functools.partial(_reduced, kind=kind, num_examples=num_examples, num_bits=num_bits)
    return jax.vmap(given, in_axes)(*arguments)


def _known_formula(dim, num_examples, steps, step, label_std, tau, psi, *, num_bits, num_nodes):
    """Averages of the control variates over contexts, and the size of what they neglect; (2, 2)."""
    orders = risk_by_order(dim, num_examples, steps, step, label_std, tau, psi, num_bits=num_bits, num_nodes=num_nodes)
    parts = jnp.stack([jnp.stack([terms.bias + terms.label_noise, terms.decoding_noise]) for terms in orders])  # (3, 2)
    correction, further = jnp.abs(parts[1]), jnp.abs(parts[2])
    neglected = further * jnp.where(further < correction, further / jnp.where(correction > 0, correction, 1.0), 1.0)
    return jnp.stack([parts[0] + parts[2], neglected])


def _reduced(
    eigenvalues, signal, noise, held_inputs, held_noise, steps, step, label_std, tau, psi, *, kind, num_examples, num_bits
):
    """Score and risk of a candidate of one context in its eigenbasis, and the two control variates."""
    ratio = 1 - step * eigenvalues
    _, power_sum = geometric_sum(ratio, steps, num_bits)
    _, square_sum = geometric_sum(ratio**2, steps, num_bits)
    truth = jnp.sqrt(psi) * signal
    gathered = step * power_sum
    # A direction that the context does not show has eigenvalue zero and no noise.
    away = gathered * (eigenvalues * truth + label_std * jnp.sqrt(eigenvalues / num_examples) * noise) - truth
    spread = tau * jnp.sqrt(square_sum)
    linear, constant = spread * away, jnp.sum(away**2)
    if kind is HeldOutLoss:
        reduced = _seen_by(held_inputs, held_inputs @ away - label_std * held_noise, spread, linear, constant)
    else:
        # The gradient of the score at the mean: of |w - w*|^2, or of the loss on the context itself.
        residual = eigenvalues * away - label_std * jnp.sqrt(eigenvalues / num_examples) * noise
        curvatures, slopes = (spread**2, linear) if kind is Oracle else (eigenvalues * spread**2, spread * residual)
        reduced = Reduced(curvatures, slopes, linear, jnp.diag(spread**2), constant)
    return reduced, jnp.stack([constant, jnp.sum(spread**2)])


def _seen_by(inputs: Array, residuals: Array, spread: Array, linear: Array, constant: Array) -> Reduced:
    """A held-out loss in the directions that it tells apart; in the others a candidate's variance only adds to its risk."""
    num_held_out, dim = inputs.shape
    scaled = inputs * spread / jnp.sqrt(num_held_out)  # V in units of the candidates is scaled^T scaled
    slopes = scaled.T @ residuals / jnp.sqrt(num_held_out)
    if num_held_out >= dim:
        curvatures, basis = jnp.linalg.eigh(scaled.T @ scaled)
    else:
        curvatures, left = jnp.linalg.eigh(scaled @ scaled.T)
        basis = scaled.T @ (left / jnp.sqrt(jnp.maximum(curvatures, 1e-300)))
    quadratic = basis.T @ ((spread**2)[:, None] * basis)
    unseen = jnp.sum(spread**2) - jnp.trace(quadratic)
    return Reduced(curvatures, basis.T @ slopes, basis.T @ linear, quadratic, constant + unseen)


def _controlled(values: Array, controls: Array, known: Array) -> tuple[Array, Array]:
    """Mean of values (contexts, numbers) and its error, with controls (contexts, 2) of known means and their errors (2, 2).

    The standard error is the jackknife-like one of a regression whose residuals differ in size (HC3): large residuals come with
    extreme controls, which pull the fit towards themselves.
    """
    count = values.shape[0]
    mean, control_mean = jnp.mean(values, axis=0), jnp.mean(controls, axis=0)
    deviations = controls - control_mean
    # A control that is the same in all contexts (no noise, one step) explains nothing and must not make the fit singular.
    variance = jnp.mean(deviations**2, axis=0)
    varies = variance > 1e-18 * control_mean**2
    scale = jnp.sqrt(jnp.where(varies, variance, 1.0))
    deviations = jnp.where(varies, deviations / scale, 0.0)
    fit = jnp.linalg.solve(deviations.T @ deviations + 1e-9 * count * jnp.eye(2), deviations.T)  # (2, contexts)
    slopes, shift = fit @ values, jnp.where(varies, control_mean - known[0], 0.0) / scale
    leverage = 1 / count + jnp.sum(deviations.T * fit, axis=0)
    residuals = (values - mean - deviations @ slopes) / (1 - leverage)[:, None]
    weights = 1 / count - shift @ fit
    variance = jnp.sum((weights[:, None] * residuals) ** 2, axis=0) + ((known[1] / scale) @ jnp.abs(slopes)) ** 2
    return mean - shift @ slopes, jnp.sqrt(variance)
