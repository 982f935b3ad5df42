"""Definition of a study, and its run."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.run.engine import Engine
from experiments.run.errors import UserError
from ttc_jax import OtherSweepError, StoreError
from ttc_jax.training import CheckpointError, DivergedError

_FEWEST_EVENTS = 100


@dataclass(frozen=True)
class Measurement:
    """Simulated mean and standard error over tasks, on named axes in order.

    Attributes:
        axes: values of each axis.
        mean: average over tasks.
        standard_error: of that average.
        effective_tasks: :attr:`ttc_jax.SweepResult.effective_tasks` at each point, the fewest where sweeps are combined; None
            if the values of the tasks are themselves averages of many, and near normal.
        details: further measured arrays, by name: on the same axes, or with axes of their own.
    """

    axes: Mapping[str, np.ndarray]
    mean: np.ndarray
    standard_error: np.ndarray
    effective_tasks: np.ndarray | None = None
    details: Mapping[str, np.ndarray | xr.DataArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Prediction:
    """Prediction of the theory on the same axes.

    Attributes:
        terms: the parts of the predicted value by name; their sum is the prediction.
        model_error: size of what the formula neglects, and of the standard error of a prediction that is itself an average
            over drawn contexts; zero for an exact one.
        judged: where the formula claims to hold; points outside are shown and not judged.
        warnings: what the reader of the result must know.
        wrong: further wrong predictions by name; the verdict must reject them, as it must reject those that every study has.
        beside: further curves by name that are drawn but not judged.
        reference: where there is no closed form, what the terms add up to instead: a limit that no estimate passes, in words.
    """

    terms: Mapping[str, np.ndarray]
    model_error: np.ndarray
    judged: np.ndarray
    warnings: tuple[str, ...] = ()
    wrong: Mapping[str, np.ndarray] = field(default_factory=dict)
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)
    reference: str = ""


@dataclass(frozen=True, kw_only=True)
class Presentation(ABC):
    """How labelled results become files and a page.

    Attributes:
        name: name of the results, which is the study's name on the command line.
        question: the question that the results answer, one sentence.
        formula: the prediction, in matplotlib's mathtext.
        draw: labelled results to a figure.
        findings: labelled results to the numbers that the verdict lists.
    """

    name: str
    question: str
    formula: str
    draw: Callable[[xr.Dataset], Figure]
    findings: Callable[[xr.Dataset], dict[str, Any]] = lambda dataset: {}

    @abstractmethod
    def invocation(self, settings: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
        """Return the words of the command that makes such results, and the defaults of its options.

        Args:
            settings: settings of the results; those that the words contain are removed.
        """


@dataclass(frozen=True, kw_only=True)
class Study(Presentation):
    """One question, asked of the simulation and of the theory.

    Attributes:
        presets: settings by preset name (quick, standard, full).
        predict: settings to prediction; also the check of the settings (ValueError, one line).
        measure: settings, seed and the engine that runs its sweeps to measurement.
        predict_from: where the prediction itself is made from measurements: settings and what was measured to the prediction,
            which takes the place of that of the settings, and to further details.
        tested: changes of the quick preset that make it short enough for the tests.
        odd_settings: changes of the quick preset to unusual grids, which the figure must cope with.
    """

    presets: Mapping[str, Any]
    predict: Callable[[Any], Prediction]
    measure: Callable[[Any, int, Engine], Measurement]
    predict_from: Callable[[Any, Measurement], tuple[Prediction, Mapping[str, np.ndarray | xr.DataArray]]] | None = None
    tested: Mapping[str, Any] = field(default_factory=dict)
    odd_settings: Sequence[Mapping[str, Any]] = ()

    def invocation(self, settings: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
        return ["ttc", "run", self.name], dataclasses.asdict(self.presets["quick"])


def run(study: Study, config: Any, seed: int, engine: Engine | None = None) -> xr.Dataset:
    """Predict and measure, side by side on named dimensions, with everything needed to repeat the run as attributes.

    Raises:
        UserError: the settings are out of range, or do not fit into memory, a training diverges or cannot be read or kept, or
            a store cannot be.
        ProcessError: another process that shares the run stopped.
    """
    prediction = check(study, config)
    engine = engine or Engine()
    started = time.perf_counter()
    measurement = measure(study, config, seed, engine)
    wall_time = time.perf_counter() - started
    details = measurement.details
    if study.predict_from is not None:
        prediction, more = study.predict_from(config, measurement)
        details = {**details, **more}

    dims = tuple(measurement.axes)
    total = sum(prediction.terms.values())
    variables = {
        "measured": measurement.mean,
        "standard_error": measurement.standard_error,
        "predicted": total,
        **{f"predicted_{name}": term for name, term in prediction.terms.items()},
        "model_error": prediction.model_error,
        **({} if measurement.effective_tasks is None else {"effective_tasks": measurement.effective_tasks}),
        "judged": prediction.judged.astype(np.int8),
        **{f"wrong_{name}": values for name, values in prediction.wrong.items()},
        **{f"beside_{name}": values for name, values in prediction.beside.items()},
        **details,
    }

    def labelled(values):
        return values if isinstance(values, xr.DataArray) else (dims, np.broadcast_to(values, measurement.mean.shape))

    return xr.Dataset(
        {name: labelled(values) for name, values in variables.items()},
        coords=dict(measurement.axes),
        attrs={
            "study": study.name,
            "config": json.dumps(dataclasses.asdict(config)),
            "seed": seed,
            "warnings": json.dumps([*prediction.warnings, *engine.warnings]),
            "execution": json.dumps(engine.execution.settings()),
            "num_looks": engine.num_looks,
            "num_tasks": engine.num_tasks,
            "degrees_of_freedom": engine.fewest_tasks - 1,
            "num_resumed": engine.num_resumed,
            "reference": prediction.reference,
            "versions": json.dumps(versions()),
            "device": device(),
            "wall_time_s": round(wall_time, 3),
        },
    )


def measure(study: Study, config: Any, seed: int, engine: Engine) -> Measurement:
    """Measure a study; errors that a user can correct become a UserError."""
    try:
        return study.measure(config, seed, engine)
    except OtherSweepError as error:
        raise UserError(f"{error}; name another --out, or add --overwrite to measure anew") from error
    except (DivergedError, CheckpointError, StoreError) as error:
        raise UserError(str(error)) from error
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise UserError(f"settings must fit into memory, got {_asked(error)}; lower --memory-mib or the sizes") from error
        raise


def _asked(error: Exception) -> str:
    """Return the size of the request in an out-of-memory error, in words."""
    found = re.search(r"allocat\w* (\d+) bytes", str(error))
    return f"a request for {int(found[1]) / 2**30:.1f} GiB" if found else "a failed request"


def countable(rate: np.ndarray, num_trials: int) -> np.ndarray:
    """Return where a rate gives enough expected successes and failures for its standard error to be known."""
    return np.minimum(rate, 1 - rate) * num_trials >= _FEWEST_EVENTS


def check(study: Study, config: Any) -> Prediction:
    """The prediction for these settings, with anything wrong with them as a UserError."""
    try:
        return study.predict(config)
    except ValueError as error:
        raise UserError(str(error)) from error


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of what the numbers depend on."""
    packages = ("ttc-jax", "jax", "jaxlib", "numpy", "flax", "optax", "xarray")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def device() -> str:
    """The devices that measure, in words."""
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})"
