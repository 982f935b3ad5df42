"""From a file of recorded samples to the files of a result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.page import report, results
from experiments.records import analysis
from experiments.records.result import PRESENTATION
from experiments.run.agreement import Verdict
from experiments.run.errors import UserError, printable
from ttc_jax.records import jsonl


class Record(NamedTuple):
    """A file that was read: its problems, the settings of the analysis, and the folder and settings of the results."""

    problems: list[jsonl.Problem]
    config: analysis.RecordConfig
    folder: Path
    settings: dict[str, Any]


def check_names(files: Sequence[Path]) -> None:
    """Raise UserError unless the names of the files are distinct and valid for folders of results."""
    for path in files:
        try:
            path.name.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"FILE must have a name in UTF-8, got {path}; rename it") from error
        if path.stem == report.PAGE or path.stem.startswith("."):
            raise UserError(f"FILE must have a name that its results can have, got {path}; rename it")
    taken: dict[str, Path] = {}
    for path in files:
        if path.stem in taken:
            first = taken[path.stem]
            raise UserError(f"FILE must have names that differ without their endings, got {first} and {path}; rename one")
        taken[path.stem] = path


def load(path: Path, folder: Path, options: Any) -> Record:
    """Read a file, and check that its results may be written; ``options`` are those of the command.

    Raises:
        UserError: the file cannot be read, a line is damaged, or the folder holds other results.
    """
    problems, digest, num_damaged = _read(path, options.skip_damaged)
    asked = {name: getattr(options, name) for name in ("budget", "predict", "price", "verifier_price", "value", "stop_level")}
    config = analysis.RecordConfig(path.name, digest, **asked, skip_damaged=num_damaged)
    settings = {"study": analysis.NAME, "config": json.dumps(dataclasses.asdict(config)), "seed": options.seed}
    results.check_free(folder, settings, options.overwrite)
    return Record(problems, config, folder, settings)


def run(found: Record, options: Any, progress: Callable[[float], None] = lambda share: None) -> Verdict:
    """Analyse a record and write its results; UserError if the record or the options do not allow it."""
    with results.claimed(found.folder, found.settings, options.overwrite):
        dataset = analysis.analyse(found.problems, found.config, options.seed, progress)
        for warning in json.loads(dataset.attrs["warnings"]):
            print(f"ttc: warning: {printable(warning)}", file=sys.stderr)
        return results.write(found.folder, dataset, PRESENTATION)


def _read(path: Path, skips: bool) -> tuple[list[jsonl.Problem], str, int]:
    """The problems of a file, its hash, and how many damaged lines were left out."""
    left_out = []

    def report(error: jsonl.DamagedLineError) -> None:
        left_out.append(error)
        print(f"ttc: warning: {printable(error)}; skipped", file=sys.stderr)

    try:
        if path.exists() and not path.is_file():  # it is read twice
            raise UserError(f"FILE must be a regular file, got {path}")
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        problems = list(jsonl.read(path, on_damage="skip" if skips else "raise", report=report))
        return problems, digest, len(left_out)
    except jsonl.DamagedLineError as error:
        raise UserError(f"{error}; --skip-damaged leaves such lines out") from error
    except OSError as error:
        raise UserError(f"FILE must be a file that can be read, got {path} ({error.strerror})") from error
