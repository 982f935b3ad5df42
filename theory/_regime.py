"""The warning of an expansion in 1/d outside its regime: where the order that it neglects is not small."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import numpy as np


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
