"""Last words: what a worker noted and printed during the item that it died of, and where in the code it was.

They pass through files that both processes have open, so that noting costs a memory copy and no message.
"""

from __future__ import annotations

import _thread
import faulthandler
import mmap
import os
import re
import shutil
import signal
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from opfuzz.core.errors import DiskError

PRINTED, LABEL = "printed", "label"
READ = 2**16  # bytes, from the end: an abort says why in its last lines
SHOWN = 200  # characters of a message
LIMIT = 2**24  # bytes that one item may print
IMPORT = "<frozen importlib"  # the file of frames that load a module
LOOK = 0.1  # seconds between looks at what the worker does

_TRACE = re.compile(r"^(?:Fatal Python error: |Current thread 0x|Thread 0x)", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)
_STAMP = struct.Struct("<d")  # at the end of the label's page: of the last import, before it of the label
_IMPORTED, _NOTED = mmap.PAGESIZE - _STAMP.size, mmap.PAGESIZE - 2 * _STAMP.size
_OWN = str(Path(__file__).parents[2])


class LastWords:
    """What one worker notes and prints, as its parent holds it. Raises DiskError if there can be no such files."""

    def __init__(self) -> None:
        try:
            self.folder = tempfile.mkdtemp(prefix="opfuzz-")
            self._file = os.open(os.path.join(self.folder, PRINTED), os.O_RDWR | os.O_CREAT, 0o600)
            self._label = _label(self.folder)
        except OSError as error:
            raise DiskError(f"{tempfile.gettempdir()}: no room for what workers say: {error.strerror}") from error

    def hide(self) -> None:
        """Take the names away once the worker has opened the files: nothing is left of them when both have ended."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def importing(self) -> float:
        """When the worker was last seen to load a module, as `time.monotonic` has it; 0 if it never was."""
        found: float = _STAMP.unpack_from(self._label, _IMPORTED)[0]
        return found

    @property
    def noted(self) -> float:
        """When the worker noted its last label, as `time.monotonic` has it; 0 if that is empty."""
        found: float = _STAMP.unpack_from(self._label, _NOTED)[0]
        return found

    @property
    def label(self) -> str:
        """What the worker noted last."""
        size = int.from_bytes(self._label[:2], "little")
        return self._label[2 : 2 + size].decode(errors="replace")

    def bound(self) -> None:
        """Forget all that was printed if it is too much for the disk."""
        if os.fstat(self._file).st_size > LIMIT:
            os.ftruncate(self._file, 0)

    def read(self) -> str:
        """What there is to add to `killed by SIGABRT`: its place and its last line; '' if there is neither."""
        size = os.fstat(self._file).st_size
        return told(os.pread(self._file, READ, max(0, size - READ)).decode(errors="replace"))

    def close(self) -> None:
        """The files are gone."""
        self.hide()
        self._label.close()
        os.close(self._file)


def _label(folder: str) -> mmap.mmap:
    file = os.open(os.path.join(folder, LABEL), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Written out: a page that the disk has no room for would end the process that touches it.
        if os.fstat(file).st_size < mmap.PAGESIZE:
            os.write(file, bytes(mmap.PAGESIZE))
        return mmap.mmap(file, mmap.PAGESIZE)
    finally:
        os.close(file)


def told(text: str) -> str:
    """The place in code that is not opfuzz's, and the last line that was printed, of what a worker left."""
    trace = _TRACE.search(text)
    printed = text[: trace.start()] if trace else text
    frames = _FRAME.findall(text[trace.start() :]) if trace else []
    place = next((frame for frame in frames if not _is_own(*frame)), None)
    words = f" in {place[2]} ({Path(place[0]).name}:{place[1]})" if place and not _is_library(place[0]) else ""
    line = next((line.strip() for line in reversed(printed.splitlines()) if line.strip()), "")
    return words + (f"; last words: {line[:SHOWN]}" if line else "")


def _is_own(path: str, line: str, function: str) -> bool:
    """Whether a frame is of opfuzz; the thread beside the work is, wherever the worker has loaded opfuzz from."""
    return path.startswith((_OWN, "<")) or function == _stamp_imports.__name__


def _is_library(path: str) -> bool:
    """Whether a frame is of Python's own library, where a worker waits for its next batch."""
    return path.startswith(os.path.dirname(os.__file__)) and "site-packages" not in path


def speak_into(folder: str) -> Callable[[str], None]:
    """In a worker: what is printed, and what an abort or SIGUSR1 has to say, goes into the folder. How to note."""
    file = os.open(os.path.join(folder, PRINTED), os.O_WRONLY | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    os.close(file)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)  # else what was printed last is lost with the process
    faulthandler.enable(file=2, all_threads=False)
    # Chained to the signal's own action, which ends the worker, whoever holds the interpreter's lock: one that went on,
    # as after a sleep that the signal cut short, would come to its next item.
    faulthandler.register(signal.SIGUSR1, file=2, all_threads=True, chain=True)
    label = _label(folder)
    # A thread without Python's own frames, which nobody takes for the place of a hang.
    _thread.start_new_thread(_stamp_imports, (label, threading.get_ident()))

    def note(text: str) -> None:
        words = text.encode()[: _NOTED - 2]
        label[: 2 + len(words)] = len(words).to_bytes(2, "little") + words
        _STAMP.pack_into(label, _NOTED, time.monotonic() if text else 0.0)

    return note


def _stamp_imports(label: mmap.mmap, worker: int) -> None:
    """Say again and again when a thread is in the midst of an import, as long as it lets others run."""
    while True:
        time.sleep(LOOK)
        frame = sys._current_frames().get(worker)
        while frame is not None and not frame.f_code.co_filename.startswith(IMPORT):
            frame = frame.f_back
        if frame is not None:
            _STAMP.pack_into(label, _IMPORTED, time.monotonic())


def forget() -> None:
    """In a worker, before an item: what earlier ones printed is not said of this one."""
    if os.fstat(2).st_size:
        os.ftruncate(2, 0)
