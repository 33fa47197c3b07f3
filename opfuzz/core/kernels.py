"""Passes over the bits of floats. Arrays are flat, gapless and of one length."""

from __future__ import annotations

import numpy as np

from opfuzz.core.compiled import GIVEN, INT, REAL, WHOLE, compiled

_BLOCK = 512


@compiled(REAL, WHOLE, WHOLE, INT, INT, INT)
def distance(first, second, sizes, low, high):
    """The largest difference of the ordinals of numbers that are both normal: from `low` to below `high`.

    Numbers are their bits as signed integers of their width; `sizes` has all
    bits but that of the sign.
    """
    most = 0.0
    for i in range(first.size):
        a, b = first[i] & sizes, second[i] & sizes
        if first[i] != second[i] and low <= min(a, b) and max(a, b) < high:
            is_apart = (first[i] < 0) != (second[i] < 0)
            # Differences of opposite signs may exceed 64 bits.
            most = max(most, np.float64(a) + np.float64(b) if is_apart else np.float64(abs(a - b)))
    return most


@compiled(INT, GIVEN, GIVEN)
def are_equal(first, second):
    """Whether all numbers are the same."""
    for start in range(0, first.size, _BLOCK):
        part, other, unlike = first[start : start + _BLOCK], second[start : start + _BLOCK], np.int64(0)
        for i in range(part.size):
            unlike |= np.int64(part[i] != other[i])
        if unlike:
            return 0
    return 1
