"""The files of exported cases: their names, how large each may be, and what is said of one that cannot be used."""

from __future__ import annotations

import os
import re
from pathlib import Path

from opfuzz.core.errors import OpfuzzError

MANIFEST, INDEX = "manifest.json", "index.txt"
SPECS, INPUTS, OUTPUTS = "specs", "inputs", "outputs"  # folders
STATUS, ABOUT = "status.txt", "about.json"  # of one program, beside its outputs
SUFFIX = ".safetensors"

_MIB = 2**20
TEXT_LIMIT = 256 * _MIB  # bytes of a manifest, or an index
SPEC_LIMIT, ABOUT_LIMIT, STATUS_LIMIT = _MIB, _MIB, 64 * _MIB
SHARD_LIMIT = 1024 * _MIB
OUTPUT_LIMIT = 64 * 1024 * _MIB  # of one file that a program wrote: it is read tensor by tensor
OUTPUT_HEADER = 64 * _MIB
FILES_LIMIT = 200_000  # that a program wrote

OP = re.compile(r"[a-z][a-z0-9_]*")
SHARD = re.compile(rf"{INPUTS}/[0-9]{{5}}{re.escape(SUFFIX)}")
NAME = re.compile(r"\w[\w.+-]{0,79}", re.ASCII)  # of the folder of one program


def damaged(path: Path, what: str) -> OpfuzzError:
    """One line on a file that came with the cases and cannot be used."""
    words = " ".join(what.split())[:400]  # some of them are the file's own
    return OpfuzzError(f"{path}: {words}; copy the folder again, or export the cases anew")


def unusable(path: Path, what: str) -> OpfuzzError:
    """One line on a file that a program wrote and nobody can judge."""
    words = " ".join(what.split())[:400]
    return OpfuzzError(f"{path}: {words}; docs/cases.md says what a program writes")


def check_folder(path: Path) -> None:
    """Raises OpfuzzError unless it is a folder of its own, and no link to another."""
    if path.is_symlink():
        raise damaged(path, "a symbolic link in place of a folder")
    if not path.is_dir():
        what = "a file in place of a folder" if os.path.lexists(path) else "no such folder"
        raise OpfuzzError(f"{path}: {what}; give the folder that opfuzz cases export wrote")
