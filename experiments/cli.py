"""The command line: ``ttc list | run STUDY | reproduce | report DIR | doctor``.

Exit status: 0 if all is well, 1 if a prediction disagrees with its measurement, 2 if the input is wrong (one line says what
is), 70 after a defect of the program, 130 after Ctrl-C. Heavy packages are imported by the commands that need them, so that
help is instant.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from experiments import studies
from experiments.errors import UserError

_SHOW_PROGRESS_AFTER_S = 2.0
_INTERRUPTED = "ttc: interrupted; the study under way was not written, and the same command starts it again"


@dataclass(frozen=True)
class RunOptions:
    """Options of every run."""

    preset: Literal["quick", "standard", "full"] = "quick"
    """Settings to start from: quick (seconds), standard (minutes) or full (sized for an accelerator)."""
    seed: int = 0
    """Seed of all random numbers, from 0 to 2**32 - 1."""
    out: Path = Path("results")
    """Folder of results; a study writes into the folder of its name within it."""
    overwrite: bool = False
    """Replace results that were made with other settings."""


@dataclass(frozen=True)
class List:
    """Show the studies and what each asks."""


@dataclass(frozen=True)
class Run(RunOptions):
    """Simulate a study, predict it, test the agreement and draw the figure; `ttc run STUDY --help` shows its settings."""

    study: tyro.conf.Positional[str] = "STUDY"
    """Name of the study (see ttc list)."""


@dataclass(frozen=True)
class Reproduce(RunOptions):
    """Run all studies and write one report page."""


@dataclass(frozen=True)
class Report:
    """Write report.html about a folder of results."""

    dir: tyro.conf.Positional[Path]
    """Folder of results."""


@dataclass(frozen=True)
class Doctor:
    """Show versions, devices and what will run where."""


Command = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Reproduce, tyro.conf.subcommand("reproduce")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return _dispatch(arguments)
    except UserError as error:
        print(f"ttc: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(_INTERRUPTED, file=sys.stderr)
        return 130


def console() -> None:
    """The installed command: :func:`main`, with an exit status for defects and a Ctrl-C that stops compilers too."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os._exit(0)
    except Exception:
        traceback.print_exc()
        status = 70
    sys.exit(status)


def _interrupt(*_: Any) -> None:
    """Leave at once: an exception raised inside a compiler or an import may be lost or crash the process."""
    if "experiments.results" in sys.modules:
        for folder in sys.modules["experiments.results"].unfinished:
            shutil.rmtree(folder, ignore_errors=True)
    os.write(2, f"{_INTERRUPTED}\n".encode())
    os._exit(130)


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["run"] and not {"-h", "--help"} & set(arguments[1:2]):
        if len(arguments) < 2 or arguments[1].startswith("-"):
            raise UserError(f"STUDY must come right after run, one of {', '.join(studies.names())}")
        return _run(arguments[1], arguments[2:])
    command = _parse(Command, "ttc", arguments)
    match command:
        case List():
            return _list()
        case Reproduce():
            return _reproduce(command)
        case Report():
            return _report(command.dir.expanduser())
        case _:
            return _doctor()


def _list() -> int:
    width = max(map(len, studies.names()))
    for name in studies.names():
        print(f"{name:{width}}  {studies.load(name).question}")
    return 0


def _run(name: str, arguments: list[str]) -> int:
    study = studies.load(name)
    program = f"ttc run {name}"
    # The preset decides the defaults of the settings, so it is read first.
    asked = [argument for argument in arguments if argument not in ("-h", "--help")]
    options, _ = _parse(RunOptions, program, asked, return_unknown_args=True)
    config = study.presets[options.preset]
    fields: list[Any] = [
        ("options", Annotated[RunOptions, tyro.conf.OmitArgPrefixes]),
        ("config", Annotated[type(config), tyro.conf.OmitArgPrefixes], config),
    ]
    everything = make_dataclass("Everything", fields, namespace={"__doc__": study.question})
    parsed = _parse(everything, program, arguments)
    return int(_run_one(name, parsed.config, parsed.options) == "disagrees")


