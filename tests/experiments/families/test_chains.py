"""Studies of chains: their decoders, the order of their axes, and points that are not judged."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.command import cli
from experiments.page import results
from tests.experiments.commands import SMALL

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.parametrize("decoder", ["full", "gram", "collapsed"])
def test_the_decoder_is_chosen_and_recorded(decoder):
    assert cli.main(["run", "averaging", *SMALL]) == 0
    assert cli.main(["run", "averaging", *SMALL, "--decoder", decoder, "--out", "other"]) == 0
    assert json.loads(Path("other/averaging/verdict.json").read_text())["decoder"] == decoder
    cached, chosen = (results.read(Path(f"{out}/averaging"))["measured"].to_numpy() for out in ("results", "other"))
    if decoder == "collapsed":  # the same law, other draws
        assert not np.allclose(cached, chosen, rtol=1e-3)
    else:
        np.testing.assert_allclose(cached, chosen, rtol=1e-4)


def test_an_unsafe_step_is_warned_about_with_both_numbers(capsys):
    assert cli.main(["run", "averaging", *SMALL, "--step-size", "0.6557"]) == 0
    said = capsys.readouterr().err
    assert "0.6557 (0.051)" in said
    assert "largest stable step size is 0.4901" in said
    verdict = json.loads(Path("results/averaging/verdict.json").read_text())
    assert verdict["num_points"] == 0
    assert verdict["largest_z"] is None
    assert any("0.6557" in warning for warning in verdict["warnings"])


def test_a_noise_free_study_can_agree():
    quiet = ["--decoding-noise-std", "0", "--num-candidates", "1", "--decoder", "gram"]
    assert cli.main(["run", "averaging", *quiet]) == 0
    assert json.loads(Path("results/averaging/verdict.json").read_text())["outcome"] == "agrees"


def test_axes_are_sorted_and_what_is_not_drawn_is_said(capsys):
    grid = ["--num-steps", "8", "2", "0", "--step-size", "0.3", "0.1", "--num-tasks", "40", "--num-candidates", "1"]
    assert cli.main(["run", "chain-length", *grid]) == 0
    data = results.read(Path("results/chain-length"))
    assert data["num_steps"].to_numpy().tolist() == [0, 2, 8]
    assert np.all(np.diff(data["measured"].isel(step_size=0, decoding_noise_std=0, label_noise_std=0)[:, 0]) < 0)
    assert "step_size has 2 values, of which the figure shows one" in capsys.readouterr().err


def test_diverging_chains_are_drawn_and_reported():
    wild = ["--step-size", "5", "--num-steps", "30", "--decoder", "gram", "--num-tasks", "8"]
    assert cli.main(["run", "step-size", *wild]) == 0
    json.loads(Path("results/step-size/verdict.json").read_text(), parse_constant=pytest.fail)


def test_few_dimensions_are_not_judged(capsys):
    assert cli.main(["run", "averaging", *SMALL, "--dim", "2"]) == 0
    assert "does not hold" in capsys.readouterr().err
    assert json.loads(Path("results/averaging/verdict.json").read_text())["num_points"] == 0
