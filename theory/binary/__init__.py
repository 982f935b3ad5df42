"""Chains of sampled binary coefficients: fed back at every step, at the end alone, and enumerated."""

from theory.binary.at_the_end import sampled_end_error
from theory.binary.enumeration import AnswerLaw, MajorityVote, Measure, PluralityVote, answer_law, expected_answer_errors
from theory.binary.fed_back import SampledChain, sampled_chain

__all__ = [
    "AnswerLaw",
    "MajorityVote",
    "Measure",
    "PluralityVote",
    "SampledChain",
    "answer_law",
    "expected_answer_errors",
    "sampled_chain",
    "sampled_end_error",
]


def __dir__() -> list[str]:
    return __all__
