"""Commands and their options; the help of the command line is generated from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Preset:
    """Which run."""

    preset: Literal["quick", "standard", "full"] = "quick"
    """Settings to start from: quick (seconds), standard (minutes) or full (sized for an accelerator)."""
    seed: int = 0
    """Seed of all random numbers, from 0 to 2**32 - 1."""


@dataclass(frozen=True)
class RunOptions(Preset):
    """Options of every run."""

    out: Path = Path("results")
    """Folder of results; a study writes into the folder of its name within it."""
    overwrite: bool = False
    """Replace results that were made with other settings; what was measured for the same sweeps is used."""
    target_relative_error: float | None = None
    """Double the number of tasks until every measured point has this relative standard error."""
    max_tasks: int | None = None
    """Where that ends at the latest; 64 times num_tasks if not given."""
    memory_mib: int | None = None
    """Memory of the tasks that a device evaluates together; by default 16 MiB on a CPU, a quarter of an accelerator's."""
    processes: int | Literal["auto"] = 1
    """Processes that share the tasks: so many on this machine, or auto for one in each slot of a cluster's job. With
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID set, this is one of those."""


@dataclass(frozen=True)
class List:
    """Show the studies and what each asks."""


@dataclass(frozen=True)
class Run(RunOptions):
    """Simulate a study, predict it, test the agreement and draw the figure; `ttc run STUDY --help` shows its settings."""

    study: tyro.conf.Positional[str] = "STUDY"
    """Name of the study (see ttc list)."""


@dataclass(frozen=True)
class ReplayOptions(Preset):
    """Options of a replay."""

    task: int = 0
    """Index of the task."""


@dataclass(frozen=True)
class Replay(ReplayOptions):
    """Measure a single task of a study, for example one that is not finite; `ttc replay STUDY --help` shows all settings."""

    study: tyro.conf.Positional[str] = "STUDY"
    """Name of the study (see ttc list)."""


@dataclass(frozen=True)
class Reproduce(RunOptions):
    """Run all studies and write one report page."""


@dataclass(frozen=True)
class Recorded:
    """Measure recorded samples of a language model (JSON lines), and predict many of them from a few."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Files of recorded samples."""
    budget: int | None = None
    """How many samples of each problem predict, from the first; the others judge. Half of the fewest if not given."""
    predict: int | None = None
    """Number of samples to predict pass@k, votes and prices for; as many as there are if not given."""
    price: float = 1.0
    """Price of a sample, in any unit."""
    verifier_price: float | None = None
    """Price of a score, in the same unit; of a file without scores, price of a check that knows right from wrong."""
    value: float | None = None
    """Worth of a right answer, in the same unit: says which way of choosing is then worth most."""
    stop_level: float = 0.05
    """Chance that a vote which stops early stops at an answer that is not the most probable one."""
    skip_damaged: bool = False
    """Leave out damaged lines, each with a warning, instead of stopping at the first."""
    seed: int = 0
    """Seed of resampling."""
    out: Path = Path("results")
    """Folder of results; a file's are in the folder of its name within it."""
    overwrite: bool = False
    """Replace results that were made with other settings."""


@dataclass(frozen=True)
class Report:
    """Write report.html about a folder of results."""

    dir: tyro.conf.Positional[Path]
    """Folder of results."""
    overwrite: bool = False
    """Replace a report.html that was not written by this command."""


@dataclass(frozen=True)
class Doctor:
    """Show versions, devices and what will run where."""


Command = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Replay, tyro.conf.subcommand("replay")]
    | Annotated[Reproduce, tyro.conf.subcommand("reproduce")]
    | Annotated[Recorded, tyro.conf.subcommand("recorded")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
)
