"""Predictions of test-time compute on in-context linear regression; no chain is simulated here.

Arguments are scalars or arrays that broadcast, plain or traced; results are double precision whatever the session's default.
"""

from theory._regime import ExpansionWarning
from theory.allocation import Allocation, best_allocation
from theory.answer_rates import (
    AnswerRates,
    DrawnAnswers,
    draw_answers,
    fit_answer_rates,
    predicted_vote_accuracy,
    vote_accuracy_interval,
)
from theory.answers import best_answer_value, best_of_pool, roc_accuracy
from theory.bayes import BinaryBayes, Posterior, binary_bayes_error, discrete_bayes, gaussian_bayes_risk, posterior_vote_error
from theory.binary_chain import SampledChain, sampled_chain
from theory.binary_end import sampled_end_error
from theory.chain import RiskTerms, expected_risk, expected_risk_next_order, risk_given_context
from theory.contexts import ContextLoss, Estimate, HeldOutLoss, Oracle, expected_best_of_n_risk
from theory.covariance import expected_risk_covariance, expected_risk_covariance_next_order, spectral_edge
from theory.coverage import beta_pass_at_k, expected_pass_at_k, pass_at_k
from theory.enumeration import AnswerLaw, MajorityVote, Measure, PluralityVote, answer_law, expected_answer_errors
from theory.extrapolation import ChainFit, Extrapolation, extrapolated_risk, fit_chain
from theory.finite_bayes import BinaryBayesEstimate, expected_binary_bayes, expected_ridge_risk
from theory.least_squares import least_squares_risk
from theory.pretraining import chain_depth_risk, pretrained_attention_risk, ridgeless_icl_risk, trained_attention
from theory.scalar_selection import expected_maximum_normal, scalar_best_of_n, scalar_softmax_selection
from theory.selection import Gaussian, Quadratic, best_of_n_risk, best_of_n_risk_gaussian
from theory.stability import divergence_probability, divergence_probability_covariance, largest_stable_step
from theory.stopping import Stop, stop_when_certain
from theory.success_rates import Interval, SuccessRates, fit_success_rates, pass_at_k_interval, predicted_pass_at_k
from theory.voting import majority_accuracy, plurality_accuracy, plurality_error_bound, plurality_error_exponent

__all__ = [
    "Allocation",
    "AnswerLaw",
    "AnswerRates",
    "BinaryBayes",
    "BinaryBayesEstimate",
    "ChainFit",
    "ContextLoss",
    "DrawnAnswers",
    "Estimate",
    "ExpansionWarning",
    "Extrapolation",
    "Gaussian",
    "HeldOutLoss",
    "Interval",
    "MajorityVote",
    "Measure",
    "Oracle",
    "PluralityVote",
    "Posterior",
    "Quadratic",
    "RiskTerms",
    "SampledChain",
    "Stop",
    "SuccessRates",
    "answer_law",
    "best_allocation",
    "best_answer_value",
    "best_of_n_risk",
    "best_of_n_risk_gaussian",
    "best_of_pool",
    "beta_pass_at_k",
    "binary_bayes_error",
    "chain_depth_risk",
    "discrete_bayes",
    "divergence_probability",
    "divergence_probability_covariance",
    "draw_answers",
    "expected_answer_errors",
    "expected_best_of_n_risk",
    "expected_binary_bayes",
    "expected_maximum_normal",
    "expected_pass_at_k",
    "expected_ridge_risk",
    "expected_risk",
    "expected_risk_covariance",
    "expected_risk_covariance_next_order",
    "expected_risk_next_order",
    "extrapolated_risk",
    "fit_answer_rates",
    "fit_chain",
    "fit_success_rates",
    "gaussian_bayes_risk",
    "largest_stable_step",
    "least_squares_risk",
    "majority_accuracy",
    "pass_at_k",
    "pass_at_k_interval",
    "plurality_accuracy",
    "plurality_error_bound",
    "plurality_error_exponent",
    "posterior_vote_error",
    "predicted_pass_at_k",
    "predicted_vote_accuracy",
    "pretrained_attention_risk",
    "ridgeless_icl_risk",
    "risk_given_context",
    "roc_accuracy",
    "sampled_chain",
    "sampled_end_error",
    "scalar_best_of_n",
    "scalar_softmax_selection",
    "spectral_edge",
    "stop_when_certain",
    "trained_attention",
    "vote_accuracy_interval",
]
