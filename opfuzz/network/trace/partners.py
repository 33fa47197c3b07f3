"""Which weight of one model is which of the other, by its values, whatever it is called and however its axes lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.network.trace.layouts import wide
from opfuzz.network.trace.recording import Array

# Sums of x, |x|, x^2 and x^3 do not depend on the order of the elements. In units of their spread over tensors drawn
# alike, rounding to bfloat16 moves them by 0.001, int4 in groups of 32 by 0.1, and two draws are 1.4 apart in each.
NEAR, APART, FEWEST = 0.3, 3.0, 16


def pair_weights(a: Mapping[str, Array], b: Mapping[str, Array]) -> dict[str, str]:
    """Names in a to names in b of those that have one partner: the same numbers in any order, or nearly the same.

    A tensor of equal numbers, such as a bias at its start, tells nothing, nor does one of which a model has two.
    """
    ours, theirs = ({name: fingerprint(x) for name, x in side.items() if _tells(x)} for side in (a, b))
    count_a, count_b = Counter(ours.values()), Counter(theirs.values())
    back = {print_: name for name, print_ in theirs.items()}
    found = {name: back[key] for name, key in ours.items() if count_a[key] == count_b[key] == 1}
    taken = set(found.values())
    left_a = {name: a[name] for name, key in ours.items() if not count_b[key]}
    left_b = {name: b[name] for name, key in theirs.items() if not count_a[key] and name not in taken}
    return found | _pair_near(left_a, left_b)


def fingerprint(array: Array) -> tuple[int, int]:
    """The size, and a sum over the elements that depends on their values and not on their order or format."""
    # Zero has two signs. The bits of a float64 are mixed as in SplitMix64 (Steele et al., 2014) and added modulo 2^64.
    bits = np.ascontiguousarray(wide(array).ravel() + 0.0).view(np.uint64)
    with np.errstate(over="ignore"):
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return array.size, int((bits ^ (bits >> np.uint64(31))).sum(dtype=np.uint64))


def _tells(array: Array) -> bool:
    return array.size > 1 and bool((array != array.flat[0]).any())


def _pair_near(a: Mapping[str, Array], b: Mapping[str, Array]) -> dict[str, str]:
    """Pairs the tensors of one size that are each other's nearest, by far."""
    found = {}
    sizes = {x.size for x in a.values()} & {x.size for x in b.values()}
    for size in (size for size in sizes if size >= FEWEST):
        ours, theirs = ([name for name, x in side.items() if x.size == size] for side in (a, b))
        rows = np.stack([_moments(a[name]) for name in ours])
        columns = np.stack([_moments(b[name]) for name in theirs])
        distance = np.abs(rows[:, None] - columns[None]).max(axis=-1)
        distance[~np.isfinite(distance)] = np.inf
        for i, j in zip(*np.nonzero(distance <= NEAR), strict=True):
            others = np.concatenate((np.delete(distance[i], j), np.delete(distance[:, j], i)))
            if distance[i, j] * APART < others.min(initial=np.inf):
                found[ours[i]] = theirs[j]
    return found


def _moments(array: Array) -> NDArray[np.float64]:
    x: FloatArray = wide(array).ravel()
    root, size = np.sqrt(x.size), float(np.sqrt(np.mean(x**2)))
    with np.errstate(all="ignore"):
        y = x / size
        shape = np.array([y.sum(), np.abs(y).sum() / 0.6, (y**3).sum() / 15**0.5]) / root
    return np.append(shape, np.log(size) * root * 2**0.5)
