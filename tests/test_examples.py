"""The examples run, and what they print is right."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest

import theory
from tests.statistics import threshold

FOLDER = Path(__file__).parent.parent / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    names = {path.stem for path in FOLDER.glob("*.py")}
    assert names == {"own_training_loop", "own_model", "gradient_through_risk"}


def risk_of_equal_weights(module):
    """The least mean risk of ridge regression that does not know which examples are noisy, over all its ridges."""
    tasks = jax.vmap(module.sample)(jax.random.split(jax.random.key(1), 20_000))
    inputs, targets, truth = (np.asarray(part, float) for part in (*tasks.context, tasks.coefficients))
    gram, seen = inputs.mT @ inputs, inputs.mT @ targets[..., None]
    estimates = (np.linalg.solve(gram + ridge * np.eye(2), seen)[..., 0] for ridge in np.geomspace(0.1, 10, 20))
    return min(((estimate - truth) ** 2).sum(axis=1).mean() for estimate in estimates)


@pytest.mark.optimised
def test_a_transformer_learns_in_a_loop_of_ones_own_which_examples_to_trust(capsys):
    module = example("own_training_loop")
    losses = module.main(600)
    assert np.mean(losses[:10]) > 0.8  # predicting nothing has risk one
    assert np.mean(losses[-100:]) < 0.6 * risk_of_equal_weights(module)
    assert capsys.readouterr().out.count("excess risk") == 3


def test_a_model_of_ones_own_is_swept():
    module = example("own_model")
    result = module.main(1024)
    steps, numbers = np.array(module.STEPS)[:, None], np.array(module.CANDIDATES)
    chain = {
        "num_steps": steps,
        "step_size": 0.3,
        "label_noise_std": 0.5,
        "decoding_noise_std": 0.05,
        "num_candidates": numbers,
    }
    z = np.abs(result.mean - theory.expected_risk(20, 40, **chain).total) / result.standard_error
    assert z[0].max() < threshold(z[0].size)  # plain gradient descent
    assert z[1].max() > threshold(z[1].size)  # with momentum it is another chain


def test_gradients_find_the_least_of_a_predicted_risk():
    module = example("gradient_through_risk")
    step_size, noise, value = module.main()
    for factor in (0.9, 1.1):
        for settings in ((factor * step_size, noise), (step_size, factor * noise)):
            assert float(module.objective(np.log(np.array(settings, np.float32)))) > value
