r"""Risk of the best of N candidates under a verifier, exactly, for any quadratic score.

Given the context, candidates are w = m + z, z ~ N(0, S) independent. A verifier scores s(w) = (w - c)^T V (w - c) + noise,
noise ~ N(0, nu^2), smaller is better: the oracle has V = H, c = w*; the context loss V = X^T X / n, c = a least-squares
solution; a held-out loss the same on fresh examples. With f, F the density and distribution function of the score and
g(s) = E[R; s] the risk's density along it,

    E R(selected) = N int g(s) (1 - F(s))^{N-1} ds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from theory._arguments import Count, Domain, Instance, Real, check_broadcast, check_shape, checked
from theory._evaluate import evaluate
from theory.selection.scalar import mean_maximum


class Gaussian(NamedTuple):
    """Law of one candidate: ``mean`` (d,) and ``covariance`` (d, d), positive semi-definite."""

    mean: Any
    covariance: Any


class Quadratic(NamedTuple):
    """Score ``(w - centre)^T matrix (w - centre) + noise``, noise ~ N(0, noise_std^2); ``matrix`` positive semi-definite."""

    matrix: Any
    centre: Any
    noise_std: Any = 0.0


LARGEST_NUMBER = 10**6  # largest number of candidates for which the exact risk keeps its accuracy
_DOMAINS: dict[str, Domain] = {
    "candidates": Instance((Gaussian,)),
    "verifier": Instance((Quadratic,)),
    "eigenvalues": Real(0.0, shape=("d",)),
    "truth": Real(shape=("d",)),
    "num_candidates": Count(1),
}


class Reduced(NamedTuple):
    """Score and risk as functions of z ~ N(0, I), in coordinates that make the score diagonal.

    The score is sum(curvatures z^2 + 2 slopes z) up to a constant, the risk z^T quadratic z + 2 linear z + constant.
    """

    curvatures: Array
    slopes: Array
    linear: Array
    quadratic: Array
    constant: Array


@checked(**_DOMAINS | {"num_candidates": Count(1, LARGEST_NUMBER)})
def best_of_n_risk(
    candidates: Gaussian, verifier: Quadratic, truth: ArrayLike, eigenvalues: ArrayLike, num_candidates: ArrayLike
) -> Any:
    r"""Excess risk of the candidate with the best score of N, given one context.

    In coordinates where S is the identity and S^{1/2} V S^{1/2} = diag(l), with u = 1 + 2 p l and b the linear part of the
    score, the transform of the score and of the risk along it are, for complex p,

        E e^{-p (s - E s)} = exp(sum_k [ -log(u_k) / 2 + p l_k + 2 p^2 b_k^2 / u_k ] + nu^2 p^2 / 2)
        E[R e^{-p s}] / E e^{-p s} = risk of a Gaussian with precision u and mean -2 p b / u.

    They are inverted on a contour through the saddle point p_0 of each score, bent to the left, where the integrand decays
    exponentially; scores are addressed by their saddle point, and saddle points by r = sign(p_0) sqrt(-2 log of the Chernoff
    bound), in which the density of the score is close to a standard normal. Relative error below 1e-4 for N
    up to 1024 and below 1e-3 up to 10^6, in any dimension, with singular S and V too. The average over contexts is the caller's
    vmap. Derivatives in the two matrices exist where the eigenvalues of S, and of S^{1/2} V S^{1/2}, are distinct.

    The oracle's law of large N is Gamma(1 + 2/d) (N V_d f_0)^{-2/d}, f_0 the density of candidates at the truth and V_d the
    volume of {w^T H w <= 1}: each halving of the risk takes 2^{d/2} times the candidates.

    Args:
        candidates: mean (d,) and covariance (d, d) of one candidate.
        verifier: matrix (d, d), centre (d,), and standard deviation of the score's noise (>= 0, broadcasts).
        truth: w*, shape (d,).
        eigenvalues: diagonal of H, shape (d,), >= 0.
        num_candidates: N from 1 to 10^6, broadcasts.

    Returns:
        Excess risk, of the broadcast shape of ``verifier.noise_std`` and ``num_candidates``. A score that is the same for all
        candidates chooses at random.

    Raises:
        ValueError: a shape or range is wrong, or a matrix is not symmetric positive semi-definite.

    Source: inversion on steepest-descent contours as in Rice, SIAM J. Sci. Stat. Comput. 1 (1980).

    Example:
        >>> candidates = Gaussian(np.zeros(1), np.eye(1))
        >>> oracle = Quadratic(np.eye(1), np.array([0.5]))
        >>> best_of_n_risk(candidates, oracle, np.array([0.5]), np.ones(1), np.array([1, 4])).round(4).tolist()
        [1.25, 0.1541]
    """
    arrays = _checked(candidates, verifier, truth, eigenvalues, num_candidates)
    return evaluate(_best_of_n_formula, *arrays, core_dims=_CORE_DIMS)


@checked(**_DOMAINS)
def best_of_n_risk_gaussian(
    candidates: Gaussian, verifier: Quadratic, truth: ArrayLike, eigenvalues: ArrayLike, num_candidates: ArrayLike
) -> Any:
    r"""Excess risk of the candidate with the best score of N, as if score and risk were jointly normal.

        E R ~ Rbar - Cov(R, s) / sd(s) e_N,   Rbar = tr(H S) + (m - w*)^T H (m - w*)
        Cov(R, s) = 2 tr(H S V S) + 4 (m - w*)^T H S V (m - c)
        Var(s) = 2 tr(V S V S) + 4 (m - c)^T V S V (m - c) + nu^2

    with e_N from ``expected_maximum_normal``: the limit of ``best_of_n_risk`` for many dimensions at fixed N.

    It needs log N far below d. Of the risk d of the centred isotropic oracle (V = H = S = I, c = w* = m) it lacks about
    (2/3) (E x^2 - 1), x the largest of N normals: a fraction of the order of log N / d; near log N = d / 3 it turns negative.
    Relative error of this oracle, and of the context loss in a linear regression (2 d examples, median of 20 contexts):

        N               4      16      64     256    1024
        oracle d=4    -0.32   -2.4    -8.9   -26     -66
        oracle d=10   -0.080  -0.45   -1.2    -2.4    -4.4
        oracle d=20   -0.032  -0.16   -0.38   -0.69   -1.1
        oracle d=64   -0.008  -0.036  -0.077  -0.13   -0.19
        loss d=4      -0.06   -0.28   -0.55   -0.8    -1.1
        loss d=10     -0.03   -0.14   -0.3    -0.5    -0.75
        loss d=20     -0.012  -0.06   -0.13   -0.23   -0.35
        loss d=64     -0.003  -0.016  -0.035  -0.058  -0.084

    Args, Returns and Raises: those of ``best_of_n_risk``.

    Source: moments of quadratic forms of a normal vector, Mathai and Provost, "Quadratic Forms in Random Variables" (1992).

    Example:
        >>> origin, identity = np.zeros(64), np.eye(64) / 64
        >>> arguments = Gaussian(origin, identity), Quadratic(np.eye(64), origin), origin, np.ones(64), np.array([1, 4, 64])
        >>> best_of_n_risk_gaussian(*arguments).round(3).tolist(), best_of_n_risk(*arguments).round(3).tolist()
        ([1.0, 0.818, 0.586], [1.0, 0.824, 0.635])
    """
    arrays = _checked(candidates, verifier, truth, eigenvalues, num_candidates)
    return evaluate(_gaussian_formula, *arrays, core_dims=_CORE_DIMS)


def selected_risk(reduced: Reduced, noise_std: Array, num_candidates: Array) -> Array:
    """Risk of the best of N, of the broadcast shape of the noise and the numbers; inside a formula."""
    scale = _scale(reduced, noise_std)
    curvatures, slopes, noise_std = reduced.curvatures / scale, reduced.slopes / scale, noise_std / scale
    spread = 2 * jnp.sum(curvatures**2) + 4 * jnp.sum(slopes**2)
    # A score that never differs chooses at random, as noise alone would.
    noise_var = jnp.where(spread + noise_std**2 > 0, noise_std**2, 1.0)[..., None]
    mass, risk = _along_the_score(curvatures, slopes, noise_var, reduced.constant, reduced.linear, reduced.quadratic)
    above = jnp.clip(1 - mass @ _CUMULATIVE.T, 1e-100, 1.0)  # not zero, whose powers have no derivatives
    number = num_candidates[..., None]
    return jnp.sum(_WEIGHTS * risk * number * above ** (number - 1), axis=-1)


def gaussian_risk(reduced: Reduced, noise_std: Array, num_candidates: Array) -> Array:
    """The same as if score and risk were jointly normal; inside a formula."""
    scale = _scale(reduced, noise_std)
    curvatures, slopes, noise_std = reduced.curvatures / scale, reduced.slopes / scale, noise_std / scale
    linear, quadratic, constant = reduced.linear, reduced.quadratic, reduced.constant
    shared = 2 * jnp.sum(curvatures * jnp.diagonal(quadratic)) + 4 * jnp.sum(linear * slopes)
    spread = 2 * jnp.sum(curvatures**2) + 4 * jnp.sum(slopes**2) + noise_std**2
    return _jointly_normal(constant + jnp.trace(quadratic), shared, spread, num_candidates)


def _scale(reduced: Reduced, noise_std: Array) -> Array:
    """Return the unit of the score for which its square neither overflows nor vanishes."""
    largest = jnp.maximum(jnp.max(jnp.abs(reduced.curvatures)), jnp.max(jnp.abs(reduced.slopes)))
    largest = jax.lax.stop_gradient(jnp.maximum(largest, jnp.max(noise_std, initial=0.0)))
    return jnp.where(largest > 0, largest, 1.0)


def _gaussian_formula(mean, covariance, matrix, centre, truth, eigenvalues, noise_std, num_candidates):
    # Not in the coordinates of the exact risk: so derivatives exist for repeated eigenvalues too.
    valid = _are_semi_definite((covariance, jnp.linalg.eigvalsh(covariance)), (matrix, jnp.linalg.eigvalsh(matrix)))
    # Rescale candidates and score to order one, because squares of very small numbers would vanish.
    unit, size = _size_of(matrix), _size_of(covariance)
    matrix, covariance, noise_std = matrix / unit, covariance / size, noise_std / (unit * size)
    mean, centre, truth = mean / jnp.sqrt(size), centre / jnp.sqrt(size), truth / jnp.sqrt(size)
    seen = covariance @ matrix @ covariance
    risk_slope, score_slope = eigenvalues * (mean - truth), matrix @ (mean - centre)
    risk = jnp.sum(eigenvalues * jnp.diagonal(covariance)) + jnp.sum(risk_slope * (mean - truth))
    shared = 2 * jnp.sum(eigenvalues * jnp.diagonal(seen)) + 4 * risk_slope @ covariance @ score_slope
    spread = 2 * jnp.sum(seen * matrix) + 4 * score_slope @ covariance @ score_slope + noise_std**2
    return jnp.where(valid, size * _jointly_normal(risk, shared, spread, num_candidates), jnp.nan)


def _size_of(matrix: Array) -> Array:
    """The largest entry of a matrix, one if all are zero; held where a derivative is taken."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(matrix)))
    return jnp.where(largest > 0, largest, 1.0)


