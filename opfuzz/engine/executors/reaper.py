"""A process that outlives this one for a moment: it ends the workers that are left, however this one died.

A worker that hangs reads no closed pipe, and one that a fork server made is no child of the process that it works for.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from functools import cache

_lock = threading.Lock()

_PROGRAM = """
import os, shutil, signal, sys
left = {}
for line in sys.stdin.buffer:
    pid, _, folder = line[1:].rstrip(b"\\n").partition(b" ")
    if line[:1] == b"+":
        left[int(pid)] = folder
    else:
        left.pop(int(pid), None)
for pid, folder in left.items():
    shutil.rmtree(folder, ignore_errors=True)
    for kill in os.killpg, os.kill:
        try:
            kill(pid, signal.SIGKILL)
        except OSError:
            pass
"""


def watch(pid: int, folder: str) -> None:
    """End this worker, and the group that it leads, when this process is gone, and delete its folder."""
    _say(f"+{pid} {folder}\n")


def forget(pid: int) -> None:
    """This worker has ended; its number may soon be another's."""
    _say(f"-{pid}\n")


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # somebody ended it: then workers that hang are left, as without it
        with _lock:  # one reaper for all threads, or a number could be left with one when another forgets it
            reaper = _reaper(os.getpid())
        os.write(reaper, line.encode())


@cache
def _reaper(process: int) -> int:
    """The pipe to the reaper of this process, which ends when the pipe closes."""
    reader, writer = os.pipe()
    # A session of its own: what a terminal sends to end this process shall not end it as well.
    subprocess.Popen([sys.executable, "-I", "-S", "-c", _PROGRAM], stdin=reader, start_new_session=True)
    os.close(reader)
    return writer
