"""Another axis, another order of axes, or of what is joined: softmax over queries, heads split as [width, heads]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from math import prod
from typing import Any

import numpy as np

from opfuzz.network.observe.records import ObservedCall, Plant, PlantedCall
from opfuzz.network.pipeline.planting import UnfitError
from opfuzz.network.readings.functions import first_array
from opfuzz.network.readings.reading import Array, Reading, SeenModule, argument, one, with_argument

ALONG = ("softmax", "log_softmax", "cumsum", "normalize", "cumprod", "flip", "argsort", "sort", "glu")
REDUCING = ("sum", "mean", "var", "std", "amax", "amin", "max", "min", "logsumexp", "norm")
TURNING = ("transpose", "permute", "movedim", "mT", "T", "t", "swapaxes")
SHAPING = ("view", "reshape", "flatten", "unflatten", "view_as", "reshape_as")
MOST_ORDERED = 4  # axes all of whose orders are tried


def along(seen: SeenModule) -> Iterator[Reading]:
    """The function runs along another axis."""
    for call in seen.of(*ALONG, *REDUCING):
        dim = argument(call, "dim")
        shape = _shape(call, seen)
        if not isinstance(dim, int) or shape is None or len(shape) < 2:
            continue
        for other in range(len(shape)):
            if other != dim % len(shape):
                words = f"{call.family} along axis {other - len(shape)} instead of {dim - len(shape) * (dim >= 0)}"
                yield one(call, words, _along(other))


def turned(seen: SeenModule) -> Iterator[Reading]:
    """The axes are left as they are in memory, or taken in another order that has the same lengths."""
    for call in seen.of(*TURNING):
        if call.output.ndim < 2:
            continue
        yield one(
            call, f"{call.family}: axes are not exchanged, the elements are read as they lie in memory", _unturned
        )
        x = _source(call, seen)
        if x is None or x.ndim > MOST_ORDERED:
            continue
        straight = _order(call, x)
        for order in permutations(range(x.ndim)):
            is_like = tuple(x.shape[axis] for axis in order) == call.output.shape
            if is_like and order != straight and not _is_same(order, straight, x.shape):
                yield one(call, f"axes in the order {list(order)}", _ordered(order))


def shaped(seen: SeenModule) -> Iterator[Reading]:
    """Two axes that one is split into, or that are joined to one, are taken in the other order."""
    for call in seen.of(*SHAPING):
        x = _source(call, seen)
        if x is None:
            continue
        for place, (first, second) in _split(x.shape, call.output.shape):
            words = f"an axis is split as {_instead((second, first), (first, second))}"
            yield one(call, words, _splitting(place))
            for count in (2, 3):
                if second % count == 0 and second > count:
                    each = second // count
                    words = f"an axis is split as {_instead((count, first, each), (first, count, each))}"
                    yield one(call, words, _splitting_fused(place, count))
        for place, (first, second) in _split(call.output.shape, x.shape):
            is_repeat = _is_repeated(x, place) or _is_repeated(x, place + 1)
            words = (
                "repeated one by one and as a whole are taken for each other"
                if is_repeat
                else f"axes [{first}, {second}] are joined in the other order"
            )
            yield one(call, words, _joining(place))
    for call in seen.of("repeat_interleave"):
        yield one(call, "repeated as a whole, not one by one", _tiled)
    for call in seen.of("repeat", "tile"):
        yield one(call, "repeated one by one, not as a whole", _interleaved)


def _instead(lengths: Sequence[int], own: Sequence[int]) -> str:
    if lengths == own:
        return f"{[*own]} with the first two exchanged"
    return f"{[*lengths]} instead of {[*own]}"


def _source(call: ObservedCall, seen: SeenModule) -> Array | None:
    operand = call.operands[0] if call.operands else None
    if operand is None:
        return None
    return seen.value(operand)


def _shape(call: ObservedCall, seen: SeenModule) -> tuple[int, ...] | None:
    if call.family in ALONG:
        return call.output.shape
    x = _source(call, seen)
    return None if x is None else x.shape


def _along(axis: int) -> Plant:
    def plant(call: PlantedCall) -> Array:
        found = call.perform(with_argument(call.function, "dim", axis))
        found = found[0] if isinstance(found, tuple) else found
        if np.shape(found) != call.observed.output.shape:
            raise UnfitError
        return np.asarray(found)

    return plant


def _unturned(call: PlantedCall) -> Array:
    return np.ascontiguousarray(first_array(call.function)).reshape(call.observed.output.shape)


def _ordered(order: Sequence[int]) -> Plant:
    return lambda call: np.ascontiguousarray(first_array(call.function).transpose(order))


def _order(call: ObservedCall, x: Array) -> tuple[int, ...] | None:
    """The order of axes that the call takes."""
    marks = np.arange(x.size).reshape(x.shape) if x.size < 2**16 else None
    if marks is None:
        return None
    for order in permutations(range(x.ndim)):
        if tuple(x.shape[axis] for axis in order) == call.output.shape and np.array_equal(
            x.transpose(order), call.output, equal_nan=True
        ):
            return order
    return None


def _is_same(order: Sequence[int], other: Sequence[int] | None, shape: Sequence[int]) -> bool:
    """Whether two orders differ in axes of length 1 only."""
    if other is None:
        return False
    first, second = ([axis for axis in axes if shape[axis] != 1] for axes in (order, other))
    return first == second


def _split(shape: Sequence[int], finer: Sequence[int]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Where an axis of `shape` is two of `finer`, both longer than 1: the place of the first, and their lengths."""
    for place in range(len(finer) - 1):
        first, second = finer[place : place + 2]
        before, after = prod(finer[:place]), prod(finer[place + 2 :])
        if first == 1 or second == 1:
            continue
        start, count = 0, 1
        while start < len(shape) and count < before:
            count *= shape[start]
            start += 1
        lengths = [length for length in shape[start:] if length != 1]
        is_same = prod(shape[start:]) == first * second * after
        if count == before and lengths and lengths[0] == first * second and is_same:
            yield place, (first, second)


