"""`opfuzz` as a user types it, but in this process: one of its own takes seconds to start, and few tests need it."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from opfuzz import cli


@dataclass(frozen=True)
class Ended:
    """What a shell sees of a command."""

    status: int
    out: str
    err: str


def opfuzz(*words: object, cwd: Path) -> Ended:
    """`opfuzz` with these words in the folder `cwd`."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", ["opfuzz", *map(str, words)])
        with pytest.raises(SystemExit) as done:
            cli.main()
    assert isinstance(done.value.code, int)
    return Ended(done.value.code, out.getvalue(), err.getvalue())
