"""Explanations that hold for a part: complex values and their halves, most of the elements, one edge."""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.network.diff.pair import Pair

# A factor "nearly everywhere" holds for nine of ten elements, among at least so many that are not near zero: elements
# below a twentieth of the root mean square agree with any factor.
MOST, FEWEST, SMALL = 0.9, 64, 0.05
# A difference is confined to an edge if it is so many times what it is elsewhere: noise spreads by a factor of ten.
CONTRAST, ENOUGH, HALF = 100, 8, 0.5


def complex_related(pair: Pair) -> str | None:
    """B is A conjugated, with real and imaginary parts exchanged, or turned by one angle.

    Of complex tensors, and of real ones with an axis of two; B and its parts must be neither zero nor A's.
    """
    for axis, words in _complex_axes(pair):
        a, b = _complex(pair.a, axis), _complex(pair.b, axis)
        if not (a.real.any() and a.imag.any()):
            continue
        for name, x in (("", a), ("conjugate", np.conj(a))):
            factor = complex(np.vdot(x, b)) / float(np.vdot(x, x).real)
            if not factor or not pair.explained_by(_real(factor * x, axis), pair.b):
                continue
            return _complex_words(factor, bool(name), pair.allowed, words)
    return None


def _complex_axes(pair: Pair) -> Iterator[tuple[int, str]]:
    last = pair.a.ndim - 1
    if pair.is_complex:
        yield last, ""
        return
    for axis, length in enumerate(pair.a.shape):
        if length == 2:
            yield axis, f", if axis {axis} holds real and imaginary parts"


def _complex(x: FloatArray, axis: int) -> NDArray[np.complex128]:
    return np.asarray(np.take(x, 0, axis) + 1j * np.take(x, 1, axis))


def _real(z: NDArray[np.complex128], axis: int) -> FloatArray:
    return np.stack((z.real, z.imag), axis)


def _complex_words(factor: complex, is_conjugate: bool, allowed: float, condition: str) -> str | None:
    """Words for B = factor A, or factor conj(A); None where it is a real factor of A, which is said elsewhere."""
    size, angle = abs(factor), cmath.phase(factor)
    near = max(math.sqrt(allowed), 1e-6)
    by = "" if abs(size - 1) <= near else f" and scaled by {size:.6g}"
    if is_conjugate:
        if abs(angle) <= near:
            return f"conjugate: B is the complex conjugate of A{by}{condition}"
        if abs(angle - math.pi / 2) <= near:
            if condition and not by:
                return None  # backwards along an axis of two, which is said elsewhere
            return f"exchanged: B is A with real and imaginary parts exchanged{by}{condition}"
        return f"conjugate: B is the complex conjugate of A, turned by {math.degrees(angle):.6g} degrees{by}{condition}"
    if min(abs(angle), math.pi - abs(angle)) <= near:
        return None
    return f"turned: B is A with every complex value turned by {math.degrees(angle):.6g} degrees{by}{condition}"


def absolute(pair: Pair) -> str | None:
    """One side is the absolute value of the other."""
    for a, b, names in ((pair.a, pair.b, ("A", "B")), (pair.b, pair.a, ("B", "A"))):
        if not _may_have_sizes_of(a, b, pair):
            continue
        last = a.ndim - 1
        size = _real(np.abs(_complex(a, last)) + 0j, last) if pair.is_complex else np.abs(a)
        if pair.explained_by(size, b):
            return f"absolute: {names[1]} is the absolute value of {names[0]}"
    return None


def _may_have_sizes_of(a: FloatArray, b: FloatArray, pair: Pair) -> bool:
    """Whether the sizes of all elements have one mean, which signs and phases do not change: most pairs end here."""
    means = [float(np.mean(np.abs(_complex(x, x.ndim - 1)) if pair.is_complex else np.abs(x))) for x in (a, b)]
    return abs(means[0] - means[1]) <= pair.allowed * float(np.abs(a).max())


def half_negated(pair: Pair) -> str | None:
    """B is A with the second half of one axis, or every second place of it, negated: a conjugate stored in parts."""
    if pair.is_complex or not _may_have_sizes_of(pair.a, pair.b, pair):
        return None
    for axis, length in enumerate(pair.a.shape):
        if length % 2 or length < 4:
            continue
        a = np.moveaxis(pair.a, axis, 0)
        for part, words in (
            (slice(length // 2, None), "second half"),
            (slice(length // 2), "first half"),
            (slice(1, None, 2), "odd places"),
            (slice(None, None, 2), "even places"),
        ):
            if not a[part].any():
                continue
            predicted = a.copy()
            predicted[part] *= -1
            if pair.explained_by(np.moveaxis(predicted, 0, axis), pair.b):
                return f"negated in part: B is A with the {words} of axis {axis} negated, as a conjugate in parts has"
    return None


def mostly_scaled(pair: Pair) -> str | None:
    """B is a constant times A in nearly all elements, and something else in the others."""
    scale = float(np.sqrt(np.mean(pair.a**2)))
    counted = np.abs(pair.a) > SMALL * scale
    count = int(counted.sum())
    if count < FEWEST:
        return None
    factor = float(np.median(pair.b[counted] / pair.a[counted]))
    if not math.isfinite(factor) or abs(factor - 1) <= CONTRAST * pair.allowed or factor == 0:
        return None
    wrong = np.abs(pair.b - factor * pair.a) > pair.allowed * max(1.0, abs(factor)) * scale
    share = 1 - int((wrong & counted).sum()) / count
    # Where both are whole numbers of few kinds, or B is constant, many ratios agree by themselves.
    if share < MOST or not wrong.any() or len(np.unique(pair.a[counted][:FEWEST])) < FEWEST // 2:
        return None
    first = [int(i) for i in np.argwhere(wrong)[0]]
    return (
        f"scaled nearly everywhere: B is {factor:.6g} times A but in {int(wrong.sum())} of {wrong.size} elements, "
        f"first at {first}"
    )


def confined(pair: Pair) -> str | None:
    """B is A but for rounding, save at one end of one axis."""
    difference = np.abs(pair.b - pair.a)
    margin = pair.allowed * float(np.abs(pair.a).max())
    for axis, length in enumerate(pair.a.shape):
        if length < 2:
            continue
        along = difference.max(axis=tuple(i for i in range(pair.a.ndim) if i != axis))
        wrong = np.flatnonzero(along > margin)
        if not wrong.size or wrong.size > length / 2:
            continue
        rest = np.delete(along, wrong)
        slices = pair.a.size // length
        if min(wrong.size, rest.size) * slices < ENOUGH or along[wrong].min() < CONTRAST * rest.max():
            continue
        if np.mean(np.take(difference, wrong, axis) > margin) < HALF:
            continue  # single elements, which are there by chance
        for end, places in (("first", range(wrong.size)), ("last", range(length - wrong.size, length))):
            if np.array_equal(wrong, places):
                few = f"{end} {wrong.size} of {length} places" if wrong.size > 1 else f"{end} of {length} places"
                return f"at one end: B is A but for rounding, save at the {few} along axis {axis}"
    return None
