"""Does the prediction agree with the measurement, and would this test have noticed a wrong one?

At each point z = |measured - predicted| / sqrt(standard_error^2 + model_error^2). The prediction agrees when the largest z
stays below the two-sided quantile of Student's t at family-wise level 1e-3, with the Bonferroni correction over the points.
Controls put wrong predictions through the same test, on the same measurement; each must be rejected, or the test has shown
nothing.

Student's t holds for averages of enough tasks if no task dominates. Points with fewer than 200 effective tasks
(:attr:`ttc_jax.SweepResult.effective_tasks`) are not judged: for eight laws from normal to Pareto of index 1.5, and 2 to 3072
tasks, false alarms at a single other point stay at their level. False alarms may be a few times as frequent with skewed tasks
and many points: for counts of rare events 2 times at 20 points, and 3 times at 200. Points that share their tasks, as in a
sweep, do not have this excess. Values that are not finite are not judged either. A point that is not judged for one of these
reasons and looks wrong makes the verdict inconclusive.

A softmax transformer that was trained has no closed form. Its study has a reference instead, a limit that no estimate passes:
the verdict is the measured gap to it, with its error, and the test is that no point lies below the limit by more than chance
allows. The control is a measurement 5 % below the limit, which must be noticed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

FAMILY_WISE_LEVEL = 1e-3
FEWEST_EFFECTIVE_TASKS = 200
FEWEST_UNITS = 5  # tasks or problems behind a standard error: fewer leave a quantile in the hundreds
RELATIVE_ERROR = 0.05  # of the control predictions that are wrong everywhere


@dataclass(frozen=True)
class Verdict:
    """Outcome of the test.

    Attributes:
        outcome: "agrees", "disagrees", or "inconclusive"; "measured" instead of "agrees" where there is a reference.
        num_points: points judged.
        num_untrusted: points for which the formula holds, and whose standard error cannot be trusted.
        threshold: largest z that still agrees.
        largest_z: largest z found.
        worst_point: coordinates of that point.
        controls: largest z of each wrong prediction.
        reason: why the outcome is inconclusive; empty if it is not.
        reference: the limit that the study measures the gap to; empty if it has a prediction.
        gaps: relative gap, its standard error and its point, of the points nearest to the limit and farthest from it.
    """

    outcome: str
    num_points: int
    threshold: float
    largest_z: float
    worst_point: dict[str, Any]
    controls: dict[str, float]
    num_untrusted: int = 0
    reason: str = ""
    reference: str = ""
    gaps: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def accepted_controls(self) -> list[str]:
        """Wrong predictions that the test did not notice."""
        return [name for name, largest in self.controls.items() if largest < self.threshold]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with None for what is not a number."""
        values = {**asdict(self), "accepted_controls": self.accepted_controls}
        values["controls"] = {name: _finite(largest) for name, largest in self.controls.items()}
        for gap in values["gaps"].values():
            gap.update({name: _finite(gap[name]) for name in ("relative", "standard_error")})
        return {name: _finite(value) if isinstance(value, float) else value for name, value in values.items()}

    def __str__(self) -> str:
        said = f"{self.outcome}; {self.reason}" if self.reason else self.outcome
        if self.num_points == 0:
            return said
        if self.gaps:
            least, most = (f"{gap['relative']:.1%} ± {gap['standard_error']:.1%}" for gap in self.gaps.values())
            return f"{said}; {least} to {most} above the {self.reference}, {self.num_points} points"
        left_out = f", {self.num_untrusted} more with errors that cannot be trusted" if self.num_untrusted else ""
        return f"{said}; largest z {self.largest_z:.2f}, threshold {self.threshold:.2f}, {self.num_points} points{left_out}"


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def judge(dataset: xr.Dataset) -> Verdict:
    """Put a study's prediction, and its controls, to the test.

    Args:
        dataset: measured, standard_error, predicted, model_error, judged, predicted_<term> for each term, and wrong_<name> for
            each wrong prediction of the study's own. If there is ``against``, by how many standard errors the measurement
            contradicts a further claim of the study at each point, one such point is a disagreement too. A ``reference`` among
            the attributes says that ``predicted`` is a limit, not a prediction; ``named_controls_only`` that the sample is what
            it is, so that nobody expects it to show an error of 5 %; ``degrees_of_freedom``, those of its standard errors.
            ``effective_tasks`` at each point say whether its standard error can be trusted. A text ``agreement_doubted`` says
            why the measurement cannot support an agreement.
    """
    holds = dataset["judged"].to_numpy().astype(bool)
    judged = holds & _is_trusted(dataset)
    num_points, num_untrusted = int(judged.sum()), int((holds & ~judged).sum())
    if reason := _why_nothing_is_judged(dataset, num_points, num_untrusted):
        return Verdict("inconclusive", 0, float("nan"), float("nan"), {}, {}, num_untrusted, reason)
    # A run that stopped at a look that it chose is judged as if at all of them.
    threshold = _threshold(int(holds.sum()) * dataset.attrs.get("num_looks", 1), dataset)

    if reference := dataset.attrs.get("reference"):
        return _judge_gap(dataset, judged, reference, threshold, num_untrusted)
    everywhere = _z(dataset, dataset["predicted"].to_numpy())
    z = np.where(judged, everywhere, 0.0)
    worst = int(np.argmax(z))
    controls = {name: float(_z(dataset, wrong)[judged].max()) for name, wrong in _controls(dataset, judged).items()}
    looks_wrong = ((everywhere >= threshold) | ~_is_finite(dataset))[holds & ~judged].any()
    outcome, reason = "inconclusive", str(dataset.attrs.get("agreement_doubted", ""))
    if z.max() >= threshold or refuted(dataset).any():
        outcome, reason = "disagrees", ""
    elif looks_wrong:
        reason = "a point that looks wrong has an error that cannot be trusted"
    elif min(controls.values(), default=0.0) < threshold:
        reason = "a control is not rejected" if controls else "there is no control"
    elif not reason:
        outcome = "agrees"
    return Verdict(outcome, num_points, threshold, float(z.max()), _point(dataset, worst), controls, num_untrusted, reason)


