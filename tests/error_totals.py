"""What some errors add up to, with everything that a test does not speak of left at what changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from opfuzz.core.floats import FLOAT64, Format
from opfuzz.core.metrics.totals import ErrorTotals, total_up


def totals(
    errors: ArrayLike, exact: ArrayLike = 1.0, spacing: ArrayLike = 1.0, fmt: Format = FLOAT64, **named: Any
) -> ErrorTotals:
    """Of errors, in ulp unless another `spacing` is given; `wide` is 0 unless it is named."""
    whole = np.array(errors, np.float64)
    parts = (
        np.broadcast_to(np.array(part, np.float64), whole.shape) for part in (exact, spacing, named.pop("wide", 0))
    )
    return total_up(whole, *parts, fmt, **named)


def histogram(ulps: ArrayLike) -> dict[int, int]:
    """Their histogram."""
    return dict(totals(ulps).histogram)
