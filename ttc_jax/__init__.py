"""Simulated test-time compute: transformers that solve in-context linear regression by noisy chains of thought.

Every function works on one task and takes its key first; batches are the caller's :func:`jax.vmap`.
"""

import importlib
import warnings
from types import ModuleType

from ttc_jax import aggregation, decoders, models, training, verifiers
from ttc_jax._version import __version__ as __version__
from ttc_jax.curves import (
    AnswerErrors,
    answer_errors,
    averaged_risk,
    collapsed_averaged_risk,
    collapsed_selected_risk,
    selected_risk,
)
from ttc_jax.message_passing import message_passing
from ttc_jax.risk import bit_error, exact_recovery, excess_risk
from ttc_jax.rollout import collapsed_candidates, rollout, rollout_candidates, sample_candidates
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


_RENAMED = {"decoding": "ttc_jax.rollout", "recorded": "ttc_jax.records.jsonl"}
"""Modules of version 0.1 and their names now."""


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> ModuleType:
    """Return a module of version 0.1, with a warning that names its new place."""
    if name not in _RENAMED:
        raise AttributeError(f"module 'ttc_jax' has no attribute {name!r}")
    message = f"ttc_jax.{name} is deprecated and will be removed in version 0.3; use {_RENAMED[name]}"
    warnings.warn(message, DeprecationWarning, stacklevel=2)
    return importlib.import_module(_RENAMED[name])
