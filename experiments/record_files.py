"""From a file of recorded samples to the files of a result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from experiments import record, results
from experiments.agreement import Verdict
from experiments.errors import UserError
from ttc_jax import recorded


def run(path: Path, folder: Path, options: Any) -> Verdict:
    """Read, analyse and write; ``options`` are those of the command.

    Raises:
        UserError: the file cannot be read, a line is damaged, or the record or the options do not allow it.
    """
    problems, digest = _read(path, options.skip_damaged)
    prices = options.price, options.verifier_price, options.value, options.level
    config = record.RecordConfig(path.name, digest, options.budget, options.predict, *prices)
    settings = {"study": record.NAME, "config": json.dumps(dataclasses.asdict(config)), "seed": options.seed}
    with results.claimed(folder, settings, options.overwrite):
        return results.write(folder, record.analyse(problems, config, options.seed))


def _read(path: Path, skips: bool) -> tuple[list[recorded.Problem], str]:
    """The problems of a file, and its hash."""

    def report(error: recorded.DamagedLineError) -> None:
        print(f"ttc: warning: {error}; skipped", file=sys.stderr)

    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return list(recorded.read(path, on_damage="skip" if skips else "raise", report=report)), digest
    except recorded.DamagedLineError as error:
        raise UserError(f"{error}; --skip-damaged leaves such lines out") from error
    except OSError as error:
        raise UserError(f"FILE must be a file that can be read, got {path} ({error.strerror})") from error
