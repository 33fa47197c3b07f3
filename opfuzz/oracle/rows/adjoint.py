"""Rules of balls for what gradients alone are made of: products with slopes, choices at kinks, what was kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.oracle.graph import STATISTIC, Node
from opfuzz.oracle.models import TINY, Arithmetic, Radius, RadiusOf, Rounding, added, full, times

Mask = NDArray[np.bool_]


def scaled_value(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """The product of adjoint and slope, zero where the adjoint is."""
    return np.asarray(np.where(a == 0, a.dtype.type(0), a * b))


def is_certain_zero(a: FloatArray, r: Radius) -> Mask:
    """Where an adjoint is exactly zero."""
    return np.asarray(a == 0 if r is None else (a == 0) & (r == 0))


def is_undecided(args: list[FloatArray], radii: list[Radius]) -> Mask:
    """Where a factor that may be zero stands beside one that is no number."""
    may_be = [value == 0 if r is None else np.abs(value) <= r for value, r in zip(args, radii, strict=True)]
    return np.asarray((may_be[0] & ~np.isfinite(args[1])) | (may_be[1] & ~np.isfinite(args[0])))


def scaled(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    a, b = args
    mid = scaled_value(a, b)
    result = Rounding(mid)

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        ra, rb = radii
        both = ra * rb if ra is not None and rb is not None else None
        made = full(added(times(b, ra), times(a, rb), both, result.of(model)), mid)
        if made is None:
            return None
        is_zero = is_certain_zero(a, ra)
        # NaN comes of zeros and infinities: of such a product nothing is known. A zero that a slope makes is not exact:
        # it does not stay one beside an infinite slope.
        made = np.where((b == 0) & ~is_zero, np.maximum(made, TINY), made) if model.is_truth else made
        return np.where(is_zero, 0.0, np.where(np.isnan(made) & np.isfinite(mid), np.inf, made))

    return mid, radius, None


def step(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    a, b, below, above = args
    mid = np.asarray(side_taken(a, b, below, above))
    # Elsewhere as well, where it is not certain which of the two is larger, all between both may be right.
    gap = np.maximum(np.abs(below - mid), np.abs(above - mid))
    is_unlike = np.isnan(a) | np.isnan(b) | np.isnan(gap)

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        ra, rb, low, high = (0.0 if r is None else r for r in radii)
        is_open = ~(np.abs(a - b) > ra + rb)  # also where one is no number, or both are the same infinity
        if not np.any(is_open) and radii[2] is None and radii[3] is None:
            return None
        chosen = np.where(a < b, low, high)
        if not model.is_truth:
            # The truth has the range at an exact tie; what is granted beyond its ends is what either side errs by.
            # Inputs that were rounded once are no other ones at a tie.
            is_tie = (a == b) & ((ra + rb == 0) | bool(model.inputs))
            is_open, chosen = is_open & ~is_tie, np.where(is_tie, np.maximum(low, high), chosen)
        made = np.where(is_open, np.where(is_unlike, np.inf, gap + np.maximum(low, high)), chosen)
        return np.broadcast_to(made, mid.shape)

    return mid, radius, None


def side_taken(a: NDArray[Any], b: NDArray[Any], below: NDArray[Any], above: NDArray[Any]) -> NDArray[Any]:
    """One of the two; at a tie the mean of both."""
    half = below.dtype.type(0.5)
    return np.asarray(np.where(a < b, below, np.where(a > b, above, half * below + half * above)))


def tied_value(node: Node, x: NDArray[Any], g: NDArray[Any]) -> NDArray[Any]:
    """The adjoint at the extreme element of each row, in equal parts at several."""
    kind, axes = node.detail
    reduce = np.maximum.reduce if kind == "max" else np.minimum.reduce
    is_extreme = x == reduce(x, axis=axes, keepdims=True)
    count = np.maximum(is_extreme.sum(axis=axes, keepdims=True), 1).astype(g.dtype)
    return np.asarray(np.where(is_extreme, g / count, g.dtype.type(0)))


def tied(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    kind, axes = node.detail
    x, g = args
    mid = tied_value(node, x, g)
    sign = 1.0 if kind == "max" else -1.0

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        r = np.zeros(()) if radii[0] is None else radii[0]
        own = np.zeros(()) if radii[1] is None else radii[1]
        least = np.maximum.reduce(sign * x - r, axis=axes, keepdims=True)
        is_open = ~(sign * x + r < least)
        is_alone = is_open.sum(axis=axes, keepdims=True) == 1
        gap = np.maximum(np.abs(mid), np.abs(g - mid)) + own
        is_known = is_alone & (mid == g)
        if not model.is_truth:  # as for a step
            is_known = is_known | ((mid != 0) & ((r == 0) | bool(model.inputs)))
        made = np.where(is_open, np.where(is_known, own, np.where(np.isnan(gap), np.inf, gap)), 0.0)
        return np.broadcast_to(made, mid.shape)

    return mid, radius, None


def saved(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    size = np.abs(args[0])

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        is_rounded = model.saved and node.detail != STATISTIC
        return added(radii[0], np.asarray(size * model.saved)) if is_rounded else radii[0]

    return args[0], radius, None


def unknown(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    return np.asarray(np.nan), lambda radii, model: np.asarray(np.inf), None
