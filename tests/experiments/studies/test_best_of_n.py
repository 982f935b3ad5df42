"""Where the oracle's choice overtakes the average."""

import numpy as np
import pytest
import xarray as xr

from experiments.studies.best_of_n import crossing, findings

NUMBERS = np.array([1, 2, 4, 8])


def run(oracle, average):
    return xr.Dataset(
        {name: (("chooser", "num_candidates"), np.array([average, oracle])) for name in ("measured", "predicted")},
        coords={"chooser": ["average", "oracle"], "num_candidates": NUMBERS},
    )


def test_the_crossing_lies_between_the_listed_numbers():
    where = crossing(run([1.0, 0.8, 0.5, 0.3], [1.0, 0.6, 0.6, 0.6]), "predicted")
    assert where == pytest.approx(2 * 2 ** (np.log(8 / 6) / np.log(8 / 5)))
    assert 2 < where < 4


def test_an_oracle_that_leads_at_once_crosses_at_two():
    assert crossing(run([1.0, 0.5, 0.4, 0.3], [1.0, 0.6, 0.6, 0.6]), "predicted") == pytest.approx(2)


def test_a_crossing_beyond_the_list_is_none():
    data = run([1.0, 0.9, 0.8, 0.7], [1.0, 0.6, 0.6, 0.6])
    assert crossing(data, "predicted") is None
    assert findings(data.expand_dims({"dim": [4]}))["N from which the oracle beats the average"][0]["measured"] is None
