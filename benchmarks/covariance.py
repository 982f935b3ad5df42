"""Predictions for any spectrum; fifty chain lengths, power-law inputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import theory
from benchmarks.timing import Table, medians, ratios

CHAIN = {"step_size": 0.5, "label_noise_std": 0.5, "decoding_noise_std": 0.1}
SHORT, LONG = np.arange(1, 51), np.unique(np.geomspace(1, 1000, 60).astype(int))[:50]


def tables() -> Iterator[Table]:
    """Leading and next order, short and long chains."""

    def row(function, dim, lengths):
        return lambda: function(np.arange(1, dim + 1) ** -1.0, dim // 2, num_steps=lengths, **CHAIN)

    rows = {
        f"d = {dim}, T to {lengths.max()}, {name}": row(function, dim, lengths)
        for dim in (512, 4096)
        for lengths in (SHORT, LONG)
        for name, function in (
            ("leading order", theory.expected_risk_covariance),
            ("next order", theory.chains.expected_risk_covariance_next_order),
        )
    }
    yield ratios("theory.expected_risk_covariance, fifty chain lengths", medians(rows, repeats=3), next(iter(rows)))
