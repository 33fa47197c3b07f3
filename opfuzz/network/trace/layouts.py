"""Which tensor of one side is which of the other, and in what order of axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from opfuzz.core.floats import FloatArray
from opfuzz.network.rearrange import Rearrangement, rearrangements
from opfuzz.network.trace.recording import Array, ModuleCall

# Tensors in one layout correlate, until something has gone wrong. Only a clear gain is believed over the same position
# and the same order of axes: after a fault all correlations are small, and the largest of them means nothing.
CLEAR, GAIN = 0.9, 0.1


@dataclass(frozen=True, slots=True)
class Broadcast:
    """One tensor repeated along axes in which the other is longer, or taken once where it repeats itself."""

    shape: tuple[int, ...]  # of b

    def apply(self, a: Array) -> Array:
        """`a` in the shape of B."""
        x = a.reshape((1,) * (len(self.shape) - a.ndim) + a.shape)
        x = x.reshape(x.shape[x.ndim - len(self.shape) :])  # axes beyond B's have a length of 1
        once = tuple(slice(0, 1) if length == 1 else slice(None) for length in self.shape)
        return np.broadcast_to(x[once], self.shape)


@dataclass(frozen=True, slots=True)
class TensorSource:
    """Where a tensor of b comes from: a's tensor of that number, its axes rearranged."""

    index: int
    way: Rearrangement | Broadcast

    def take(self, tensors: Sequence[Array]) -> Array:
        """The tensor of a in the layout of b."""
        return self.way.apply(tensors[self.index])


class Habits:
    """The orders of axes in which tensors of one size were seen on both sides, for those that do not tell theirs.

    Axes of one length can be told apart by values only, and after a fault values tell nothing.
    """

    def __init__(self, calls: Iterable[tuple[ModuleCall, ModuleCall]] = ()) -> None:
        self._orders: dict[object, set[tuple[int, ...]]] = {}
        for first, second in calls:
            for own, other in ((first.inputs, second.inputs), (first.outputs, second.outputs)):
                for x, y in zip(own, other, strict=False):
                    self._learn(x, y)

    def _learn(self, x: Array, y: Array) -> None:
        ways = layouts_of(x, y) if x.ndim == y.ndim else []
        way = ways[0] if len(ways) == 1 else _clearest(x, y, ways)
        if isinstance(way, Rearrangement):
            for key in ((x.shape, y.shape), x.ndim):
                self._orders.setdefault(key, set()).add(way.order)

    def usual(self, a: Array, b: Array, ways: Sequence[Rearrangement | Broadcast]) -> Rearrangement | Broadcast | None:
        """The way that all tensors of these shapes, or else of so many axes, have gone; None where there is none."""
        orders = self._orders.get((a.shape, b.shape)) or self._orders.get(a.ndim, set())
        known = [way for way in ways if isinstance(way, Rearrangement) and way.order in orders]
        return known[0] if len(orders) == 1 and known else None

    def is_sure(self, source: TensorSource, a: Sequence[Array], b: Array) -> bool:
        """Whether something tells that a tensor of b has this order of axes: lengths, values, or what is usual."""
        x = a[source.index]
        ways = input_ways(x, b)
        return len(ways) == 1 or self.usual(x, b, ways) == source.way or correlation(source.take(a), b) >= CLEAR


def _clearest(a: Array, b: Array, ways: Sequence[Rearrangement | Broadcast]) -> Rearrangement | Broadcast | None:
    ranked = sorted(((correlation(way.apply(a), b), -i) for i, way in enumerate(ways)), reverse=True)
    if not ranked or ranked[0][0] < CLEAR or any(score > ranked[0][0] - GAIN for score, _ in ranked[1:]):
        return None
    return ways[-ranked[0][1]]


NO_HABITS = Habits()


def assign_inputs(a: ModuleCall, b: ModuleCall, habits: Habits = NO_HABITS) -> tuple[TensorSource | None, ...]:
    """For each input of b its source in a: by the name of the argument, by its last word, then as `assign` does."""
    found: dict[int, TensorSource] = {}

    def left(count: int, used: set[int]) -> list[int]:
        return [i for i in range(count) if i not in used]

    for is_same in (lambda x, y: x == y, _is_akin):
        for j, place in enumerate(b.places):
            for i, other in enumerate(a.places):
                is_free = j not in found and all(source.index != i for source in found.values())
                if is_free and is_same(place, other):
                    first = _first([a.inputs[i]], b.inputs[j], habits)
                    if first:
                        found[j] = TensorSource(i, first.way)
    rest_a = left(len(a.inputs), {source.index for source in found.values()})
    rest_b = left(len(b.inputs), set(found))
    rest = assign([a.inputs[i] for i in rest_a], [b.inputs[j] for j in rest_b], input_ways, habits)
    for j, source in zip(rest_b, rest, strict=True):
        if source:
            found[j] = TensorSource(rest_a[source.index], source.way)
    return tuple(found.get(j) for j in range(len(b.inputs)))