def _are_semi_definite(*matrices: tuple[Array, Array]) -> Array:
    """Whether each matrix is symmetric and its eigenvalues are not negative, to the rounding of single precision."""
    valid = jnp.asarray(True)
    for matrix, eigenvalues in matrices:
        scale = jnp.max(jnp.abs(matrix))
        valid &= (jnp.max(jnp.abs(matrix - matrix.T)) <= _ROUNDING * scale) & (jnp.min(eigenvalues) >= -_ROUNDING * scale)
    return jax.lax.stop_gradient(valid)


def _jointly_normal(mean_risk, shared, spread, num_candidates):
    """Mean risk of the best score, from the mean of the risk, its covariance with the score and the score's variance."""
    # A score that never differs chooses at random; the inner where keeps its derivatives finite.
    gain = jnp.where(spread > 0, shared / jnp.sqrt(jnp.where(spread > 0, spread, 1.0)), 0.0)
    return mean_risk - gain * mean_maximum(num_candidates)


def _best_of_n_formula(mean, covariance, matrix, centre, truth, eigenvalues, noise_std, num_candidates):
    variances, directions = jnp.linalg.eigh(covariance)
    root = directions * jnp.sqrt(jnp.maximum(variances, 0.0))
    seen = root.T @ matrix @ root
    curvatures, rotation = jnp.linalg.eigh(seen)
    valid = _are_semi_definite((covariance, variances), (seen, curvatures), (matrix, curvatures[-1:]))
    root = root @ rotation
    reduced = Reduced(
        curvatures=jnp.maximum(curvatures, 0.0),
        slopes=root.T @ (matrix @ (mean - centre)),
        linear=root.T @ (eigenvalues * (mean - truth)),
        quadratic=root.T @ (eigenvalues[:, None] * root),
        constant=jnp.sum(eigenvalues * (mean - truth) ** 2),
    )
    return jnp.where(valid, selected_risk(reduced, noise_std, num_candidates), jnp.nan)


