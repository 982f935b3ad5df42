"""Theory against simulation: every study at its quick preset, every form of the chain, and simulations that are wrong."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

import theory
import ttc_jax
from experiments import studies
from experiments.families import chains
from experiments.run import study
from experiments.run.agreement import judge
from experiments.studies import allocation
from tests.statistics import agrees
from ttc_jax import decoders

pytestmark = pytest.mark.optimised

CHAIN = {"num_steps": 8, "step_size": 0.35, "label_noise_std": 0.5, "decoding_noise_std": 0.05, "num_candidates": 4}


@pytest.mark.parametrize("name", studies.names())
def test_quick_preset_agrees_and_rejects_every_control(name):
    one = studies.load(name)
    data = study.run(one, replace(one.presets["quick"], **one.tested), seed=0)
    verdict = judge(data)
    assert verdict.accepted_controls == []
    if verdict.reference:  # there is nothing to agree with
        assert verdict.outcome == "measured", verdict
        assert 0 < verdict.gaps["smallest"]["relative"] < 0.3
        return
    assert verdict.outcome == "agrees", verdict
    assert len(verdict.controls) >= 4
    own = {variable.removeprefix("wrong_").replace("_", " ") for variable in map(str, data) if variable.startswith("wrong_")}
    assert own <= set(verdict.controls)


def small(name):
    one = studies.load(name)
    return one, study.run(one, replace(one.presets["quick"], **one.tested), seed=0)


def test_a_learned_chain_thinks_like_its_teacher():
    """After a third of the quick preset's training its sixth thought is behind its teacher's, and well ahead of the second."""
    one, data = small("learned-chain")
    sixth, first = (data["measured"].sel(num_steps=steps) for steps in (6, 1))
    second = one.predict(replace(one.presets["quick"], num_steps=(2,), num_candidates=(1, 4))).beside["teacher"][:, 0]
    assert (sixth.to_numpy() < second).all()
    assert (first.to_numpy() > second).all()
    assert (sixth < 1.3 * data["beside_teacher"].sel(num_steps=6)).all()
    noisy = data.sel(num_steps=6, decoding_noise_std=0.1)
    saved = -noisy["measured"].diff("num_candidates").item()
    assert saved > 4 * np.linalg.norm(noisy["standard_error"])  # averaging helps


def test_learned_probabilities_come_true_and_attention_beats_its_linear_form():
    _, data = small("learned-binary")
    used = data["share"].to_numpy() * 32_768 * 4 > 1000
    assert used.sum() >= 8
    said, true = (data[name].to_numpy()[used] for name in ("mean_probability", "came_true"))
    # Training leaves a bias of some hundredths; probabilities twice as sharp or as flat would be farther off.
    assert np.abs(true - said).max() < 0.05
    for power in (2.0, 0.5):
        other = said**power / (said**power + (1 - said) ** power)
        assert np.abs(true - other).max() > 0.05
    assert float(data["cross_entropy"][0]) > float(data["cross_entropy_limit"][0])
    _, data = small("noise-ensemble")
    below = (data["beside_linear_attention"] - data["measured"]) / data["standard_error"]
    assert float(below.sel(label_noise_std=1.0)) > 4


def test_no_split_beside_the_predicted_one_is_measurably_better():
    one = studies.load("allocation")
    data = study.run(one, replace(one.presets["quick"], **one.tested), seed=0)
    assert allocation.better_splits(data) == []
    assert judge(data).outcome == "agrees"
    better = data.assign(against=xr.full_like(data["against"], 5.0))  # were they better by five standard errors
    assert len(allocation.better_splits(better)) == data["against"].size
    assert judge(better).outcome == "disagrees"


def test_the_best_temperatures_are_the_predicted_ones_and_differ():
    one = studies.load("temperature")
    (found,) = one.findings(study.run(one, one.presets["quick"], seed=0)).values()
    assert all(best["predicted"] in best["measured"] for best in found)
    measured = {best["answer"]: set(best["measured"]) for best in found}
    assert not measured["one candidate"] & measured["majority vote"]
    assert not measured["held-out 4"] & measured["oracle"]


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("decoder", ["gram", "collapsed"])
def test_faster_forms_agree_too(decoder, seed):
    one = studies.load("averaging")
    verdict = judge(study.run(one, replace(one.presets["quick"], decoder=decoder), seed))
    assert verdict.outcome == "agrees", verdict


@pytest.mark.parametrize("sizes", [(10, 80), (30, 20), (16, 16)])
def test_other_shapes_agree(sizes):
    dim, num_examples = sizes
    step = float(theory.largest_stable_step(dim, num_examples))
    config = chains.ChainConfig(
        num_tasks=6000,
        dim=dim,
        num_examples=num_examples,
        step_size=(0.4 * step, step),
        num_steps=(1, 4, 12),
        num_candidates=(1, 8),
        decoder="gram",
    )
    verdict = judge(study.run(studies.load("averaging"), config, seed=0))
    assert verdict.outcome == "agrees", verdict


def test_a_chain_with_another_step_size_is_noticed(monkeypatch):
    monkeypatch.setattr(chains, "_decoder", lambda name, dim, step_size: decoders.gram(1.1 * step_size))
    chains.measurement.cache_clear()
    one = studies.load("averaging")
    verdict = judge(study.run(one, replace(one.presets["quick"], decoder="gram"), seed=0))
    chains.measurement.cache_clear()
    assert verdict.outcome == "disagrees"


def test_exact_risk_given_context_averages_to_the_expected_risk():
    keys = jax.random.split(jax.random.key(4), 20_000)
    config = ttc_jax.TaskConfig(12, 30)
    inputs = jax.vmap(lambda key: ttc_jax.sample_task(key, config).context.inputs)(keys)
    given = jax.jit(jax.vmap(lambda one: theory.risk_given_context(one, **CHAIN)))(inputs)
    expected = theory.expected_risk(12, 30, **CHAIN)
    neglected = theory.chains.expected_risk_next_order(12, 30, **CHAIN)
    for simulated, term, further in zip(given, expected, neglected, strict=True):
        samples = np.asarray(simulated, dtype=np.float64)[:, None]
        assert agrees(samples, [term + further])
        assert not agrees(samples, [1.05 * term])


def test_simulated_chains_have_the_risk_of_their_context():
    """Given one context, with coefficients and noises redrawn: exact, whatever the context and the spectrum."""
    eigenvalues, prior = np.array([1.0, 0.5, 0.25, 0.125]), np.array([1.0, 0.2, 0.4, 0.1])
    config = ttc_jax.TaskConfig(4, 6, ttc_jax.GivenSpectrum(eigenvalues), ttc_jax.GaussianPrior(prior))
    inputs = ttc_jax.sample_task(jax.random.key(8), config).context.inputs

    def risk(key):
        task_key, noise_key, chain_key = jax.random.split(key, 3)
        task = ttc_jax.sample_task(task_key, config)
        noise = CHAIN["label_noise_std"] * jax.random.normal(noise_key, (6,))
        task = task._replace(context=ttc_jax.Context(inputs, inputs @ task.coefficients + noise))
        candidates = ttc_jax.sample_candidates(
            chain_key,
            task.context,
            decoders.gram(CHAIN["step_size"]),
            num_candidates=CHAIN["num_candidates"],
            num_steps=CHAIN["num_steps"],
            decoding_noise_std=CHAIN["decoding_noise_std"],
        )
        return ttc_jax.excess_risk(ttc_jax.aggregation.mean(candidates), task)

    risks = np.asarray(jax.jit(jax.vmap(risk))(jax.random.split(jax.random.key(9), 40_000)))[:, None]
    predicted = theory.risk_given_context(np.asarray(inputs), eigenvalues=eigenvalues, prior_variances=prior, **CHAIN)
    assert agrees(risks, [predicted.total])
    for wrong in (0.95 * predicted.total, 1.05 * predicted.total, *(predicted.total - term for term in predicted)):
        assert not agrees(risks, [wrong])
