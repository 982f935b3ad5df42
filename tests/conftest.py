"""Strict settings for every test: broadcasting between different ranks raises inside the library, warnings are errors."""

import hashlib
import importlib.metadata
import os
import signal
from pathlib import Path

# NumPy's matrices are small here: several threads for one would wait for each other, and for the other test process.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Compilation takes most of the time. Programs that one test process has compiled serve the others, and the next run.
if importlib.metadata.version("jax").startswith("0.10."):  # an unknown flag is fatal
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "compiled"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
# Weights that the same sources have trained are kept as well.
os.environ.setdefault(
    "TTC_CACHE",
    str(
        Path(__file__).parent.parent
        / ".pytest_cache"
        / "trained"
        / hashlib.sha256(
            b"".join(path.read_bytes() for path in sorted((Path(__file__).parent.parent / "ttc_jax").rglob("*.py")))
        ).hexdigest()[:16]
    ),
)

import jax
import numpy as np
import pytest

# A shell that starts the tests in the background lets them ignore Ctrl-C, and the commands that they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

OWN_CHOICE = os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS")


@pytest.fixture(autouse=True)
def strict_ranks():
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(autouse=True)
def quick_compilation(request, monkeypatch):
    """Compile without optimisations, in processes that the test starts as well; tests marked as optimised compute much.

    A value of ``JAX_DISABLE_MOST_OPTIMIZATIONS`` in the environment overrides this.
    """
    if OWN_CHOICE is None:
        quick = request.node.get_closest_marker("optimised") is None
        jax.config.update("jax_disable_most_optimizations", quick)
        monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", str(int(quick)))


@pytest.fixture(autouse=True, scope="module")
def bounded_programs():
    """Clear the compiled programs before they exhaust the memory maps of the process, which would crash it."""
    yield
    maps, limit = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
    if maps.exists() and len(maps.read_bytes().splitlines()) > int(limit.read_text()) / 3:
        jax.clear_caches()


@pytest.fixture
def rng():
    return np.random.default_rng(20250811)
