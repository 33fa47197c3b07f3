"""Explanations that take an axis apart: heads and positions exchanged, pairs as neighbours or as halves, RoPE."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.network.diff.pair import Pair, is_rounding, root_mean_square

MOST_ELEMENTS = 2**22  # ways of regrouping are some dozens, each one pass
PROBE = 256  # elements that are looked at before all are
Complex = NDArray[np.complex128]

TURNED = 20  # times as much must a pair move as its length changes
BASES = (10_000.0, 500_000.0, 1_000_000.0)  # of RoPE's wave lengths, in the models that there are


def regrouped(pair: Pair) -> str | None:
    """B has A's values, with a part of one axis in another place."""
    if pair.a.size > MOST_ELEMENTS or not pair.has_same_values:
        return None
    ways = ((pair.a, pair.b, ("A", "B")), (pair.b, pair.a, ("B", "A")))
    for views in (_pairings, _heads):
        for a, b, names in ways:
            margin = pair.allowed * float(np.abs(a).max())
            for words, view in views(a, *names):
                if np.abs(view.flat[:PROBE] - b.flat[:PROBE]).max() > margin:
                    continue
                if pair.explained_by(view.reshape(b.shape), b):
                    return words
    return None


# Views of `a` that hold the elements of the other tensor in its order, each with its words; the simplest first.


def _pairings(a: FloatArray, one: str, other: str) -> Iterator[tuple[str, FloatArray]]:
    for axis, length in enumerate(a.shape):
        before, after = a.shape[:axis], a.shape[axis + 1 :]
        for heads in _divisors(length):
            size = length // heads
            if size % 2 or size < 4:
                continue
            where = f"along axis {axis}" + (f", in each of {heads} heads of {size}" if heads > 1 else "")
            yield (
                f"pairs taken apart: {where}, what are neighbours (2i, 2i + 1) in {one} are halves "
                f"(i, i + {size // 2}) in {other}",
                a.reshape(*before, heads, size // 2, 2, *after).swapaxes(axis + 1, axis + 2),
            )


def _heads(a: FloatArray, one: str, other: str) -> Iterator[tuple[str, FloatArray]]:
    for axis, length in enumerate(a.shape):
        before, after = a.shape[:axis], a.shape[axis + 1 :]
        for heads in _divisors(length)[1:]:
            split = a.reshape(*before, heads, length // heads, *after)
            yield (
                f"heads and channels exchanged: axis {axis} is [{heads}, {length // heads}] in {one} and "
                f"[{length // heads}, {heads}] in {other}",
                split.swapaxes(axis, axis + 1),
            )
            for place in range(axis):
                if a.shape[place] > 1:
                    yield (
                        f"heads and positions exchanged: axis {axis} of {one} is [{heads}, {length // heads}], and "
                        f"{other} has the {heads} where axis {place} is: not transposed back before axes were joined",
                        split.swapaxes(place, axis),
                    )


def _divisors(length: int) -> list[int]:
    """Those smaller than the length, 1 first."""
    return [n for n in range(1, length // 2 + 1) if length % n == 0]


def turned(pair: Pair) -> str | None:
    """Pairs of values along the last axis are turned: by other angles, or as halves in one and neighbours in the other.

    Rotary position embedding (Su et al., RoFormer) turns pair i of position t by t base^(-2i/d).
    """
    if pair.a.ndim < 2 or not 16 <= pair.a.size <= MOST_ELEMENTS:
        return None
    if pair.is_complex:
        x, y = (_paired(side, False) for side in (pair.a, pair.b))
        words = "turned: every complex value of B has the size that it has in A; what differs are angles"
        return words if _is_turned(pair, x, y) else None
    length = pair.a.shape[-1]
    for heads in _divisors(length):
        size = length // heads
        if size % 2 or size < 4:
            continue
        a, b = (side.reshape(*side.shape[:-1], heads, size) for side in (pair.a, pair.b))
        if not _has_equal_lengths(pair, a, b):
            continue
        where = f" in each of {heads} heads of {size}" if heads > 1 else ""
        for is_halved, words in ((True, f"(i, i + {size // 2})"), (False, "(2i, 2i + 1)")):
            x, y = _paired(a, is_halved), _paired(b, is_halved)
            if _is_turned(pair, x, y):
                return (
                    f"turned: each pair {words}{where} of the last axis of B has the length that it has in A; what "
                    "differs are angles"
                )
        if found := _rope(pair, a, b):
            return f"{found}{where}"
    return None


def _has_equal_lengths(pair: Pair, a: FloatArray, b: FloatArray) -> bool:
    """Whether every vector of the last axis is as long in B as in A: a first test, which few tensors pass."""
    return is_rounding(np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1), pair.allowed)


def _is_turned(pair: Pair, x: Complex, y: Complex) -> bool:
    """Whether all lengths are equal; noise changes lengths as much as it changes directions."""
    gap = root_mean_square(np.abs(x) - np.abs(y))
    return is_rounding(np.abs(x), np.abs(y), pair.allowed) and gap <= root_mean_square(np.abs(x - y)) / TURNED


def _paired(x: FloatArray, is_halved: bool) -> Complex:
    half = x.shape[-1] // 2
    return x[..., :half] + 1j * x[..., half:] if is_halved else x[..., ::2] + 1j * x[..., 1::2]


def _unpaired(z: Complex, is_halved: bool) -> FloatArray:
    parts = (z.real, z.imag)
    return np.concatenate(parts, -1) if is_halved else np.stack(parts, -1).reshape(*z.shape[:-1], 2 * z.shape[-1])


def _rope(pair: Pair, a: FloatArray, b: FloatArray) -> str | None:
    """RoPE undone as one side does it and done as the other does, at positions 0, 1, 2 of each axis."""
    half = a.shape[-1] // 2
    for axis in range(a.ndim - 2):
        if a.shape[axis] < 2:
            continue
        position = np.arange(a.shape[axis]).reshape(-1, *[1] * (a.ndim - 1 - axis))
        for base in BASES:
            turn = np.exp(1j * position * base ** (-np.arange(half) / half))
            for halved_in_a in (True, False):
                plain = _unpaired(_paired(a, halved_in_a) / turn, halved_in_a)
                predicted = _unpaired(_paired(plain, not halved_in_a) * turn, not halved_in_a)
                if pair.explained_by(predicted, b):
                    pairs = (f"(i, i + {half})", "(2i, 2i + 1)")
                    in_a, in_b = pairs if halved_in_a else pairs[::-1]
                    return (
                        f"pairs of another kind: RoPE of base {base:.0f} along axis {axis} turns {in_a} in A and "
                        f"{in_b} in B"
                    )
    return None
