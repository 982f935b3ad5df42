"""Every kind of results has a presentation by its name."""

import pytest

from experiments import studies
from experiments.command.presentations import presentation
from experiments.records import result
from experiments.run.errors import UserError


def test_a_name_is_that_of_a_study_or_of_recorded_samples():
    assert presentation("averaging") is studies.load("averaging")
    assert presentation(result.PRESENTATION.name) is result.PRESENTATION
    assert result.PRESENTATION.name not in studies.names()
    with pytest.raises(UserError, match="nonsense"):
        presentation("nonsense")
