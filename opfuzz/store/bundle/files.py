"""The files of a bundle: plain files of sane sizes directly in its folder, and nothing else."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import IO, Any

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files import plain_file

FINDING, CALL, CASE, SPEC = "finding.json", "call.json", "case.json", "spec.yaml"
INPUTS, REPRODUCER, UPSTREAM = "inputs.safetensors", "repro.py", "upstream.md"
OUTPUT, NEXT = "output.safetensors", "next.md"  # of a call that opfuzz did not make itself
NEEDED = (FINDING, CALL, CASE, SPEC, INPUTS)
FOR_PEOPLE = (REPRODUCER, UPSTREAM, OUTPUT, NEXT)  # never read back

_MIB = 2**20
LIMITS = {FINDING: 4 * _MIB, CALL: 4 * _MIB, CASE: 4 * _MIB, SPEC: _MIB, INPUTS: 1024 * _MIB}  # bytes
_MISSING = f"missing; a bundle has {', '.join(NEEDED)}"


def damaged(place: Path, name: str, what: str) -> OpfuzzError:
    """One line on a file of a bundle that cannot be used."""
    words = " ".join(what.split())[:400]  # some of them are the file's own
    return OpfuzzError(f"{place / name}: {words}; take the bundle from its run again, or run opfuzz anew")


def opened(place: Path, name: str) -> AbstractContextManager[tuple[IO[bytes], int]]:
    """A file of a bundle and its size in bytes. Raises OpfuzzError as `plain_file.opened` does."""
    return plain_file.opened(place / name, LIMITS[name], partial(damaged, place, name), _MISSING)


def document(place: Path, name: str) -> dict[str, Any]:
    """The JSON object in a file of a bundle. Raises OpfuzzError if it is not there, or is none."""
    return plain_file.document(place / name, LIMITS[name], partial(damaged, place, name), _MISSING)


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
