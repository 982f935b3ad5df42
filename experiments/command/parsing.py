"""Parse the arguments of the command line; report an error in one line."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
from typing import Any

import tyro

from experiments.run.errors import UserError


def parse(kind: Any, program: str, arguments: list[str], **options: Any) -> Any:
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
    """Return the first paragraph of a boxed message, without title and jargon, and the suggestion if it has one."""
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
