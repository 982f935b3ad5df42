"""Exact best-of-N predictions; d = 20, seven values of N, four verifiers."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

import theory
from benchmarks.timing import Table, host, medians, ratios

DIM, CONTEXTS = 20, 1000
NUMBERS = np.array([1, 4, 16, 64, 256, 512, 1024])


def tables() -> Iterator[Table]:
    """One context, and many."""
    draw = np.random.default_rng(0)
    factors = draw.normal(size=(CONTEXTS, DIM, 2 * DIM)).astype(np.float32)
    covariances = 0.01 / DIM * factors @ factors.transpose(0, 2, 1)
    truths = (0.05 * draw.normal(size=(CONTEXTS, DIM))).astype(np.float32)
    zeros, ones, identity = np.zeros(DIM), np.ones(DIM), np.eye(DIM)

    def one(verifier, truth, covariance):
        return theory.best_of_n_risk(theory.selection.Gaussian(zeros, covariance), verifier, truth, ones, NUMBERS)

    def four():
        for noise_std, matrix in ((0.0, identity), (0.1, identity), (0.0, covariances[1]), (0.0, covariances[2])):
            one(theory.selection.Quadratic(matrix, truths[0], noise_std), truths[0], covariances[0])

    oracle = jax.jit(jax.vmap(lambda truth, covariance: one(theory.selection.Quadratic(identity, truth), truth, covariance)))
    many = jnp.asarray(truths), jnp.asarray(covariances)
    rows = {"one context, four verifiers": four, "1000 contexts, the oracle, vmapped": lambda: host(oracle(*many))}
    yield ratios("theory.best_of_n_risk, d = 20, seven values of N", medians(rows, repeats=5), "one context, four verifiers")