def _splitting(place: int) -> Plant:
    def plant(call: PlantedCall) -> Array:
        target = call.observed.output.shape
        other = (*target[:place], target[place + 1], target[place], *target[place + 2 :])
        return np.ascontiguousarray(first_array(call.function).reshape(other).swapaxes(place, place + 1))

    return plant


def _splitting_fused(place: int, count: int) -> Plant:
    """[count, heads, width] where [heads, count, width] is meant, as where keys and queries come of one projection."""

    def plant(call: PlantedCall) -> Array:
        target = call.observed.output.shape
        first, second = target[place : place + 2]
        x = first_array(call.function).reshape(*target[:place], count, first, second // count, *target[place + 2 :])
        return np.ascontiguousarray(x.swapaxes(place, place + 1)).reshape(target)

    return plant


def parted(seen: SeenModule) -> Iterator[Reading]:
    """The parts of an axis, each of several heads, lie head by head."""
    for call in seen.of("chunk", "split", "split_with_sizes", "tensor_split"):
        widths = {part.shape for part in call.outputs}
        if len(widths) != 1 or len(call.outputs) < 2 or argument(call, "dim", 0) not in (-1, call.output.ndim - 1):
            continue
        width, count = call.output.shape[-1], len(call.outputs)
        users = (user for user in seen.whole.users.get(call.index, ()) if user.family in SHAPING)
        found = (parts for user in users for _, parts in _split(call.output.shape, user.output.shape))
        for heads, each in dict.fromkeys(parts for parts in found if prod(parts) == width):
            words = f"an axis is parted as {_instead((heads, count, each), (count, heads, each))}"
            yield one(call, words, _parting_heads(heads))


def _parting_heads(heads: int) -> Plant:
    def plant(call: PlantedCall) -> Any:
        parts = call.unchanged()
        whole = np.concatenate(parts, -1)
        by_head = whole.reshape(*whole.shape[:-1], heads, len(parts), -1)
        return tuple(by_head[..., i, :].reshape(part.shape) for i, part in enumerate(parts))

    return plant


def _joining(place: int) -> Plant:
    def plant(call: PlantedCall) -> Array:
        x = first_array(call.function)
        return np.ascontiguousarray(x.swapaxes(place, place + 1)).reshape(call.observed.output.shape)

    return plant


def _is_repeated(x: Array, axis: int) -> bool:
    """Whether an axis holds one thing several times."""
    return x.shape[axis] > 1 and bool((x == x.take([0], axis)).all())


def _tiled(call: PlantedCall) -> Array:
    x, target = first_array(call.function), call.observed.output.shape
    return np.tile(x, [after // before for before, after in zip(x.shape, target, strict=True)])


def _interleaved(call: PlantedCall) -> Array:
    x, target = first_array(call.function), call.observed.output.shape
    x = x.reshape((1,) * (len(target) - x.ndim) + x.shape)
    for axis, (before, after) in enumerate(zip(x.shape, target, strict=True)):
        x = np.repeat(x, after // before, axis)
    return x
