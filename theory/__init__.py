"""Predictions of test-time compute on in-context linear regression; no chain is simulated here.

Arguments are scalars or arrays that broadcast, plain or traced; results are double precision whatever the session's default.
"""

from theory.allocation import Allocation, best_allocation
from theory.chain import RiskTerms, expected_risk, expected_risk_next_order, risk_given_context
from theory.contexts import ContextLoss, Estimate, HeldOutLoss, Oracle, expected_best_of_n_risk
from theory.covariance import expected_risk_covariance, expected_risk_covariance_next_order, spectral_edge
from theory.scalar_selection import expected_maximum_normal, scalar_best_of_n, scalar_softmax_selection
from theory.selection import Gaussian, Quadratic, best_of_n_risk, best_of_n_risk_gaussian
from theory.stability import divergence_probability, divergence_probability_covariance, largest_stable_step

__all__ = [
    "Allocation",
    "ContextLoss",
    "Estimate",
    "Gaussian",
    "HeldOutLoss",
    "Oracle",
    "Quadratic",
    "RiskTerms",
    "best_allocation",
    "best_of_n_risk",
    "best_of_n_risk_gaussian",
    "divergence_probability",
    "divergence_probability_covariance",
    "expected_best_of_n_risk",
    "expected_maximum_normal",
    "expected_risk",
    "expected_risk_covariance",
    "expected_risk_covariance_next_order",
    "expected_risk_next_order",
    "largest_stable_step",
    "risk_given_context",
    "scalar_best_of_n",
    "scalar_softmax_selection",
    "spectral_edge",
]
