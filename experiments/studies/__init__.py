"""The studies, one a module, each with its ``STUDY``; nothing is imported until it is asked for."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from experiments.run.errors import UserError

if TYPE_CHECKING:
    from experiments.run.study import Study


def names() -> list[str]:
    """Names of all studies, in alphabetical order."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Study:
    """The study of that name.

    Raises:
        UserError: there is none.
    """
    if name not in names():
        raise UserError(f"study must be one of {', '.join(names())}, got {name!r}")
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").STUDY
