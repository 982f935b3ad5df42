"""From a file of recorded samples to the files of a result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import record, results
from experiments.agreement import Verdict
from experiments.errors import UserError
from ttc_jax import recorded


def run(path: Path, folder: Path, options: Any, progress: Callable[[float], None] = lambda share: None) -> Verdict:
    """Read, analyse and write; ``options`` are those of the command.

    Raises:
        UserError: the file cannot be read, a line is damaged, or the record or the options do not allow it.
    """
    problems, digest, num_damaged = _read(path, options.skip_damaged)
    asked = {name: getattr(options, name) for name in ("budget", "predict", "price", "verifier_price", "value", "stop_level")}
    config = record.RecordConfig(path.name, digest, **asked, skip_damaged=num_damaged)
    settings = {"study": record.NAME, "config": json.dumps(dataclasses.asdict(config)), "seed": options.seed}
    with results.claimed(folder, settings, options.overwrite):
        dataset = record.analyse(problems, config, options.seed, progress)
        for warning in json.loads(dataset.attrs["warnings"]):
            print(f"ttc: warning: {warning}", file=sys.stderr)
        return results.write(folder, dataset)


def _read(path: Path, skips: bool) -> tuple[list[recorded.Problem], str, int]:
    """The problems of a file, its hash, and how many damaged lines were left out."""
    left_out = []

    def report(error: recorded.DamagedLineError) -> None:
        left_out.append(error)
        print(f"ttc: warning: {error}; skipped", file=sys.stderr)

    if path.exists() and not path.is_file():  # it is read twice
        raise UserError(f"FILE must be a regular file, got {path}")
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        problems = list(recorded.read(path, on_damage="skip" if skips else "raise", report=report))
        return problems, digest, len(left_out)
    except recorded.DamagedLineError as error:
        raise UserError(f"{error}; --skip-damaged leaves such lines out") from error
    except OSError as error:
        raise UserError(f"FILE must be a file that can be read, got {path} ({error.strerror})") from error
