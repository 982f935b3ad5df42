"""Working folders of the tests that run commands."""

import pytest


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Run the test in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Run the test in an empty folder with a separate cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TTC_CACHE", str(tmp_path / "cache"))
