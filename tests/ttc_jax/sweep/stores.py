"""Sweeps with a store: started, interrupted, and looked into."""

import json

import pytest

from tests.ttc_jax.sweep import swept as script
from tests.ttc_jax.sweep.swept import AXES, REUSED, risks
from ttc_jax import sweep
from ttc_jax.sweep.store import INDEX, NUMERICS, Store

KEY = script.key()
OPTIONS = {"num_tasks": 600, "chunk_size": 16}


def swept(folder=None, key=KEY, **options):
    return sweep(key, risks, AXES, reused_axes=REUSED, store=folder, **{**OPTIONS, **options})


def stopping_at(task):
    """A progress callback that interrupts."""

    def progress(done):
        if done >= task:
            raise KeyboardInterrupt

    return progress


def interrupted(folder, task, **options):
    with pytest.raises(KeyboardInterrupt):
        swept(folder, progress=stopping_at(task), **options)


def opened(folder):
    """The store as its sweep would read it."""
    description = json.loads((folder / INDEX).read_text())
    assert description.pop("numerics") == NUMERICS
    return Store(folder, description, "")


def chunks(folder):
    return sorted(folder.glob("*.chunk"))
