"""Sweeps: a measurement on one task, averaged over many tasks at every point of a grid."""

from ttc_jax.sweep.moments import Moments
from ttc_jax.sweep.runner import SweepResult, sweep

__all__ = ["Moments", "SweepResult", "sweep"]
