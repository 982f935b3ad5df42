"""Votes, pass@k and the best of N for answers of known probabilities or scores."""

from theory.answers.best_of_n import best_answer_value, best_of_pool, roc_accuracy
from theory.answers.coverage import beta_pass_at_k, expected_pass_at_k, pass_at_k
from theory.answers.voting import majority_accuracy, plurality_accuracy, plurality_error_bound, plurality_error_exponent

__all__ = [
    "best_answer_value",
    "best_of_pool",
    "beta_pass_at_k",
    "expected_pass_at_k",
    "majority_accuracy",
    "pass_at_k",
    "plurality_accuracy",
    "plurality_error_bound",
    "plurality_error_exponent",
    "roc_accuracy",
]


def __dir__() -> list[str]:
    return __all__
