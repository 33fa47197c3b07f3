"""ulp error: abs(computed - exact) / ulp(exact)."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.files.cache import is_compiled
from opfuzz.core.floats import FloatArray
from opfuzz.core.memory import keep_memory

NOTHING: FloatArray = np.zeros(0)  # stands for zeros, see kernels
EVERYWHERE: NDArray[np.bool_] = np.zeros(0, np.bool_)


@cache
def kernels() -> Any:
    """The compiled passes, imported when the first output is measured; from then on much memory is taken."""
    keep_memory()
    return importlib.import_module("opfuzz.core.metrics.kernels")


def are_compiled() -> bool:
    """Whether they were compiled on this machine before; the first time takes some seconds."""
    return is_compiled(Path(__file__).parent)


def flat(array: NDArray[Any]) -> NDArray[Any]:
    """The elements in a row, as passes take them; a copy only where they do not lie so."""
    return array.ravel()


def absolute_error(
    computed: FloatArray, hi: FloatArray, lo: FloatArray | None = None, reach: FloatArray | None = None
) -> FloatArray:
    """abs(computed - (hi + lo)); NaN where either is NaN, and where both are the same infinity.

    Where `reach` is not negative so much less, but not below 0.
    """
    with np.errstate(invalid="ignore"):
        error = np.asarray(np.abs(computed - hi if lo is None else computed - hi - lo))
        if reach is None:
            return error
        off = error - reach
    return np.where(reach >= 0, np.where(off < 0, 0.0, off), error)


# Bins of log2(ulp error), eight to the octave from 2^-16 to 2^80, with the rest at both ends: a percentile read
# from them is within 9 % of the true one, and histograms of many cases add up.

LOWEST, PER_OCTAVE, BINS = -16, 8, 96 * 8 + 2

Histogram = Mapping[int, int]


def percentile(counts: Histogram, share: float) -> float:
    """The error that `share` of all errors do not exceed.

    The upper edge of its bin; 0 for the lowest bin, and where there are no errors.
    """
    left = share * sum(counts.values())
    for place in sorted(counts):
        left -= counts[place]
        if left <= 0:
            return 0.0 if place == 0 else float(2.0 ** (LOWEST + place / PER_OCTAVE))
    return 0.0
