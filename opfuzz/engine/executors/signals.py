"""Signals of this process, taken another way for a while."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_is_terminated = False  # whether a SIGTERM that is heeded has come


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised wherever Python is, as Ctrl-C is."""


@contextlib.contextmanager
def ignoring(number: signal.Signals) -> Iterator[None]:
    """What is started meanwhile ignores a signal."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextlib.contextmanager
def heeding_sigterm() -> Iterator[None]:
    """Meanwhile the first SIGTERM raises Terminated, in the main thread; later ones find what it began.

    Nested ones are as the outermost, at whose end it is forgotten. A handler that somebody else has set stays.
    """
    global _is_terminated
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _is_terminated = False


def is_terminated() -> bool:
    """Whether SIGTERM has told what is being done to come to an end."""
    return _is_terminated


def _terminate(number: int, frame: FrameType | None) -> None:
    global _is_terminated
    if not _is_terminated:
        _is_terminated = True
        raise Terminated


@contextlib.contextmanager
def heard_by(listener: Callable[[signal.Signals], None], *numbers: signal.Signals) -> Iterator[None]:
    """Meanwhile `listener` is told of the first of these signals, and then their own handlers have them back.

    Raised wherever Python is, an interruption that meets a finaliser, as that of a future, is ignored.
    """
    before = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        restore()
        listener(signal.Signals(number))

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()
