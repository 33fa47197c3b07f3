"""The life of one isolated process: it runs batches, tells each answer at once, and may die at any moment."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import resource
import signal
import traceback
from collections.abc import Mapping
from enum import Enum, auto
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from opfuzz.core.errors import OpfuzzError
from opfuzz.engine.executors.base import INTERNAL, MISTAKE, listen
from opfuzz.engine.executors.last_words import forget, speak_into
from opfuzz.engine.executors.task import Answer, Item, State, Task, perform, preload


class Word(Enum):
    """What a message to the parent is about; each is sent as (word, content)."""

    READY = auto()  # nothing: set up
    BEGUN = auto()  # nothing: a batch has arrived whole
    UNREADY = auto()  # the traceback
    ANSWER = auto()  # what the work returned
    FAILED = auto()  # the fields of a Casualty


OOM_SCORE = Path("/proc/self/oom_score_adj")


def serve(
    connection: Connection[Any, Any], task: Task[State, Item, Answer], environment: Mapping[str, str], words: str
) -> None:
    """Run batches from `connection` until it closes. An answer is sent as soon as it is there, so none is lost later.

    The environment is set first: libraries read it when they are loaded, or at their first use. What is noted and
    printed meanwhile goes into the folder `words`.
    """
    try:
        write = speak_into(words)
    except FileNotFoundError:  # interrupted while the fork server imported, the parent wants no worker any more
        return
    label = ""

    def heard(text: str) -> None:
        nonlocal label
        label = text
        write(text)

    os.environ.update(environment)
    # A group of its own: Ctrl-C reaches the parent alone, and compilers that a framework starts end with the worker.
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A core of a process with a framework in it is gigabytes, and a run may see hundreds of crashes.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError):
        OOM_SCORE.write_text("1000")  # when memory runs out, Linux shall end the worker and nothing else
    try:
        # The server that forks the workers of all pools may have begun for a task that named others; what a case would
        # import is of its time, and on a busy machine that may be all of it.
        for module in preload(task):
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
        state = task.set_up()
        gc.freeze()  # frameworks and specs stay: looking through them again and again costs a twentieth of a case
    except BaseException:
        connection.send((Word.UNREADY, traceback.format_exc()))
        return
    listen(heard)
    connection.send((Word.READY, None))
    while True:
        try:
            batch = connection.recv()
        except EOFError:
            return
        connection.send((Word.BEGUN, None))
        for item in batch:
            forget()
            heard("")
            try:
                connection.send((Word.ANSWER, perform(task, state, item)))
            except MemoryError as error:
                connection.send((Word.FAILED, ("out-of-memory", f"raised MemoryError: {error}", label, "MemoryError")))
            except OpfuzzError as error:
                connection.send((Word.FAILED, (MISTAKE, str(error), label, type(error).__name__)))
            except Exception as error:
                connection.send((Word.FAILED, (INTERNAL, traceback.format_exc(), label, type(error).__name__)))
