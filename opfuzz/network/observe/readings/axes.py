"""Wrong readings of axes: transposes, heads, repeats, padding."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from opfuzz.network.observe.readings.reading import WiringReading, at
from opfuzz.network.observe.records import Array, Observation, ObservedCall, PlantedCall

TURNS = ("transpose", "permute", "t", "mT", "T", "movedim")
RESHAPES = ("view", "reshape", "unflatten", "flatten")
Shape = tuple[int, ...]


def lost_transposes(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """A transpose that is left out where the shapes allow, or that moves the sizes and not the elements."""
    if call.family not in TURNS or not call.operands:
        return
    operand = seen.value(call.operands[0])
    if operand is None or operand.size < 2:
        return
    if operand.shape == call.output.shape:
        yield at(
            call, f"{call.family} left out", "the axes are not exchanged", lambda planted: planted.function.args[0]
        )
    if sum(size > 1 for size in operand.shape) > 1:
        yield at(
            call,
            f"{call.family} without its strides",
            "the elements are read as they lie in memory, under the exchanged sizes",
            lambda planted: np.ascontiguousarray(planted.function.args[0]).reshape(planted.observed.output.shape),
        )


def other_heads(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """An axis split as (d, heads) instead of (heads, d), or two merged in the other order."""
    if call.family not in RESHAPES or not call.operands:
        return
    operand = seen.value(call.operands[0])
    if operand is None:
        return
    whole, parts = operand.shape, call.output.shape
    split, merged = _split(whole, parts), _split(parts, whole)
    if split is not None:
        a, b = parts[split : split + 2]
        note = f"an axis of {a * b} is split as ({b}, {a}) instead of ({a}, {b})"
        yield at(call, f"{call.family}: split the other way", note, partial(_split_otherwise, place=split, parts=parts))
    elif merged is not None:
        a, b = whole[merged : merged + 2]
        note = f"axes of ({a}, {b}) become one as ({b}, {a})"
        yield at(call, f"{call.family}: merged the other way", note, partial(_merged_otherwise, place=merged))


def _split_otherwise(planted: PlantedCall, place: int, parts: Shape) -> Array:
    a, b = parts[place : place + 2]
    turned = np.asarray(planted.function.args[0]).reshape(*parts[:place], b, a, *parts[place + 2 :])
    return np.swapaxes(turned, place, place + 1)


def _merged_otherwise(planted: PlantedCall, place: int) -> Array:
    turned = np.swapaxes(planted.function.args[0], place, place + 1)
    return np.ascontiguousarray(turned).reshape(planted.observed.output.shape)


def _split(whole: Shape, parts: Shape) -> int | None:
    """The place where `parts` has two axes for one of `whole`, both larger than 1; None if that is not all."""
    if len(parts) != len(whole) + 1:
        return None
    for place in range(len(whole)):
        if (
            whole[:place] == parts[:place]
            and whole[place + 1 :] == parts[place + 2 :]
            and whole[place] == parts[place] * parts[place + 1]
            and min(parts[place : place + 2]) > 1
        ):
            return place
    return None


def other_repeats(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """Each element repeated, where the whole is, or the other way round: heads of keys and values."""
    if call.family not in ("repeat_interleave", "repeat", "tile") or not call.operands:
        return
    operand, output = seen.value(call.operands[0]), call.output
    if operand is None or operand.ndim != output.ndim:
        return
    grown = [i for i in range(output.ndim) if output.shape[i] != operand.shape[i]]
    if len(grown) != 1 or operand.shape[grown[0]] < 2 or output.shape[grown[0]] % operand.shape[grown[0]]:
        return
    axis, count = grown[0], output.shape[grown[0]] // operand.shape[grown[0]]
    is_each = call.family == "repeat_interleave"

    def plant(planted: PlantedCall) -> Array:
        x = np.asarray(planted.function.args[0])
        return np.concatenate([x] * count, axis) if is_each else np.repeat(x, count, axis)

    note = "the whole axis is repeated" if is_each else "each element is repeated"
    yield at(call, f"{call.family}: the other way", f"{note}, {count} times", plant)


def other_padding(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """Padding on the other side, or on both."""
    if call.family != "pad" or len(call.args) < 2 or not isinstance(call.args[1], list | tuple):
        return
    before = list(call.args[1])
    if not all(isinstance(size, int) for size in before) or len(before) % 2:
        return
    pairs = [(before[i], before[i + 1]) for i in range(0, len(before), 2)]
    ways = {
        "on the other side": [(b, a) for a, b in pairs],
        "on both sides": [((a + b) // 2, a + b - (a + b) // 2) for a, b in pairs],
        "on the left": [(a + b, 0) for a, b in pairs],
        "on the right": [(0, a + b) for a, b in pairs],
    }
    tried = [pairs]
    for name, way in ways.items():
        if way not in tried:
            tried.append(way)
            sizes = [size for pair in way for size in pair]
            yield at(
                call,
                f"padded {name}",
                f"the padding {before} is {sizes}",
                partial(_padded, sizes=sizes),
            )


def _padded(planted: PlantedCall, sizes: list[int]) -> Array:
    x, _, *others = planted.function.args
    return np.asarray(planted.again(x, sizes, *others))
