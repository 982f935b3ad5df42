"""Risk of averaged noisy chains of gradient steps, for any covariance of the inputs, and their stability."""

from theory.chains.covariance import expected_risk_covariance, expected_risk_covariance_next_order, spectral_edge
from theory.chains.isotropic import expected_risk, expected_risk_next_order, risk_given_context
from theory.chains.least_squares import least_squares_risk
from theory.chains.stability import divergence_probability, divergence_probability_covariance, largest_stable_step

__all__ = [
    "divergence_probability",
    "divergence_probability_covariance",
    "expected_risk",
    "expected_risk_covariance",
    "expected_risk_covariance_next_order",
    "expected_risk_next_order",
    "largest_stable_step",
    "least_squares_risk",
    "risk_given_context",
    "spectral_edge",
]


def __dir__() -> list[str]:
    return __all__
