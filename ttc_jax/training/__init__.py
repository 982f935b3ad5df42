"""Training: transformers that learn from tasks drawn on the fly, and linear attention fitted to contexts by least squares."""

from ttc_jax.training.checkpoints import CheckpointError, fingerprint
from ttc_jax.training.least_squares import correlation, fit_from_labels, fit_preconditioner, sample_correlation
from ttc_jax.training.loop import DivergedError, Trained, TrainingConfig, TrainingState, advance, fit, init_state, train
from ttc_jax.training.objectives import Curriculum, Lesson, Objective, sample_lesson

__all__ = [
    "CheckpointError",
    "Curriculum",
    "DivergedError",
    "Lesson",
    "Objective",
    "Trained",
    "TrainingConfig",
    "TrainingState",
    "advance",
    "correlation",
    "fingerprint",
    "fit",
    "fit_from_labels",
    "fit_preconditioner",
    "init_state",
    "sample_correlation",
    "sample_lesson",
    "train",
]
