"""Functions that numba compiles, once on a machine: what is compiled lies in the user's cache.

They are in modules `kernels.py`, and take what they need from their own folder alone, by which the cache knows them.
Modules of such functions are imported where they are called, not with what calls them: numba takes half a second.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import config, types

from opfuzz.core.files.cache import kernels_folder

# IEEE arithmetic as it is written: nothing is reordered or contracted to fused operations, and a division by zero gives
# what NumPy gives.
STRICT = {"error_model": "numpy", "fastmath": False}

# What passes take: rows of numbers, marks or whole numbers, without gaps; and those that they fill in.
GIVEN = types.Array(types.float64, 1, "C", readonly=True)
MARKS = types.Array(types.boolean, 1, "C", readonly=True)
WHOLE = types.Array(types.int64, 1, "C", readonly=True)
FILLED = types.Array(types.float64, 1, "C")
COUNTED = types.Array(types.int64, 1, "C")
MARKED = types.Array(types.boolean, 1, "C")
REAL, INT, VOID = types.float64, types.int64, types.void


def row(*kinds: Any) -> Any:
    """The type of several results."""
    return types.Tuple(kinds)


_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(gives: Any, *takes: Any) -> Callable[[_Function], _Function]:
    """Compile a function that gives one type and takes others.

    A folder that cannot be written costs time, and no more.
    """
    signature = gives(*takes)

    def compile_one(function: _Function) -> _Function:
        made: _Function
        before = config.CACHE_DIR
        try:
            config.CACHE_DIR = before or str(kernels_folder(Path(function.__code__.co_filename).parent))
            made = numba.njit(signature, cache=True, **STRICT)(function)
        except (OSError, RuntimeError):  # no folder can be written, or the disk is full
            made = numba.njit(signature, **STRICT)(function)
        finally:
            config.CACHE_DIR = before
        return made

    return compile_one


def inlined(function: _Function) -> _Function:
    """A part of compiled functions of the same file, which is compiled into each of them."""
    made: _Function = numba.njit(**STRICT)(function)
    return made
