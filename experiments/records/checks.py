"""Doubts about a record: problems left out, golds that no answer equals, contradictory flags, samples that are not shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from experiments.records.samples import Half, Samples, is_mixed
from ttc_jax.records.jsonl import Problem

ORDER_LEVEL = 1e-3
"""Level of the test of the order: probability of a warning about a shuffled record."""
_MOST_PERMUTATIONS, _EXCEEDANCES = 3999, 20
_MOST_SAMPLES = 20_000  # used by the permutation test


def warnings(problems: Sequence[Problem], usable: Sequence[Problem], num_damaged: int, budget: int) -> Iterator[str]:
    """Say what was left out of a record, what a few problems kept from the others, and which answers look mistaken."""
    if left_out := len(problems) - len(usable):
        yield f"{left_out} of {len(problems)} problems have fewer than two samples, or no right answer to compare them with"
    if num_damaged:
        yield f"damaged lines left out: {num_damaged}"
    counts = [problem.problem for problem in usable if problem.answers is None]
    if 0 < len(counts) < len(usable):
        yield f"{len(counts)} of {len(usable)} problems have no answers, {shown(counts[0])} the first; no votes are counted"
    unscored = [problem.problem for problem in usable if problem.scores is None]
    if 0 < len(unscored) < len(usable):
        yield f"{len(unscored)} of {len(usable)} problems have no scores, {shown(unscored[0])} the first, so that none are used"
    sizes = [problem.num_samples for problem in usable]
    if min(sizes) < np.median(sizes) / 2:
        short = usable[int(np.argmin(sizes))]
        yield f"problem {shown(short.problem)} has only {min(sizes)} samples, so that of each {budget} predict"
    yield from _of_gold_answers(usable)


def of_flags(usable: Sequence[Problem], samples: Sequence[Samples]) -> Iterator[str]:
    """Count problems whose same answer is right in some samples and wrong in others."""
    mixed = [problem.problem for problem, own in zip(usable, samples, strict=True) if is_mixed(own)]
    if mixed:
        yield (
            f"in {len(mixed)} of {len(usable)} problems, {shown(mixed[0])} the first, the same answer is right in some "
            "samples and wrong in others; a vote for it counts as right as often as its samples are"
        )


def _of_gold_answers(usable: Sequence[Problem]) -> Iterator[str]:
    """Say if golds and answers look as if they were written differently."""
    known = [problem for problem in usable if problem.gold is not None and problem.answers]
    num_right = int(sum(problem.num_correct or 0 for problem in known))
    wrong = [
        (problem, answer)
        for problem in known
        for answer, flag in zip(problem.answers or (), problem.correct, strict=True)  # type: ignore[arg-type]
        if answer and not flag and answer != problem.gold
    ]
    near = [(problem, answer) for problem, answer in wrong if _plain(answer) == _plain(problem.gold)]
    lost = {problem.problem for problem, _ in near if not problem.num_correct}
    if near and (len(near) >= num_right or 2 * len(lost) >= len(known)):
        problem, answer = near[0]
        yield (
            f"{len(near)} answers to {len({one.problem for one, _ in near})} problems count as wrong and differ from the gold "
            f"answer only in case or spaces, {shown(answer)} from {shown(problem.gold)} in problem {shown(problem.problem)}"
        )
    elif wrong and not num_right:
        problem, answer = wrong[0]
        yield (
            f"no answer equals the gold answer of its problem, {shown(answer)} and {shown(problem.gold)} in problem "
            f"{shown(problem.problem)} the first"
        )


def _plain(text: str | None) -> str:
    """A text without case and spaces."""
    return "".join((text or "").casefold().split())


def shown(value: str | int | None) -> str:
    """Return an id or an answer in a few printable characters."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def order_effect(rng: np.random.Generator, half: Half) -> str:
    """Name the effect of the order of samples within problems, if there is one at the level ``ORDER_LEVEL``; "" if not.

    Two permutation tests at half the level each: samples agree with their neighbours, and the first half of a problem's samples
    is right more or less often than the second. If the order carries no information, permutations within problems do not change
    the law of the two statistics. The permutations end after 20 that are at least as extreme (Besag and Clifford, Biometrika 78
    (1991)), which keeps the test exact.
    """
    if half.samples is None:
        return ""
    length = max(_MOST_SAMPLES // len(half.samples), 2)
    samples = [one.cut(slice(length)) for one in half.samples]
    problem = np.repeat(np.arange(len(samples)), [len(one.flags) for one in samples])
    answers = np.concatenate([one.answers for one in samples])
    flags = np.concatenate([one.flags for one in samples]).astype(float)
    together = problem[1:] == problem[:-1]
    # +1 for the first half of a problem's samples and -1 for the second, over their number.
    signs = np.concatenate([_signs(len(one.flags)) for one in samples])
    expected = sum(_expected_agreement(one.answers) for one in samples)

    def found(order: np.ndarray | slice) -> np.ndarray:
        own = answers[order]
        return np.abs([np.sum(together & (own[1:] == own[:-1])) - expected, signs @ flags[order]])

    observed = found(slice(None)) - 1e-9
    exceeding, num_permutations = np.zeros(2), np.zeros(2)
    for _ in range(_MOST_PERMUTATIONS):
        remaining = exceeding < _EXCEEDANCES
        if not remaining.any():
            break
        exceeding += remaining * (found(np.argsort(problem + rng.random(problem.size))) >= observed)
        num_permutations += remaining
    chances = np.where(
        exceeding < _EXCEEDANCES, (exceeding + 1) / (num_permutations + 1), exceeding / np.maximum(num_permutations, 1)
    )
    said = ["samples agree with the ones beside them", "the first half of the samples is not right as often as the second"]
    words = [what for what, chance in zip(said, chances, strict=True) if chance <= ORDER_LEVEL / 2]
    return f"the order of samples within problems is not random: {' and '.join(words)}; shuffle the samples" if words else ""


def _signs(number: int) -> np.ndarray:
    half = number // 2
    return np.concatenate([np.full(half, 1 / max(half, 1)), np.zeros(number - 2 * half), np.full(half, -1 / max(half, 1))])


def _expected_agreement(answers: np.ndarray) -> float:
    """Expected number of neighbours that agree, in a random order."""
    _, counts = np.unique(answers, return_counts=True)
    return float(np.sum(counts * (counts - 1)) / max(len(answers), 1))
