"""Sweeps: a measurement on one task, averaged over many tasks at every point of a grid."""

from ttc_jax.sweep.moments import Moments
from ttc_jax.sweep.processes import ProcessError
from ttc_jax.sweep.runner import SweepResult, replay, sweep
from ttc_jax.sweep.store import DamagedChunkWarning, OtherSweepError, StoreError

__all__ = ["DamagedChunkWarning", "Moments", "OtherSweepError", "ProcessError", "StoreError", "SweepResult", "replay", "sweep"]
