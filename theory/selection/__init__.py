"""Risk of the best of N candidates: given the context, averaged over contexts, and in one dimension."""

from theory.selection.given_context import Gaussian, Quadratic, best_of_n_risk, best_of_n_risk_gaussian
from theory.selection.over_contexts import ContextLoss, HeldOutLoss, Oracle, expected_best_of_n_risk
from theory.selection.scalar import expected_maximum_normal, scalar_best_of_n, scalar_softmax_selection

__all__ = [
    "ContextLoss",
    "Gaussian",
    "HeldOutLoss",
    "Oracle",
    "Quadratic",
    "best_of_n_risk",
    "best_of_n_risk_gaussian",
    "expected_best_of_n_risk",
    "expected_maximum_normal",
    "scalar_best_of_n",
    "scalar_softmax_selection",
]


def __dir__() -> list[str]:
    return __all__
