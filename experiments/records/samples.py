"""Samples of recorded problems: split into those that predict and those that judge, counted, put to the vote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from ttc_jax.records.jsonl import Problem

NUM_RESAMPLES = 200


class Samples(NamedTuple):
    """Samples of one problem.

    Attributes:
        answers: which answer each is, from 0; -1 for an abstention.
        flags: which are right.
        scores: of a verifier, larger is better; or None.
        lengths: of the samples; or None.
    """

    answers: np.ndarray
    flags: np.ndarray
    scores: np.ndarray | None = None
    lengths: np.ndarray | None = None

    def cut(self, place: slice) -> Samples:
        """Return some of the samples."""
        return Samples(*(None if one is None else one[place] for one in self))  # type: ignore[arg-type]

    def joined(self, other: Samples) -> Samples:
        """Return the samples followed by others of the same problem."""
        pairs = zip(self, other, strict=True)
        return Samples(*(None if one is None or two is None else np.concatenate([one, two]) for one, two in pairs))  # type: ignore[arg-type]


class Half(NamedTuple):
    """Some samples of every problem: how many, how many are right, and the samples if more than these numbers is known."""

    num_samples: np.ndarray
    num_correct: np.ndarray
    samples: list[Samples] | None

    @classmethod
    def of(cls, samples: list[Samples]) -> Half:
        """With the numbers that follow."""
        sizes, right = ([part(one.flags) for one in samples] for part in (len, np.sum))
        return cls(np.array(sizes), np.array(right), samples)

    def of_problems(self, places: np.ndarray) -> Half:
        """Those of some problems."""
        samples = None if self.samples is None else [self.samples[place] for place in places]
        return Half(self.num_samples[places], self.num_correct[places], samples)

    @property
    def has_scores(self) -> bool:
        """Whether every sample has one."""
        return self.samples is not None and all(one.scores is not None for one in self.samples)


def split(problems: Sequence[Problem], budget: int, rng: np.random.Generator) -> tuple[Half, Half]:
    """The first samples of every problem, and the others; random ones where only their numbers are known."""
    if any(problem.answers is None for problem in problems):
        total, right = (np.array([getattr(problem, name) for problem in problems]) for name in ("num_samples", "num_correct"))
        drawn = rng.hypergeometric(right, total - right, budget)
        return Half(np.full(len(total), budget), drawn, None), Half(total - budget, right - drawn, None)
    samples = [of_problem(problem) for problem in problems]
    first, rest = ([one.cut(place) for one in samples] for place in (slice(budget), slice(budget, None)))
    return Half.of(first), Half.of(rest)


def of_problem(problem: Problem) -> Samples:
    """The samples of a problem, its answers numbered."""
    numbers = {answer: number for number, answer in enumerate(problem.votes or {})}
    answers = np.array([numbers.get(answer, -1) for answer in problem.answers or ()], int)
    return Samples(answers, np.asarray(problem.correct, bool), problem.scores, problem.lengths)


def counted(samples: Samples, width: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Count each answer, and return its share of right samples, shape (width,) each; abstentions are left out."""
    width = int(samples.answers.max(initial=0)) + 1 if width is None else width
    counts, right = np.zeros((2, width))
    voted = samples.answers >= 0
    np.add.at(counts, samples.answers[voted], 1)
    np.add.at(right, samples.answers[voted], samples.flags[voted])
    return counts, np.divide(right, counts, out=np.zeros(width), where=counts > 0)


def answer_counts(samples: Sequence[Samples]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count each answer to each problem, the share of its samples that is right, and abstentions, as theory's fits want them.

    The share is between 0 and 1 where the same string is flagged differently.
    """
    width = max(int(one.answers.max(initial=0)) + 1 for one in samples)
    counts, worth = np.moveaxis(np.array([counted(one, width) for one in samples]), 1, 0)
    return counts.astype(int), worth, np.array([np.sum(one.answers < 0) for one in samples])


def is_mixed(samples: Samples) -> bool:
    """Whether an answer is right in some samples and wrong in others."""
    _, worth = counted(samples)
    return bool(((worth > 0) & (worth < 1)).any())


def vote_accuracies(rng: np.random.Generator, samples: Samples, numbers: np.ndarray) -> np.ndarray:
    """Return the accuracy of the vote of N samples of a problem, drawn without replacement, for each N.

    Ties are broken evenly; an abstention casts no vote, and a problem without votes is not solved. From 200 drawings.
    """
    counts, worth = counted(samples)
    order = np.array([rng.permutation(len(samples.answers)) for _ in range(NUM_RESAMPLES)])
    shuffled, found = samples.answers[order], []
    for number in numbers:
        votes = np.zeros((NUM_RESAMPLES, len(counts) + 1))
        np.add.at(votes, (np.arange(NUM_RESAMPLES)[:, None], shuffled[:, :number]), 1)  # abstentions are the last column
        votes = votes[:, :-1]
        leading = (votes == votes.max(axis=1, keepdims=True)) & (votes > 0)
        found.append((leading @ worth / np.maximum(leading.sum(axis=1), 1)).mean())
    return np.array(found)


def best_accuracies(samples: Samples, numbers: np.ndarray) -> np.ndarray:
    """Return the accuracy of the best of N samples by score, drawn without replacement, for each N.

    All subsets, exactly: the best has a score if N of the samples are no better, but not N of those that are worse. Of equal
    scores each is as likely.
    """
    _, which, counts = np.unique(np.asarray(samples.scores), return_inverse=True, return_counts=True)
    worth = np.bincount(which, weights=samples.flags) / counts
    sizes = np.concatenate([[0], np.cumsum(counts)]).astype(float)
    logs = special.gammaln(sizes + 1) - special.gammaln(np.maximum(sizes - numbers[:, None], 0) + 1)
    among = np.where(sizes >= numbers[:, None], np.exp(logs - logs[:, -1:]), 0.0)
    return np.diff(among, axis=1) @ worth


def accuracy_by_length(samples: Sequence[Samples], num_parts: int) -> np.ndarray:
    """Accuracy of shorter and longer samples within a problem, in parts by rank, (parts, problems that have lengths)."""
    found = []
    for one in samples:
        if one.lengths is not None and len(one.flags) >= num_parts:
            order = np.argsort(one.lengths, kind="stable")
            found.append([part.mean() for part in np.array_split(one.flags[order].astype(float), num_parts)])
    return np.array(found).reshape(-1, num_parts).T


def numbers_up_to(largest: int, *, odd: bool = False) -> list[int]:
    """Numbers of samples from one to the largest, about doubling; the odd ones do without ties of two answers."""
    doubling = [2**power for power in range(largest.bit_length())]
    if odd:
        return [number for number in (1, *(number + 1 for number in doubling[1:])) if number <= largest]
    return sorted({*doubling, largest})


def mean_over_problems(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over problems, the last axis, and its standard error."""
    return values.mean(axis=-1), values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])
