"""How far two subjects are from each other, whoever is right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.floats import format_of, ulp_distance


def largest_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Largest ulp distance over elements where both are normal numbers; 0 where there are none."""
    fmt = format_of(a)
    first, second = np.abs(a.astype(np.float64)), np.abs(b.astype(np.float64))
    normal = (first >= fmt.smallest_normal) & (second >= fmt.smallest_normal) & np.isfinite(first) & np.isfinite(second)
    return float(ulp_distance(a, b)[normal].max(initial=0.0))
