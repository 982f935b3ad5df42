"""One contract of every public function: any subset of its arguments may be traced, and bad arguments never pass silently."""

import decimal
import inspect
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theory
import ttc_jax
from theory import _arguments
from ttc_jax.records import jsonl

RNG = np.random.default_rng(0)
# A valid value of every argument by its name. A new function is covered as soon as its arguments have one here.
VALUES = {
    "a": 1.5,
    "accuracy": 0.6,
    "allow_divergence": False,
    "abstentions": np.array([0, 1, 0]),
    "alpha": 2.0,
    "answer_counts": np.array([[3, 1, 1], [5, 0, 0], [1, 2, 2]]),
    "answers": np.array([3, 3, 1, -1, 3]),
    "b": 2.5,
    "budget": 8,
    "candidates": theory.selection.Gaussian(0.1 * np.ones(3), np.diag([1.0, 0.5, 0.2])),
    "choosers": (theory.binary.MajorityVote(), theory.selection.ContextLoss()),
    "covariance": 1e-6 * np.ones(6),
    "decoding_noise_std": 0.1,
    "dim": 4,
    "eigenvalues": np.array([1.0, 0.5, 2.0]),
    "false_positive_rates": np.array([0.0, 0.1, 1.0]),
    "fit": theory.planning.ChainFit(20, 40, 0.4, 0.5, 0.1, 0.05, 1e-6 * np.eye(4), 0.0, 0),
    "gaussian": False,
    "high": 1.0,
    "inputs": RNG.normal(size=(6, 3)),
    "inverse_temperature": 1.5,
    "k": 2,
    "is_correct": np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0]]),
    "kappa": 1.5,
    "label_noise_std": 0.4,
    "level": 0.9,
    "link": "logistic",
    "low": -1.0,
    "measure": "bit_error",
    "memory": True,
    "model": "beta",
    "noise": 0.1,
    "num": 5,
    "num_candidates": 4,
    "num_contexts": 8,
    "num_coordinates": 160,
    "num_correct": 1,
    "num_examples": 8,
    "num_problems": 2,
    "num_resamples": 0,
    "num_samples": 4,
    "num_steps": 3,
    "offset": 0.3,
    "precision": 1.2,
    "prior_variances": 0.3,
    "prob_high": 0.4,
    "probabilities": np.array([0.5, 0.3, 0.2]),
    "probability": 0.01,
    "reward_offset": 0.2,
    "rng": np.random.default_rng(0),
    "rates": theory.records.fit_success_rates([1, 2, 0, 4], 4, model="beta"),
    "risks": np.array([0.9, 0.85, 0.7, 0.65, 0.6, 0.5]),
    "scores": np.array([0.3, -1.0, 2.0]),
    "seed": 0,
    "signal_var": 0.3,
    "step_size": 0.2,
    "targets": RNG.normal(size=6),
    "tau": 2.0,
    "temperature": 0.5,
    "test_eigenvalues": np.array([1.5, 0.5, 1.0]),
    "test_examples": 5,
    "test_label_noise_std": 0.2,
    "true_positive_rates": np.array([0.0, 0.6, 1.0]),
    "truth": np.array([0.2, -0.1, 0.4]),
    "truth_offset": 0.4,
    "tune": (),
    "values": np.array([1.0, 0.0, 0.5]),
    "verifier": theory.selection.Oracle(0.1),
}
QUADRATIC = theory.selection.Quadratic(np.diag([1.0, 2.0, 0.5]), np.zeros(3), 0.3)
OWN_VALUES = {
    "best_of_n_risk": {"verifier": QUADRATIC},
    "best_of_n_risk_gaussian": {"verifier": QUADRATIC},
    "fit_chain": {"num_steps": np.array([1, 1, 2, 2, 4, 4]), "num_candidates": np.array([1, 4, 1, 4, 1, 4])},
    "best_of_pool": {"num_candidates": 2},
    **{name: {"num_correct": np.array([1, 2, 0]), "num_samples": 4} for name in ("fit_success_rates", "pass_at_k_interval")},
    **{
        name: {"rates": theory.records.fit_answer_rates(VALUES["answer_counts"], VALUES["is_correct"])}
        for name in ("draw_answers", "predicted_vote_accuracy")
    },
}
WINGS = (theory.answers, theory.bayes, theory.binary, theory.chains, theory.planning, theory.pretraining, theory.records)
WINGS = (*WINGS, theory.results, theory.selection)
PUBLIC = {name: getattr(wing, name) for wing in WINGS for name in wing.__all__ if inspect.isfunction(getattr(wing, name))}
KINDS = {name: getattr(function, "kind", "undeclared") for name, function in PUBLIC.items()}
HOST_ONLY = [name for name, kind in KINDS.items() if kind == "host-only"]
TRACEABLE = [name for name, kind in KINDS.items() if kind == "traceable"]
TREES = (theory.selection.Gaussian, theory.selection.Quadratic, theory.selection.Oracle)  # arguments whose fields may be traced


