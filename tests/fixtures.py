"""Recorded answers that are part of the tests: 80 problems of 12 answers each, drawn from Beta success rates."""

import json
from collections import Counter
from pathlib import Path

ANSWERS = Path(__file__).parent / "data" / "answers.jsonl"


def recorded_answers():
    """The right answer and all answers of each problem, read without the package; an empty answer abstains."""
    lines = [json.loads(line) for line in ANSWERS.read_text().splitlines()]
    return [(line["gold"], line["answers"]) for line in lines]


def vote_accuracy(gold, answers):
    """Accuracy of the vote of these answers; ties are broken uniformly, and nobody is right if all abstain."""
    votes = Counter(answer for answer in answers if answer)
    winners = [answer for answer, count in votes.items() if count == max(votes.values())]
    return (gold in winners) / len(winners) if winners else 0.0
