"""Files that are whole or not there at all."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

from opfuzz.core.errors import DiskError


def write_text(path: Path, text: str) -> None:
    """The whole text or nothing. Raises DiskError if the disk refuses."""
    write_bytes(path, text.encode(errors="replace"))


def write_bytes(path: Path, contents: bytes) -> None:
    """All of it or nothing. Raises DiskError if the disk refuses."""
    draft = path.with_name(f".{uuid.uuid4().hex}.part")  # of its own: another process may write the same file
    try:
        draft.write_bytes(contents)
        os.replace(draft, path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise DiskError(f"{path}: cannot be written: {error.strerror}") from error