def arguments_of(name):
    own = {**VALUES, **OWN_VALUES.get(name, {})}
    return {parameter: own[parameter] for parameter in inspect.signature(PUBLIC[name]).parameters}


def traceable_arguments(name):
    """The arguments that may be traced, as trees of float32 arrays."""
    domains, values = PUBLIC[name].domains, arguments_of(name)
    numbers = _arguments.Real | _arguments.Count | _arguments.Probabilities
    return {
        parameter: jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), value)
        for parameter, value in values.items()
        if isinstance(domains.get(parameter), numbers) or isinstance(value, TREES)
    }


def outside(domain, value):
    """Numbers of the value's shape that are outside the domain, one entry of them for an array."""

    def with_first(entry):
        changed = np.array(value, np.float32)
        changed.flat[0] = entry
        return changed

    yield with_first(np.nan)
    if isinstance(domain, _arguments.Probabilities):
        yield with_first(0.9)
        return
    if isinstance(domain, _arguments.Count):
        yield with_first(domain.minimum - 1)
        yield with_first(domain.minimum + 0.5)
        return
    if not domain.infinite:
        yield with_first(np.inf)
    if np.isfinite(domain.minimum):
        yield with_first(domain.minimum - 0.5)
        if domain.open_ends:
            yield with_first(domain.minimum)
    if np.isfinite(domain.maximum):
        yield with_first(domain.maximum + 0.5)


# Values that are each in their own domain, and not together.
TOGETHER = {
    "pass_at_k": [{"num_correct": 5}, {"k": 5}],
    "best_of_pool": [{"num_candidates": 4}],
    "ridgeless_icl_risk": [{"tau": 1.0}],
    "expected_risk": [{"step_size": 0.7}],
    "expected_risk_next_order": [{"step_size": 0.7}],
    "spectral_edge": [{"eigenvalues": np.zeros(3)}],
    "roc_accuracy": [{"true_positive_rates": [0.0, 0.5, 0.9]}, {"false_positive_rates": [0.0, 1.0, 0.5]}],
    "best_of_n_risk": [
        {"candidates": theory.selection.Gaussian(np.zeros(3), np.diag([1.0, -0.5, 0.2]))},
        {"candidates": theory.selection.Gaussian(np.zeros(3), np.triu(np.ones((3, 3))))},
        {"verifier": QUADRATIC._replace(matrix=-QUADRATIC.matrix)},
        {"verifier": QUADRATIC._replace(noise_std=-1.0)},
    ],
    "expected_best_of_n_risk": [{"step_size": 0.9}, {"verifier": theory.selection.Oracle(-1.0)}],
}
QUADRATICS = TOGETHER["best_of_n_risk"]


def bad_together(name):
    """Values that are not in the domain together, by the arguments that a function has."""
    parameters = inspect.signature(PUBLIC[name]).parameters
    yield from TOGETHER.get(name, [])
    if name == "best_of_n_risk_gaussian":
        yield from QUADRATICS
    if {"low", "high"} <= set(parameters):
        yield {"low": 1.0}
    if "eigenvalues" in parameters and "covariance" in name:
        yield {"eigenvalues": np.zeros(3)}
    if name.startswith("expected_risk_covariance"):
        yield {"step_size": 0.7}


