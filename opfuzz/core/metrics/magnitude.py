"""ulp error by magnitude: how many elements of each size of the exact result have an error of each size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import Format

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
    return -(-(fmt.emax - lowest(fmt) + 1) // COLUMNS)


def exponent(column: int, fmt: Format) -> int:
    """The lowest binary exponent of a column. Raises ValueError for the column of zero."""
    if column < 1:
        raise ValueError("zero has no exponent")
    return lowest(fmt) + (column - 1) * binades(fmt)


def last_column(fmt: Format) -> int:
    """The column of the largest number."""
    return 1 + (fmt.emax - lowest(fmt)) // binades(fmt)


def lowest(fmt: Format) -> int:
    """The exponent of the smallest subnormal number."""
    return fmt.emin - fmt.precision + 1


@cache
def first_cells(fmt: Format) -> NDArray[np.int64]:
    """The first cell of the column of each biased exponent of float64; that of 0 is zero's."""
    cells = _first_cells(np.arange(2**11) - 1023, fmt)
    cells[0] = 0
    return cells


def _first_cells(exponents: NDArray[Any], fmt: Format) -> NDArray[np.int64]:
    column = np.clip((exponents - lowest(fmt)) // binades(fmt), 0, last_column(fmt) - 1) + 1
    return np.asarray(BANDS * column, np.int64)


def packed(cells: Mapping[int, int]) -> Counts:
    """The cells of `totals.total_up`, a tuple a column."""
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
