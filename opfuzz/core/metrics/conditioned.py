"""Errors in units of what is unavoidable: one rounding of the inputs, or the roundings of honest arithmetic."""

from __future__ import annotations

from math import log2

import numpy as np

from opfuzz.core.floats import FloatArray, Format

# conditioned = error / (ulp/2 + radius), the radius of one rounding of the inputs
# excess      = error / (ulp/2 + allowance), the radius of one model of arithmetic


def room(spacing: FloatArray, radius: FloatArray) -> FloatArray:
    """spacing/2 + radius: the unit of such an error."""
    # Half of the smallest float64 is 0, and 0/0 is no excess.
    return np.asarray(np.maximum(spacing / 2, 2.0**-1074) + radius)


def relative_to(error: FloatArray, spacing: FloatArray, radius: FloatArray) -> FloatArray:
    """error / (spacing/2 + radius); 0 where the radius is infinite."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(error / room(spacing, radius))


def effective_bits(conditioned: float, fmt: Format) -> float:
    """p - log2(max(1, conditioned error)), not below 0."""
    return max(0.0, fmt.precision - log2(max(1.0, conditioned)))
