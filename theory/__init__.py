"""Predictions of test-time compute on in-context linear regression; no chain is simulated here.

The functions that most users need are here; the others are in the wings: ``theory.chains``, ``theory.selection``,
``theory.binary``, ``theory.answers``, ``theory.bayes``, ``theory.planning``, ``theory.pretraining`` and ``theory.records``.
Arguments are scalars or arrays that broadcast, plain or traced; results are in double precision in every session.
"""

import warnings
from typing import Any

from theory import answers, bayes, binary, chains, planning, pretraining, records, results, selection
from theory.answers import beta_pass_at_k, majority_accuracy, pass_at_k, plurality_accuracy
from theory.bayes import binary_bayes_error, discrete_bayes, gaussian_bayes_risk
from theory.binary import sampled_chain
from theory.chains import (
    divergence_probability,
    expected_risk,
    expected_risk_covariance,
    largest_stable_step,
    risk_given_context,
)
from theory.planning import best_allocation
from theory.pretraining import chain_depth_risk, pretrained_attention_risk, ridgeless_icl_risk
from theory.selection import best_of_n_risk, expected_maximum_normal, scalar_best_of_n, scalar_softmax_selection

_WINGS = {
    "Allocation": "planning",
    "AnswerLaw": "binary",
    "AnswerRates": "records",
    "BinaryBayes": "bayes",
    "BinaryBayesEstimate": "bayes",
    "ChainFit": "planning",
    "ContextLoss": "selection",
    "DrawnAnswers": "records",
    "Estimate": "results",
    "Extrapolation": "planning",
    "Gaussian": "selection",
    "HeldOutLoss": "selection",
    "Interval": "results",
    "MajorityVote": "binary",
    "Measure": "binary",
    "Oracle": "selection",
    "PluralityVote": "binary",
    "Posterior": "bayes",
    "Quadratic": "selection",
    "RiskTerms": "results",
    "SampledChain": "binary",
    "Stop": "records",
    "SuccessRates": "records",
    "answer_law": "binary",
    "best_answer_value": "answers",
    "best_of_n_risk_gaussian": "selection",
    "best_of_pool": "answers",
    "divergence_probability_covariance": "chains",
    "draw_answers": "records",
    "expected_answer_errors": "binary",
    "expected_best_of_n_risk": "selection",
    "expected_binary_bayes": "bayes",
    "expected_pass_at_k": "answers",
    "expected_ridge_risk": "bayes",
    "expected_risk_covariance_next_order": "chains",
    "expected_risk_next_order": "chains",
    "extrapolated_risk": "planning",
    "fit_answer_rates": "records",
    "fit_chain": "planning",
    "fit_success_rates": "records",
    "pass_at_k_interval": "records",
    "plurality_error_bound": "answers",
    "plurality_error_exponent": "answers",
    "posterior_vote_error": "bayes",
    "predicted_pass_at_k": "records",
    "predicted_vote_accuracy": "records",
    "roc_accuracy": "answers",
    "sampled_end_error": "binary",
    "spectral_edge": "chains",
    "stop_when_certain": "records",
    "trained_attention": "pretraining",
    "vote_accuracy_interval": "records",
}
"""Wing of each name that version 0.1 had here."""

__all__ = [
    "answers",
    "bayes",
    "best_allocation",
    "best_of_n_risk",
    "beta_pass_at_k",
    "binary",
    "binary_bayes_error",
    "chain_depth_risk",
    "chains",
    "discrete_bayes",
    "divergence_probability",
    "expected_maximum_normal",
    "expected_risk",
    "expected_risk_covariance",
    "gaussian_bayes_risk",
    "largest_stable_step",
    "majority_accuracy",
    "pass_at_k",
    "planning",
    "plurality_accuracy",
    "pretrained_attention_risk",
    "pretraining",
    "records",
    "results",
    "ridgeless_icl_risk",
    "risk_given_context",
    "sampled_chain",
    "scalar_best_of_n",
    "scalar_softmax_selection",
    "selection",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Return a name of version 0.1 from its wing, with a warning that names the new place."""
    if name not in _WINGS:
        raise AttributeError(f"module 'theory' has no attribute {name!r}")
    place = f"theory.{_WINGS[name]}.{name}"
    warnings.warn(
        f"theory.{name} is deprecated and will be removed in version 0.3; use {place}", DeprecationWarning, stacklevel=2
    )
    return getattr(globals()[_WINGS[name]], name)
