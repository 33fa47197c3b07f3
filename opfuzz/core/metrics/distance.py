"""How far two subjects are from each other, whoever is right."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import format_of_both, to_bits


@cache
def _kernels() -> Any:
    return importlib.import_module("opfuzz.core.kernels")


def are_equal(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether all numbers of two arrays of one shape are the same; NaN is none."""
    return bool(_kernels().are_equal(a.ravel(), b.ravel()))


def largest_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Largest ulp distance over elements where both are normal numbers; 0 where there are none.

    Raises ValueError if the formats differ.
    """
    fmt = format_of_both(a, b)
    kind = f"i{fmt.bits_dtype.itemsize}"
    first, second = (to_bits(each).view(kind).astype(np.int64).ravel() for each in (a, b))
    return float(_kernels().distance(first, second, (1 << (fmt.bits - 1)) - 1, fmt.normals.start, fmt.normals.stop))
