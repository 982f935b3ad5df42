"""The folder of the cache, and its content."""

from pathlib import Path

import pytest

from experiments.run import cache

pytestmark = pytest.mark.usefixtures("own_cache")


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    assert cache.folder() == tmp_path / "cache"
    monkeypatch.delenv("TTC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "ttc-jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder() == Path.home() / ".cache" / "ttc-jax"
