"""Quick intervals."""

import pytest

from theory.records import answer_rates, success_rates


@pytest.fixture
def quick_intervals(monkeypatch):
    """Intervals by the quantile of chi^2 alone; resamples have tests of their own."""
    for module in (answer_rates, success_rates):
        full = module.allowed_falls
        monkeypatch.setattr(
            module, "allowed_falls", lambda evidence, values, level, _, full=full: full(evidence, values, level, 0)
        )
