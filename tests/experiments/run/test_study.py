"""A run of a study: labelled results of every family, and one line for settings beyond the memory."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments.command import cli
from tests.experiments.commands import FILES, OPTIONS, SMALL, files

pytestmark = pytest.mark.usefixtures("elsewhere")

CHAIN_DIMS = ("step_size", "label_noise_std", "decoding_noise_std", "num_steps", "num_candidates")
DIMS = {
    "best-of-n": ("dim", "chooser", "num_candidates"),
    "binary-chain": ("dim", "inverse_temperature", "num_steps"),
    "learned-binary": ("label_noise_std", "num_candidates"),
    "trained-linear-attention": ("quantity",),
}
# The tests of agreement run every study.
OF_EACH_FAMILY = [
    "averaging",
    "best-of-n",
    "binary-chain",
    "learned-binary",
    "trained-linear-attention",
]


@pytest.mark.parametrize("study", OF_EACH_FAMILY)
def test_a_run_leaves_labelled_results_a_figure_and_a_verdict(study, capsys):
    assert cli.main(["run", study, *OPTIONS.get(study, SMALL), "--seed", "3", "--out", "here"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{study}: inconclusive")
    assert files(f"here/{study}") == FILES
    data = xr.load_dataset(f"here/{study}/data.nc")
    assert data["measured"].dims == DIMS.get(study, CHAIN_DIMS)
    assert {"measured", "standard_error", "predicted", "model_error", "judged"} <= set(data)
    assert len([name for name in data if str(name).startswith(("predicted_", "beside_"))]) >= 2
    assert np.isfinite(data["measured"]).all()
    assert data.attrs["seed"] == 3
    assert json.loads(data.attrs["config"])["num_tasks"] == int(OPTIONS.get(study, SMALL)[1])
    assert "jax" in json.loads(data.attrs["versions"])
    verdict = json.loads(Path(f"here/{study}/verdict.json").read_text())
    assert verdict["outcome"] == "inconclusive"
    assert verdict["reason"] in said.out
    assert verdict["reason"]
    assert Path(f"here/{study}/figure.png").stat().st_size > 10_000


def test_settings_beyond_memory_are_one_line(capsys):
    assert cli.main(["run", "averaging", *SMALL, "--dim", "200000"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert "memory" in line