def _why_nothing_is_judged(dataset: xr.Dataset, num_points: int, num_untrusted: int) -> str:
    """Say why no point can be judged; empty if some can."""
    num_units = dataset.attrs.get("degrees_of_freedom", np.inf) + 1
    if num_units < FEWEST_UNITS:
        return f"{num_units:g} independent units are too few to judge, {FEWEST_UNITS} are needed"
    if num_points == 0 and num_untrusted:
        if not _is_finite(dataset).any():
            return "no measured value is finite, check the settings"
        return f"the errors of all {num_untrusted} points cannot be trusted, use more tasks"
    return "" if num_points else "no point lies where the formula holds, so nothing was judged"


def _threshold(num_tests: int, dataset: xr.Dataset, sides: int = 2) -> float:
    """Largest z that chance explains at the family-wise level, a quantile of Student's t."""
    degrees = float(dataset.attrs.get("degrees_of_freedom", np.inf))
    tail = FAMILY_WISE_LEVEL / (sides * num_tests)
    return float(-special.ndtri(tail) if np.isinf(degrees) else -special.stdtrit(degrees, tail))


def _is_trusted(dataset: xr.Dataset) -> np.ndarray:
    """Return whether each point has enough tasks, without a dominating one, for its standard error to be trusted."""
    finite = _is_finite(dataset)
    if "effective_tasks" not in dataset:
        return finite
    # A measurement that equals its prediction exactly needs no error.
    exact = dataset["measured"].to_numpy() == dataset["predicted"].to_numpy()
    return finite & (exact | (dataset["effective_tasks"].to_numpy() >= FEWEST_EFFECTIVE_TASKS))


def _is_finite(dataset: xr.Dataset) -> np.ndarray:
    return np.isfinite(dataset["measured"].to_numpy()) & np.isfinite(dataset["standard_error"].to_numpy())


