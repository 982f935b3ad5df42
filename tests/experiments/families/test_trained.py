"""Weights are trained once, and what goes wrong in a training is one line and an exit status."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import studies
from experiments.command import cli
from experiments.families import trained
from experiments.run import cache
from experiments.run.engine import Engine
from experiments.studies import learned_chain
from tests.experiments.commands import SMALL_GPT

pytestmark = pytest.mark.usefixtures("own_cache")

NOISES = np.array([0.5, 1.0])
CONFIG = replace(learned_chain.QUICK, num_layers=1, width=8, training_steps=4, batch_size=4)
RUN = ["run", "learned-chain", "--num-tasks", "40", *SMALL_GPT, "--num-steps", "1", "3", "--num-candidates", "1", "2"]


def weights(seed=0, config=CONFIG, noises=NOISES):
    """Weights, and the shares of the work that were told as done."""
    told = []
    engine = Engine(progress=told.append)
    params = trained.weights(seed, learned_chain.training_config(config), noises, engine)
    return params, told


def test_weights_are_trained_once():
    first, told = weights()
    assert told == pytest.approx([0.2, 0.4, 0.6, 0.8])
    again, told = weights()
    assert told == []
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True))
    others = [weights(seed=1), weights(config=replace(CONFIG, learning_rate=0.01)), weights(noises=NOISES + 0.1)]
    assert all(told for _, told in others)
    assert len(list(cache.weights().iterdir())) == 4


def failed(arguments, capsys):
    """The one line that a command which exits with 2 says."""
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


def test_damaged_weights_are_named(capsys):
    assert cli.main(RUN) == 0
    capsys.readouterr()
    (folder,) = cache.weights().iterdir()
    (folder / "checkpoint.json").write_text("{")
    line = failed([*RUN, "--overwrite"], capsys)
    assert str(folder) in line
    assert "checkpoint.json is damaged" in line


def test_a_training_that_diverges_is_named(capsys):
    line = failed([*RUN, "--learning-rate", "1e30"], capsys)
    assert "model 0 in step" in line
    assert "learning rate" in line
    assert not Path("results/learned-chain/data.nc").exists()


def test_a_cache_that_cannot_be_written_is_named(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TTC_CACHE", str(tmp_path / "file"))
    assert "file" in failed(RUN, capsys)


BAD = [
    ("learned-chain", "--num-steps", "3", "3"),
    ("learned-chain", "--decoding-noise-std", "-1"),
    ("learned-chain", "--trained-steps", "0"),
    ("learned-chain", "--width", "7"),
    ("learned-chain", "--num-tasks", "1"),
    ("learned-chain", "--training-steps", "0"),
    ("noise-ensemble", "--label-noise-std", "0"),
    ("noise-ensemble", "--batch-size", "0"),
    ("learned-binary", "--num-candidates", "2"),
    ("learned-binary", "--dim", "13"),
    ("learned-binary", "--label-noise-std", "inf"),
    ("trained-linear-attention", "--num-models", "1"),
    ("trained-linear-attention", "--eigenvalues", "0"),
    ("trained-linear-attention", "--test-examples", "0"),
    ("trained-linear-attention", "--label-noise-std", "-1"),
]


@pytest.mark.parametrize("arguments", BAD)
def test_bad_settings_are_named(arguments, capsys):
    study, option, value = arguments[:3]
    line = failed(["run", study, *arguments[1:]], capsys)
    assert value in line
    assert option.removeprefix("--").replace("-", "_") in line


def test_every_study_of_trained_weights_has_presets_that_can_be_trained():
    for name in ("learned-chain", "noise-ensemble", "learned-binary", "trained-linear-attention"):
        study = studies.load(name)
        module = __import__(study.predict.__module__, fromlist=["training_config"])
        for config in study.presets.values():
            assert module.training_config(config).num_steps == config.training_steps
