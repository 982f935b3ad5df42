"""Folders in which commands run."""

import pytest


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty folder, in which the test runs."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty folder, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TTC_CACHE", str(tmp_path / "cache"))
