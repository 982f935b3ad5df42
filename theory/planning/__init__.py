"""Split a budget before a run, and extrapolate from cheap runs to expensive ones."""

from theory.planning.allocation import Allocation, best_allocation
from theory.planning.fit import ChainFit, Extrapolation, extrapolated_risk, fit_chain

__all__ = [
    "Allocation",
    "ChainFit",
    "Extrapolation",
    "best_allocation",
    "extrapolated_risk",
    "fit_chain",
]


def __dir__() -> list[str]:
    return __all__
