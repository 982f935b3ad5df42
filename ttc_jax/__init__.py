"""Simulated test-time compute: transformers that solve in-context linear regression by noisy chains of thought.

Every function works on one task and takes its key first; batches are the caller's :func:`jax.vmap`.
"""

from ttc_jax import aggregation, decoders, models, training, verifiers
from ttc_jax.curves import (
    AnswerErrors,
    answer_errors,
    averaged_risk,
    collapsed_averaged_risk,
    collapsed_selected_risk,
    selected_risk,
)
from ttc_jax.decoding import collapsed_candidates, rollout, rollout_candidates, sample_candidates
from ttc_jax.message_passing import message_passing
from ttc_jax.risk import bit_error, exact_recovery, excess_risk
from ttc_jax.sampling import BinarySampler
from ttc_jax.sweep import DamagedChunkWarning, OtherSweepError, ProcessError, StoreError, SweepResult, replay, sweep
from ttc_jax.tasks import (
    BinaryPrior,
    Context,
    GaussianPrior,
    GivenSpectrum,
    Isotropic,
    PowerLaw,
    Task,
    TaskConfig,
    sample_context,
    sample_task,
)

__all__ = [
    "AnswerErrors",
    "BinaryPrior",
    "BinarySampler",
    "Context",
    "DamagedChunkWarning",
    "GaussianPrior",
    "GivenSpectrum",
    "Isotropic",
    "OtherSweepError",
    "PowerLaw",
    "ProcessError",
    "StoreError",
    "SweepResult",
    "Task",
    "TaskConfig",
    "aggregation",
    "answer_errors",
    "averaged_risk",
    "bit_error",
    "collapsed_averaged_risk",
    "collapsed_candidates",
    "collapsed_selected_risk",
    "decoders",
    "exact_recovery",
    "excess_risk",
    "message_passing",
    "models",
    "replay",
    "rollout",
    "rollout_candidates",
    "sample_candidates",
    "sample_context",
    "sample_task",
    "selected_risk",
    "sweep",
    "training",
    "verifiers",
]
