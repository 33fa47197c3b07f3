"""Orders of axes and of memory that turn one tensor into the shape of another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray

MOST_AXES = 5  # of a length other than 1; with more, the orders are too many to try

# A layout is believed without exact agreement, so that two layouts of one activation can be compared although they have
# drifted apart, but not where unrelated values, which correlate by 1 / sqrt(n), might pass for it.
BELIEVED, SIGMAS, ENOUGH = 0.5, 5.0, 0.9
# So much likelier must an order of memory be than one of axes: less is rounding, as where a side is constant.
TIE = 1e-12


@dataclass(frozen=True, slots=True)
class Rearrangement:
    """Axes of A (those of length 1 left out) taken in an order, then read into the shape of B."""

    order: tuple[int, ...]
    shape: tuple[int, ...]  # of B
    is_scrambled: bool = False  # B has axes of the same lengths, but not in this order

    @property
    def is_identity(self) -> bool:
        """Whether the elements keep their order in memory."""
        return self.order == tuple(sorted(self.order))

    def apply(self, a: NDArray[Any]) -> NDArray[Any]:
        """`a` in the shape of B."""
        ones = [axis for axis in range(a.ndim) if axis not in self.order]
        return a.transpose([*self.order, *ones]).reshape(self.shape)

    def describe(self) -> str:
        """What B is, or nothing where B has the order of A."""
        if self.is_scrambled:
            kept = "its own order" if self.is_identity else f"the axis order {list(self.order)}"
            return (
                f"scrambled: B has the elements of A as they lie in memory in {kept}, under the shape "
                f"{list(self.shape)}: a transposed array saved without its strides"
            )
        return "" if self.is_identity else f"transposed: B is A with its axes in the order {list(self.order)}"

    def describe_use(self) -> str:
        """What B was compared with, where it is not that; nothing where B has the order of A."""
        order = f"in the order {list(self.order)}"
        if self.is_scrambled:
            kept = "" if self.is_identity else f"axes {order}, "
            return f"compared with A's elements as they lie in memory, {kept}under the shape {list(self.shape)}"
        return "" if self.is_identity else f"compared with A's axes {order}"


def rearrangements(shape: tuple[int, ...], target: tuple[int, ...]) -> Iterator[Rearrangement]:
    """All ways to read an array of `shape` into `target`, the elements' own order first, each once.

    None where the sizes differ.
    """
    if math.prod(shape) != math.prod(target):
        return
    axes = tuple(axis for axis, length in enumerate(shape) if length != 1)
    lengths = [length for length in target if length != 1]
    is_permuted = sorted(lengths) == sorted(shape[axis] for axis in axes)
    for order in permutations(axes) if len(axes) <= MOST_AXES else [axes]:
        fits = [shape[axis] for axis in order] == lengths
        # Unlike shapes, such as [2, 4, 16, 64] and [2, 16, 256], were made by joining axes: nothing is scrambled there.
        yield Rearrangement(order, target, is_permuted and not fits)


def align(a: FloatArray, b: FloatArray) -> Rearrangement | None:
    """How to compare A with B: the rearrangement under which they correlate best, or None if none makes sense.

    Equal shapes are compared as they are, whatever is in them, and so are shapes that differ by axes of length 1. A
    shape that is the other's with its axes in another order is compared in such an order, whatever is in it.
    """
    ways = list(rearrangements(a.shape, b.shape))
    straight = [way for way in ways if way.is_identity and not way.is_scrambled]
    if straight and (a.shape == b.shape or _squeezed(a) == _squeezed(b) or len(ways) == 1):
        return straight[0]
    if not ways or not a.size:
        return None
    x, y = (np.where(np.isfinite(side), side, 0.0) for side in (a, b))
    likeness = [abs(_correlation(way.apply(x), y)) - TIE * way.is_scrambled for way in ways]  # B may be -A
    best = int(np.argmax(likeness))
    if likeness[best] >= min(ENOUGH, BELIEVED + SIGMAS / math.sqrt(a.size)):
        return ways[best]
    if straight:
        return straight[0]
    # Of shapes with other axes, no order is more than a guess.
    fitting = [i for i, way in enumerate(ways) if not way.is_scrambled] if _lengths(a) == _lengths(b) else []
    return ways[max(fitting, key=likeness.__getitem__)] if fitting else None


def _lengths(array: NDArray[Any]) -> list[int]:
    return sorted(_squeezed(array))


def _squeezed(array: NDArray[Any]) -> list[int]:
    return [length for length in array.shape if length != 1]


def _correlation(x: FloatArray, y: FloatArray) -> float:
    x, y = x - x.mean(), y - y.mean()
    lengths = float(np.linalg.norm(x) * np.linalg.norm(y))
    # Two constant tensors agree in every order.
    return float(np.vdot(x, y)) / lengths if lengths else float(not x.any() and not y.any())
