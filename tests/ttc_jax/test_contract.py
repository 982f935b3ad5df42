"""One contract of every public function: a bad argument raises one line that names it."""

import dataclasses
import decimal
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ttc_jax
from ttc_jax import aggregation, decoders, training, verifiers
from ttc_jax.models import gpt, linear_attention

DIM, EXAMPLES = 3, 5
BINARY = ttc_jax.BinaryPrior()
CONFIG = ttc_jax.TaskConfig(DIM, EXAMPLES, prior=BINARY)
TASK = ttc_jax.sample_task(jax.random.key(0), CONFIG)
STATES = jnp.ones((7, DIM))
LAYER = linear_attention.gradient_step(DIM, 0.3)
LAYER_CONFIG = linear_attention.LinearAttentionConfig(DIM)
GPT_CONFIG = gpt.GPTConfig(DIM, 16, num_layers=1, width=8, num_heads=2)
GPT_PARAMS = gpt.init(jax.random.key(0), GPT_CONFIG)
TOKENS = linear_attention.context_tokens(TASK.context)
TRAINING = training.TrainingConfig(LAYER_CONFIG, CONFIG, num_steps=2, batch_size=2)
# A valid value of every argument by its name. A new function is covered as soon as its arguments have one here.
VALUES = {
    "answer": lambda key, states, sizes: aggregation.prefix_majority_votes(states, sizes),
    "batch_size": 2,
    "cache": linear_attention.cache_tokens(LAYER, TOKENS),
    "caches": (linear_attention.cache_tokens(LAYER, TOKENS),),
    "candidate": jnp.ones(DIM),
    "candidates": STATES,
    "coefficients": TASK.coefficients,
    "config": LAYER_CONFIG,
    "context": TASK.context,
    "curriculum": training.Curriculum(),
    "correlations": jnp.eye(DIM),
    "decoder": decoders.gram(0.3),
    "decoding_noise_std": 0.1,
    "dim": DIM,
    "eigenvalues": TASK.eigenvalues,
    "estimate": jnp.ones(DIM),
    "examples": TASK.context,
    "index": 0,
    "initial_noise": 1.0,
    "initial_state": jnp.zeros(DIM),
    "exponent": 1.0,
    "head": "continuous",
    "high": 1.0,
    "initial_dim": 2,
    "inverse_temperature": 1.0,
    "key": jax.random.key(0),
    "keys": jax.random.split(jax.random.key(0), 2),
    "label_noise_std": 0.1,
    "labels": jnp.ones(DIM),
    "lesson": None,
    "link": "logistic",
    "log_weights": jnp.zeros(7),
    "learning_rate": 2e-3,
    "low": -1.0,
    "max_gradient_norm": 1.0,
    "max_tokens": 16,
    "mlp_ratio": 2,
    "model": LAYER_CONFIG,
    "noise_std": 0.1,
    "num_candidates": 3,
    "num_examples": EXAMPLES,
    "num_heads": 2,
    "num_layers": 1,
    "num_loops": 2,
    "num_steps": 2,
    "num_thoughts": 2,
    "objective": training.Objective(),
    "observe": lambda states, step: states,
    "params": LAYER,
    "place": jnp.asarray(0),
    "preconditioner": jnp.eye(DIM),
    "positions": "none",
    "prior": BINARY,
    "prob_high": 0.5,
    "queries": jnp.eye(DIM),
    "sampler": ttc_jax.BinarySampler(),
    "score": lambda key, candidates: jnp.zeros(len(candidates)),
    "scores": jnp.zeros(7),
    "sizes": (1, 3),
    "state": jnp.ones(DIM),
    "states": STATES,
    "step_size": 0.3,
    "spectrum": ttc_jax.Isotropic(),
    "target": "truth",
    "task": TASK,
    "temperature": 1.0,
    "token": TOKENS[:, 0],
    "token_by_token": False,
    "tokens": TOKENS,
    "tolerance": 1e-3,
    "values": np.ones(DIM),
    "variance": 1.0,
    "variances": np.ones(DIM),
    "warmup_steps": 1,
    "width": 8,
    "active": DIM,
    "axes": {"scale": np.ones(2)},
    "chunk_size": 2,
    "matmul_precision": "highest",
    "max_tasks": None,
    "measure": lambda key, scale: scale,
    "memory_bytes": None,
    "num_tasks": 2,
    "overwrite": False,
    "relative": True,
    "reused_axes": None,
    "target_error": None,
}
OWN_VALUES = {
    "ttc_jax.sample_task": {"config": CONFIG},
    "ttc_jax.averaged_risk": {"num_steps": (0, 2), "num_candidates": (1, 3)},
    "ttc_jax.selected_risk": {"num_steps": (0, 2), "num_candidates": (1, 3)},
    "ttc_jax.collapsed_averaged_risk": {"num_steps": (0, 2), "num_candidates": (1, 3)},
    "ttc_jax.collapsed_selected_risk": {"num_steps": (0, 2), "num_candidates": (1, 3)},
    "ttc_jax.answer_errors": {"num_steps": (0, 2), "num_candidates": (1, 3)},
    "ttc_jax.decoders.gpt": {"params": GPT_PARAMS, "config": GPT_CONFIG},
    **{
        f"ttc_jax.models.gpt.{name}": {"params": GPT_PARAMS, "config": GPT_CONFIG}
        for name in ("init", "apply", "next_states", "read_context")
    },
    "ttc_jax.training.TrainingConfig": {"task": CONFIG},
    "ttc_jax.training.sample_lesson": {"task": CONFIG},
    "ttc_jax.training.init_state": {"config": TRAINING},
    "ttc_jax.training.train": {"config": TRAINING},
    "ttc_jax.training.advance": {"config": TRAINING, "state": training.init_state(jax.random.key(0), TRAINING)},
    "ttc_jax.sweep": {"params": None},
    "ttc_jax.replay": {"params": None, "task": 1},
    "ttc_jax.training.fingerprint": {"config": TRAINING},
    "ttc_jax.training.fit": {"config": TRAINING},
    "ttc_jax.training.fit_preconditioner": {"coefficients": jnp.eye(DIM)},
}
ANYTHING = {"dtype", "lesson", "progress", "folder", "steps_between", "store", "devices"}  # checked by their own tests


