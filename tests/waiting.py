"""Waiting for an event, however long that takes on a busy machine: only what hangs reaches the limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

HUNG = 900.0  # seconds

T = TypeVar("T")


def until(holds: Callable[[], T]) -> T:
    """What `holds` returns, as soon as that is true. Raises TimeoutError where it hangs."""
    limit = time.monotonic() + HUNG
    while not (found := holds()):
        if time.monotonic() > limit:
            raise TimeoutError(holds)
        time.sleep(0.02)
    return found
