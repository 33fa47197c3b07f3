"""What some errors add up to, with everything that a test does not speak of left at what changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from opfuzz.core.floats import FLOAT64, Format
from opfuzz.core.metrics.totals import ErrorTotals, total_up


def totals(
    ulps: ArrayLike, exact: ArrayLike = 1.0, spacing: ArrayLike = 1.0, fmt: Format = FLOAT64, **named: Any
) -> ErrorTotals:
    """Of errors in ulp, which are those without a unit too unless `error` is named; `wide` is 0 unless it is."""
    whole = np.array(ulps, np.float64)
    error, wide = (
        np.broadcast_to(named.pop(name, other), whole.shape) for name, other in (("error", whole), ("wide", 0.0))
    )
    parts = (np.broadcast_to(np.array(part, np.float64), whole.shape) for part in (exact, spacing))
    return total_up(np.array(error, np.float64), whole, *parts, np.array(wide, np.float64), fmt, **named)


def histogram(ulps: ArrayLike) -> dict[int, int]:
    """Their histogram."""
    return dict(totals(ulps).histogram)