def _first(a: Sequence[Array], target: Array, habits: Habits) -> TensorSource | None:
    return assign(a, [target], input_ways, habits)[0]


def _is_akin(one: str, other: str) -> bool:
    """Whether two arguments end in one word, as `mask` and `attention_mask` do."""
    first, second = (place.split("_")[-1] for place in (one, other))
    return first == second and not first.isdecimal() and "." not in first


def assign(
    a: Sequence[Array],
    b: Sequence[Array],
    ways_of: Callable[[Array, Array], list[Rearrangement | Broadcast]] | None = None,
    habits: Habits = NO_HABITS,
) -> tuple[TensorSource | None, ...]:
    """For each tensor of b its source in a; None where no unused tensor of a fits.

    By position, unless another tensor of a correlates clearly better; by correlation alone where numbers differ. Axes
    are in the usual order, or in a's, unless another is clearly better.
    """
    found: list[TensorSource | None] = []
    for position, target in enumerate(b):
        used = {source.index for source in found if source}
        options = {i: ways for i, x in enumerate(a) if i not in used and (ways := (ways_of or layouts_of)(x, target))}
        preferred = position if position in options else min(options, default=None)
        if preferred is None:
            found.append(None)
            continue
        if len(a) != len(b) and preferred != position and ways_of is None:
            # Outputs that one side alone returns have shapes of others: only their values can say which they are.
            options = {i: clear for i, ways in options.items() if (clear := _clear(a[i], target, ways))}
            if not options:
                found.append(None)
                continue
            preferred = min(options)
        usual = habits.usual(a[preferred], target, options[preferred]) if len(options[preferred]) > 1 else None
        straight = TensorSource(preferred, usual or options[preferred][0])
        if sum(map(len, options.values())) == 1:
            found.append(straight)
            continue
        score = {
            TensorSource(i, way): correlation(way.apply(a[i]), target) for i, ways in options.items() for way in ways
        }
        best = max(score, key=lambda source: score[source])
        is_clear = score[best] >= CLEAR and score[best] > score[straight] + GAIN
        found.append(best if is_clear else straight)
    return tuple(found)


def _clear(a: Array, b: Array, ways: Sequence[Rearrangement | Broadcast]) -> list[Rearrangement | Broadcast]:
    return [way for way in ways if correlation(way.apply(a), b) >= CLEAR]


def layouts_of(a: Array, b: Array) -> list[Rearrangement | Broadcast]:
    """How a may be read in the shape of b, the order of its own axes first.

    Axes are joined or split only where the values say so: lengths that happen to multiply to another mean nothing.
    """
    if _class(a) != _class(b):
        return []
    lengths = [length for length in b.shape if length != 1]
    ways = [way for way in rearrangements(a.shape, b.shape) if not way.is_scrambled]
    fitting = [way for way in ways if [a.shape[axis] for axis in way.order] == lengths]
    joined = [way for way in ways[:1] if not fitting and correlation(way.apply(a), b) >= CLEAR]
    return [*(fitting or joined)]


def input_ways(a: Array, b: Array) -> list[Rearrangement | Broadcast]:
    """As `layouts_of`, and broadcast: a mask of one row may be one of all rows."""
    return layouts_of(a, b) or ([Broadcast(b.shape)] if _class(a) == _class(b) and _repeats(a, b) else [])


def _repeats(a: Array, b: Array) -> bool:
    """Whether one is the other, repeated along axes; a single number would fit anything."""
    axes = max(a.ndim, b.ndim)
    first, second = ((1,) * (axes - len(shape)) + shape for shape in (a.shape, b.shape))
    fits = all(x == y or 1 in (x, y) for x, y in zip(first, second, strict=True))
    if not fits or min(a.size, b.size) < 2 or math.prod(first[: axes - b.ndim]) != 1:
        return False
    x = a.reshape(first)
    once = x[tuple(slice(0, 1) if length == 1 else slice(None) for length in second)]
    return once.shape == x.shape or bool(np.array_equal(np.broadcast_to(once, x.shape), x))


def _class(array: Array) -> str:
    return (
        "float"
        if array.dtype == ml_dtypes.bfloat16
        else {"f": "float", "i": "int", "u": "int"}.get(array.dtype.kind, array.dtype.kind)
    )


def correlation(a: Array, b: Array) -> float:
    """Pearson's over the elements finite in both; 1 for equal tensors, 0 where one of them is constant."""
    x, y = wide(a).ravel(), wide(b).ravel()
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    if np.array_equal(x, y):
        return 1.0
    x, y = x - x.mean(), y - y.mean()
    lengths = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(np.vdot(x, y)) / lengths if lengths else 0.0


def wide(array: Array) -> FloatArray:
    """As float64; a complex tensor has an axis of two more."""
    if array.dtype.kind == "c":
        array = np.stack((array.real, array.imag), axis=-1)
    return np.asarray(array, np.float64)
