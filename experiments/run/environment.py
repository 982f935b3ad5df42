"""Surroundings of a command: output that is its own, and environment variables that let JAX start."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from experiments.run.errors import OutputError, UserError, printable

_PARSE_FLAGS = "from jaxlib import xla_client; xla_client.CompileOptions().executable_build_options.debug_options"


class _Output(io.FileIO):
    """Standard output that raises OutputError, so that its errors differ from those of other files."""

    def write(self, data):
        try:
            return super().write(data)
        except OSError as error:
            raise OutputError(f"standard output must be one that can be written ({error.strerror})") from error


def own_output() -> None:
    """Give this command standard output alone: text that libraries write to descriptor 1 goes to standard error.

    Raises:
        OutputError: standard output is closed.
    """
    if sys.stderr is None:  # a file that is opened later must not become standard error
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        os.dup2(sys.stderr.fileno(), 2)
    if sys.stdout is None:
        raise OutputError("standard output must be open, got a closed one")
    raw = _Output(os.dup(1), "w")
    os.dup2(2, 1)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=sys.stdout.encoding, errors="backslashreplace", line_buffering=raw.isatty()
    )
    os.environ["MPLBACKEND"] = "agg"  # figures are written to files: no window, and no need of the user's choice


def check() -> None:
    """Import JAX; UserError if an environment variable keeps it from starting."""
    if "jax" not in sys.modules and os.environ.get("XLA_FLAGS"):
        # XLA ends the process at an unknown flag, so that another process has to try.
        tried = subprocess.run([sys.executable, "-P", "-c", _PARSE_FLAGS], capture_output=True, text=True, check=False)
        if tried.returncode and "XLA_FLAGS" in tried.stderr:
            raise UserError(f"XLA_FLAGS must hold flags that XLA knows, got {printable(os.environ['XLA_FLAGS'], 200)}")
    try:
        import jax  # noqa: F401
    except (
        ValueError,
        RuntimeError,
        ImportError,
    ) as error:  # a wrong variable, jaxlib of another version
        raise UserError(f"environment must let JAX start ({printable(error, 200)})") from error


def devices() -> None:
    """Make JAX find its devices; UserError if there are none."""
    import jax

    try:
        jax.devices()
    except RuntimeError as error:
        raise UserError(f"JAX must find a device, got none ({printable(' '.join(str(error).split()), 300)})") from error


def expanded(name: str, path: Path) -> Path:
    """Return a path with the home folder in place of ``~``; UserError if there is no such user."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UserError(f"{name} must be a path in a home folder that exists, got {path}") from error