def _along_the_score(curvatures, slopes, noise_var, constant, linear, quadratic):
    """Density of the score, and of the risk along it, at the nodes in r; shapes (..., r)."""
    saddle, log_bound, second = _saddle_points(curvatures, slopes, noise_var)
    # d(score) / dr. The nodes stay where they are when a derivative is taken: any nodes serve any law.
    per_node = second * jax.lax.stop_gradient(_NODES / (saddle * second))
    scale = 1 / jnp.sqrt(second)
    saddle, scale, log_bound, noise_var = (value[..., None] for value in (saddle, scale, log_bound, noise_var))
    step = scale * _CONTOUR  # (..., r, contour)
    at_saddle = 1 + 2 * saddle * curvatures  # u at the saddle point, (..., r, d)
    rate = 2 * curvatures / at_saddle
    inverse, root = _inverse_and_root(step, rate)  # of u / at_saddle, (..., r, contour, d)

    def total(weights):
        return jax.lax.complex(*(jnp.einsum("...rcd,...rd->...rc", part, weights) for part in inverse))

    # Return the exponent minus its value at the saddle point, without cancellation.
    exponent = log_bound + noise_var * step**2 / 2 + step * jnp.sum(rate, axis=-1, keepdims=True) / 2
    transform = jnp.exp(exponent + 2 * step**2 * total(slopes**2 / at_saddle**3)) / root
    shift = -2 * (saddle + step)  # of the mean is this times b / u
    real, imag = (part * (slopes / at_saddle)[..., None, :] for part in inverse)
    seen_real, seen_imag = real @ quadratic, imag @ quadratic
    form = jax.lax.complex(jnp.sum(seen_real * real - seen_imag * imag, axis=-1), 2 * jnp.sum(seen_real * imag, axis=-1))
    mean_risk = constant + total(jnp.diagonal(quadratic) / at_saddle)
    mean_risk += 2 * shift * total(slopes * linear / at_saddle) + shift**2 * form
    weighted = transform * _CONTOUR_WEIGHTS * scale
    return (
        per_node * jnp.sum(jnp.real(weighted), axis=-1),
        per_node * jnp.sum(jnp.real(weighted * mean_risk), axis=-1),
    )


