"""What the difference of two tensors is: one small function an explanation, each a sentence with its figures or None.

A is the first file's tensor, B the second's. A sentence says only what holds for every element but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from opfuzz.core.floats import BFLOAT16, FLOAT16, FloatArray, Format, round_to
from opfuzz.network.diff.groupings import regrouped, turned
from opfuzz.network.diff.orders import LEVELS, MOST_ELEMENTS, flipped, reordered, shifted, transposed
from opfuzz.network.diff.pair import Pair
from opfuzz.network.diff.parts import absolute, complex_related, confined, half_negated, mostly_scaled
from opfuzz.network.diff.quantised import quantised

Explanation = Callable[[Pair], str | None]

# A float32 whose significand is cut to that of float16.
TF32 = Format("TF32", 19, 11, 127)
_SAMPLE = 256  # elements that are looked at before all are


def constant(pair: Pair) -> str | None:
    """One side is the same everywhere, or both are."""
    in_a, in_b = (float(np.ptp(side)) == 0 for side in (pair.a, pair.b))
    a, b = float(pair.a.flat[0]), float(pair.b.flat[0])
    if in_a and in_b:
        return f"constant: A is {a:.6g} everywhere, B is {b:.6g} everywhere"
    if in_a or in_b:
        return f"constant: {'A' if in_a else 'B'} is {a if in_a else b:.6g} everywhere, {'B' if in_a else 'A'} is not"
    return None


def negated(pair: Pair) -> str | None:
    """B = -A."""
    return "negated: B is -A" if pair.explained_by(-pair.a, pair.b) else None


def rounded(pair: Pair) -> str | None:
    """One side is the other rounded to a narrower format; single elements may be one ulp of it away."""
    for a, b, names in ((pair.a, pair.b, ("A", "B")), (pair.b, pair.a, ("B", "A"))):
        found = [(fmt, off) for fmt in (BFLOAT16, FLOAT16, TF32) if (off := _off_by_one(a, b, fmt)) is not None]
        if found:
            formats = " or ".join(fmt.name for fmt, _ in found)
            off = min(count for _, count in found)
            tail = f", but {off} of {a.size} elements by 1 ulp more" if off else ""
            return f"rounded: {names[1]} is {names[0]} rounded to {formats}{tail}"
    return None


def _off_by_one(a: FloatArray, b: FloatArray, fmt: Format) -> int | None:
    """How many elements of b are the neighbour of a rounded to `fmt`; None unless the rest are just that."""
    if not all(np.array_equal(_narrowed(part, fmt), part) for part in (b.flat[:_SAMPLE], b)):
        return None
    if len(np.unique(b.flat[:_SAMPLE])) < LEVELS:
        return None  # a mask with noise, say
    near = _narrowed(a, fmt)
    exact = near == a
    if exact.all() or not np.array_equal(near[exact], b[exact]):
        return None
    exponent = np.where(near == 0, fmt.emin, np.maximum(np.frexp(near)[1] - 1, fmt.emin))
    if (np.abs(near - b) > np.ldexp(1.0, exponent - fmt.precision + 1)).any():
        return None
    return int(np.count_nonzero(near != b))


def _narrowed(x: FloatArray, fmt: Format) -> FloatArray:
    if fmt is not TF32:
        return round_to(x, fmt).astype(np.float64)
    fraction, exponent = np.frexp(x)
    return np.asarray(np.ldexp(np.rint(np.ldexp(fraction, fmt.precision)), exponent - fmt.precision))


def clipped(pair: Pair) -> str | None:
    """One side is the other with what lies beyond a limit brought back to it."""
    for a, b, names in ((pair.a, pair.b, ("A", "B")), (pair.b, pair.a, ("B", "A"))):
        low, high = float(b.min()), float(b.max())
        below, above = int(np.count_nonzero(a < low)), int(np.count_nonzero(a > high))
        # One element that differs and happens to be the largest is no limit.
        if 1 in (below, above) or not below + above or not pair.explained_by(np.clip(a, low, high), b):
            continue
        cuts = [f"{below} elements below {low:.6g}"] * bool(below) + [f"{above} above {high:.6g}"] * bool(above)
        return f"clipped: {names[1]} is {names[0]} with {' and '.join(cuts)} brought back to it"
    return None


def scaled(pair: Pair) -> str | None:
    """B = s A, by least squares."""
    if np.count_nonzero(pair.a) < 4:
        return None
    factor = float(np.vdot(pair.a, pair.b)) / float(np.vdot(pair.a, pair.a))
    return f"scaled: B is {factor:.8g} times A" if pair.explained_by(factor * pair.a, pair.b) else None


def offset(pair: Pair) -> str | None:
    """B = A + c."""
    if pair.a.size < 4:
        return None
    shift = float(np.mean(pair.b - pair.a))
    return f"offset: B is A {shift:+.6g}" if pair.explained_by(pair.a + shift, pair.b) else None


def scaled_and_offset(pair: Pair) -> str | None:
    """B = s A + c, by least squares."""
    if pair.a.size < 8:
        return None
    mean = float(pair.a.mean())
    centred = pair.a - mean
    factor = float(np.vdot(centred, pair.b)) / float(np.vdot(centred, centred))
    shift = float(pair.b.mean()) - factor * mean
    if not pair.explained_by(factor * pair.a + shift, pair.b):
        return None
    return f"scaled and offset: B is {factor:.8g} times A {shift:+.8g}"


# Unrelated values of n elements correlate by about 1 / sqrt(n), and so do neighbours among independent ones. 1.95 is
# the limit of Kolmogorov and Smirnov for two samples that differ once in a thousand times.
_SIGMAS, _FEWEST, _SMIRNOV = 5.0, 1000, 1.95


def unrelated(pair: Pair) -> str | None:
    """Two draws of one distribution: no correlation, no pattern along any axis of either, values spread alike."""
    figures = pair.drift
    if figures is None or figures.elements < _FEWEST or not figures.std_a or not figures.std_b:
        return None
    limit = _SIGMAS / math.sqrt(figures.elements)
    if abs(figures.corr) > limit or not (_is_drawn(pair.a) and _is_drawn(pair.b)) or not _has_one_distribution(pair):
        return None
    # What is computed may come out so in many ways; what is given can only have been drawn again.
    cause = ": another random generator or seed, not drift" if pair.is_given else ""
    return (
        f"unrelated: correlation {figures.corr:.2g}, where independent values stay within {limit:.2g}, and one "
        f"distribution (spread {figures.std_a:.4g} and {figures.std_b:.4g}){cause}"
    )


def _has_one_distribution(pair: Pair) -> bool:
    """Whether the largest distance of the two distribution functions is what two samples have by chance."""
    a, b = np.sort(pair.a, axis=None), np.sort(pair.b, axis=None)
    both = np.concatenate((a, b))
    gap = np.abs(np.searchsorted(a, both, "right") - np.searchsorted(b, both, "right")).max() / a.size
    return bool(gap <= _SMIRNOV * math.sqrt(2 / a.size))


def _is_drawn(x: FloatArray) -> bool:
    """Whether elements may be independent: neighbours along each axis do not correlate, nor do its means differ."""
    x = (x - x.mean()) / x.std()
    for axis, length in enumerate(x.shape):
        if length < 2:
            continue
        along = np.moveaxis(x, axis, 0).reshape(length, -1)
        neighbours = float(np.mean(along[1:] * along[:-1]))
        if abs(neighbours) > _SIGMAS / math.sqrt(along[1:].size):
            return False
        # Of n independent values the mean has a variance of 1 / n, and that of L such means a spread of sqrt(2 / L).
        means = float(np.mean(along.mean(axis=1) ** 2)) * along.shape[1]
        if length > 1 < along.shape[1] and abs(means - (1 - 1 / length)) > _SIGMAS * math.sqrt(2 / length):
            return False
    return True


# In the order in which they are tried: what is simplest, and what excludes more, first.
EXPLANATIONS: tuple[Explanation, ...] = (
    constant,
    negated,
    absolute,
    complex_related,
    half_negated,
    transposed,
    flipped,
    shifted,
    regrouped,
    reordered,
    turned,
    rounded,
    quantised,
    clipped,
    scaled,
    offset,
    scaled_and_offset,
    mostly_scaled,
    confined,
    unrelated,
)
NOTHING = "no explanation found"


def explain(pair: Pair) -> str:
    """The first explanation that holds, or `no explanation found`. A and B must differ."""
    with np.errstate(over="ignore", invalid="ignore"):
        for explanation in EXPLANATIONS:
            if sentence := explanation(pair):
                return sentence
    return NOTHING if pair.a.size <= MOST_ELEMENTS else f"{NOTHING}; other orders of so many elements are not tried"
