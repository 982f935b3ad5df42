r"""Linear attention that was trained: its weights and risk, how many prompts it needs, and what depth does to what it learned.

One layer predicts w = P X^T y / n, with a learned (d, d) matrix P in place of the step size.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from theory._arguments import Count, Domain, Real, Size, checked
from theory._evaluate import evaluate
from theory.chains.isotropic import spread_out
from theory.chains.spectrum import spectral_rule

__all__ = [
    "chain_depth_risk",
    "pretrained_attention_risk",
    "ridgeless_icl_risk",
    "trained_attention",
]

_TRAINED: dict[str, Domain] = {
    "eigenvalues": Real(0.0, open_ends=True, shape=("d",)),
    "num_examples": Count(1),
    "label_noise_std": Real(0.0),
    "prior_variances": Real(0.0, open_ends=True, shape=("d",), or_scalar=True),
}


@checked(**_TRAINED)
def trained_attention(
    eigenvalues: ArrayLike, num_examples: ArrayLike, *, label_noise_std: ArrayLike, prior_variances: ArrayLike | None = None
) -> Any:
    r"""The matrix P of least expected risk, when the estimate is P X^T y / n; diagonal in the eigenbasis of the inputs.

        P_i = psi_i / [(1 + 1/n) lambda_i psi_i + (sum_j lambda_j psi_j + sigma^2) / n]

    Isotropic inputs and coefficients of variance psi have P = n / (n + d + 1 + sigma^2 / psi): the best step size of one step.

    Args:
        eigenvalues: lambda > 0 of the inputs' covariance, shape (d,).
        num_examples: n >= 1 examples in each training context.
        label_noise_std: sigma >= 0; broadcasts with n.
        prior_variances: psi > 0 of the coefficients in the same basis, shape (d,) or a scalar; 1/d if None.

    Returns:
        Diagonal of P, of the broadcast shape plus (d,).

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: Zhang, Frei and Bartlett, JMLR 25 (2024), for coefficients of equal variance.

    Example:
        >>> trained_attention(np.ones(5), 20, label_noise_std=1.0).round(6).tolist()  # 20 / (20 + 5 + 1 + 5)
        [0.645161, 0.645161, 0.645161, 0.645161, 0.645161]
    """
    prior_variances = _variances(eigenvalues, prior_variances)
    return evaluate(_trained_formula, eigenvalues, prior_variances, num_examples, label_noise_std, core_dims=(1, 1))


@checked(
    **_TRAINED,
    test_eigenvalues=Real(0.0, shape=("d",)),
    test_examples=Count(1),
    test_label_noise_std=Real(0.0),
)
def pretrained_attention_risk(
    eigenvalues: ArrayLike,
    num_examples: ArrayLike,
    *,
    label_noise_std: ArrayLike,
    prior_variances: ArrayLike | None = None,
    test_eigenvalues: ArrayLike | None = None,
    test_examples: ArrayLike | None = None,
    test_label_noise_std: ArrayLike | None = None,
) -> Any:
    r"""Excess risk of :func:`trained_attention` on contexts of another length, covariance or noise than it was trained on.

    With mu the eigenvalues at test, m the examples and s the noise there,

        E R = sum_i psi_i mu_i (1 - P_i mu_i)^2
            + (1/m) [sum_i mu_i^3 P_i^2 psi_i + (sum_i mu_i^2 P_i^2) (sum_i mu_i psi_i + s^2)]

    exactly. The bias of the training length does not fall with m.

    Args:
        eigenvalues: lambda > 0 in training, shape (d,).
        num_examples: n >= 1 in training.
        label_noise_std: sigma >= 0 in training.
        prior_variances: psi > 0 of the coefficients, shape (d,) or a scalar; 1/d if None. The same at test.
        test_eigenvalues: mu >= 0, shape (d,), in the same eigenbasis; those of training if None.
        test_examples: m >= 1; n if None. Broadcasts with the scalars, whose shape is the result's.
        test_label_noise_std: s >= 0; sigma if None.

    Raises:
        ValueError: an argument has the wrong shape or range.

    Source: second moments of the Wishart law, as in Zhang, Frei and Bartlett, JMLR 25 (2024).

    Example:
        >>> risk = pretrained_attention_risk(np.ones(5), 20, label_noise_std=1.0, test_examples=np.array([5, 20, 2000]))
        >>> risk.round(3).tolist()
        [1.042, 0.355, 0.128]
    """
    prior_variances = _variances(eigenvalues, prior_variances)
    test_eigenvalues = eigenvalues if test_eigenvalues is None else test_eigenvalues
    test_examples = num_examples if test_examples is None else test_examples
    test_label_noise_std = label_noise_std if test_label_noise_std is None else test_label_noise_std
    arrays = eigenvalues, prior_variances, test_eigenvalues
    scalars = num_examples, label_noise_std, test_examples, test_label_noise_std
    return evaluate(_risk_formula, *arrays, *scalars, core_dims=(1, 1, 1))


@checked(
    alpha=Real(0.0, open_ends=True),
    kappa=Real(0.0, open_ends=True, infinite=True),
    tau=Real(0.0, open_ends=True),
    noise=Real(0.0),
)
def ridgeless_icl_risk(alpha: ArrayLike, kappa: ArrayLike, tau: ArrayLike, noise: ArrayLike) -> Any:
    r"""Squared error of linear attention after ridgeless regression on finitely many prompts, on tasks it has never seen.

    Inputs are N(0, I/d) and coefficients N(0, I); in large dimension there are n = alpha d examples a prompt, kappa d different
    tasks and tau d^2 prompts. With x = (1 + noise) / alpha, M_k(x) = 2 / [x + 1 - 1/k + sqrt((x + 1 - 1/k)^2 + 4 x / k)],
    m = M_kappa(x) and u = x M_{kappa/tau}(x):

        tau < 1    tau (1 + x) / (1 - tau) [1 - tau (1 - u)^2 - (x - noise) u / x] - 2 tau (1 - u) + 1 + noise
        tau > 1    (k - 1/(tau - 1)) (1 + x) (x m)^2 + (3 - 2 tau) m x^2 / (tau - 1) + [(1 + noise) m / (tau - 1) + 1] x
                   + noise m / (tau - 1) + noise,      k = 1 / (1 - kappa (m / (kappa + m))^2)

    It diverges at tau = 1, where prompts just suffice to fit the d^2 weights. Arguments broadcast.

    Args:
        alpha: > 0, examples a prompt over d.
        kappa: > 0, different training tasks over d; infinite for a new task in every prompt.
        tau: > 0 and not 1, prompts over d^2.
        noise: >= 0, variance of the label noise.

    Returns:
        Mean squared error of the prediction of one label, its own noise included: 1 + noise for predicting nothing.

    Raises:
        ValueError: an argument is out of range.

    Source: Lu, Letey, Zavatone-Veth, Maiti and Pehlevan, "Asymptotic theory of in-context learning by linear attention" (2024).

    Example:
        >>> ridgeless_icl_risk(2.0, np.inf, np.array([0.5, 0.9, 1.1, 4.0]), 0.1).round(3).tolist()
        [1.232, 4.613, 5.003, 0.606]
    """
    if isinstance(tau, jax.core.Tracer):
        tau = jnp.where(tau == 1, jnp.nan, tau)
    elif np.any(tau == 1):
        raise ValueError("tau must not be 1, where the error is infinite, got 1")
    return evaluate(_ridgeless_formula, alpha, kappa, tau, noise)


@checked(alpha=Real(0.0, open_ends=True), tau=Real(1.0, open_ends=True), noise=Real(0.0), num_steps=Size(0))
def chain_depth_risk(alpha: ArrayLike, tau: ArrayLike, noise: ArrayLike, *, num_steps: int) -> Any:
    r"""Error of chains w <- w + P X^T (y - X w) / n with P learned from few contexts, for every depth: the overthinking law.

    Inputs and coefficients are standard normal; P is the least-squares fit of the coefficients to X^T y / n over tau d contexts
    of n = alpha d examples, whose label noise has variance noise * d. In large dimension, with q = 1 + (1 + noise) / alpha,
    c = 1/q, k = c (1 - c) / (tau - 1), D = 1 - c x, nu = noise / alpha and <.> the Marchenko-Pastur average of ratio 1/alpha,

        K_tu = <(x^2 + nu x) D^{t+u}> + k sum_{a<t, b<u} K_ab <x^2 D^{t+u-2-a-b}>
        E_t = <D^{2t}> + nu <(1 - D^t)^2 / x> + k sum_{a,b<t} K_ab <D^{2t-2-a-b}>

    Without sampling error in P (tau infinite) depth helps; with it the error falls and then rises. The corrections are O(1/d).

    Args:
        alpha: > 0, examples over d.
        tau: > 1, training contexts over d.
        noise: >= 0, variance of the label noise over d.
        num_steps: T >= 0, a plain integer.

    Returns:
        E_0 .. E_T, mean squared error of one coefficient, of the broadcast shape plus (T + 1,).

    Raises:
        ValueError: an argument is out of range.

    Source: Takanami and Pehlevan (2026), derived anew with independent test contexts.

    Example:
        >>> chain_depth_risk(3.0, 1.5, 0.0, num_steps=8).round(3).tolist()
        [1.0, 0.75, 0.531, 0.431, 0.38, 0.367, 0.377, 0.409, 0.461]
    """
    return evaluate(_depth_formula, alpha, tau, noise, num_steps=num_steps)


def _variances(eigenvalues: Any, prior_variances: Any) -> Any:
    """The variance of each coefficient, (d,)."""
    dim = np.size(eigenvalues)
    return spread_out(1 / dim if prior_variances is None else prior_variances, dim)


def _trained_formula(eigenvalues: Array, variances: Array, num_examples: Array, label_noise_std: Array) -> Array:
    """Diagonal of P, (..., d) for scalars (...)."""
    num_examples, label_noise_std = (value[..., None] for value in (num_examples, label_noise_std))
    signal = jnp.sum(eigenvalues * variances) + label_noise_std**2
    return variances / ((1 + 1 / num_examples) * eigenvalues * variances + signal / num_examples)


def _risk_formula(eigenvalues, variances, test_eigenvalues, num_examples, label_noise_std, test_examples, test_std):
    matrix = _trained_formula(eigenvalues, variances, num_examples, label_noise_std)
    test_examples, test_std = (value[..., None] for value in (test_examples, test_std))
    bias = variances * test_eigenvalues * (1 - matrix * test_eigenvalues) ** 2
    own = test_eigenvalues**3 * matrix**2 * variances
    test_signal = jnp.sum(test_eigenvalues * variances) + test_std**2
    return jnp.sum(bias + (own + test_eigenvalues**2 * matrix**2 * test_signal) / test_examples, axis=-1)


def _ridgeless_formula(alpha, kappa, tau, noise):
    ridge = (1 + noise) / alpha

    def resolvent(inverse):
        shift = ridge + 1 - inverse
        return 2 / (shift + jnp.sqrt(shift**2 + 4 * ridge * inverse))

    # Both sides are computed, each at a tau on that side.
    few, many = jnp.where(tau < 1, tau, 0.5), jnp.where(tau > 1, tau, 2.0)
    unseen = ridge * resolvent(few / kappa)
    below = few * (1 + ridge) / (1 - few) * (1 - few * (1 - unseen) ** 2 - (ridge - noise) / ridge * unseen)
    below += -2 * few * (1 - unseen) + 1 + noise

    level = resolvent(1 / kappa)
    share = jnp.where(jnp.isinf(kappa), 0.0, kappa * (level / (jnp.where(jnp.isinf(kappa), 1.0, kappa) + level)) ** 2)
    above = (1 / (1 - share) - 1 / (many - 1)) * (1 + ridge) * (ridge * level) ** 2
    above += (3 - 2 * many) / (many - 1) * level * ridge**2 + ((1 + noise) / (many - 1) * level + 1) * ridge
    above += noise * level / (many - 1) + noise
    return jnp.where(tau < 1, below, above)


def _depth_formula(alpha, tau, noise, *, num_steps):
    alpha, tau, noise = jnp.broadcast_arrays(alpha, tau, noise)
    of_one = jnp.vectorize(lambda *one: _depths(*one, num_steps=num_steps), signature="(),(),()->(t)")
    return of_one(alpha, tau, noise)


def _depths(alpha, tau, noise, *, num_steps):
    step = 1 / (1 + (1 + noise) / alpha)
    excess, floor = step * (1 - step) / (tau - 1), noise / alpha
    rule = spectral_rule(jnp.ones_like(alpha), alpha)
    nodes, weights = rule.nodes, rule.leading
    ratio = 1 - step * nodes
    times = np.arange(num_steps + 1)
    powers = ratio[:, None] ** times  # (nodes, T + 1)
    # What the error of P at every earlier step b has become before step u: D^{u-1-b} for b < u.
    lags = times[:, None] - 1 - times
    decay = jnp.where(lags >= 0, ratio[:, None, None] ** np.maximum(lags, 0), 0.0)  # (nodes, u, b)

    def advance(carried, time):
        """``carried`` is sum_{a<t, b<u} K_ab D^{t-1-a} D^{u-1-b} at every node and u, (nodes, T + 1)."""
        power = ratio**time
        driven = (nodes**2 + floor * nodes)[:, None] * powers * power[:, None] + excess * (nodes**2)[:, None] * carried
        row = weights @ driven  # K_tu for every u
        gathered = step * jnp.sum(jnp.where(times < time, powers, 0.0), axis=1)  # (1 - D^t) / x, at x = 0 too
        error = power**2 + floor * nodes * gathered**2 + excess * carried[:, time]
        return ratio[:, None] * carried + decay @ row, weights @ error

    return jax.lax.scan(advance, jnp.zeros_like(powers), jnp.asarray(times))[1]


def __dir__() -> list[str]:
    return __all__
