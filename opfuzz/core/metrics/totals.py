"""What the errors of one output add up to: all that a ranking asks of it, from one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import fsum, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray, Format
from opfuzz.core.metrics.magnitude import BANDS, COLUMNS, binades, first_cells, last_column, lowest
from opfuzz.core.metrics.ulp import BINS, EVERYWHERE, Histogram, flat, kernels

# The mean of ulp errors says little about sums: where one cancels, an error as large as any counts as millions of
# ulps. The quotient of root mean squares is what an output as a whole is off by, in the ulp of its larger elements.


@dataclass(frozen=True, slots=True)
class ErrorTotals:
    """The errors of an output. Those in ulp count at normal numbers of the format, and up to float64's largest."""

    normal: int
    total: float  # in ulp
    place: int  # flat, of the first of the largest; 0 where none errs
    largest: float
    histogram: Histogram  # how many fall in each bin; empty bins are left out
    by_magnitude: dict[int, int]  # how many each cell has, by column * BANDS + band; empty cells are left out
    squares: tuple[float, float]  # of errors and of spacings, of all that is judged; in units of `unit`
    unit: float  # a power of two
    judged: int
    blind: int  # how many allowances exceed the exact value, so that anything would do

    @property
    def rms_ulp(self) -> float | None:
        """sqrt(sum errors^2 / sum spacings^2) of all that is judged; None: nothing is."""
        return sqrt(self.squares[0] / self.squares[1]) if self.judged else None


def total_up(
    error: FloatArray,
    exact: FloatArray,
    spacing: FloatArray,
    wide: FloatArray,
    fmt: Format,
    judged: NDArray[np.bool_] | None = None,
    wrong: NDArray[np.bool_] | None = None,
) -> ErrorTotals:
    """Add up errors that are judged (None: all), and where the class is `wrong` (None: nowhere) these by magnitude.

    An empty `error` is 0 throughout.
    """
    places, counts = np.empty(BINS + BANDS * (COLUMNS + 2), np.int64), np.empty(BINS + BANDS * (COLUMNS + 2), np.int64)
    arrays = map(flat, (error, exact, spacing, wide))
    masks = (EVERYWHERE if mask is None else flat(mask) for mask in (judged, wrong))
    found = kernels().total_up(*arrays, *masks, *_constants(fmt), places, counts)
    normal, total, place, worst, squares, units, unit, count, blind, split, end = found
    histogram, cells = (
        dict(zip(places[part].tolist(), counts[part].tolist(), strict=True))
        for part in (slice(split), slice(split, end))
    )
    return ErrorTotals(normal, total, place, worst, histogram, cells, (squares, units), unit, count, blind)


def joined(parts: Sequence[ErrorTotals], starts: Sequence[int]) -> ErrorTotals:
    """The errors of an output from those of its parts, of which each starts at a flat place."""
    most = max(range(len(parts)), key=lambda i: parts[i].largest)  # the first of equal ones
    unit = max(part.unit for part in parts)
    squares, spacings = (fsum(part.squares[i] * (part.unit / unit) ** 2 for part in parts) for i in (0, 1))
    return ErrorTotals(
        normal=sum(part.normal for part in parts),
        total=fsum(part.total for part in parts),
        place=starts[most] + parts[most].place if parts[most].largest else 0,
        largest=parts[most].largest,
        histogram=_counted(part.histogram for part in parts),
        by_magnitude=_counted(part.by_magnitude for part in parts),
        squares=(squares, spacings),
        unit=unit,
        judged=sum(part.judged for part in parts),
        blind=sum(part.blind for part in parts),
    )


def _counted(counts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    total = Counter[int]()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))


@cache
def _constants(fmt: Format) -> tuple[Any, ...]:
    return (fmt.smallest_normal, fmt.largest, first_cells(fmt), lowest(fmt), binades(fmt), last_column(fmt))
