"""Files that somebody hostile may have written: plain ones of a sane size, opened without following a link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.strict_json import parse

Complain = Callable[[str], OpfuzzError]  # the error for what is wrong with the file

_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


@contextmanager
def opened(path: Path, limit: int, complain: Complain, missing: str = "missing") -> Iterator[tuple[IO[bytes], int]]:
    """The file and its size in bytes, from 1 to `limit`.

    Raises what `complain` makes of the words if it is missing, empty, too large, or no plain file: a link might lead
    out of the folder, and a pipe would never end.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise complain(missing) from None
    except OSError as error:
        is_link = error.errno == errno.ELOOP
        raise complain(
            "a symbolic link in place of a plain file" if is_link else f"cannot be read: {error.strerror}"
        ) from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise complain(f"{_KINDS.get(stat.S_IFMT(found.st_mode), 'something else')} in place of a plain file")
    with os.fdopen(handle, "rb") as file:
        if not found.st_size:
            raise complain("the file is empty")
        if found.st_size > limit:
            raise complain(f"{found.st_size} bytes, the limit is {limit}")
        yield file, found.st_size


def document(path: Path, limit: int, complain: Complain, missing: str = "missing") -> dict[str, Any]:
    """The JSON object in a file; raises as `opened` does, and if it is none."""
    with opened(path, limit, complain, missing) as (file, size):
        data = file.read(size)
    try:
        found = parse(data)
    except ValueError as error:
        raise complain(str(error)) from None
    if not isinstance(found, dict):
        raise complain(f"a {type(found).__name__} in place of an object")
    return found