def _reproduce(options: RunOptions) -> int:
    configs = {name: studies.load(name).presets[options.preset] for name in studies.names()}
    verdicts = [_run_one(name, config, options) for name, config in configs.items()]
    _report(options.out.expanduser())
    return int("disagrees" in verdicts)


def _run_one(name: str, config: Any, options: RunOptions) -> str:
    """Run one study with these settings and say how it went; returns the verdict's outcome."""
    import json
    from dataclasses import asdict

    from experiments import results
    from experiments import study as study_module

    if not 0 <= options.seed < 2**32:
        raise UserError(f"seed must be an integer from 0 to 2**32 - 1, got {options.seed}")
    study, folder = studies.load(name), options.out.expanduser() / name
    for warning in study_module.check(study, config).warnings:
        print(f"ttc: warning: {warning}", file=sys.stderr)
    results.prepare(folder, {"study": name, "config": json.dumps(asdict(config)), "seed": options.seed}, options.overwrite)
    with _progress(name, config.num_tasks) as progress:
        dataset = study_module.run(study, config, options.seed, progress)
    verdict = results.write(folder, dataset)
    print(f"{name}: {verdict}; {folder}")
    if verdict.accepted_controls:
        unnoticed = ", or ".join(verdict.accepted_controls)
        what = "measurement" if verdict.reference else "prediction"
        print(f"ttc: warning: {config.num_tasks} tasks are too few to notice a {what} {unnoticed}", file=sys.stderr)
    return verdict.outcome


@contextlib.contextmanager
def _progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A callback that shows the share done of ``total`` and the time left, once the work has taken two seconds."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("time left"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, transient=True)
    task = bar.add_task(description, total=total)
    started = time.monotonic()

    def update(done: int) -> None:
        bar.update(task, completed=done)
        if bar.console.is_terminal and not bar.live.is_started and time.monotonic() - started > _SHOW_PROGRESS_AFTER_S:
            bar.start()

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.stop()


def _report(folder: Path) -> int:
    from experiments import report

    print(f"report: {report.write(folder)}")
    return 0


def _doctor() -> int:
    import jax

    from experiments import study

    for package, version in study.versions().items():
        print(f"{package:10} {version}")
    try:
        print(f"{'devices':10} {study.device()}")
    except RuntimeError as error:
        raise UserError(f"JAX must find a device, got none ({' '.join(str(error).split())})") from error
    print(
        f"simulation runs on {jax.default_backend()}, in {jax.numpy.result_type(float)}; sums over tasks in float64 on the host"
    )
    print("theory runs in float64 on the same device, whatever the session's default")
    return 0


def _parse(kind: Any, program: str, arguments: list[str], **options: Any) -> Any:
    """Typed arguments, with the parser's boxed message made one line."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, prog=program, args=arguments, **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(_one_line(said.getvalue())) from None


def _one_line(box: str) -> str:
    """What a boxed message says: its first paragraph, without title and jargon, and the suggestion if there is one."""
    _title, *boxed = box.splitlines()
    lines = [re.sub(r"^╰.*╯$|[─-]{3,}|[│|]", "", line).strip() for line in boxed]
    said = " ".join(itertools.takewhile(bool, itertools.dropwhile(lambda line: not line, lines)))
    everything = " ".join(lines)
    if suggestion := re.search(r"Perhaps you meant: .*?(--[\w-]+)", everything):
        return f"{said}; did you mean {suggestion[1]}?"
    if wrong := re.match(r"Error parsing (--[\w-]+): .*?('.*')", said):
        option, value = wrong.groups()
        kind = re.search(rf"{option} (\S+)", everything.removeprefix(said))
        return f"{option} must be {_KINDS.get(kind[1] if kind else '', 'a value of its type')}, got {value}"
    return said


_KINDS = {
    "INT": "an integer",
    "FLOAT": "a number",
    "[INT": "integers separated by spaces",
    "[FLOAT": "numbers separated by spaces",
}


if __name__ == "__main__":
    console()
