"""Presentation of every kind of results, by the name that the results have."""

from __future__ import annotations

from experiments import studies
from experiments.records import result
from experiments.run.study import Presentation


def presentation(name: str) -> Presentation:
    """Return how results of this name are drawn and summed up.

    Raises:
        UserError: there is neither a study of this name, nor is it that of recorded samples.
    """
    return result.PRESENTATION if name == result.PRESENTATION.name else studies.load(name)
