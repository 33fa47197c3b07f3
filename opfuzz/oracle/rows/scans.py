"""Rules of balls for running results: the largest so far, and the logarithm of a running sum of exponentials."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.graph import Node
from opfuzz.oracle.models import U64, Arithmetic, Radius, RadiusOf, added

_FAR = 750.0  # exp(-750) is 0 in float64
_SLACK = 2.0**-20  # relative: what shares may be off by, because they are computed in float64


def cummax(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    axis = node.detail
    mid = np.maximum.accumulate(args[0], axis=axis)

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        r = radii[0]
        return None if r is None else np.maximum.accumulate(np.broadcast_to(r, mid.shape), axis=axis)

    return mid, radius, None


def running(x: NDArray[Any], axis: int) -> NDArray[Any]:
    """log(cumsum(exp(x))) in the dtype of x, each result rounded; infinities and NaN as IEEE arithmetic has them.

    In a half format each step of m + log1p(exp(-d)) is rounded, as one that keeps no wider number does.
    """
    if x.dtype.itemsize > 2:
        return np.asarray(np.logaddexp.accumulate(x, axis=axis, dtype=x.dtype))
    rows, found = np.moveaxis(x, axis, 0), np.moveaxis(np.empty_like(x), axis, 0)
    found[:1] = rows[:1]
    for i in range(1, len(rows)):
        largest, least = np.maximum(found[i - 1], rows[i]), np.minimum(found[i - 1], rows[i])
        gain = np.log1p(np.exp(least - largest))
        found[i] = np.where(np.isfinite(largest), largest + gain, np.logaddexp(largest, least))
    return np.moveaxis(found, 0, axis)


# r_i = log(e^(r_{i-1}) + e^(x_i)) = m + log1p(e^-d), with m the larger of the two, d their distance, and the logarithm,
# here `gain`, between 0 and log 2. The sum rounds by u abs(r_i). What d, exp and log1p err by relatively comes into the
# gain with a factor of at most d, 1 and 1. What r_j was off by comes into r_i with the factor e^(r_j - r_i), its share
# of the sum, and so does what an argument is off by, with its own share.


def logcumsumexp(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    axis = node.detail
    x = args[0]
    mid = running(x, axis)
    is_number = np.isfinite(mid)
    size = np.where(is_number, np.abs(mid), 0.0)
    is_first = np.arange(node.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)]) == 0

    def shared(parts: FloatArray, places: FloatArray, power: int) -> FloatArray:
        """The sum of parts^power, each with its share e^(places - mid) to that power, over a place and all before."""
        logs = running(power * (places + np.log(parts)), axis)
        return np.where(is_number, np.exp(logs - power * mid), 0.0)

    def lost(model: Arithmetic) -> FloatArray:
        """What one step loses of its own."""
        if model.is_truth:
            return U64 * (2 * size + 2 + 4 * ELEMENTARY["log1p"].tested)
        before = np.roll(mid, 1, axis)
        gap = np.minimum(np.abs(before - x), _FAR)
        gain = mid - np.maximum(before, x)
        elementary = 2 * min(model.elementary or 0.0, 4 * model.in_sums)  # where sums are wide, all inside is
        return model.in_sums * size + np.where(np.isfinite(gain), (elementary + model.in_sums * (1 + gap)) * gain, 0.0)

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        rounding: Radius = None
        if model.roundoff:
            own = np.where(is_first | ~is_number, 0.0, lost(model))
            # Shares of huge results are not known.
            alone = np.maximum(np.sqrt(shared(own, mid, 2)), own) if model.independent else np.cumsum(own, axis)
            rounding = alone if model.sums is None else alone + model.roundoff * size
        if radii[0] is None:
            return rounding
        r = np.broadcast_to(radii[0], mid.shape)
        inherited = np.maximum.accumulate(r, axis=axis)  # nothing moves by more than one of its arguments does
        if (
            node.shape[axis] * 4 * U64 * (_FAR + max(np.abs(a[np.isfinite(a)]).max(initial=0.0) for a in (x, mid)))
            < _SLACK
        ):
            near = np.sqrt(shared(r, x, 2)) if model.quadrature else shared(np.expm1(np.minimum(r, 600.0)), x, 1)
            inherited = np.minimum(inherited, near * (1 + _SLACK))
        return added(inherited, rounding)

    return mid, radius, None
