"""Memory that a process takes again and again, and keeps meanwhile."""

from __future__ import annotations

import ctypes

# Of glibc: the numbers of its settings, see mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
KEPT, LARGE = 2**26, 2**23  # bytes: free memory that is kept, and arrays that are always given back at once


def keep_memory() -> None:
    """Let this process keep the memory of arrays that are gone, for the next ones; other than glibc does as it likes.

    Judging makes some thirty arrays of the size of an output. That glibc gave their memory back to the system, and
    asked for it again, page by page, took two thirds of the time of layer_norm at 10^5 elements.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, KEPT)
        mallopt(_MMAP_THRESHOLD, LARGE)
