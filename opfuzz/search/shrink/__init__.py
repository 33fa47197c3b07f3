"""A call that shows a fault into the smallest one that still does, by asking: `shrink` yields, the caller judges."""

from opfuzz.search.shrink.attempts import Attempts, Enough
from opfuzz.search.shrink.loop import drive, shrink

__all__ = ["Attempts", "Enough", "drive", "shrink"]
