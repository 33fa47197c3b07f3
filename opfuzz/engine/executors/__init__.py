"""Running batches of work: `inline` in this process, `pool` in isolated ones, `dask` in isolated ones of a cluster."""

from opfuzz.engine.executors.base import INTERNAL, MISTAKE, RAISED, Casualty, Executor, note
from opfuzz.engine.executors.inline import Inline
from opfuzz.engine.executors.loop import drive
from opfuzz.engine.executors.pool import Pool
from opfuzz.engine.executors.task import WORKER_BYTES, Task

LOCAL, INLINE = Pool(), Inline()

__all__ = [
    "INLINE",
    "INTERNAL",
    "LOCAL",
    "MISTAKE",
    "RAISED",
    "WORKER_BYTES",
    "Casualty",
    "Executor",
    "Task",
    "drive",
    "note",
]
