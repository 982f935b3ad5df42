"""Caches of trained weights and compiled programs, which only save time.

The folder is ``$TTC_CACHE`` if set, else ``ttc-jax`` in the user's cache folder; it may be removed at any time.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

from experiments.run.environment import expanded

_SECONDS_WORTH_KEEPING = 0.5


def folder() -> Path:
    """Where it is kept."""
    if given := os.environ.get("TTC_CACHE"):
        return expanded("TTC_CACHE", Path(given))
    return expanded("XDG_CACHE_HOME", Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")) / "ttc-jax"


def weights() -> Path:
    """Return the folder of trained weights, which are named by a hash of everything that determines them."""
    return folder() / "weights"


def programs() -> Path | None:
    """Return the folder of compiled programs; None if ``$JAX_COMPILATION_CACHE_DIR`` is set.

    Each kind of processor has a separate folder, because its programs may use instructions that others lack.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    features = [line for line in lines if line.startswith(("model name", "flags", "Features"))][:2]
    kind = hashlib.sha256("\n".join([platform.machine(), platform.processor(), *features]).encode()).hexdigest()[:12]
    return folder() / "programs" / kind


def keep_programs() -> None:
    """Have JAX keep what it compiles from here on."""
    import jax

    if (place := programs()) is not None:
        jax.config.update("jax_compilation_cache_dir", str(place))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _SECONDS_WORTH_KEEPING)
