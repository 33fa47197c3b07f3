"""Between which numbers a gradient may lie where more than one value is right, as at a tie of two arguments."""

from __future__ import annotations

import math

import numpy as np

from opfuzz.core.floats import FloatArray
from opfuzz.oracle.exact import settle
from opfuzz.oracle.graph import Node
from opfuzz.oracle.truth import FINEST, Truth

NEAR = 2.0**-20  # of its radius: by less than this Arb's balls are too wide
DIGITS = 7  # of the larger end, where the ends themselves are not found


# Where one argument ties, the ends are what its two sides give. Of a sum of several ties they are those of no one
# choice: then they are the ends of the ball, which all of it is judged by.


def ends_at(root: Node, truth: Truth, place: tuple[int, ...]) -> tuple[float, float] | None:
    """The least and the largest right value of an element of `root`; None where one value is right.

    Each is the float64 nearest to it, or has `DIGITS` digits of the larger one.
    """
    if truth.ranges is None or not truth.ranges[place]:
        return None
    middle, radius = float(truth.hi[place]) + float(truth.lo[place]), float(truth.radius[place])
    flat = np.array([np.ravel_multi_index(place, root.shape) if place else 0])
    found = [float(settle(root, flat, _finest, side).hi[0]) for side in (-1, 1)]
    low, high = min(found), max(found)
    if abs(low - (middle - radius)) <= NEAR * radius and abs(middle + radius - high) <= NEAR * radius:
        return low, high
    low, high = middle - radius, middle + radius
    digits = DIGITS - 1 - math.floor(math.log10(max(abs(low), abs(high))))
    return round(low, digits), round(high, digits)


def _finest(values: FloatArray) -> FloatArray:
    """The radius with which a value is known as well as float64 holds it."""
    with np.errstate(invalid="ignore"):
        return np.maximum(np.abs(values) * 2.0**-54, FINEST)
