"""The files of a bundle: plain files of sane sizes directly in its folder, and nothing else."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from opfuzz.errors import OpfuzzError
from opfuzz.strict_json import parse

FINDING, CALL, CASE, SPEC = "finding.json", "call.json", "case.json", "spec.yaml"
INPUTS, REPRODUCER, UPSTREAM = "inputs.safetensors", "repro.py", "upstream.md"
NEEDED = (FINDING, CALL, CASE, SPEC, INPUTS)

_MIB = 2**20
LIMITS = {FINDING: 4 * _MIB, CALL: 4 * _MIB, CASE: 4 * _MIB, SPEC: _MIB, INPUTS: 1024 * _MIB}  # bytes
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def damaged(place: Path, name: str, what: str) -> OpfuzzError:
    """One line on a file of a bundle that cannot be used."""
    words = " ".join(what.split())[:400]  # some of them are the file's own
    return OpfuzzError(f"{place / name}: {words}; take the bundle from its run again, or run opfuzz anew")


@contextmanager
def opened(place: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    """A file of a bundle and its size in bytes.

    Raises OpfuzzError if it is missing, empty, too large, or no plain file: a link might lead out of the folder, and a
    pipe would never end.
    """
    try:
        handle = os.open(place / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise damaged(place, name, f"missing; a bundle has {', '.join(NEEDED)}") from None
    except OSError as error:
        words = "a symbolic link, and a bundle has plain files" if error.errno == errno.ELOOP else error.strerror
        raise damaged(place, name, f"cannot be read: {words}") from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise damaged(place, name, f"{kind} in place of a plain file")
    with os.fdopen(handle, "rb") as file:
        if not found.st_size:
            raise damaged(place, name, "the file is empty")
        if found.st_size > LIMITS[name]:
            raise damaged(place, name, f"{found.st_size} bytes, the limit is {LIMITS[name]}")
        yield file, found.st_size


def document(place: Path, name: str) -> dict[str, Any]:
    """The JSON object in a file of a bundle. Raises OpfuzzError if it is not there, or is none."""
    with opened(place, name) as (file, size):
        data = file.read(size)
    try:
        found = parse(data)
    except ValueError as error:
        raise damaged(place, name, str(error)) from None
    if not isinstance(found, dict):
        raise damaged(place, name, f"a {type(found).__name__} in place of an object")
    return found


def bundles_in(folder: Path) -> list[Path]:
    """The bundles that a path means: itself, those of a run, those of all runs in a folder, or all in a folder.

    Raises OpfuzzError if there is none.
    """
    if not folder.is_dir():
        raise OpfuzzError(f"{folder}: no such folder; give a bundle, findings/<id> of a run, or a whole run")
    if any(os.path.lexists(folder / name) for name in NEEDED):
        return [folder]
    for pattern in ("findings/*", "*/findings/*"):
        if found := sorted(place for place in folder.glob(pattern) if place.is_dir()):
            return found
    if found := sorted(place for place in folder.iterdir() if os.path.lexists(place / CALL)):
        return found
    raise OpfuzzError(f"{folder}: holds no bundle: neither {FINDING} nor a folder findings")
