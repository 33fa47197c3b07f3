"""Explanations that move elements: transposed, flipped, shifted, scrambled, in another order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.network.diff.pair import Pair, allowed, as_real, is_rounding, unit_of
from opfuzz.network.rearrange import Rearrangement, rearrangements

# Orders are looked for in up to so many elements: a sort of them takes 2 s, a Fourier transform 256 MB.
MOST_ELEMENTS = 2**24
LEVELS = 8  # values that a tensor must have for their order, or their rounding, to say something


def transposed(pair: Pair) -> str | None:
    """B is A with its axes in another order, or A's memory read as if they were; for axes of any lengths."""
    way = _other_way(pair)
    return way.describe() if way else None


def exchanged_axes(pair: Pair) -> Rearrangement | None:
    """The order of axes in which B is A, where the lengths are equal and so do not show it."""
    if pair.mismatch or not pair.layout.is_identity:
        return None
    way = _other_way(pair)
    return None if way is None or way.is_scrambled else way


def _other_way(pair: Pair) -> Rearrangement | None:
    if pair.a.ndim < 2 or not _may_be_reordered(pair):
        return None
    ways = [way for way in rearrangements(pair.a.shape, pair.b.shape) if not way.is_identity]
    ordered = sorted(ways, key=lambda way: way.is_scrambled)
    return next((way for way in ordered if pair.explained_by(way.apply(pair.a), pair.b)), None)


def flipped(pair: Pair) -> str | None:
    """B is A backwards along one axis."""
    if not _may_be_reordered(pair):
        return None
    for axis in range(pair.a.ndim):
        if pair.explained_by(np.flip(pair.a, axis), pair.b):
            return f"flipped: B is A backwards along axis {axis}"
    return None


def shifted(pair: Pair) -> str | None:
    """B is A moved by some steps along one axis; what comes in at the edge may be anything."""
    if pair.a.size > MOST_ELEMENTS:
        return None
    for axis, length in enumerate(pair.a.shape):
        if length < 3:
            continue
        a, b = np.moveaxis(pair.a, axis, -1), np.moveaxis(pair.b, axis, -1)
        step = _best_step(a.reshape(-1, length), b.reshape(-1, length))
        kept_a, kept_b = (a[..., :-step], b[..., step:]) if step > 0 else (a[..., -step:], b[..., :step])
        # What is kept must say something: a few elements, or a plateau of A, agree with anything.
        if kept_a.size < 8 or kept_a.std() < pair.a.std() / 3 or not pair.explained_by(kept_a, kept_b):
            continue
        where = "later" if step > 0 else "earlier"
        if pair.explained_by(np.roll(pair.a, step, axis), pair.b):
            return (
                f"rolled: B is A {abs(step)} {where} along axis {axis}, and what leaves at one end enters at the other"
            )
        return f"shifted: B is A {abs(step)} {where} along axis {axis}; {abs(step)} of {length} at the edge are new"
    return None


def reordered(pair: Pair) -> str | None:
    """B has A's values in an order that is none of the above."""
    if not _may_be_reordered(pair) or len(np.unique(pair.a)) < LEVELS:
        return None
    return f"reordered: B has the {pair.a.size} values of A in another order"


def _may_be_reordered(pair: Pair) -> bool:
    return pair.a.size <= MOST_ELEMENTS and pair.has_same_values


def _best_step(a: FloatArray, b: FloatArray) -> int:
    """The k in 1 - n/2 .. n/2 - 1, not 0, with the least relative squared difference of a[:, :-k] and b[:, k:].

    sum (a - b)^2 = sum a^2 + sum b^2 - 2 sum a b over what overlaps: the first two are cumulative sums, the last a
    correlation by Fourier transform.
    """
    length = a.shape[1]
    from scipy import fft  # not with the module, which the command line imports

    size = fft.next_fast_len(2 * length, real=True)
    mean = a.mean()
    a, b = a - mean, b - mean  # digits are lost to a large mean
    spectrum = np.sum(np.conj(fft.rfft(a, size)) * fft.rfft(b, size), axis=0)
    products = fft.irfft(spectrum, size)  # at k: sum over t of a[t] b[t + k]
    steps = np.array([k for k in range(-((length - 1) // 2), (length - 1) // 2 + 1) if k])
    heads_a, heads_b = (np.concatenate(([0.0], np.cumsum(np.sum(x**2, axis=0)))) for x in (a, b))
    back, ahead = np.maximum(steps, 0), np.maximum(-steps, 0)
    energy = heads_a[length - back] - heads_a[ahead] + heads_b[length - ahead] - heads_b[back]
    difference = np.maximum(energy - 2 * products[steps % size], 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = difference / energy
    relative[~np.isfinite(relative)] = np.inf  # nothing overlaps but the mean, or squares overflow
    # Of steps that are as good as each other, as in a periodic signal, the smallest.
    good = steps[relative <= relative.min() + 1e-12]
    return int(good[np.argmin(np.abs(good))])


def cropped(a: NDArray[Any], b: NDArray[Any]) -> str | None:
    """One side is the other without its head or tail along one axis, but for rounding."""
    for long, short, names in ((a, b, ("A", "B")), (b, a, ("B", "A"))):
        axes = [axis for axis, (n, m) in enumerate(zip(long.shape, short.shape, strict=False)) if n != m]
        if long.ndim != short.ndim or len(axes) != 1 or not short.size or long.size <= short.size:
            continue
        axis = axes[0]
        extra = long.shape[axis] - short.shape[axis]
        for end, at in (("last", 0), ("first", extra)):
            kept = np.take(long, range(at, at + short.shape[axis]), axis)
            if _is_same(kept, short):
                return f"cropped: {names[1]} is {names[0]} without the {end} {extra} along axis {axis}"
    return None


def _is_same(kept: NDArray[Any], short: NDArray[Any]) -> bool:
    x, y = as_real(kept), as_real(short)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return bool(np.array_equal(kept, short, equal_nan=kept.dtype.kind in "fc"))
    # Beside a large mean, or of a constant, rounding hides any values at all.
    is_near = is_rounding(x, y, allowed(max(unit_of(kept), unit_of(short))))
    return bool(np.array_equal(x, y)) or (is_near and float(np.abs(x - y).max()) <= float(y.std()) / 100)