def stacked(rows):
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf, np.float32) for leaf in leaves]), *rows)


@pytest.mark.parametrize("name", TRACEABLE)
def test_traced_values_agree_with_plain_ones_and_become_nan_outside_the_domain(name):
    function, traced = PUBLIC[name], traceable_arguments(name)
    plain = {key: value for key, value in arguments_of(name).items() if key not in traced}
    domains = {key: function.domains[key] for key in traced if not isinstance(traced[key], TREES)}
    bad = [{key: one} for key, domain in domains.items() for one in outside(domain, traced[key])]
    bad += [*bad_together(name)]
    batch = stacked([traced, *({**traced, **one} for one in bad)])
    result = jax.jit(jax.vmap(lambda given: function(**plain, **given)))(batch)
    expected = function(**plain, **traced)
    for found, wanted in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(found[0], wanted, rtol=2e-5, atol=1e-6)
        for row, one in enumerate(bad, 1):
            assert np.isnan(found[row]).all(), f"{one} gives {found[row]}"
        assert np.isfinite(wanted).all()  # so that NaN comes from the bad value


@pytest.mark.parametrize("name", TRACEABLE)
def test_any_argument_may_be_traced_alone_or_none(name):
    function, traced = PUBLIC[name], traceable_arguments(name)
    values = {**arguments_of(name), **traced}

    def of(given):
        return function(**{**values, **given})

    # None: the result is plain, within jit, vmap and grad.
    expected, inside = of({}), []
    jax.jit(lambda x: (inside.append(of({})), x)[1])(1.0)
    jax.vmap(lambda x: (inside.append(of({})), x)[1])(jnp.ones(2))
    jax.grad(lambda x: (inside.append(of({})), x)[1])(1.0)
    for found in inside:
        assert all(isinstance(leaf, np.ndarray | np.float64) for leaf in jax.tree.leaves(found))
        jax.tree.map(np.testing.assert_array_equal, found, expected)

    def total(given):
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(of(given)))

    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(expected)]
    for given in ({key: value} for key, value in traced.items()):
        out = jax.eval_shape(jax.jit(jax.vmap(of)), stacked([given, given]))
        assert [leaf.shape for leaf in jax.tree.leaves(out)] == [(2, *shape) for shape in shapes]
        if name != "sampled_chain":  # averages of samples have no derivatives
            slope = jax.eval_shape(jax.grad(total), given)
            assert [leaf.shape for leaf in jax.tree.leaves(slope)] == [np.shape(leaf) for leaf in jax.tree.leaves(given)]
    # The test above lowers and compiles the program of all arguments, which has all operations of the others.
    if name != "sampled_chain":  # averages of samples have no derivatives
        # Derivatives in all arguments together are traced one argument after the other.
        slopes = jax.jit(jax.grad(total)).lower(traced).out_info
        assert [leaf.shape for leaf in jax.tree.leaves(slopes)] == [np.shape(leaf) for leaf in jax.tree.leaves(traced)]


