"""Does the prediction agree with the measurement, and would this test have noticed a wrong one?

At each point z = |measured - predicted| / sqrt(standard_error^2 + model_error^2). The prediction agrees when the largest z
stays below the two-sided normal quantile at family-wise level 1e-3, Bonferroni over the points. Controls put wrong
predictions through the same test, on the same measurement; each must be rejected, or the test has shown nothing.

A softmax transformer that was trained has no closed form. Its study has a reference instead, a limit that no estimate passes:
the verdict is the measured gap to it, with its error, and the test is that no point lies below the limit by more than chance
allows. The control is a measurement 5 % below the limit, which must be noticed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

FAMILY_WISE_LEVEL = 1e-3
RELATIVE_ERROR = 0.05  # of the control predictions that are wrong everywhere


@dataclass(frozen=True)
class Verdict:
    """Outcome of the test.

    Attributes:
        outcome: "agrees", "disagrees", or "inconclusive" (agrees, but so does a control, or there was none, or
            nothing to judge); "measured" instead of "agrees" where there is a reference.
        num_points: points judged.
        threshold: largest z that still agrees.
        largest_z: largest z found.
        worst_point: coordinates of that point.
        controls: largest z of each wrong prediction.
        reference: the limit that the study measures the gap to; empty if it has a prediction.
        gaps: relative gap, its standard error and its point, of the points nearest to the limit and farthest from it.
    """

    outcome: str
    num_points: int
    threshold: float
    largest_z: float
    worst_point: dict[str, Any]
    controls: dict[str, float]
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
        if self.num_points == 0:
            return f"{self.outcome}; no point lies where the formula holds, so nothing was judged"
        if self.gaps:
            least, most = (f"{gap['relative']:.1%} ± {gap['standard_error']:.1%}" for gap in self.gaps.values())
            return f"{self.outcome}; {least} to {most} above the {self.reference}, {self.num_points} points"
        return f"{self.outcome}; largest z {self.largest_z:.2f}, threshold {self.threshold:.2f}, {self.num_points} points"


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def judge(dataset: xr.Dataset) -> Verdict:
    """Put a study's prediction, and its controls, to the test.

    Args:
        dataset: measured, standard_error, predicted, model_error, judged, predicted_<term> for each term, and wrong_<name> for
            each wrong prediction of the study's own. If there is ``against``, by how many standard errors the measurement
            contradicts a further claim of the study at each point, one such point is a disagreement too. A ``reference`` among
            the attributes says that ``predicted`` is a limit, not a prediction; ``named_controls_only`` that the sample is what
            it is, so that nobody expects it to show an error of 5 %.
    """
    judged = dataset["judged"].to_numpy().astype(bool)
    num_points = int(judged.sum())
    if num_points == 0:
        return Verdict("inconclusive", 0, float("nan"), float("nan"), {}, {})
    # A run that stopped at a look that it chose is judged as if at all of them.
    num_tests = num_points * dataset.attrs.get("num_looks", 1)
    threshold = _threshold(num_tests, dataset.attrs.get("degrees_of_freedom"))

    if reference := dataset.attrs.get("reference"):
        return _judge_gap(dataset, reference, threshold)
    z = np.where(judged, _z(dataset, dataset["predicted"].to_numpy()), 0.0)
    worst = int(np.argmax(z))
    controls = {name: float(_z(dataset, wrong)[judged].max()) for name, wrong in _controls(dataset).items()}
    outcome = "agrees" if min(controls.values(), default=0.0) >= threshold else "inconclusive"
    if dataset.attrs.get("agreement_doubted"):
        outcome = "inconclusive"
    outcome = "disagrees" if z.max() >= threshold or refuted(dataset).any() else outcome
    return Verdict(outcome, num_points, threshold, float(z.max()), _point(dataset, worst), controls)


def _threshold(num_tests: int, degrees_of_freedom: int | None) -> float:
    """Two-sided quantile at the family-wise level, of Student's t if the standard errors are those of few units."""
    tail = FAMILY_WISE_LEVEL / (2 * num_tests)
    if degrees_of_freedom is None:
        return NormalDist().inv_cdf(1 - tail)
    return float(stats.t.isf(tail, degrees_of_freedom))


def _judge_gap(dataset: xr.Dataset, reference: str, threshold: float) -> Verdict:
    """How far the measurement is above its limit, and whether it is below it anywhere."""
    judged = dataset["judged"].to_numpy().astype(bool)
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
    return Verdict(outcome, int(judged.sum()), threshold, largest, _point(dataset, worst), controls, reference, gaps)


def _point(dataset: xr.Dataset, place: int) -> dict[str, Any]:
    """Coordinates of the point at a place of the flattened measurement."""
    measured = dataset["measured"]
    indices = np.unravel_index(place, measured.shape)
    return {str(dim): dataset[dim].to_numpy()[index].item() for dim, index in zip(measured.dims, indices, strict=True)}


def refuted(dataset: xr.Dataset) -> xr.DataArray:
    """Where the measurement speaks against a claim of the study beside its formula, one-sided at the same level."""
    against = dataset.get("against", xr.zeros_like(dataset["measured"]))
    num_tests = against.size * dataset.attrs.get("num_looks", 1)
    return against >= NormalDist().inv_cdf(1 - FAMILY_WISE_LEVEL / num_tests)


def _controls(dataset: xr.Dataset) -> dict[str, np.ndarray]:
    """Wrong predictions by name: too large or too small everywhere, without one of the terms, and the study's own."""
    predicted = dataset["predicted"].to_numpy()
    judged = dataset["judged"].to_numpy().astype(bool)
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