def _inverse_and_root(step, rate):
    """Real and imaginary part of 1 / (1 + step rate), and the product over d of the roots; step is in the upper half plane.

    In real numbers: complex division and root are several times slower.
    """
    real, imag = 1 + jnp.real(step)[..., None] * rate[..., None, :], jnp.imag(step)[..., None] * rate[..., None, :]
    norm = real**2 + imag**2
    larger = jnp.sqrt((jnp.sqrt(norm) + jnp.abs(real)) / 2)
    smaller = imag / (2 * larger)
    root = jax.lax.complex(jnp.where(real > 0, larger, smaller), jnp.where(real > 0, smaller, larger))
    return (real / norm, -imag / norm), jnp.prod(root, axis=-1)


def _saddle_points(curvatures, slopes, noise_var):
    """Saddle point, log of the Chernoff bound and second derivative there, at each node in r; shapes (..., r)."""

    def at(saddle, curvatures, slopes, noise_var):
        factor = 1 + 2 * saddle[..., None] * curvatures
        tilted = saddle[..., None] * curvatures / factor - 2 * (saddle[..., None] * slopes / factor) ** 2
        log_bound = jnp.sum(tilted - jnp.log(factor) / 2, axis=-1) - noise_var * saddle**2 / 2
        second = jnp.sum(2 * (curvatures / factor) ** 2 + 4 * slopes**2 / factor**3, axis=-1) + noise_var
        return log_bound, second

    law = curvatures, slopes, noise_var
    held = jax.lax.stop_gradient(law)
    spread = 2 * jnp.sum(held[0] ** 2) + 4 * jnp.sum(held[1] ** 2) + held[2]
    unit = 1 / (2 * jnp.max(held[0]) + 1e-3 * jnp.sqrt(spread))  # -unit is right of the transform's first singularity

    def refine(_, state):
        # Newton's method for log |r| in q, p = unit (e^{+-e^q} - 1), along which it is nearly linear; halving where it fails.
        low, high, place = state
        stretch = jnp.sign(_NODES) * jnp.exp(place)
        saddle = unit * jnp.expm1(stretch)
        log_bound, second = at(saddle, *held)
        squared = jnp.maximum(-2 * log_bound, 1e-300)
        miss = jnp.log(squared / _NODES**2) / 2
        proposal = place - miss * squared / (stretch * saddle * second * (unit + saddle))
        low, high = jnp.where(miss < 0, place, low), jnp.where(miss < 0, high, place)
        accepted = ((proposal >= low) & (proposal <= high)) | (jnp.abs(miss) < 1e-6)  # at the end rounding decides the sides
        return low, high, jnp.where(accepted, proposal, (low + high) / 2)

    start = jnp.log(jnp.log1p(np.abs(_NODES) / (unit * jnp.sqrt(spread))))  # a normal score's
    ends = jnp.full_like(start, -60.0), jnp.full_like(start, np.log(80.0))
    place = jax.lax.fori_loop(0, 14, refine, (*ends, start))[-1]
    saddle = unit * jnp.expm1(jnp.sign(_NODES) * jnp.exp(place))
    return saddle, *at(saddle, *law)