# Values that no number, size, choice or structure may have.
BAD = {
    "none": None,
    "a string": "3",
    "bytes": b"3",
    "a complex number": 3 + 1j,
    "a complex array": np.array([1j, 2.0]),
    "a boolean": True,
    "booleans": np.array([True, False]),
    "a ragged list": [[1.0], [1.0, 2.0]],
    "a list with a string": [0.5, "2"],
    "a masked array": np.ma.masked_array([1.0, 2.0], [True, False]),
    "a list with a masked array": [np.ma.masked_array([1.0, 2.0], [True, False])],
    "a list with a boolean": [True, 3],
    "a duration": np.timedelta64(5, "s"),
    "a date": np.datetime64("2020-01-01"),
    "a typed key": jax.random.key(0),
    "an object": object(),
    "a decimal": decimal.Decimal("0.5"),
    "a dictionary": {"a": 1.0},
    "a function": np.sin,
    "an array of objects": np.array([None, 1.0], object),
    "a huge integer": 10**400,
    "not a number": np.nan,
    "a long array with one bad entry": np.array([*range(1, 5000), np.nan]),
    "a long string": "a\n\x1b[31m" * 10_000,
    "too many dimensions": np.ones((2, 1, 3, 1, 2)) * np.nan,
}


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_bad_arguments_raise_one_line_that_names_them(name):
    function, values = PUBLIC[name], arguments_of(name)
    for parameter, one in inspect.signature(function).parameters.items():
        domain = getattr(function, "domains", {}).get(parameter)
        for kind, bad in BAD.items():
            allowed = (bad is None and one.default is None) or (isinstance(domain, _arguments.Flag) and bad is True)
            if allowed:
                continue
            with pytest.raises((ValueError, TypeError)) as caught:
                function(**{**values, parameter: bad})
            message = str(caught.value)
            assert re.search(rf"\b{parameter}\b.* must", message), f"{parameter}, {kind}: {message}"
            assert message.isprintable(), f"{parameter}, {kind}: {message!r}"
            assert len(message) < 200, f"{parameter}, {kind}: {message}"


@pytest.mark.parametrize("name", TRACEABLE)
def test_bad_traced_arguments_raise_too(name):
    function, values = PUBLIC[name], arguments_of(name)
    for parameter in traceable_arguments(name):
        if isinstance(values[parameter], TREES):
            continue
        for bad in (jnp.array([True, False]), jnp.array([1j, 2.0]), jax.random.key(0)):
            with pytest.raises(ValueError, match=f"{parameter} must be"):
                jax.eval_shape(lambda value, name=parameter: function(**{**values, name: value}), bad)


@pytest.mark.parametrize("name", HOST_ONLY)
def test_functions_of_the_host_refuse_traced_values(name):
    function, values = PUBLIC[name], arguments_of(name)
    for parameter, domain in function.domains.items():
        if not isinstance(values[parameter], tuple | str | bool) and not isinstance(domain, _arguments.Instance):
            with pytest.raises(TypeError, match=f"{parameter} must be a plain value, .*; {name} runs on the host"):
                jax.eval_shape(lambda value, name=parameter: function(**{**values, name: value}), values[parameter])


def test_every_function_declares_its_kind_and_stands_in_the_table():
    assert set(KINDS.values()) == {"traceable", "host-only"}
    page = (Path(__file__).parents[2] / "docs" / "theory.md").read_text()
    rows = re.findall(r"^\| `theory\.(\w+)\.(\w+)` \| (traceable|host-only) \|", page, re.MULTILINE)
    own = {(wing.__name__.split(".")[1], name, KINDS[name]) for wing in WINGS for name in wing.__all__ if name in KINDS}
    assert set(rows) == own


def test_public_modules_show_public_names_alone():
    for module in (theory, *WINGS, ttc_jax):
        assert dir(module) == sorted(module.__all__)
        assert not any(name.startswith("_") for name in dir(module))
    assert {name for name in theory.__all__ if inspect.isfunction(getattr(theory, name))} <= set(PUBLIC)


def test_names_of_version_0_1_warn_and_work():
    with pytest.warns(DeprecationWarning, match=r"theory.fit_chain is deprecated .*; use theory.planning.fit_chain"):
        assert theory.fit_chain is theory.planning.fit_chain
    for name, wing in theory._WINGS.items():
        with pytest.warns(DeprecationWarning, match=name):
            assert getattr(theory, name) is getattr(getattr(theory, wing), name)
    with pytest.warns(DeprecationWarning, match=r"ttc_jax.recorded is deprecated .*; use ttc_jax.records.jsonl"):
        assert ttc_jax.recorded is jsonl
    for package in (theory, ttc_jax):
        with pytest.raises(AttributeError, match="nonsense"):
            package.nonsense  # noqa: B018