CACHED = ("next_state", "no_thoughts")


def public_callables():
    """Functions and configs; results are made by the library alone."""
    for module, prefix in (
        (ttc_jax, "ttc_jax"),
        (aggregation, "ttc_jax.aggregation"),
        (decoders, "ttc_jax.decoders"),
        (verifiers, "ttc_jax.verifiers"),
        (linear_attention, "ttc_jax.models.linear_attention"),
        (gpt, "ttc_jax.models.gpt"),
        (training, "ttc_jax.training"),
    ):
        names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
        for name in names:
            value = getattr(module, name)
            # The two of a cached step are called by the decoder alone.
            is_config = dataclasses.is_dataclass(value) and value is not ttc_jax.SweepResult
            own = getattr(value, "__module__", "").startswith(module.__name__) and name not in CACHED
            if own and (is_config or inspect.isfunction(value)):
                yield f"{prefix}.{name}", value


FUNCTIONS = dict(public_callables())
RANGED = ("active", "decoding_noise_std", "label_noise_std", "noise_std", "step_size", "temperature", "tolerance")
NOT_TRACED = ("ttc_jax.decoders.gram", "ttc_jax.training.fingerprint", "ttc_jax.training.fit")
TRACED = [
    (name, parameter)
    for name, function in FUNCTIONS.items()
    if inspect.isfunction(function) and name not in NOT_TRACED
    for parameter in inspect.signature(function).parameters
    if parameter in RANGED
]
BAD = {
    "none": None,
    "a string": "3",
    "bytes": b"3",
    "a complex number": 3 + 1j,
    "a complex array": np.ones((7, DIM)) * 1j,
    "a boolean": True,
    "booleans": np.ones((7, DIM), bool),
    "a ragged list": [[1.0], [1.0, 2.0]],
    "a list with a string": [0.5, "2"],
    "a masked array": np.ma.masked_array(np.ones(DIM), [True, False, False]),
    "a list with a masked array": [np.ma.masked_array(np.ones(DIM), [True, False, False])],
    "a list with a boolean": [True, 3],
    "a date": np.datetime64("2020-01-01"),
    "a duration": np.timedelta64(5, "s"),
    "a typed key": jax.random.split(jax.random.key(0), (2, 2)),
    "an object": object(),
    "a decimal": decimal.Decimal("0.5"),
    "a dictionary": {"a": "b"},
    "an array of objects": np.array([None, 1.0], object),
    "a huge integer": 10**400,
    "a long string": "a\n\x1b[31m" * 10_000,
    "too many dimensions": np.ones((2, 1, 3, 1, 2)),
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_bad_arguments_raise_one_line_that_names_them(name):
    function = FUNCTIONS[name]
    parameters = inspect.signature(function).parameters
    own = {**VALUES, **OWN_VALUES.get(name, {})}
    values = {one: own[one] for one in parameters if one not in ANYTHING and one in own}
    for parameter in parameters:
        if parameter in ANYTHING or (parameter == "params" and name in ("ttc_jax.sweep", "ttc_jax.replay")):
            continue
        assert parameter in own, f"{parameter} needs a valid value"
        for kind, bad in BAD.items():
            if bad is None and parameters[parameter].default is None:
                continue
            if bad is True and isinstance(parameters[parameter].default, bool):
                continue
            with pytest.raises((ValueError, TypeError)) as caught:
                function(**{**values, parameter: bad})
            message = str(caught.value)
            stem = "ax" if parameter.endswith("axes") else parameter.rstrip("s")
            assert stem in message, f"{parameter}, {kind}: {message}"
            assert message.isprintable(), f"{parameter}, {kind}: {message!r}"
            assert len(message) < 200, f"{parameter}, {kind}: {message}"


@pytest.mark.parametrize(("name", "parameter"), TRACED)
def test_traced_values_outside_their_range_become_nan(name, parameter):
    function, own = FUNCTIONS[name], {**VALUES, **OWN_VALUES.get(name, {})}
    values = {one: own[one] for one in inspect.signature(function).parameters if one not in ANYTHING and one in own}
    found = jax.jit(jax.vmap(lambda value: function(**{**values, parameter: value})))(
        jnp.array([float(values[parameter]), jnp.inf if parameter == "step_size" else -0.5])
    )
    right, wrong = (jax.tree.map(lambda leaf, row=row: np.asarray(leaf[row], float), found) for row in (0, 1))
    assert not any(np.isnan(leaf).any() for leaf in jax.tree.leaves(right))
    assert any(np.isnan(leaf).any() for leaf in jax.tree.leaves(wrong))
