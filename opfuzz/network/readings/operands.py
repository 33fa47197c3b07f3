"""Operands that are lost, exchanged, of the other sign: a residual, a factor, a mask, the parts of a concatenation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import Any

import numpy as np

from opfuzz.network.observe.records import (
    MOVE,
    OPERANDS,
    CallResult,
    InputOperand,
    ObservedCall,
    Operand,
    Plant,
    PlantedCall,
)
from opfuzz.network.pipeline.planting import UnfitError
from opfuzz.network.readings.reading import (
    INSTEAD,
    Array,
    Reading,
    SeenModule,
    argument,
    float_outputs,
    with_place,
)

LOST = {
    "add": "{} is not added",
    "sub": "{} is not subtracted",
    "mul": "the factor {} is missing",
    "div": "not divided by {}",
}
LISTED = ("cat", "stack", "hstack", "vstack", "column_stack")
PARTED = ("chunk", "split", "unbind", "tensor_split", "split_with_sizes")
MOST_INSTEAD = 6  # other arrays in the place of one
MOST_ORDERED = 4  # parts all of whose orders are tried


def lost(seen: SeenModule) -> Iterator[Reading]:
    """One of two operands is lost, so that the other goes on alone."""
    for call in float_outputs(seen.calls):
        words = LOST.get(call.family)
        if words is None or len(call.args) != 2:
            continue
        names = [seen.name_in(call, i) for i in (0, 1)]
        for place, other in ((1, 0), (0, 1)):
            if isinstance(call.args[other], OPERANDS) and call.args[place] != 1:
                which = f", operand {place + 1}," if names[0] == names[1] else ""
                yield one_of(call, words.format(f"{names[place]}{which}"), _taking(other))


def exchanged(seen: SeenModule) -> Iterator[Reading]:
    """The operands of what does not commute are exchanged, or a sign is another."""
    for call in float_outputs(seen.calls):
        if len(call.args) != 2:
            continue
        if call.family in ("sub", "div", "pow"):
            yield one_of(call, f"the operands of {call.family} are exchanged", _exchanging)
        if call.family in ("add", "sub"):
            other = "subtracted, not added" if call.family == "add" else "added, not subtracted"
            yield one_of(call, f"{seen.name_in(call, 1)} is {other}", _turning)
        if call.family == "div":
            yield one_of(call, f"multiplied by {seen.name_in(call, 1)}, not divided", _multiplying)
        if call.family == "mul" and all(isinstance(x, OPERANDS) for x in call.args):
            yield one_of(call, f"{seen.name_in(call, 1)} is added, not multiplied", _adding)


def orders(seen: SeenModule) -> Iterator[Reading]:
    """Parts in another order: those that are put together, and those that are taken apart."""
    for call in seen.of(*LISTED):
        parts = argument(call, "tensors") or ()
        for order in _orders(len(parts)):
            yield one_of(call, f"the parts of {call.family} are in the order {_shown(order)}", _putting(order))
        if call.family == "cat" and len({x.shape for x in map(seen.value, parts) if x is not None}) == 1:
            yield one_of(call, "the parts of cat are interleaved, not one after the other", _interleaving)
    for call in seen.of(*PARTED):
        if call.family != "unbind" and len({x.shape for x in call.outputs}) == 1 and len(call.outputs) > 1:
            words = f"the parts of {call.family} are every so many elements, not one after the other"
            yield one_of(call, words, _alternating)
        for order in _orders(len(call.outputs)):
            if all(call.outputs[i].shape == call.outputs[j].shape for i, j in enumerate(order)):
                words = f"the parts of {call.family} are taken in the order {_shown(order)}"
                yield one_of(call, words, _parting(order))


def written(seen: SeenModule) -> Iterator[Reading]:
    """What is written into a part of an array is written into all of it, or is not written."""
    for call in seen.of("setitem"):
        if len(call.args) == 3 and call.output.ndim and call.output.dtype.kind == "f":
            value = seen.name(call.args[2])
            yield one_of(call, f"{value} is written into all of an array, not into a part", _writing)
            yield one_of(call, f"{value} is not written into an array", lambda planted: planted.function.args[0])


def _writing(call: PlantedCall) -> Array:
    target, value = call.function.args[0], np.asarray(call.function.args[2])
    if value.ndim != target.ndim or any(n % max(m, 1) for n, m in zip(target.shape, value.shape, strict=True)):
        raise UnfitError
    return np.tile(value, [n // max(m, 1) for n, m in zip(target.shape, value.shape, strict=True)])


def slices(seen: SeenModule) -> Iterator[Reading]:
    """Two slices of one array, such as its halves, are taken for each other."""
    groups: dict[Any, list[ObservedCall]] = {}
    for call in seen.of("getitem"):
        if len(call.operands) == 1 and isinstance(call.args[0], OPERANDS) and call.output.ndim != 0:
            key = repr(call.args[0]) if not hasattr(call.args[0], "value") else id(call.args[0])
            groups.setdefault((key, call.output.shape), []).append(call)
    for group in groups.values():
        for first, second in combinations(group, 2):
            if first.args[1] != second.args[1] and len(group) <= MOST_ORDERED:
                yield Reading(
                    "two slices of one array are taken for each other",
                    {first.index: _slicing(second.args[1]), second.index: _slicing(first.args[1])},
                    path=first.path,
                )
    for call in seen.of("narrow", "select", "getitem"):
        shape = np.shape(call.output)
        if call.family == "getitem" and len(call.operands) == 1 and shape:
            yield from _shifted(call)


def _shifted(call: ObservedCall) -> Iterator[Reading]:
    """A slice that begins one later or one earlier."""
    index = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    for place, part in enumerate(index):
        if not isinstance(part, slice) or (part.start is None and part.stop is None) or part.step not in (None, 1):
            continue
        for by, words in ((1, "later"), (-1, "earlier")):
            moved = slice(*(None if x is None else x + by for x in (part.start, part.stop)))
            if all(x is None or x >= 0 for x in (moved.start, moved.stop)):
                other = (*index[:place], moved, *index[place + 1 :])
                yield one_of(call, f"a slice begins one {words}", _slicing(other))


def one_of(call: ObservedCall, words: str, plant: Plant) -> Reading:
    """A reading of one call."""
    return Reading(words, {call.index: plant}, path=call.path)


def _orders(count: int) -> Iterator[Sequence[int]]:
    straight = tuple(range(count))
    if count < 2:
        return
    if count <= MOST_ORDERED:
        yield from (order for order in permutations(straight) if order != straight)
        return
    yield straight[::-1]
    for i, j in combinations(straight, 2):
        order = list(straight)
        order[i], order[j] = j, i
        yield order


def _shown(order: Sequence[int]) -> str:
    return ", ".join(str(place + 1) for place in order)


def _taking(place: int) -> Plant:
    def plant(call: PlantedCall) -> Array:
        x = np.asarray(call.function.args[place])
        return np.array(np.broadcast_to(x, call.observed.output.shape))

    return plant


def _exchanging(call: PlantedCall) -> Any:
    first, second = call.function.args
    if not isinstance(second, np.ndarray):
        second = np.asarray(second, call.observed.output.dtype)
    return call.again(second, first)


def _turning(call: PlantedCall) -> Any:
    first, second = call.function.args
    return call.again(first, -second if not isinstance(second, np.ndarray) else np.negative(second))


def _multiplying(call: PlantedCall) -> Any:
    first, second = call.function.args
    return call.again(first, 1 / second)


def _adding(call: PlantedCall) -> Array:
    first, second = call.function.args
    return np.asarray(first + second)


def _putting(order: Sequence[int]) -> Plant:
    def plant(call: PlantedCall) -> Any:
        parts = call.function.args[0] if call.function.args else call.function.kwargs["tensors"]
        changed = type(parts)(parts[i] for i in order)
        if call.function.args:
            return call.perform(with_place(call.function, 0, changed))
        return call.again(tensors=changed)

    return plant


def _interleaving(call: PlantedCall) -> Array:
    parts, dim = argument(call.function, "tensors"), argument(call.function, "dim", 0)
    return np.stack(parts, axis=dim % parts[0].ndim + 1).reshape(call.observed.output.shape)


def _alternating(call: PlantedCall) -> Any:
    parts, dim = call.unchanged(), argument(call.function, "dim", 0)
    whole = np.moveaxis(np.concatenate(parts, axis=dim), dim, -1)
    return tuple(np.moveaxis(whole[..., i :: len(parts)], -1, dim) for i in range(len(parts)))


def _parting(order: Sequence[int]) -> Plant:
    def plant(call: PlantedCall) -> Any:
        parts = call.unchanged()
        return tuple(parts[i] for i in order)

    return plant


def _slicing(index: Any) -> Plant:
    def plant(call: PlantedCall) -> Array:
        found = np.asarray(call.function.args[0][index])
        if found.shape != call.observed.output.shape:
            raise UnfitError
        return found

    return plant


def others(seen: SeenModule) -> Iterator[Reading]:
    """Another array of the same shape in the place of an operand of a call, or of what an inner module is given."""
    for call in float_outputs(seen.calls):
        if call.kind != MOVE and len(call.operands) > 1:
            for place, operand in enumerate(call.args):
                yield from _instead(seen, operand, [(call.index, place)], call.index, call.family, call.path)
    for run in seen.right_runs():
        inside = seen.whole.calls[run.first : run.end]
        before = {operand for call in inside for operand in call.operands if _is_before(operand, run.first)}
        for operand in sorted(before, key=repr):
            places = [
                (c.index, i) for c in inside for i, x in enumerate(c.args) if isinstance(x, OPERANDS) and x == operand
            ]
            yield from _instead(seen, operand, places, run.first, run.path, "")


def _is_before(operand: Any, first: int) -> bool:
    return isinstance(operand, InputOperand) or (isinstance(operand, CallResult) and operand.call < first)


def _instead(
    seen: SeenModule, operand: Any, places: Sequence[tuple[int, int]], first: int, taker: str, path: str
) -> Iterator[Reading]:
    """The nearest arrays of its shape that were there, and that are others."""
    value = seen.value(operand)
    if not isinstance(operand, CallResult | InputOperand) or value is None or value.ndim < 2 or value.dtype.kind != "f":
        return
    options: list[Operand] = [InputOperand(name) for name in seen.inputs]
    options += [CallResult(c.index) for _, c in seen.given_by_modules() if c.index < first]
    options += [CallResult(c.index) for c in float_outputs(seen.calls) if c.index < first]
    told, names = [value], set[str]()
    own = seen.name(operand)
    for option in reversed(options):
        x, name = seen.value(option), seen.name(option)
        is_new = name not in names and x is not None and not any(np.array_equal(x, y) for y in told)
        if x is None or x.shape != value.shape or len(told) > MOST_INSTEAD or not is_new:
            continue
        told.append(x)
        names.add(name)
        words = f"{taker} is given {name if name != own else f'{name[:-5]}gave before'}, not {own}"
        yield Reading(words, {index: _given(place, option) for index, place in places}, INSTEAD, path)


def _given(place: int, option: Operand) -> Plant:
    return lambda call: call.perform(with_place(call.function, place, np.array(call.now(option))))