def _judge_gap(dataset: xr.Dataset, judged: np.ndarray, reference: str, threshold: float, num_untrusted: int) -> Verdict:
    """Return the gap between the measurement and its limit, and test that no point is below the limit."""
    limit, error = (
        dataset["predicted"].to_numpy(),
        np.hypot(*(dataset[name].to_numpy() for name in ("standard_error", "model_error"))),
    )
    gap = dataset["measured"].to_numpy() - limit
    with np.errstate(divide="ignore", invalid="ignore"):
        below = np.where(judged, np.where(np.isfinite(gap), np.where(gap == 0, 0.0, -gap / error), np.inf), -np.inf)
        control = float(np.where(judged, RELATIVE_ERROR * limit / error, 0.0).max())
        relative, spread = gap / limit, error / limit
    worst = int(np.argmax(below))
    outcome = "measured" if control >= threshold else "inconclusive"
    outcome = "disagrees" if below.max() >= threshold else outcome
    ends = {
        "smallest": np.argmin(np.where(judged, relative, np.inf)),
        "largest": np.argmax(np.where(judged, relative, -np.inf)),
    }
    gaps = {
        name: {
            "relative": float(relative.flat[place]),
            "standard_error": float(spread.flat[place]),
            "point": _point(dataset, int(place)),
        }
        for name, place in ends.items()
    }
    controls = {f"{RELATIVE_ERROR:.0%} below the limit": control}
    largest = float(below.max())
    point = _point(dataset, worst)
    reason = "a measurement 5 % below the limit would not be noticed" if outcome == "inconclusive" else ""
    return Verdict(outcome, int(judged.sum()), threshold, largest, point, controls, num_untrusted, reason, reference, gaps)


def _point(dataset: xr.Dataset, place: int) -> dict[str, Any]:
    """Coordinates of the point at a place of the flattened measurement."""
    measured = dataset["measured"]
    indices = np.unravel_index(place, measured.shape)
    return {str(dim): dataset[dim].to_numpy()[index].item() for dim, index in zip(measured.dims, indices, strict=True)}


def refuted(dataset: xr.Dataset) -> xr.DataArray:
    """Test the study's other claims, one-sided at the same level."""
    against = dataset.get("against", xr.zeros_like(dataset["measured"]))
    return against >= _threshold(against.size * dataset.attrs.get("num_looks", 1), dataset, sides=1)


def _controls(dataset: xr.Dataset, judged: np.ndarray) -> dict[str, np.ndarray]:
    """Wrong predictions by name: too large or too small everywhere, without one of the terms, and the study's own."""
    predicted = dataset["predicted"].to_numpy()
    terms = {
        str(name).removeprefix("predicted_"): dataset[name].to_numpy()
        for name in dataset
        # A term that is zero wherever the prediction is judged would not be missed by anybody.
        if str(name).startswith("predicted_") and dataset[name].to_numpy()[judged].any()
    }
    everywhere = {
        f"{RELATIVE_ERROR:.0%} too large": predicted * (1 + RELATIVE_ERROR),
        f"{RELATIVE_ERROR:.0%} too small": predicted * (1 - RELATIVE_ERROR),
    }
    return {
        **({} if dataset.attrs.get("named_controls_only") else everywhere),
        **{f"without {name.replace('_', ' ')}": predicted - term for name, term in terms.items()},
        **{
            str(name).removeprefix("wrong_").replace("_", " "): dataset[name].to_numpy()
            for name in dataset
            # One that says the same wherever the prediction is judged is no control.
            if str(name).startswith("wrong_") and not np.allclose(dataset[name].to_numpy()[judged], predicted[judged], 1e-9, 0)
        },
    }


def _z(dataset: xr.Dataset, predicted: np.ndarray) -> np.ndarray:
    """Deviations in units of their error; infinite where the measurement is not a number."""
    deviation = np.abs(dataset["measured"].to_numpy() - predicted)
    error = np.hypot(dataset["standard_error"].to_numpy(), dataset["model_error"].to_numpy())
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where((deviation == 0) & (error == 0), 0.0, deviation / error)
    return np.where(np.isnan(z), np.inf, z)
