"""Running batches of work: `inline` in this process, `pool` in isolated ones. Both have the same `run`."""

from opfuzz.execute.base import Casualty, note

__all__ = ["Casualty", "note"]
