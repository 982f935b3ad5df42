"""Results that several wings return, and the warning of an expansion outside its regime."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import jax
import numpy as np

__all__ = ["Estimate", "ExpansionWarning", "Interval", "RiskTerms"]


class RiskTerms(NamedTuple):
    """Excess risk by cause. ``decoding_noise`` is already divided by the number of candidates."""

    bias: Any
    label_noise: Any
    decoding_noise: Any

    @property
    def total(self) -> Any:
        """Sum of the three terms."""
        return self.bias + self.label_noise + self.decoding_noise


class Estimate(NamedTuple):
    """A Monte Carlo average: ``mean``, and ``standard_error`` over contexts."""

    mean: Any
    standard_error: Any


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


class ExpansionWarning(UserWarning):
    """A prediction for large dimension was asked for at sizes or settings where its expansion does not hold."""


def warn_if_large(name: str, value: Any, neglected: Any, share: float, remedy: str) -> None:
    """Warn if a neglected order exceeds a share of the value anywhere; traced values cannot be looked at."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in (value, neglected)):
        return
    values, sizes = np.broadcast_arrays(np.abs(value), np.abs(neglected))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(sizes > 0, sizes / values, 0.0)
    ratios = np.where(np.isnan(ratios), 0.0, ratios)  # infinite values have no neglected share
    if ratios.size and ratios.max() > share:
        message = f"{name}: the largest neglected order is {ratios.max():.2g} times the value, beyond the expansion's regime"
        warnings.warn(f"{message}; {remedy}", ExpansionWarning, stacklevel=4)


def __dir__() -> list[str]:
    return __all__
