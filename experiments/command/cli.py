"""The command line: ``ttc list | run STUDY | replay STUDY | reproduce | recorded FILE ... | report DIR | doctor``.

``errors.py`` lists the exit statuses. Heavy packages are imported by the commands that need them, so that help is instant.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments import studies
from experiments.command import workers
from experiments.command.options import Command, List, Preset, Recorded, ReplayOptions, Report, Reproduce, RunOptions
from experiments.command.parsing import parse
from experiments.run import cache, environment
from experiments.run.errors import DEFECT, LOST, OUTPUT, STOPPED, USAGE, OutputError, UserError, printable

_SHOW_PROGRESS_AFTER_S = 2.0
_GIVEN = "$JAX_COMPILATION_CACHE_DIR"
_INTERRUPTED = f"interrupted; {workers.GOES_ON}"
_STOPPED = {signal.SIGINT: _INTERRUPTED, signal.SIGTERM: f"terminated; {workers.GOES_ON}"}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return _dispatch(arguments)
    except UserError as error:
        _complain(error)
        return USAGE
    except KeyboardInterrupt:
        _complain(_INTERRUPTED)
        return STOPPED + signal.SIGINT


def console() -> None:
    """Run the installed command: :func:`main`, with true statuses for defects, lost output and signals."""
    for number in _STOPPED:
        # A worker that is terminated is lost, as its supervisor says.
        if signal.getsignal(number) is not signal.SIG_IGN:
            stop = signal.SIG_DFL if workers.is_worker() and number == signal.SIGTERM else _stop
            signal.signal(number, stop)
    try:
        environment.own_output()
        status = _finished(main)
    except OutputError as error:
        _complain(error)
        status = OUTPUT
    except Exception:
        traceback.print_exc()
        status = DEFECT
    if workers.is_worker():
        workers.end(status)
    if status == OUTPUT:
        os._exit(status)  # at exit, Python would write the rest again and replace the status
    sys.exit(status)


def _finished(work: Callable[[], int]) -> int:
    """Do the work and flush its output; help raises SystemExit."""
    try:
        return work()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.stdout.flush()


def _complain(text: object) -> None:
    print(f"ttc: {printable(text)}", file=sys.stderr)


def _say(text: object) -> None:
    """Print one line; names of files may hold what a terminal would obey."""
    print(printable(text))


def _stop(number: int, _: Any) -> None:
    """Leave at once: an exception raised inside a compiler or an import may be lost or crash the process."""
    if "experiments.page.results" in sys.modules:
        for folder in sys.modules["experiments.page.results"].unfinished:
            shutil.rmtree(folder, ignore_errors=True)
    if not workers.is_worker():  # whose supervisor says it
        os.write(2, f"ttc: {_STOPPED[signal.Signals(number)]}\n".encode())
    os._exit(STOPPED + number)


def _dispatch(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"ttc {importlib.metadata.version('ttc-jax')}")
        return 0
    if arguments[:1] in (["run"], ["replay"]) and not {"-h", "--help"} & set(arguments[1:2]):
        if len(arguments) < 2 or arguments[1].startswith("-"):
            raise UserError(f"STUDY must come right after {arguments[0]}, one of {', '.join(studies.names())}")
        of_study = {"run": _run, "replay": _replay}[arguments[0]]
        return of_study(arguments[1], arguments)
    command = parse(Command, "ttc", arguments)
    match command:
        case List():
            return _list()
        case Reproduce():
            return _reproduce(command, arguments)
        case Recorded():
            return _recorded(command)
        case Report():
            return _report(environment.expanded("DIR", command.dir), command.overwrite)
        case _:
            return _doctor()


def _list() -> int:
    environment.check()
    width = max(map(len, studies.names()))
    for name in studies.names():
        print(f"{name:{width}}  {studies.load(name).question}")
    return 0


def _run(name: str, arguments: list[str]) -> int:
    config, options = _settings(RunOptions, name, arguments)
    return _in_processes(options, arguments, lambda: int(_run_one(name, config, options) == "disagrees"))


def _settings(kind: type[Any], name: str, arguments: list[str]) -> tuple[Any, Any]:
    """The settings of a study, and the options of a command about it, as the arguments ``command study ...`` say."""
    environment.check()
    study, program = studies.load(name), f"ttc {arguments[0]} {name}"
    # The preset decides the defaults of the settings, so it is read first.
    asked = [argument for argument in arguments[2:] if argument not in ("-h", "--help")]
    preset, _ = parse(Preset, program, asked, return_unknown_args=True)
    config = study.presets[preset.preset]
    fields: list[Any] = [
        ("options", Annotated[kind, tyro.conf.OmitArgPrefixes]),
        ("config", Annotated[type(config), tyro.conf.OmitArgPrefixes], config),
    ]
    everything = make_dataclass("Everything", fields, namespace={"__doc__": study.question})
    parsed = parse(everything, program, arguments[2:])
    _check_seed(parsed.options)
    return parsed.config, parsed.options


def _check_seed(options: Preset | Recorded) -> None:
    if not 0 <= options.seed < 2**32:
        raise UserError(f"seed must be an integer from 0 to 2**32 - 1, got {options.seed}")


def _in_processes(options: RunOptions, arguments: list[str], work: Callable[[], int]) -> int:
    """Do the work here, or have it done by workers that share it."""
    if workers.needed(options.processes):
        return workers.supervise(arguments, options.processes)
    if not workers.is_worker():
        return work()
    workers.join()
    from ttc_jax import ProcessError

    try:
        return work()
    except ProcessError as error:
        _complain(f"{error}; {workers.GOES_ON}")
        return LOST


def _reproduce(options: RunOptions, arguments: list[str]) -> int:
    _check_seed(options)
    environment.check()
    configs = {name: studies.load(name).presets[options.preset] for name in studies.names()}

    out = environment.expanded("out", options.out)

    def work() -> int:
        from experiments.page import report

        if workers.leads():
            report.check(out, options.overwrite)
        verdicts = [_run_one(name, config, options) for name, config in configs.items()]
        if workers.leads():
            _page(out, options.overwrite)
        return int("disagrees" in verdicts)

    return _in_processes(options, arguments, work)


def _run_one(name: str, config: Any, options: RunOptions) -> str:
    """Run one study with these settings and say how it went; returns the outcome, which only the first process knows."""
    import json
    from dataclasses import asdict

    from experiments.page import results
    from experiments.run import study as study_module
    from experiments.run.engine import Engine, Execution

    environment.devices()
    cache.keep_programs()
    study, folder = studies.load(name), environment.expanded("out", options.out) / name
    warnings = study_module.check(study, config).warnings
    precision = options.target_relative_error, options.max_tasks, config.num_tasks
    execution = Execution(*precision, options.memory_mib, folder / results.SWEEPS, options.overwrite)
    _check_execution(execution)
    if not workers.leads():
        study_module.measure(study, config, options.seed, Engine(execution))
        return ""
    for warning in warnings:
        _complain(f"warning: {warning}")
    settings = {"config": json.dumps(asdict(config)), "execution": json.dumps(execution.settings())}
    with results.claimed(folder, {"study": name, **settings, "seed": options.seed}, options.overwrite):
        with _progress(name) as progress:
            engine = Engine(execution, progress)
            dataset = study_module.run(study, config, options.seed, engine)
        verdict = results.write(folder, dataset, study)
    for warning in engine.warnings:
        _complain(f"warning: {warning}")
    _say(f"{name}: {verdict}; {folder}")
    if engine.num_tasks == 0 and options.target_relative_error is not None:
        _complain(f"warning: target_relative_error does nothing for {name}, which has no sweep over tasks")
    if verdict.accepted_controls:
        unnoticed = ", or ".join(verdict.accepted_controls)
        what = "measurement" if verdict.reference else "prediction"
        count = config.num_tasks if options.target_relative_error is None else engine.num_tasks
        _complain(f"warning: {count} tasks are too few to notice a {what} {unnoticed}")
    return verdict.outcome


def _check_execution(execution: Any) -> None:
    target, most, memory = execution.target_relative_error, execution.max_tasks, execution.memory_mib
    if target is not None and not 0 < target < float("inf"):
        raise UserError(f"target_relative_error must be finite and above 0, got {target:g}")
    if most is not None and target is None:
        raise UserError(f"max_tasks must come with target_relative_error, got {most} alone")
    if most is not None and most < execution.num_tasks:
        raise UserError(f"max_tasks must be at least num_tasks, which is {execution.num_tasks}, got {most}")
    if memory is not None and memory < 1:
        raise UserError(f"memory_mib must be an integer of at least 1, got {memory}")


def _replay(name: str, arguments: list[str]) -> int:
    config, options = _settings(ReplayOptions, name, arguments)
    if not 0 <= options.task < 2**31:
        raise UserError(f"task must be an integer of at least 0 and below 2**31, got {options.task}")
    import warnings

    import numpy as np

    from experiments.run import study as study_module
    from experiments.run.engine import Replay as ReplayEngine

    environment.devices()
    cache.keep_programs()
    study, engine = studies.load(name), ReplayEngine(options.task)
    study_module.check(study, config)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of what the study makes of a single task
        study_module.measure(study, config, options.seed, engine)
    if not engine.found:
        raise UserError(f"STUDY must measure tasks in sweeps to be replayed, got {name}")
    for line in engine.lines():
        print(line)
    return 0


@contextlib.contextmanager
def _progress(description: str) -> Iterator[Callable[[float], None]]:
    """A callback that shows the share done and the time left, once the work has taken two seconds."""
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("time left"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, transient=True)
    task = bar.add_task(escape(printable(description)), total=1.0)
    started = time.monotonic()

    def update(done: float) -> None:
        bar.update(task, completed=done)
        if bar.console.is_terminal and not bar.live.is_started and time.monotonic() - started > _SHOW_PROGRESS_AFTER_S:
            bar.start()

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.stop()


def _recorded(command: Recorded) -> int:
    _check_seed(command)
    environment.check()
    environment.devices()
    from experiments.page import report
    from experiments.records import files as record_files

    out = environment.expanded("out", command.out)
    files = [environment.expanded("FILE", path) for path in command.files]
    record_files.check_names(files)
    report.check(out, command.overwrite)
    # All files are read and may be written before the first is analysed, which takes long.
    records = [record_files.load(path, out / path.stem, command) for path in files]
    outcomes = []
    for record in records:
        with _progress(record.folder.name) as progress:
            verdict = record_files.run(record, command, progress)
        _say(f"{record.folder.name}: {verdict}; {record.folder}")
        outcomes.append(verdict.outcome)
    _page(out, command.overwrite)
    return int("disagrees" in outcomes)


def _report(folder: Path, overwrite: bool) -> int:
    environment.check()
    return USAGE if _page(folder, overwrite) else 0


def _page(folder: Path, overwrite: bool) -> list[str]:
    """Write the page; returns the results that it leaves out, which are named."""
    from experiments.command.presentations import presentation
    from experiments.page import report

    path, left_out = report.write(folder, presentation, overwrite)
    for reason in left_out:
        _complain(f"warning: the page leaves out a result: {reason}")
    _say(f"report: {path}")
    return left_out


def _doctor() -> int:
    environment.check()
    import jax

    from experiments.run import study

    for package, version in study.versions().items():
        print(f"{package:10} {version}")
    environment.devices()
    print(f"{'devices':10} {study.device()}")
    print(
        f"simulation runs on {jax.default_backend()}, in {jax.numpy.result_type(float)}; sums over tasks in float64 on the host"
    )
    print("products of matrices in sweeps are float32 on every device, not TF32 or bfloat16")
    print(f"trained weights are kept in {cache.weights()}, compiled programs in {cache.programs() or _GIVEN}")
    print("theory runs in float64 on the same device, whatever the session's default")
    return 0


if __name__ == "__main__":
    import ttc_start

    ttc_start.console()
