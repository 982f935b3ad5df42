"""Problems of known laws, and their analysis."""

import numpy as np

from experiments.records import analysis, samples
from experiments.records.analysis import RecordConfig
from ttc_jax.records.jsonl import Problem


def simulated(rng, num_problems=120, num_samples=40, a=0.4, b=2.0, scores=True):
    """Problems whose success rates have a Beta law; wrong answers are of five kinds, scores know something, longer is worse."""
    problems = []
    for place in range(num_problems):
        flags = rng.random(num_samples) < rng.beta(a, b)
        answers = [("right" if flag else ("", "w1", "w2", "w3", "w4")[rng.integers(5)]) for flag in flags]
        known = {"scores": (flags + rng.normal(size=num_samples)).tolist()} if scores else {}
        lengths = (100 - 20 * flags + rng.integers(0, 60, num_samples)).tolist()
        problems.append(Problem(f"p{place}", gold="right", answers=tuple(answers), lengths=lengths, **known))
    return problems


def analysed(problems, seed=0, **asked):
    return analysis.analyse(problems, RecordConfig("file", "hash", **asked), seed)


RATES = np.array([0.05, 0.3, 0.6, 0.9])


def problems_of(rates, num_samples, rng, scores=False):
    """Right answers are 0, wrong ones 1, 2 and 3; the score of a right one is larger by one standard deviation."""
    found = []
    for place, rate in enumerate(rates):
        flags = rng.random(num_samples) < rate
        answers = np.where(flags, 0, rng.integers(1, 4, num_samples)).astype(str)
        known = {"scores": (flags + rng.normal(size=num_samples)).tolist()} if scores else {}
        found.append(Problem(place, gold="0", answers=tuple(answers), **known))
    return found


def halves(problems, budget):
    return samples.split(problems, budget, np.random.default_rng(0))
