"""Where this user's caches lie: what can be had again, at a cost."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path


def cache_folder(name: str) -> Path:
    """The folder of that name in opfuzz's cache, which need not exist: in XDG_CACHE_HOME, or else in ~/.cache."""
    set_to = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (set_to if set_to.is_absolute() else Path.home() / ".cache") / "opfuzz" / name


def kernels_folder(home: Path) -> Path:
    """Where what is compiled of the modules of a folder lies: it changes with them, whatever they take from each other.

    Raises RuntimeError where there is no home.
    """
    return cache_folder("kernels") / _digest(home)


@cache
def _digest(home: Path) -> str:
    sources = b"".join(path.read_bytes() for path in sorted(home.glob("*.py")))
    return hashlib.sha256(sources).hexdigest()[:16]


def is_compiled(home: Path) -> bool:
    """Whether something lies there."""
    return any(kernels_folder(home).glob("*/*.nbi"))
