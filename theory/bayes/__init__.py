"""Limits that no decoder passes: Bayes risks in large dimension, by enumeration and at finite size."""

from theory.bayes.finite import BinaryBayesEstimate, expected_binary_bayes, expected_ridge_risk
from theory.bayes.limits import (
    BinaryBayes,
    Posterior,
    binary_bayes_error,
    discrete_bayes,
    gaussian_bayes_risk,
    posterior_vote_error,
)

__all__ = [
    "BinaryBayes",
    "BinaryBayesEstimate",
    "Posterior",
    "binary_bayes_error",
    "discrete_bayes",
    "expected_binary_bayes",
    "expected_ridge_risk",
    "gaussian_bayes_risk",
    "posterior_vote_error",
]


def __dir__() -> list[str]:
    return __all__
