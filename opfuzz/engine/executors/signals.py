"""Signals of this process, taken another way for a while."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def ignoring(number: signal.Signals) -> Iterator[None]:
    """What is started meanwhile ignores a signal."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextlib.contextmanager
def heard_by(listener: Callable[[], None], number: signal.Signals) -> Iterator[None]:
    """Meanwhile `listener` is told of a signal once, and then its own handler has it back.

    Raised wherever Python is, an interruption that meets a finaliser, as that of a future, is ignored.
    """
    before = signal.getsignal(number)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def handle(*_: object) -> None:
        signal.signal(number, before)
        listener()

    signal.signal(number, handle)
    try:
        yield
    finally:
        signal.signal(number, before)
