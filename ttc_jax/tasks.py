"""In-context linear regression tasks: covariances, coefficient priors, and one task drawn from them.

A task is a coefficient vector w* with inputs x ~ N(0, diag(eigenvalues)) and targets y = x.w* + label noise. Everything
is written for one task; a batch is the caller's :func:`jax.vmap` over keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ttc_jax import _check
from ttc_jax.normals import standard_normal


class Context(NamedTuple):
    """The examples a transformer reads: ``inputs`` (n, d) and ``targets`` (n,)."""

    inputs: Array
    targets: Array


class Task(NamedTuple):
    """One regression problem.

    Attributes:
        coefficients: w*, shape (d,).
        eigenvalues: variances of the inputs, the diagonal of their covariance H, shape (d,).
        label_noise_std: standard deviation of the targets' noise, scalar.
        context: the examples shown in context.
    """

    coefficients: Array
    eigenvalues: Array
    label_noise_std: Array
    context: Context


@dataclass(frozen=True)
class Isotropic:
    """Inputs with the same variance in every direction."""

    variance: float = 1.0

    def __post_init__(self):
        _check.scalar("variance", self.variance, minimum=0.0, open_ends=True)

    def eigenvalues(self, dim: int) -> np.ndarray:
        return np.full(dim, self.variance)


@dataclass(frozen=True)
class PowerLaw:
    """Input variances ``i**-exponent`` for i = 1..d."""

    exponent: float = 1.0

    def __post_init__(self):
        _check.scalar("exponent", self.exponent, minimum=0.0)

    def eigenvalues(self, dim: int) -> np.ndarray:
        return np.arange(1, dim + 1) ** -float(self.exponent)


@dataclass(frozen=True)
class GivenSpectrum:
    """Input variances listed one by one."""

    values: Sequence[float]

    def __post_init__(self):
        _check.shape("values", self.values, (None,))
        _check.real("values", self.values, minimum=0.0)
        object.__setattr__(self, "values", tuple(float(value) for value in self.values))
        if not any(self.values):
            raise ValueError(f"values must have a positive entry, got {self.values}")

    def eigenvalues(self, dim: int) -> np.ndarray:
        _check.shape("values", self.values, (dim,))
        return np.asarray(self.values)


Spectrum = Isotropic | PowerLaw | GivenSpectrum


@dataclass(frozen=True)
class GaussianPrior:
    """Coefficients w* ~ N(0, diag(variances)); one number means the same variance everywhere, None means 1/d."""

    variances: float | Sequence[float] | None = None

    def __post_init__(self):
        if self.variances is not None:
            _check.real("variances", self.variances, minimum=0.0)
            if np.ndim(self.variances) > 1:
                raise ValueError(f"variances must be a number or a list of numbers, got shape {np.shape(self.variances)}")
            variances = np.asarray(self.variances, dtype=float).tolist()
            object.__setattr__(self, "variances", tuple(variances) if isinstance(variances, list) else variances)

    def check_dim(self, dim: int) -> None:
        if isinstance(self.variances, tuple):
            _check.shape("variances", self.variances, (dim,))

    def sample(self, key: Array, dim: int, dtype) -> Array:
        variances = 1.0 / dim if self.variances is None else self.variances
        return jnp.sqrt(jnp.asarray(variances, dtype)) * standard_normal(key, (dim,), dtype=dtype)


@dataclass(frozen=True)
class BinaryPrior:
    """Coefficients that independently take the value ``high`` with probability ``prob_high``, else ``low``."""

    low: float = -1.0
    high: float = 1.0
    prob_high: float = 0.5

    def __post_init__(self):
        _check.scalar("low", self.low)
        _check.scalar("high", self.high)
        _check.scalar("prob_high", self.prob_high, minimum=0.0, maximum=1.0, open_ends=True)
        if not self.low < self.high:
            raise ValueError(f"high must be above low = {self.low:g}, got {self.high:g}")

    @property
    def mean(self) -> float:
        """Mean of a coefficient."""
        return self.low + self.prob_high * (self.high - self.low)

    def check_dim(self, dim: int) -> None:
        """Any dimension will do."""

    def sample(self, key: Array, dim: int, dtype) -> Array:
        is_high = jax.random.bernoulli(key, self.prob_high, (dim,))
        return jnp.where(is_high, jnp.asarray(self.high, dtype), jnp.asarray(self.low, dtype))


SIGNS = BinaryPrior()
"""-1 and +1, equally probable."""
Prior = GaussianPrior | BinaryPrior


@dataclass(frozen=True)
class TaskConfig:
    """Shape and law of a task; noise levels are arguments of :func:`sample_task`.

    Attributes:
        dim: number of coefficients d, at least 1.
        num_examples: number of in-context examples n, at least 1.
        spectrum: variances of the inputs.
        prior: law of the coefficients.

    Raises:
        ValueError: a size is not a positive integer, or the spectrum or the prior lists another number of entries than dim.
    """

    dim: int
    num_examples: int
    spectrum: Spectrum = Isotropic()
    prior: Prior = GaussianPrior()

    def __post_init__(self):
        object.__setattr__(self, "dim", _check.integer("dim", self.dim, minimum=1))
        object.__setattr__(self, "num_examples", _check.integer("num_examples", self.num_examples, minimum=1))
        _check.one_of("spectrum", self.spectrum, (Isotropic, PowerLaw, GivenSpectrum))
        _check.one_of("prior", self.prior, (GaussianPrior, BinaryPrior))
        self.spectrum.eigenvalues(self.dim)
        self.prior.check_dim(self.dim)


@_check.arguments
def sample_task(key: Array, config: TaskConfig, *, label_noise_std: ArrayLike = 0.0, dtype=None) -> Task:
    """Draw one task and its context.

    w* ~ prior;  x_j ~ N(0, diag(eigenvalues));  y_j = x_j.w* + label_noise_std * eps_j,  eps_j ~ N(0, 1).

    The same key gives the same coefficients, inputs and eps at every noise level.

    Args:
        key: one typed key.
        config: sizes, spectrum and prior.
        label_noise_std: standard deviation of the label noise, >= 0; may be traced.
        dtype: floating dtype; the session's default if None.

    Returns:
        Task with arrays of shapes (d,), (d,), (), ((n, d), (n,)).

    Raises:
        ValueError: label_noise_std is negative or not finite.

    Example:
        >>> task = sample_task(jax.random.key(0), TaskConfig(dim=3, num_examples=5), label_noise_std=0.1)
        >>> task.context.inputs.shape, task.coefficients.shape
        ((5, 3), (3,))
        >>> keys = jax.random.split(jax.random.key(0), 7)
        >>> batch = jax.vmap(lambda key: sample_task(key, TaskConfig(dim=3, num_examples=5)))(keys)
        >>> batch.context.targets.shape
        (7, 5)
    """
    label_noise_std = _check.scalar("label_noise_std", label_noise_std, minimum=0.0)
    dtype = jnp.dtype(dtype or jnp.result_type(float))
    coefficients_key, context_key = jax.random.split(key)
    coefficients = config.prior.sample(coefficients_key, config.dim, dtype)
    eigenvalues = jnp.asarray(config.spectrum.eigenvalues(config.dim), dtype)
    noise_std = jnp.asarray(label_noise_std, dtype)
    context = sample_context(context_key, coefficients, eigenvalues, config.num_examples, label_noise_std=noise_std)
    return Task(coefficients, eigenvalues, noise_std, context)


@_check.arguments
def sample_context(
    key: Array, coefficients: Array, eigenvalues: Array, num_examples: int, *, label_noise_std: ArrayLike = 0.0
) -> Context:
    """Draw ``num_examples`` labelled examples of a given coefficient vector.

    Args:
        key: one typed key.
        coefficients: w*, shape (d,).
        eigenvalues: variances of the inputs, shape (d,).
        num_examples: n, at least 1.
        label_noise_std: standard deviation of the label noise, >= 0; may be traced.

    Returns:
        Context with inputs (n, d) and targets (n,).

    Raises:
        ValueError: a shape or a range is wrong.
    """
    num_examples = _check.integer("num_examples", num_examples, minimum=1)
    _check.shape("coefficients", coefficients, (None,))
    coefficients, eigenvalues = jnp.asarray(coefficients), jnp.asarray(eigenvalues)
    (dim,) = coefficients.shape
    _check.shape("eigenvalues", eigenvalues, (dim,))
    label_noise_std = _check.scalar("label_noise_std", label_noise_std, minimum=0.0)
    coefficients = coefficients.astype(jnp.result_type(coefficients, float))
    dtype = coefficients.dtype
    # The standard normal inputs and the label noise come from one key as one block of n rows and d + 1 columns.
    draws = standard_normal(key, (num_examples, dim + 1), dtype=dtype)
    inputs = draws[:, :dim] * jnp.sqrt(eigenvalues.astype(dtype))[None, :]
    targets = inputs @ coefficients + jnp.asarray(label_noise_std, dtype) * draws[:, dim]
    return Context(inputs, targets)
