"""Closed-form predictions of test-time compute on in-context linear regression; nothing here simulates anything.

Arguments are scalars or arrays that broadcast, plain or traced; results are double precision whatever the session's default.
"""

from theory.chain import RiskTerms, expected_risk, expected_risk_next_order, risk_given_context
from theory.stability import divergence_probability, largest_stable_step

__all__ = [
    "RiskTerms",
    "divergence_probability",
    "expected_risk",
    "expected_risk_next_order",
    "largest_stable_step",
    "risk_given_context",
]
