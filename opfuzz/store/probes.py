"""Probes of devices, kept for this user on this machine: one a subject, the latest."""

from __future__ import annotations

import json
from pathlib import Path

from opfuzz.core.errors import DiskError, OpfuzzError
from opfuzz.core.files.cache import cache_folder
from opfuzz.core.files.whole_file import write_text
from opfuzz.core.probed import Probed
from opfuzz.store.journal import plain, typed

FOLDER = "probes"  # of the cache


def write_probe(probed: Probed) -> Path:
    """Keep a probe in place of that of before; where it lies. Raises OpfuzzError if the disk refuses."""
    try:
        path = _place(probed.subject)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(plain(probed), indent=1) + "\n")
    except (OSError, RuntimeError, DiskError) as error:  # RuntimeError: no home
        raise OpfuzzError(f"the probe cannot be kept: {error}; set XDG_CACHE_HOME to a folder of yours") from error
    return path


def read_probe(subject: str) -> Probed | None:
    """The latest probe of a subject; None if there is none that this opfuzz can read."""
    try:
        found = typed(Probed, json.loads(_place(subject).read_bytes()))
    except (OSError, RuntimeError, ValueError, RecursionError):
        return None
    return found if found.subject == subject else None


def _place(subject: str) -> Path:
    return cache_folder(FOLDER) / f"{subject.replace(':', '-').replace('/', '-')}.json"
