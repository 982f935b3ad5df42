"""Exit statuses of the command, the errors behind them, and foreign text made fit to be shown."""

from __future__ import annotations

AGREES = 0
"""All is well."""
DISAGREES = 1
"""A prediction disagrees with its measurement."""
USAGE = 2
"""The input or the environment is wrong."""
DEFECT = 70
"""The program has a defect (EX_SOFTWARE)."""
OUTPUT = 74
"""Standard output cannot be written (EX_IOERR)."""
LOST = 75
"""A process was lost: the same command goes on (EX_TEMPFAIL)."""
STOPPED = 128
"""A signal stopped the command, whose number is added: 130 after Ctrl-C, 143 after SIGTERM."""

_LINE = 1000


class UserError(Exception):
    """One line that names the argument, its value and what is allowed."""


class OutputError(Exception):
    """Standard output cannot be written."""


def printable(text: object, limit: int = _LINE) -> str:
    """Return a text as one line of at most about ``limit`` characters, without control characters.

    Names, ids and messages that come from files may be megabytes long, or hold escape codes that a terminal would obey.
    Characters that cannot be printed, halves of surrogate pairs among them, are spelled as Python spells them.

    Example:
        >>> printable("a\\nb\\x1b[31m"), printable("x" * 50, limit=20)
        ('a b\\\\x1b[31m', 'xxxxxxxxxxxxxxxxxxxx... (50 characters)')
    """
    whole = str(text)
    shown = "".join(_character(one) for one in whole[:limit])
    return shown if len(whole) <= limit else f"{shown}... ({len(whole)} characters)"


def _character(one: str) -> str:
    if one.isprintable():
        return one
    return " " if one.isspace() else one.encode("unicode_escape").decode()
