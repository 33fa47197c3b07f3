"""A cache of its own for a test that shares nothing with others but what is compiled, which takes seconds each time."""

from __future__ import annotations

from pathlib import Path

from opfuzz.core.files.cache import cache_folder


def own_cache(folder: Path) -> str:
    """What XDG_CACHE_HOME is set to: `folder`, with nothing in it but the compiled kernels of this user."""
    compiled, here = cache_folder("kernels"), folder / "opfuzz"
    compiled.mkdir(parents=True, exist_ok=True)
    here.mkdir(parents=True)
    (here / compiled.name).symlink_to(compiled)
    return str(folder)
