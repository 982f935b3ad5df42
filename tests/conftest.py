"""Strict settings for every test: broadcasting between different ranks raises inside the library, warnings are errors."""

import hashlib
import importlib.metadata
import os
from pathlib import Path

# NumPy's matrices are small here: several threads for one would wait for each other, and for the other test process.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Compiling is most of the work. What one test process has compiled serves the others, and the next run of the tests.
if importlib.metadata.version("jax").startswith("0.10."):  # an unknown flag is fatal
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "compiled"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
# So are weights trained by the same sources.
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


@pytest.fixture(autouse=True)
def strict_ranks():
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(autouse=True)
def quick_compilation(request):
    """Programs that compute little are not worth the compiler's best; those of tests marked as optimised are.

    ``JAX_DISABLE_MOST_OPTIMIZATIONS=0`` in the environment optimises all.
    """
    if "JAX_DISABLE_MOST_OPTIMIZATIONS" not in os.environ:
        jax.config.update("jax_disable_most_optimizations", request.node.get_closest_marker("optimised") is None)


@pytest.fixture(autouse=True, scope="module")
def bounded_programs():
    """Every compiled program maps memory, of which a process may have so many pieces and no more: beyond, it crashes."""
    yield
    maps, limit = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
    if maps.exists() and len(maps.read_bytes().splitlines()) > int(limit.read_text()) / 3:
        jax.clear_caches()


@pytest.fixture
def rng():
    return np.random.default_rng(20250811)
