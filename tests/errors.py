"""What every complaint about an argument must be like."""

import pytest


def assert_named(call, name, value):
    """The call raises a ValueError of one line that names the argument and its value."""
    with pytest.raises(ValueError, match=name) as error:
        call()
    assert value in str(error.value)
    assert "\n" not in str(error.value)
