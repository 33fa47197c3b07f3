"""Rotary embeddings read the other way: pairs of neighbouring channels for pairs of halves, and the other way round.

x cos + rotate(x) sin turns pairs of channels. With halves, channel i and i + d/2 are a pair; with neighbours, 2i and
2i + 1. Sorting the even channels before the odd ones makes the one of the other, so a reading is planted as that: the
channels are sorted where they enter, and sorted back in the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from opfuzz.network.observe.readings.reading import WiringReading, given_to, made_by
from opfuzz.network.observe.records import Array, CallResult, Observation, ObservedCall, Operand, Plant, PlantedCall

LOOKS = 12  # calls back from the sum in which a rotation is looked for
Turn = Callable[[Array], Array]


def other_pairs(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """The reading of one sum x cos + rotate(x) sin."""
    if call.family != "add" or len(call.operands) != 2 or call.output.shape[-1:] == () or call.output.shape[-1] % 2:
        return
    products = [seen.source(operand) for operand in call.operands]
    if any(product is None or product.family != "mul" for product in products):
        return
    for straight, turned in (products, products[::-1]):
        assert straight is not None
        assert turned is not None
        for operand in straight.operands:
            rotated = _rotation_of(seen, turned, operand)
            if rotated is not None:
                yield _reading(seen, call, (straight, turned), operand, rotated)
                return


def _rotation_of(seen: Observation, product: ObservedCall, of: Operand) -> Array | None:
    """What the product multiplies, if it is the channels of `of` in another order with some signs changed."""
    value = seen.value(of)
    if value is None or value.ndim < 2:
        return None
    for operand in product.operands:
        other = seen.value(operand)
        if other is None or other.shape != value.shape or not _stems_from(seen, operand, of):
            continue
        half = value.shape[-1] // 2
        by_halves = np.concatenate((-value[..., half:], value[..., :half]), -1)
        by_neighbours = np.stack((-value[..., 1::2], value[..., ::2]), -1).reshape(value.shape)
        if half > 1 and (np.array_equal(other, by_halves) or np.array_equal(other, by_neighbours)):
            return other
    return None


def _stems_from(seen: Observation, operand: Operand, of: Operand) -> bool:
    todo, looked = [operand], 0
    while todo and looked < LOOKS:
        looked += 1
        found = todo.pop()
        if found == of:
            return True
        if isinstance(found, CallResult):
            todo += seen.calls[found.call].operands
    return False


def _reading(
    seen: Observation, call: ObservedCall, products: tuple[ObservedCall, ObservedCall], of: Operand, rotated: Array
) -> WiringReading:
    value = seen.value(of)
    assert value is not None
    half = value.shape[-1] // 2
    is_halves = np.array_equal(rotated, np.concatenate((-value[..., half:], value[..., :half]), -1))

    def evens_first(x: Array) -> Array:
        return np.concatenate((x[..., ::2], x[..., 1::2]), -1)

    def in_turn(x: Array) -> Array:
        return np.stack((x[..., :half], x[..., half:]), -1).reshape(x.shape)

    sort, back = (evens_first, in_turn) if is_halves else (in_turn, evens_first)
    straight, turned = products

    def of_straight(planted: PlantedCall) -> Array:
        own = given_to(planted)
        x, factor = (own["input"], own["other"]) if straight.operands[0] == of else (own["other"], own["input"])
        return np.asarray(sort(np.asarray(x)) * factor)

    def of_turned(planted: PlantedCall) -> Array:
        own = given_to(planted)
        is_first = np.shape(own["input"]) == rotated.shape and (
            np.shape(own["other"]) != rotated.shape or _is(seen, turned.operands[0], rotated)
        )
        x, factor = (own["input"], own["other"]) if is_first else (own["other"], own["input"])
        # `x` is the rotation of channels in their own order: their order is found again, sorted, and rotated anew.
        plain = np.concatenate((x[..., half:], -x[..., :half]), -1) if is_halves else _unrotated(x)
        kept = sort(plain)
        again = np.concatenate((-kept[..., half:], kept[..., :half]), -1) if is_halves else _rotated(kept)
        return np.asarray(again * factor)

    note = (
        "neighbouring channels are turned, not halves" if is_halves else "halves are turned, not neighbouring channels"
    )
    return WiringReading(
        "rotary pairs",
        f"the rotary embedding is read otherwise: {note}",
        call,
        {
            straight.index: of_straight,
            turned.index: of_turned,
            call.index: lambda planted: back(np.asarray(planted.unchanged())),
        },
    )


def _is(seen: Observation, operand: Operand, array: Array) -> bool:
    value = seen.value(operand)
    return value is not None and value.shape == array.shape and bool(np.array_equal(value, array))


def _rotated(x: Array) -> Array:
    return np.stack((-x[..., 1::2], x[..., ::2]), -1).reshape(x.shape)


def _unrotated(x: Array) -> Array:
    return np.stack((x[..., 1::2], -x[..., ::2]), -1).reshape(x.shape)


# The other way of writing it: a = x1 cos - x2 sin and b = x2 cos + x1 sin, joined again by `cat` or `stack`.
PARTING = ("getitem", "chunk", "split", "tensor_split", "unbind", "narrow", "select")


def other_parts(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """The reading of two turned parts that are joined."""
    if call.family not in ("cat", "stack") or len(call.operands) != 2 or call.output.ndim < 3:
        return
    minus, plus = (seen.source(operand) for operand in call.operands)
    if minus is None or plus is None or (minus.family, plus.family) != ("sub", "add"):
        return
    found = [_factors(seen, joined) for joined in (minus, plus)]
    if any(len(factors) != 4 for factors in found):
        return
    # x1 is in the first product of the difference and x2 in the second, and both are in the sum.
    for first in found[0][:2]:
        for second in found[0][2:]:
            if first in found[1] and second in found[1]:
                parts = [made_by(seen, operand, *PARTING) for operand in (first, second)]
                if parts[0] is not None and parts[1] is not None:
                    yield from _of_parts(seen, call, (parts[0], parts[1]), (first, second))


def _factors(seen: Observation, joined: ObservedCall) -> list[Operand]:
    """The operands of the two products of which a call gives sum or difference."""
    products = [made_by(seen, operand, "mul") for operand in joined.operands]
    return [operand for product in products if product is not None for operand in product.operands]


def _of_parts(
    seen: Observation, call: ObservedCall, parts: tuple[ObservedCall, ObservedCall], halves: tuple[Operand, Operand]
) -> Iterator[WiringReading]:
    a, b = (seen.value(operand) for operand in halves)
    whole = None if a is None else _whole(seen.value(parts[0].operands[0]), a)
    if a is None or b is None or whole is None or a.shape != b.shape:
        return
    half = a.shape[-1]
    is_halves = np.array_equal(a, whole[..., :half]) and np.array_equal(b, whole[..., half:])
    is_neighbours = np.array_equal(a, whole[..., ::2]) and np.array_equal(b, whole[..., 1::2])
    if half < 2 or not (is_halves or is_neighbours):
        return

    def taken(planted: PlantedCall) -> tuple[Array, Array]:
        x = np.asarray(planted.function.args[0])
        flat = x.reshape(*x.shape[:-2], -1) if x.shape[-1] == 2 else x
        if is_halves:
            return flat[..., ::2], flat[..., 1::2]
        return flat[..., :half], flat[..., half:]

    def joined(planted: PlantedCall) -> Array:
        one, other = planted.function.args[0]
        turned = np.stack((one, other), -1) if is_halves else np.concatenate((one, other), -1)
        return np.asarray(turned.reshape(planted.observed.output.shape))

    plants: dict[int, Plant] = {call.index: joined}
    if parts[0] is parts[1]:
        plants[parts[0].index] = taken
    else:
        plants[parts[0].index] = lambda planted: taken(planted)[0]
        plants[parts[1].index] = lambda planted: taken(planted)[1]
    note = (
        "neighbouring channels are turned, not halves" if is_halves else "halves are turned, not neighbouring channels"
    )
    yield WiringReading("rotary pairs", f"the rotary embedding is read otherwise: {note}", call, plants)


def _whole(x: Array | None, part: Array) -> Array | None:
    """The channels of which a part is half: along the last axis, or in pairs along the last two."""
    if x is None or x.ndim < 2:
        return None
    if x.shape[-1] == 2 * part.shape[-1]:
        return x
    return x.reshape(*x.shape[:-2], -1) if x.shape[-2:] == (part.shape[-1], 2) else None
