"""Where this user's caches lie: what can be had again, at a cost."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """The folder of that name in opfuzz's cache, which need not exist: in XDG_CACHE_HOME, or else in ~/.cache."""
    set_to = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (set_to if set_to.is_absolute() else Path.home() / ".cache") / "opfuzz" / name
