"""ulp error: abs(computed - exact) / ulp(exact)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from opfuzz.core.floats import FloatArray


def absolute_error(computed: FloatArray, hi: FloatArray, lo: FloatArray | None = None) -> FloatArray:
    """abs(computed - (hi + lo)); NaN where either is NaN, and where both are the same infinity."""
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.asarray(computed - hi)
        if lo is not None:
            error -= lo
        return np.abs(error, out=error)


# The mean of ulp errors says little about sums: where one cancels, an error as large as any counts as millions of
# ulps. The quotient of root mean squares is what an output as a whole is off by, in the ulp of its larger elements.


def rms_ratio(errors: FloatArray, spacings: FloatArray) -> float | None:
    """sqrt(sum errors^2 / sum spacings^2); None for no elements. `spacings` are positive."""
    if not errors.size:
        return None
    largest, total = squares(spacings)
    return rms_over(errors, largest, total)


def squares(spacings: FloatArray) -> tuple[float, float]:
    """The largest, and the sum of the squares of all in its unit, which cannot vanish."""
    largest = float(spacings.max(initial=0.0))
    return largest, float(((spacings / largest) ** 2).sum()) if largest else 0.0


def rms_over(errors: FloatArray, largest: float, total: float) -> float:
    """`rms_ratio` of some errors and the spacings of which `squares` gave this."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.sqrt(((errors / largest) ** 2).sum() / total))


# Bins of log2(ulp error), eight to the octave from 2^-16 to 2^80, with the rest at both ends: a percentile read
# from them is within 9 % of the true one, and histograms of many cases add up.

_LOWEST, _PER_OCTAVE, _BINS = -16, 8, 96 * 8 + 2

Histogram = Mapping[int, int]


def histogram(errors: FloatArray, count: int | None = None) -> Histogram:
    """How many errors fall in each bin; empty bins are left out.

    `count`: how many of them count, where the others are zeros.
    """
    count = errors.size if count is None else count
    if not errors.any():
        return {0: count} if count else {}
    with np.errstate(divide="ignore"):
        place = np.log2(errors.ravel())
    place -= _LOWEST
    place *= _PER_OCTAVE
    np.floor(place, out=place)
    place += 1
    np.minimum(np.maximum(place, 0, out=place), _BINS - 1, out=place)
    counts = np.bincount(place.astype(np.int64))
    counts[0] += count - errors.size
    filled = np.flatnonzero(counts)
    return dict(zip(filled.tolist(), counts[filled].tolist(), strict=True))


def percentile(counts: Histogram, share: float) -> float:
    """The error that `share` of all errors do not exceed.

    The upper edge of its bin; 0 for the lowest bin, and where there are no errors.
    """
    left = share * sum(counts.values())
    for place in sorted(counts):
        left -= counts[place]
        if left <= 0:
            return 0.0 if place == 0 else float(2.0 ** (_LOWEST + place / _PER_OCTAVE))
    return 0.0
