"""Figures name their axes, keep their texts apart, and survive unusual grids."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import theory
import ttc_jax
from experiments import choosers, figures, studies, study, trained
from experiments.studies import allocation, learned_binary, trained_linear_attention
from ttc_jax.sweep import SweepResult

SETTINGS = {
    "quick grid": {},
    "eight noises, one length": {"decoding_noise_std": tuple(np.linspace(0.01, 0.3, 8)), "num_steps": (3,)},
    "one point": {"step_size": (0.3,), "decoding_noise_std": (0.1,), "num_steps": (3,), "num_candidates": (1,)},
    "many noises": {"decoding_noise_std": tuple(np.linspace(0.01, 0.3, 8)), "num_candidates": (1,)},
    "all unsafe": {"step_size": (0.68,)},
}


# Unusual grids of the studies that are not about chains alone.
DRAWN = {"num_contexts": 8}
SAMPLED = {"num_coordinates": 160}
OWN_SETTINGS = {
    "allocation": [{"budget": (8,), **DRAWN}, {"budget": (16, 32, 64, 128, 1000), **DRAWN}],
    "bayes-limit": [
        {**SAMPLED, "examples_per_coefficient": (0.5,)},
        {**SAMPLED, "label_noise_per_coefficient": 1.0, "num_candidates": 1},
    ],
    "best-of-n": [{"dim": (4,), "num_candidates": (1,), **DRAWN}, {"dim": (4, 5, 6, 8), "verifier_noise_std": 0.0, **DRAWN}],
    "binary-best-of-n": [{"num_candidates": (1,)}, {"label_noise_std": (0.1, 1.0, 10.0), "held_out_examples": (1, 2, 4, 8)}],
    "binary-chain": [{**SAMPLED, "num_steps": (3,)}, {**SAMPLED, "inverse_temperature": tuple(np.linspace(0.5, 8, 8))}],
    "chain-depth": [
        {"num_steps": (3,), "contexts_per_coefficient": (2.0,)},
        {"contexts_per_coefficient": tuple(np.arange(1.25, 3.25, 0.25)), "dim": (20, 40, 80, 160, 320)},
    ],
    "cheap-to-expensive": [SETTINGS["eight noises, one length"]],
    "covariance": [
        {"exponent": (1.0,), "num_examples": (24,)},
        {"exponent": tuple(np.linspace(0.5, 2, 8)), "num_steps": (1, 2)},
    ],
    "learned-binary": [
        {"label_noise_std": (1.0,), "num_candidates": (1,)},
        {"label_noise_std": (0.5, 1.0, 2.0, 4.0, 8.0), "num_candidates": (1, 3, 5, 7, 9, 11, 13, 33, 101)},
    ],
    "learned-chain": [
        {"decoding_noise_std": (0.1,), "num_steps": (3,), "num_candidates": (1,)},
        {"decoding_noise_std": (0.0, 0.1, 0.2), "num_steps": tuple(range(20)), "num_candidates": (1, 2, 4, 8, 16)},
    ],
    "majority-vote": [{**SAMPLED, "num_steps": (3,)}, {**SAMPLED, "inverse_temperature": (0.5, 1.0, 4.0)}],
    "noise-ensemble": [{"label_noise_std": (1.0,)}, {"label_noise_std": tuple(np.linspace(0.2, 4.0, 12))}],
    "overthinking": [{"num_examples": (40,)}, {"label_noise_std": (0.5,), "num_candidates": (1, 2, 4, 8)}],
    "pretraining-size": [
        {"prompts_per_weight": (0.5,), "tasks_per_coefficient": (1.0,)},
        {"prompts_per_weight": (0.9375, 1.0625), "tasks_per_coefficient": (0.25, 0.5, 1.0, 2.0), "dim": (8, 16, 24, 32, 64)},
    ],
    "temperature": [{"num_candidates": (5,)}, {"label_noise_std": (0.5, 1.0), "inverse_temperature": tuple(range(1, 13))}],
    "trained-linear-attention": [
        {"eigenvalues": (1.0,), "test_examples": (4,)},
        {"eigenvalues": (2.0, 1.0, 1.0, 0.5, 0.1), "test_examples": (1, 2, 4, 8, 16, 32, 64, 128, 256)},
    ],
    "verifier-quality": [
        {"label_noise_std": (1.0,), "num_candidates": (1, 2), **DRAWN},
        {"verifier_noise_std": (0.0,), "held_out_examples": (3,), **DRAWN},
    ],
    "vote-or-verify": [{"num_candidates": (3,)}, {"label_noise_std": (0.5,), "held_out_examples": (1, 2, 4, 8)}],
}
CHAINS = [name for name in studies.names() if name not in OWN_SETTINGS]
GRIDS = [
    *((name, settings) for name, settings in itertools.product(CHAINS, SETTINGS.values())),
    *((name, settings) for name, listed in OWN_SETTINGS.items() for settings in ({}, *listed)),
]


@pytest.fixture
def without_simulation(monkeypatch):
    """Stand-ins for what is predicted and measured: how a figure looks does not depend on the numbers."""

    def risks(size):
        return np.linspace(1.0, 0.3, size)

    def measured(seed, setting, ways, numbers, engine, **rest):
        mean = np.array([risks(len(numbers)) * (1 + 0.1 * place) for place in range(len(ways))])
        return mean, 0.01 * mean, 1000 + 0 * mean

    def predicted(setting, way, numbers, **rest):
        return choosers.Predicted(risks(len(numbers)), 0.01 * risks(len(numbers)))

    def allocated(budget, *sizes, **rest):
        steps = np.maximum(1, np.sqrt(budget).astype(int))
        return theory.Allocation(steps, np.asarray(budget) // steps, 0.3 + 0 * steps, 0.1, 0.5 + 0 * steps, 0.0)

    def swept(key, measure, axes, *, reused_axes, **rest):
        shape = tuple(map(len, (*axes.values(), *reused_axes.values())))
        mean, no_tail = np.full(shape, 0.5), np.zeros(shape)
        return SweepResult(
            {**axes, **reused_axes}, mean, 0.02 * mean, 64, 1, mean > 0, no_tail, no_tail + np.inf, mean, 0, (), 0
        )

    monkeypatch.setattr(choosers, "measure", measured)
    monkeypatch.setattr(choosers, "predict", predicted)

    def sampled(dim, num_examples, *, num_steps, inverse_temperature, num_candidates, **rest):
        points = np.broadcast_shapes(np.shape(inverse_temperature), np.shape(num_examples))
        bit = np.broadcast_to(risks(num_steps + 1) / 4, (*points, num_steps + 1))
        vote = bit[..., None] / np.arange(1, len(num_candidates) + 1)
        return theory.SampledChain(bit, 0.01 * bit, vote, 0.01 * vote)

    def enumerated(dim, num_examples, ways, *, label_noise_std, inverse_temperature, num_candidates, **rest):
        points = np.broadcast_shapes(np.shape(label_noise_std), np.shape(inverse_temperature))
        mean = np.broadcast_to(risks(len(num_candidates)) / 2, (*points, len(ways), len(num_candidates)))
        return theory.Estimate(mean, 0.01 * mean)

    def posterior(dim, num_examples, *, label_noise_std, num_candidates, **rest):
        votes = np.broadcast_to(0.4 * risks(len(num_candidates)), (len(label_noise_std), len(num_candidates)))
        limit = theory.Estimate(0.5 * votes[:, -1], 0.01 * votes[:, -1])
        return theory.BinaryBayesEstimate(limit, theory.Estimate(votes, 0.01 * votes), limit, limit)

    def ridge(*sizes, label_noise_std, **rest):
        return theory.Estimate(0.3 + 0 * np.asarray(label_noise_std), 0.01)

    monkeypatch.setattr(theory, "expected_binary_bayes", posterior)
    monkeypatch.setattr(theory, "expected_ridge_risk", ridge)
    monkeypatch.setattr(trained, "weights", lambda seed, config, noises, engine: None)
    monkeypatch.setattr(
        trained_linear_attention,
        "_measurement",
        lambda config: (
            lambda keys, params: 1 + np.random.default_rng(0).random((4, len(trained_linear_attention.quantities(config))))
        ),
    )
    monkeypatch.setattr(theory, "expected_answer_errors", enumerated)
    monkeypatch.setattr(theory, "best_allocation", allocated)
    monkeypatch.setattr(theory, "sampled_chain", sampled)
    monkeypatch.setattr(ttc_jax, "sweep", swept)
    forget_predictions()
    yield
    forget_predictions()


def forget_predictions():
    for name in OWN_SETTINGS:
        forget = getattr(studies.load(name).predict, "cache_clear", lambda: None)
        forget()
    allocation.splits.cache_clear()
    learned_binary.limits.cache_clear()


def drawn(name, settings):
    one = studies.load(name)
    config = replace(one.presets["quick"], num_tasks=64, **settings)
    with figures.style():
        figure = one.draw(study.run(one, config, 0))
        FigureCanvasAgg(figure).draw()
    return figure


@pytest.mark.usefixtures("without_simulation")
@pytest.mark.parametrize(("name", "axis"), [("chain-length", "decoding_noise_std"), ("step-size", "num_steps")])
def test_every_curve_is_drawn(name, axis):
    values = tuple(range(1, 10)) if axis == "num_steps" else tuple(np.linspace(0.01, 0.3, 9))
    labels = drawn(name, {axis: values, "num_candidates": (1,)}).axes[0].get_legend_handles_labels()[1]
    assert labels == [f"{value:g}" for value in values]


def overlap(first, second):
    return min(first.x1, second.x1) - max(first.x0, second.x0) > 1 and min(first.y1, second.y1) - max(first.y0, second.y0) > 1


@pytest.mark.parametrize(("name", "settings"), GRIDS)
@pytest.mark.usefixtures("without_simulation")
def test_axes_are_named_and_texts_do_not_overlap(name, settings):
    check_texts(drawn(name, settings))


def check_texts(figure):
    renderer = FigureCanvasAgg(figure).get_renderer()
    assert figure.axes[0].get_ylabel()
    assert all(axes.get_xlabel() or axes.get_label() == "<colorbar>" for axes in figure.axes)
    texts = []
    for axes in figure.axes:
        (left, right), (bottom, top) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label]
        texts += [tick for tick in axes.get_xticklabels() if left <= tick.get_position()[0] <= right]
        texts += [tick for tick in axes.get_yticklabels() if bottom <= tick.get_position()[1] <= top]
    for legend in figure.legends + [axes.get_legend() for axes in figure.axes if axes.get_legend()]:
        texts += [*legend.get_texts(), legend.get_title()]
    shown = [text for text in texts if text.get_visible() and text.get_text()]
    boxes = {(text.get_text(), number): text.get_window_extent(renderer) for number, text in enumerate(shown)}
    assert len(boxes) > 5
    page = figure.bbox.padded(1)
    assert not [name for name, box in boxes.items() if not (page.contains(box.x0, box.y0) and page.contains(box.x1, box.y1))]
    clashes = [(one, other) for one, other in itertools.combinations(boxes, 2) if overlap(boxes[one], boxes[other])]
    assert not clashes
