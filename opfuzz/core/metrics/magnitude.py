"""ulp error by magnitude: how many elements of each size of the exact result have an error of each size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray, Format

# Columns are runs of binades of the exact result, from the smallest subnormal to the largest number; column 0 is an
# exact zero. Bands are octaves of the ulp error: 0 holds what is correctly rounded, at most 1/2, and band b holds what
# is above 2^(b - 2) and at most 2^(b - 1). The last is for a wrong class, as NaN for a number, which has no size.

COLUMNS = 64  # at most, beside that of zero
BANDS = 62
LARGEST_BAND, CLASS_BAND = BANDS - 2, BANDS - 1
_HALF = 1021  # the biased exponent below that of 1/2

Mask = NDArray[np.bool_]
Counts = tuple[tuple[int, ...], ...]  # a column, then bands of it with their counts: (column, band, count, ...)


def binades(fmt: Format) -> int:
    """How many binades a column is wide."""
    return -(-(fmt.emax - _lowest(fmt) + 1) // COLUMNS)


def exponent(column: int, fmt: Format) -> int:
    """The lowest binary exponent of a column. Raises ValueError for the column of zero."""
    if column < 1:
        raise ValueError("zero has no exponent")
    return _lowest(fmt) + (column - 1) * binades(fmt)


def last_column(fmt: Format) -> int:
    """The column of the largest number."""
    return 1 + (fmt.emax - _lowest(fmt)) // binades(fmt)


def _lowest(fmt: Format) -> int:
    return fmt.emin - fmt.precision + 1


def first_cells(exact: FloatArray, fmt: Format) -> NDArray[np.int64]:
    """The cell of the smallest errors for each of a vector of finite exact results.

    What is beyond the format counts as its largest number.
    """
    biased = (np.ascontiguousarray(exact, np.float64).view(np.int64) >> 52) & 0x7FF
    places = _places(fmt)[biased]
    if not biased.all():  # zeros, and what is subnormal in float64, whose power the bits of the exponent do not tell
        deep = np.flatnonzero((biased == 0) & (exact != 0))
        places[deep] = _first_cells(np.frexp(exact[deep])[1] - 1, fmt)
    return np.asarray(places)


def by_magnitude(cells: NDArray[np.int64], errors: FloatArray, is_class_wrong: Mask | None) -> dict[int, int]:
    """How many elements each cell has, by column * BANDS + band; empty cells are left out.

    Vectors of one length: the `first_cells` of the exact results, errors in ulp (not looked at where the class is
    wrong), and where it is; None: nowhere.
    """
    if errors.size and not errors.max() <= 0.5:
        # One bit less, so that exactly 2^e is of the band below; 0 becomes negative.
        bands = (np.ascontiguousarray(errors).view(np.int64) - 1) >> 52
        bands -= _HALF
        cells = cells + np.minimum(np.maximum(bands, 0, out=bands), LARGEST_BAND, out=bands)
    if is_class_wrong is not None:
        wrong = np.flatnonzero(is_class_wrong)
        cells = cells.copy()
        cells[wrong] += CLASS_BAND - cells[wrong] % BANDS
    counts = np.bincount(cells)
    filled = np.flatnonzero(counts)
    return dict(zip(filled.tolist(), counts[filled].tolist(), strict=True))


@cache
def _places(fmt: Format) -> NDArray[np.int64]:
    """The first cell of the column of each biased exponent of float64; that of 0 is zero's."""
    cells = _first_cells(np.arange(2**11) - 1023, fmt)
    cells[0] = 0
    return cells


def _first_cells(exponents: NDArray[Any], fmt: Format) -> NDArray[np.int64]:
    column = np.clip((exponents - _lowest(fmt)) // binades(fmt), 0, last_column(fmt) - 1) + 1
    return np.asarray(BANDS * column, np.int64)


def packed(cells: Mapping[int, int]) -> Counts:
    """The cells of `by_magnitude`, a tuple a column."""
    columns: dict[int, list[int]] = {}
    for place in sorted(cells):
        column, band = divmod(place, BANDS)
        columns.setdefault(column, [column]).extend((band, cells[place]))
    return tuple(map(tuple, columns.values()))


def unpacked(counts: Counts) -> Iterator[tuple[int, int, int]]:
    """Column, band and count of each cell."""
    for column, *pairs in counts:
        for band, count in zip(pairs[::2], pairs[1::2], strict=True):
            yield column, band, count
