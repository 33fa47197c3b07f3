"""Files that are whole or not there at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from opfuzz.core.errors import DiskError


def write_text(path: Path, text: str) -> None:
    """The whole text or nothing. Raises DiskError if the disk refuses."""
    write_bytes(path, text.encode(errors="replace"))


def write_bytes(path: Path, contents: bytes) -> None:
    """All of it or nothing. Raises DiskError if the disk refuses."""
    with writing(path) as file:
        file.write(contents)


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` when the block ends, and is gone if it raises.

    Raises DiskError if the disk refuses.
    """
    draft = path.with_name(f".{uuid.uuid4().hex}.part")  # of its own: another process may write the same file
    try:
        with draft.open("wb") as file:
            yield file
        os.replace(draft, path)
    except OSError as error:
        raise DiskError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            draft.unlink()
