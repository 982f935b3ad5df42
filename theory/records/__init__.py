"""Success rates and votes of many samples from a few recorded ones; host-only, NumPy in and NumPy out."""

from theory.records.answer_rates import (
    AnswerRates,
    DrawnAnswers,
    draw_answers,
    fit_answer_rates,
    predicted_vote_accuracy,
    vote_accuracy_interval,
)
from theory.records.stopping import Stop, stop_when_certain
from theory.records.success_rates import SuccessRates, fit_success_rates, pass_at_k_interval, predicted_pass_at_k

__all__ = [
    "AnswerRates",
    "DrawnAnswers",
    "Stop",
    "SuccessRates",
    "draw_answers",
    "fit_answer_rates",
    "fit_success_rates",
    "pass_at_k_interval",
    "predicted_pass_at_k",
    "predicted_vote_accuracy",
    "stop_when_certain",
    "vote_accuracy_interval",
]


def __dir__() -> list[str]:
    return __all__
