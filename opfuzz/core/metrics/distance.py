"""How far two subjects are from each other, whoever is right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import format_of_both, ordinal_distance, ordinals, to_bits


def largest_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Largest ulp distance over elements where both are normal numbers; 0 where there are none.

    Raises ValueError if the formats differ.
    """
    fmt = format_of_both(a, b)
    differ = to_bits(a) != to_bits(b)
    if not differ.any():
        return 0.0
    first, second = ordinals(a[differ]), ordinals(b[differ])
    sizes = np.abs(first), np.abs(second)
    normal = (np.minimum(*sizes) >= fmt.normals.start) & (np.maximum(*sizes) < fmt.normals.stop)
    return float(ordinal_distance(first, second, fmt)[normal].max(initial=0.0))
