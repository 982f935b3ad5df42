"""Entry point of the installed command ``ttc``: makes sure that the installed packages run, and are not hidden by others.

The name is one that no folder of a user has. Only standard modules are imported until the check is done, so that Ctrl-C
during start-up is one line.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path
from types import FrameType

_PACKAGES = ("experiments", "theory", "ttc_jax")
_USAGE = 2
_SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def console() -> None:
    """Run ``ttc``; exits with its status."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    # NumPy's matrices are small here, and several threads for one would wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if message := _hidden():
        print(f"ttc: {message}", file=sys.stderr)
        sys.exit(_USAGE)
    from experiments.command.cli import console

    console()


def _stop(number: int, _: FrameType | None) -> None:
    os.write(2, f"ttc: {_SIGNALS[signal.Signals(number)]}\n".encode())
    os._exit(128 + number)


def _hidden() -> str:
    """Return one line about a package that another file hides; empty if there is none."""
    own = Path(__file__).resolve().parent
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None:
            return f"package {package} must be in {own}, and is missing; install ttc-jax again"
        found = Path(spec.origin or next(iter(spec.submodule_search_locations or [""]))).resolve()
        if found not in (own / package / "__init__.py", own / package):
            return f"package {package} must be that in {own}, but {found} hides it; rename that file, or unset PYTHONPATH"
    return ""


if __name__ == "__main__":
    console()
