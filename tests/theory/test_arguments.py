"""Domains of arguments: what each takes and refuses, plain and traced, and how dimensions are compared."""

import jax
import numpy as np
import pytest

from tests.errors import assert_named
from theory import _arguments


def test_the_checks_of_bad_arguments_can_fail():
    @_arguments.checked(dim=_arguments.Size())
    def careless(dim, scale):
        return dim * scale

    with pytest.raises(TypeError) as caught:
        careless(3, scale=None)
    assert "scale" not in str(caught.value)


OF_ONE_VALUE = [
    (_arguments.Real(0.0, 1.0), [0.0, 0.5, 1.0], [-0.1, 1.1, np.nan, np.inf]),
    (_arguments.Real(0.0, 1.0, open_ends=True), [0.5], [0.0, 1.0]),
    (_arguments.Real(0.0, infinite=True), [0.0, np.inf], [-np.inf, np.nan]),
    (_arguments.Count(1), [1, 2.0, 2**31 - 1], [0, 1.5, 2**32, np.nan]),
    (_arguments.Count(0, 3), [0, 3], [-1, 4]),
]


@pytest.mark.parametrize(("domain", "inside", "outside"), OF_ONE_VALUE)
def test_plain_values_outside_a_domain_raise_and_traced_ones_become_nan(domain, inside, outside):
    found = domain("x", inside)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, inside)
    for value in outside:
        with pytest.raises(ValueError, match="x must be"):
            domain("x", value)
        assert np.isnan(jax.jit(lambda traced: domain("x", traced))(np.float32(value)))


def test_sizes_and_choices_are_plain_python_values():
    assert _arguments.Size()("dim", np.int64(3)) == 3
    assert type(_arguments.Size()("dim", np.int64(3))) is int
    assert _arguments.Sizes()("numbers", [1, 2]) == _arguments.Sizes()("numbers", (1, 2)) == (1, 2)
    assert _arguments.OneOf(("a", "b"))("link", "b") == "b"
    for domain, value in ((_arguments.Size(), 2.5), (_arguments.Sizes(), []), (_arguments.OneOf(("a",)), "c")):
        with pytest.raises(ValueError, match="argument must"):
            domain("argument", value)
    with pytest.raises((TypeError, ValueError), match="dim must be a plain"):
        jax.jit(lambda dim: _arguments.Size()("dim", dim))(3)


def test_dimensions_of_one_name_have_one_length_and_scalars_broadcast():
    @_arguments.checked(
        inputs=_arguments.Real(shape=("example", "coefficient")),
        targets=_arguments.Real(shape=("example",)),
        noise=_arguments.Real(0.0),
        step=_arguments.Real(0.0),
    )
    def shapes(inputs, targets, noise, step):
        return inputs.shape, targets.shape

    assert shapes(np.ones((3, 2)), np.ones(3), np.ones((4, 1)), np.ones(5)) == ((3, 2), (3,))
    assert_named(lambda: shapes(np.ones((3, 2)), np.ones(4), 0.1, 0.1), "targets", "(4,)")
    assert_named(lambda: shapes(np.ones(3), np.ones(3), 0.1, 0.1), "inputs", "(3,)")
    assert_named(lambda: shapes(np.ones((3, 2)), np.ones(3), np.ones(4), np.ones(5)), "step", "(5,)")
