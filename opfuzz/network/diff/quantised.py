"""Explanation: one side is the other on uniform grids of 2^k levels, one grid a group of elements."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from opfuzz.core.floats import HALVES, FloatArray, round_to
from opfuzz.network.diff.pair import Pair

# In a group with values l + s q, q whole, the step s follows from the extremes, as quantisers choose it from them:
#     affine      s = (max - min) / (2^k - 1); where zero is put on the grid, as in MLX, one or two levels stay unused
#     symmetric   s = max |b| / (2^(k-1) - 1), or / 2^(k-1)
# It is the grid if all of (b - l) / s are whole and a is half a step away at most. An element beyond the last level,
# and scales that are rounded themselves, make that more for some: the largest may be 1.5 steps, the root mean square
# 0.45, where an even spread has 1 / sqrt(12) = 0.29 and a grid twice too fine 0.58.
BITS = (2, 3, 4, 5, 6, 8)  # the fewest levels that do are the truth: a finer grid holds a coarser one
# Of 32 values and more that lay anywhere, one is a quarter of a step away: what has none is on the grid from the start.
LARGEST, TYPICAL, LEAST = 1.5, 0.45, 0.25
# s q, up to 2 max |b|, and its sum with l are rounded: 3 u max |b| off the line through all. Where that is more than a
# quarter of a step, as in int8 saved as bfloat16, nothing can be told. Unrelated values lie on one of the five
# grids in a group with 5 * 2^-32 at most.
ROUNDINGS, WHOLE, FEWEST = 3, 0.25, 32
GROUPS = (128, 64, 32)
SAMPLE = 512  # elements that are looked at before all are


def quantised(pair: Pair) -> str | None:
    """One side is the other in k bits: per tensor, per slice of the first axis, per row, or in groups of a row."""
    for a, b, names in ((pair.a, pair.b, ("A", "B")), (pair.b, pair.a, ("B", "A"))):
        for unit in _units(b, pair.unit):
            for words, length in _groupings(a.shape):
                groups = a.reshape(-1, length), b.reshape(-1, length)
                if found := _grid(*groups, unit):
                    bits, away = found
                    return f"quantised: {names[1]} is {names[0]} in int{bits} {words}, {away:.2f} steps away at most"
    return None


def _units(b: FloatArray, unit: float) -> Iterator[float]:
    """Unit roundoffs that b may have been rounded with: that of its format, and of a narrower one that holds it."""
    yield unit
    for fmt in HALVES:
        if fmt.unit_roundoff > unit and np.array_equal(round_to(b, fmt).astype(np.float64), b):
            yield fmt.unit_roundoff


def _groupings(shape: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    """Groups of neighbours in memory, the largest first: words for them, and how many elements are in each."""
    size = math.prod(shape)
    row = shape[-1] if shape else 1
    seen = set()
    for words, length in (
        ("per tensor", size),
        (f"per slice of {size // shape[0]} of the first axis", size // shape[0]) if shape else ("", 0),
        (f"per row of {row}", row),
        *((f"in groups of {group}", group) for group in GROUPS if row % group == 0),
    ):
        if length >= FEWEST and length not in seen:
            seen.add(length)
            yield words, length


def _grid(a: FloatArray, b: FloatArray, unit: float) -> tuple[int, float] | None:
    """Bits of the grids that the groups of b [groups, length] lie on, and the largest |a - b| in steps."""
    low, high = b.min(axis=1, keepdims=True), b.max(axis=1, keepdims=True)
    few, length = slice(max(1, SAMPLE // a.shape[1])), slice(SAMPLE)
    if _is_too_fine(b[few, length], low[few], high[few], unit):
        return None
    for bits in BITS:
        if _steps_away(a[few, length], b[few, length], low[few], high[few], bits, unit) is None:
            continue
        if (away := _steps_away(a, b, low, high, bits, unit)) is not None and _distinct(a[few]) > _distinct(b[few]):
            # Two values and noise lie on any grid; a group of numbers has more than that, however few the bits.
            return (bits, away) if _distinct(b[few]) >= (bits + 1) * len(b[few]) else None
    return None


def _distinct(x: FloatArray) -> int:
    """Distinct values, summed over groups: where A has no more than B, as in a mask, nothing was quantised."""
    return int(np.count_nonzero(np.diff(np.sort(x, axis=1), axis=1))) + len(x)


def _is_too_fine(b: FloatArray, low: FloatArray, high: FloatArray, unit: float) -> bool:
    """Whether two values are nearer to each other than a step of the finest grid, and not equal but for rounding."""
    gaps = np.diff(np.sort(b, axis=1), axis=1)
    blur = 2 * ROUNDINGS * unit * np.maximum(np.abs(low), np.abs(high))
    finest = (high - low) / 2 ** max(BITS)
    return bool(((gaps > blur) & (gaps < finest - blur)).any())


def _steps_away(
    a: FloatArray, b: FloatArray, low: FloatArray, high: FloatArray, bits: int, unit: float
) -> float | None:
    """Largest difference in steps if every group of b lies on a grid of 2^bits levels near a; else None."""
    levels = 2**bits
    reach = np.maximum(np.abs(low), np.abs(high))
    away = np.full(b.shape, np.inf)  # in steps of the first grid that holds the group
    for step in (
        *((high - low) / (levels - 1 - unused) for unused in range(min(3, levels - 1))),
        *(reach / top for top in (levels // 2 - 1, levels // 2)),
    ):
        step = np.where(step > 0, step, np.maximum(reach, np.finfo(np.float64).tiny))  # a group of one value
        place = np.rint((b - low) / step)
        blur = ROUNDINGS * unit * reach
        whole = np.abs(b - _fitted(place, b)) <= blur
        steps = np.abs(a - b) / step
        holds = whole.all(axis=1) & (steps.max(axis=1) <= LARGEST) & (blur <= WHOLE * step)[:, 0]
        holds &= (place.max(axis=1) < levels) & np.isinf(away[:, 0])
        away[holds] = steps[holds]
        if not np.isinf(away[:, 0]).any():
            break
    else:
        return None
    if np.sqrt(np.mean(away**2)) > TYPICAL or away.max() < LEAST:
        return None
    return float(away.max())


def _fitted(place: FloatArray, b: FloatArray) -> FloatArray:
    """The straight line through b over its places, group by group: the extremes are rounded, all values less so."""
    centred = place - place.mean(axis=1, keepdims=True)
    mean = b.mean(axis=1, keepdims=True)
    square = np.sum(centred**2, axis=1, keepdims=True)
    slope = np.sum(centred * (b - mean), axis=1, keepdims=True) / np.where(square > 0, square, 1.0)
    return np.asarray(mean + slope * centred)
