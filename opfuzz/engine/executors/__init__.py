"""Running batches of work: `inline` in this process, `pool` in isolated ones, `dask` in isolated ones of a cluster."""

from opfuzz.engine.executors.base import Casualty, Executor, note
from opfuzz.engine.executors.pool import Pool

LOCAL = Pool()

__all__ = ["LOCAL", "Casualty", "Executor", "note"]
