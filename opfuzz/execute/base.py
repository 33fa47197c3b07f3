"""The contract of every executor: batches go in, one result an item comes out, whatever an item does to its process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_listener: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class Casualty:
    """Stands in the results for an item that gave none."""

    kind: str  # crash, timeout, out-of-memory; internal: the work itself raised, which no subject can make it do
    message: str
    label: str = ""  # the last thing that the item noted


def note(label: str) -> None:
    """Tell the executor what the current item is about to do; a Casualty carries the last label."""
    if _listener is not None:
        _listener(label)


def listen(listener: Callable[[str], None] | None) -> None:
    """Hand every label noted in this process to `listener`; None stops."""
    global _listener
    _listener = listener