def _checked(candidates, verifier, truth, eigenvalues, num_candidates) -> tuple[Any, ...]:
    """The arguments of a selection's risk as arrays, once they have the right shapes and ranges."""
    (dim,) = np.shape(truth)
    arrays = []
    for name, value, shape in (
        ("candidates.mean", candidates.mean, (dim,)),
        ("candidates.covariance", candidates.covariance, (dim, dim)),
        ("verifier.matrix", verifier.matrix, (dim, dim)),
        ("verifier.centre", verifier.centre, (dim,)),
    ):
        numbers = Real()(name, value)
        check_shape(name, numbers, shape)
        arrays.append(_check_semi_definite(name, numbers) if len(shape) == 2 else numbers)
    noise_std = Real(0.0)("verifier.noise_std", verifier.noise_std)
    check_broadcast(**{"verifier.noise_std": noise_std, "num_candidates": num_candidates})
    return *arrays, truth, eigenvalues, noise_std, num_candidates


def _check_semi_definite(name: str, matrix: Any) -> Any:
    """``matrix``, checked to be symmetric and positive semi-definite; the formulas return NaN for a traced one that is not."""
    if isinstance(matrix, jax.core.Tracer):
        return matrix
    scale = np.abs(matrix).max(initial=0.0)
    if np.abs(matrix - matrix.T).max(initial=0.0) > 1e-6 * scale:
        raise ValueError(f"{name} must be symmetric, got entries that differ by {np.abs(matrix - matrix.T).max():g}")
    smallest = np.linalg.eigvalsh(matrix)[0]
    if smallest < -1e-6 * scale:
        raise ValueError(f"{name} must be positive semi-definite, got the eigenvalue {smallest:g}")
    return matrix


_CORE_DIMS = (1, 2, 2, 1, 1, 1)  # of the arrays before the noise and N, which broadcast
_ROUNDING = 1e-5  # of a matrix in single precision, over its largest entry
_BEND = 0.5  # of the contour to the left; below 1, so that a noise's Gaussian transform decays on it


def _legendre_nodes(low: float, high: float, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on an interval, and the matrix that integrates from each node to the upper end."""
    nodes, weights = np.polynomial.legendre.leggauss(size)
    values = np.polynomial.legendre.legvander(nodes, size)
    coefficients = (values[:, :size] * weights[:, None]).T * (np.arange(size) + 0.5)[:, None]  # of the interpolant
    # int_x^1 P_k = (P_{k-1}(x) - P_{k+1}(x)) / (2 k + 1), and 1 - x for k = 0
    above = np.concatenate([np.ones((size, 1)), values[:, : size - 1]], axis=1) - values[:, 1:]
    half = (high - low) / 2
    return low + half * (nodes + 1), half * weights, half * (above / (2 * np.arange(size) + 1)) @ coefficients


def _contour(size: int, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Upper half of the bent contour around 0 and its weights, for twice the real part of an integral over dp / (2 pi i)."""
    spacing = end / size
    angles = (np.arange(size) + 0.5) * spacing
    points = 1j * np.sinh(angles) - _BEND * (np.cosh(angles) - 1)
    return points, spacing * (np.cosh(angles) + 1j * _BEND * np.sinh(angles)) / np.pi


_NODES, _WEIGHTS, _CUMULATIVE = _legendre_nodes(-6.0, 6.5, 96)
_CONTOUR, _CONTOUR_WEIGHTS = _contour(20, 4.4)
