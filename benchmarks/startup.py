"""Time before anything is computed: compilation, commands, imports.

W1 and W2 are those of `candidates`.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import candidates
from benchmarks.timing import Table, fresh, fresh_call, medians, seconds, taking_turns

RUNS: dict[str, Callable[[], object]] = {"W1, step by step": candidates.run_w1, "W2, all 960 points": candidates.run_w2}
COMPILATIONS, COMMANDS = 3, 5


def first_and_later(workload: str) -> float:
    """Return the extra time of the first call; call it in a process that has compiled nothing yet."""
    run = RUNS[workload]
    return seconds(run) - seconds(run)


def tables() -> Iterator[Table]:
    """Compilation, then commands."""

    def compilation(workload):
        # Without the caller's cache of compiled programs.
        return fresh_call(f'startup.first_and_later("{workload}")', JAX_ENABLE_COMPILATION_CACHE="false")

    taken = taking_turns({workload: functools.partial(compilation, workload) for workload in RUNS}, COMPILATIONS)
    note = f"First call less the second; medians of {COMPILATIONS} fresh processes without a cache of compiled programs."
    yield Table("Compilation", ("", "s"), list(taken.items()), note)

    python, ttc = sys.executable, Path(sys.executable).with_name("ttc")
    commands: dict[str, tuple[str, ...]] = {"python -c pass": (python, "-c", "pass")}
    commands |= {f"import {package}": (python, "-c", f"import {package}") for package in ("jax", "ttc_jax", "theory")}
    note = f"Medians of {COMMANDS} fresh processes."
    if ttc.exists():
        commands |= {"ttc --help": (str(ttc), "--help"), "ttc list": (str(ttc), "list")}
    else:
        note += f" There is no {ttc}: its rows are left out."
    runs: dict[str, Callable[[], object]] = {name: functools.partial(fresh, *command) for name, command in commands.items()}
    taken = medians(runs, COMMANDS)
    rows = [(name, 1e3 * value, 1e3 * (value - taken["python -c pass"])) for name, value in taken.items()]
    yield Table("Commands and imports", ("", "ms", "ms without python itself"), rows, note)
