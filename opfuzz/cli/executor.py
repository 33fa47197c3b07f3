"""`--executor` and `--scheduler`: where the work is done."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click

from opfuzz.backends import Backend
from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors import LOCAL, Executor
from opfuzz.engine.machines import here
from opfuzz.engine.plan import needs_of

EXECUTORS = ("pool", "dask")


def executor_of(name: str, scheduler: str | None, jobs: int | None, backends: Mapping[str, Backend]) -> Executor:
    """The executor that options name.

    Raises UsageError if they do not go together, OpfuzzError if Dask is not installed.
    """
    if name == "pool":
        if scheduler is not None:
            raise click.UsageError("--scheduler is of a Dask cluster: add --executor dask")
        return LOCAL
    if scheduler is None:
        raise click.UsageError("--executor dask needs a --scheduler: an address such as tcp://10.0.0.1:8786, or local")
    try:
        from opfuzz.engine.executors.dask import Dask
    except ImportError:
        raise OpfuzzError("--executor dask: Dask is not installed: pip install 'opfuzz[dask]'") from None
    local = needs_of(here(backends).devices, backends) if scheduler == "local" else frozenset()
    return Dask(scheduler, jobs or os.cpu_count() or 1, local)
