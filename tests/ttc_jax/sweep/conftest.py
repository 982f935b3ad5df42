"""The sweep that nobody interrupts."""

import pytest

from tests.ttc_jax.sweep.stores import swept


@pytest.fixture(scope="module")
def whole():
    return swept()
