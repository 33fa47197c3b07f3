"""A command as a process of its own, which leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

KEPT = 2**16  # bytes of what it prints, the last ones


@dataclass(frozen=True, slots=True)
class Exit:
    """How a command ended, and what it printed."""

    code: int | None  # exit status; minus the signal that it died of; None: its time was over
    out: str
    err: str

    @property
    def last_words(self) -> str:
        """The last line that it printed, of its complaints if there are any."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1][:400] if lines else ""


def finish(
    command: Sequence[str | Path],
    seconds: float | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    held: Sequence[int] = (),
) -> Exit:
    """Run a command to its end, without standard input; it holds the open files `held` as well.

    When its time is over, or this is interrupted, it is killed with all that it has started; Ctrl-C reaches it only so.
    Raises OSError if there is no such program.
    """
    with TemporaryFile() as out, TemporaryFile() as err:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            pass_fds=held,
        )
        code: int | None = None
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            _kill(process)
        except BaseException:
            _kill(process)
            raise
        return Exit(code, _text(out), _text(err))


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _text(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - KEPT))
    return file.read().decode(errors="replace")
