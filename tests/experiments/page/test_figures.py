"""Figures name their axes, keep their texts apart, and survive unusual grids."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import theory
import ttc_jax
from experiments import studies
from experiments.families import selection, trained
from experiments.page import figures
from experiments.run import study
from experiments.studies import allocation, learned_binary, trained_linear_attention
from ttc_jax.sweep import SweepResult

GRIDS = [(name, settings) for name in studies.names() for settings in ({}, *studies.load(name).odd_settings)]


@pytest.fixture
def without_simulation(monkeypatch):
    """Stand-ins for what is predicted and measured: how a figure looks does not depend on the numbers."""

    def risks(size):
        return np.linspace(1.0, 0.3, size)

    def measured(seed, setting, ways, numbers, engine, **rest):
        mean = np.array([risks(len(numbers)) * (1 + 0.1 * place) for place in range(len(ways))])
        return mean, 0.01 * mean, 1000 + 0 * mean

    def predicted(setting, way, numbers, **rest):
        return selection.Predicted(risks(len(numbers)), 0.01 * risks(len(numbers)))

    def allocated(budget, *sizes, **rest):
        steps = np.maximum(1, np.sqrt(budget).astype(int))
        return theory.planning.Allocation(steps, np.asarray(budget) // steps, 0.3 + 0 * steps, 0.1, 0.5 + 0 * steps, 0.0)

    def swept(key, measure, axes, *, reused_axes, **rest):
        shape = tuple(map(len, (*axes.values(), *reused_axes.values())))
        mean, no_tail = np.full(shape, 0.5), np.zeros(shape)
        return SweepResult(
            {**axes, **reused_axes}, mean, 0.02 * mean, 64, 1, mean > 0, no_tail, no_tail + np.inf, mean, 0, (), 0
        )

    monkeypatch.setattr(selection, "measure", measured)
    monkeypatch.setattr(selection, "predict", predicted)

    def sampled(dim, num_examples, *, num_steps, inverse_temperature, num_candidates, **rest):
        points = np.broadcast_shapes(np.shape(inverse_temperature), np.shape(num_examples))
        bit = np.broadcast_to(risks(num_steps + 1) / 4, (*points, num_steps + 1))
        vote = bit[..., None] / np.arange(1, len(num_candidates) + 1)
        return theory.binary.SampledChain(bit, 0.01 * bit, vote, 0.01 * vote)

    def enumerated(dim, num_examples, ways, *, label_noise_std, inverse_temperature, num_candidates, **rest):
        points = np.broadcast_shapes(np.shape(label_noise_std), np.shape(inverse_temperature))
        mean = np.broadcast_to(risks(len(num_candidates)) / 2, (*points, len(ways), len(num_candidates)))
        return theory.results.Estimate(mean, 0.01 * mean)

    def posterior(dim, num_examples, *, label_noise_std, num_candidates, **rest):
        votes = np.broadcast_to(0.4 * risks(len(num_candidates)), (len(label_noise_std), len(num_candidates)))
        limit = theory.results.Estimate(0.5 * votes[:, -1], 0.01 * votes[:, -1])
        return theory.bayes.BinaryBayesEstimate(limit, theory.results.Estimate(votes, 0.01 * votes), limit, limit)

    def ridge(*sizes, label_noise_std, **rest):
        return theory.results.Estimate(0.3 + 0 * np.asarray(label_noise_std), 0.01)

    monkeypatch.setattr(theory.bayes, "expected_binary_bayes", posterior)
    monkeypatch.setattr(theory.bayes, "expected_ridge_risk", ridge)
    monkeypatch.setattr(trained, "weights", lambda seed, config, noises, engine: None)
    monkeypatch.setattr(
        trained_linear_attention,
        "_measurement",
        lambda config: (
            lambda keys, params: 1 + np.random.default_rng(0).random((4, len(trained_linear_attention.quantities(config))))
        ),
    )
    monkeypatch.setattr(theory.binary, "expected_answer_errors", enumerated)
    monkeypatch.setattr(theory, "best_allocation", allocated)
    monkeypatch.setattr(theory, "sampled_chain", sampled)
    monkeypatch.setattr(ttc_jax, "sweep", swept)
    forget_predictions()
    yield
    forget_predictions()


def forget_predictions():
    for name in studies.names():
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
