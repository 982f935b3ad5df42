"""Argument checks by annotation, by range and by shape, and the words in which they show a value."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from ttc_jax import _check


@_check.arguments
def checked(key: jax.Array, values: jax.Array, function: Callable[..., int] = len, size: int | None = None):
    return values, size


KEY = jax.random.key(0)


def test_a_list_becomes_an_array_and_the_rest_is_passed_on():
    values, size = checked(KEY, [1.0, 2.0], size=3)
    assert isinstance(values, jax.Array)
    assert values.tolist() == [1.0, 2.0]
    assert size == 3
    assert checked(KEY, values=np.ones(2))[1] is None


def test_calls_that_python_refuses_keep_its_own_message():
    with pytest.raises(TypeError, match=r"checked\(\) missing 1 required positional argument: 'values'"):
        checked(KEY)


BAD = [
    (lambda: checked(0, [1.0]), "key", "0"),
    (lambda: checked(jax.random.split(KEY), [1.0]), "key", "(2,)"),
    (lambda: checked(KEY, ["a"]), "values", "['a']"),
    (lambda: checked(KEY, [True]), "values", "[True]"),
    (lambda: checked(KEY, [1.0], 3), "function", "3"),
    (lambda: _check.integer("size", 2.0, minimum=1), "size", "2.0"),
    (lambda: _check.integer("size", 2**31, minimum=1), "size", "2147483648"),
    (lambda: _check.integers("sizes", (), minimum=1), "sizes", "()"),
    (lambda: _check.real("noise", [0.0, -0.1], minimum=0.0), "noise", "-0.1"),
    (lambda: _check.real("share", 1.0, minimum=0.0, maximum=1.0, open_ends=True), "share", "strictly between 0 and 1"),
    (lambda: _check.scalar("noise", [0.1]), "noise", "(1,)"),
    (lambda: _check.finite("inputs", np.array([[1.0, np.nan]])), "inputs", "index [0, 1]"),
    (lambda: _check.shape("states", np.ones((2, 3)), (None, 4)), "states", "(any, 4), got (2, 3)"),
    (lambda: _check.shape("states", [[1.0], [1.0, 2.0]], (2, None)), "states", "differ in shape"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD)
def test_bad_input_is_named(call, name, value):
    assert_named(call, name, value)


def test_traced_numbers_outside_their_range_become_nan_and_keep_their_dtype():
    found = jax.jit(lambda values: _check.real("noise", values, minimum=0.0, maximum=1.0))(jnp.array([-0.1, 0.0, 1.0, 1.1]))
    np.testing.assert_array_equal(found, np.array([np.nan, 0.0, 1.0, np.nan], np.float32))
    assert found.dtype == jnp.float32


def test_numbers_are_shown_in_as_many_digits_as_they_have():
    assert [_check.shown(number) for number in (0.5, 1e-300, 1.0000001, np.nan)] == ["0.5", "1e-300", "1.0000001", "nan"]


def test_values_are_described_in_a_few_characters():
    assert _check.described(10**400) == f"an integer of {(10**400).bit_length()} bits"
    assert _check.described([0] * 1000) == "a list of length 1000"
    assert _check.described(np.ones((2, 3))) == "an array of type float64 and shape (2, 3)"
    assert _check.described("x\n" * 100) == "'" + "x\\n" * 19 + "x\\..."
