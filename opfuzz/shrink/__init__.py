"""A call that shows a fault into the smallest one that still does, by asking: `shrink` yields, the caller judges."""

from opfuzz.shrink.loop import drive, shrink
from opfuzz.shrink.search import Attempts, Enough

__all__ = ["Attempts", "Enough", "drive", "shrink"]
