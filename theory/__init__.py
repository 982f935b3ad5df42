"""Closed-form predictions of test-time compute on in-context linear regression; nothing here simulates anything.

Arguments are scalars or arrays that broadcast, plain or traced; results are double precision whatever the session's default.
"""

from theory.chain import RiskTerms, expected_risk, expected_risk_next_order, risk_given_context
from theory.selection import Gaussian, Quadratic, best_of_n_risk, expected_maximum_normal, scalar_best_of_n
from theory.stability import divergence_probability, largest_stable_step

__all__ = [
    "Gaussian",
    "Quadratic",
    "RiskTerms",
    "best_of_n_risk",
    "divergence_probability",
    "expected_maximum_normal",
    "expected_risk",
    "expected_risk_next_order",
    "largest_stable_step",
    "risk_given_context",
    "scalar_best_of_n",
]
