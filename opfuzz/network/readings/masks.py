"""Masks that are written out: inverted, not applied, for the other axis, one further."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from opfuzz.network.observe.records import MOVE, CallResult, ObservedCall, Operand, Plant, PlantedCall
from opfuzz.network.pipeline.planting import UnfitError
from opfuzz.network.readings.reading import Array, Reading, SeenModule, argument, one, with_argument, with_place


def masked(seen: SeenModule) -> Iterator[Reading]:
    """Where a mask of true and false decides, or one of two numbers is added or multiplied in."""
    for call in seen.of("masked_fill", "where"):
        name = "mask" if call.family == "masked_fill" else "condition"
        yield one(call, f"{call.family}: the mask is inverted", _changed(name, lambda mask: ~mask.astype(np.bool_)))
        yield one(call, f"{call.family}: the mask is not applied", _unmasked)
        yield one(call, f"{call.family}: the mask is for the other axis", _changed(name, _crossed))
        if call.family == "masked_fill":
            for value in (-10.0, -100.0, 0.0):
                yield one(call, f"masked_fill with {value:g}", _filled(value))
    for call in seen.of("tril", "triu"):
        for by in (1, -1):
            yield one(call, f"{call.family}: the diagonal is {'higher' if by > 0 else 'lower'} by one", _diagonal(by))
    for call in seen.of("add", "mul"):
        for place, operand in enumerate(call.args[:2]):
            given = seen.value(operand)
            if given is not None and _is_mask(given):
                yield one(call, "the mask is inverted", _replaced(place, _inverted))
                yield one(call, "the mask is for the other axis", _replaced(place, _crossed))
                yield one(call, "a causal mask", _replaced(place, _causal))
                yield from _earlier(seen, call, operand, call.args[1 - place])
    for call in seen.of("softmax"):
        if call.output.ndim > 1 and call.output.shape[-1] > 1:
            yield one(call, "a causal mask before the softmax", _causal_before)


def _earlier(seen: SeenModule, call: ObservedCall, mask: Operand, masked: Any) -> Iterator[Reading]:
    """The mask is added before the functions of one array after which it should be."""
    own = {c.index for c in seen.calls}
    made = seen.whole.source(masked)
    before = not isinstance(mask, CallResult) or (made is not None and mask.call < made.index)
    while call.family == "add" and before and made is not None and made.index in own and made.kind != MOVE:
        if len(made.operands) != 1 or not isinstance(made.args[0], CallResult):
            return
        yield Reading(
            f"the mask is added before {made.family}",
            {made.index: _with_added(mask), call.index: lambda planted: planted.now(masked)},
            path=call.path,
        )
        made = seen.whole.source(made.args[0])
        before = not isinstance(mask, CallResult) or (made is not None and mask.call < made.index)


def _with_added(mask: Operand) -> Plant:
    return lambda call: call.perform(with_place(call.function, 0, call.function.args[0] + call.now(mask)))


def counted(seen: SeenModule) -> Iterator[Reading]:
    """Positions that begin one later."""
    for call in seen.of("arange"):
        for by in (1, -1):
            yield one(call, f"arange begins {'one later' if by > 0 else 'one earlier'}", _counted_from(by))
        yield one(call, "arange runs backwards", lambda c: np.asarray(c.unchanged())[::-1])


def _filled(value: float) -> Plant:
    return lambda call: call.perform(with_argument(call.function, "value", value))


def _counted_from(by: int) -> Plant:
    return lambda call: np.asarray(call.unchanged()) + by


def _is_mask(value: Array) -> bool:
    """Whether these are two numbers at most, of which one hides and the other does not."""
    if value.size < 2 or value.ndim < 2 or value.dtype.kind not in "fbiu":
        return False
    kinds = np.unique(value.ravel()[: 2**16])
    return len(kinds) == 2 and 0 in kinds and (kinds[0] < -1e3 or set(kinds.tolist()) == {0, 1})


def _inverted(mask: Array) -> Array:
    low, high = mask.min(), mask.max()
    return np.asarray(np.where(mask == low, high, low), mask.dtype)


def _crossed(mask: Array) -> Array:
    if mask.ndim < 2:
        raise UnfitError
    return np.ascontiguousarray(mask.swapaxes(-1, -2))


def _causal(mask: Array) -> Array:
    seen = np.tri(*mask.shape[-2:], dtype=np.bool_)
    low, high = mask.min(), mask.max()
    return np.asarray(np.where(np.broadcast_to(seen, mask.shape), high, low), mask.dtype)


def _replaced(place: int, change: Any) -> Plant:
    def plant(call: PlantedCall) -> Any:
        x = call.function.args[place]
        found = call.perform(with_place(call.function, place, change(x)))
        if np.shape(found) != call.observed.output.shape:
            raise UnfitError
        return found

    return plant


def _changed(name: str, change: Any) -> Plant:
    def plant(call: PlantedCall) -> Any:
        mask = argument(call.function, name)
        if not isinstance(mask, np.ndarray):
            raise UnfitError
        found = call.perform(with_argument(call.function, name, change(mask)))
        if np.shape(found) != call.observed.output.shape:
            raise UnfitError
        return found

    return plant


def _unmasked(call: PlantedCall) -> Array:
    x = argument(call.function, "input")
    x = x if isinstance(x, np.ndarray) and x.shape == call.observed.output.shape else argument(call.function, "other")
    if not isinstance(x, np.ndarray) or x.shape != call.observed.output.shape:
        raise UnfitError
    return x


def _diagonal(by: int) -> Plant:
    def plant(call: PlantedCall) -> Array:
        own = call.function.kwargs.get("diagonal", call.function.args[1] if len(call.function.args) > 1 else 0)
        cut = np.tril if call.function.family == "tril" else np.triu
        return np.asarray(cut(call.function.args[0], own + by))

    return plant


def _scores(call: PlantedCall) -> Array:
    x = np.asarray(argument(call.function, "input"), np.float64)
    if argument(call.function, "dim") not in (-1, x.ndim - 1):
        raise UnfitError
    return x


def _softmax(x: Array) -> Array:
    with np.errstate(all="ignore"):
        raised = np.exp(x - x.max(-1, keepdims=True))
        return np.asarray(raised / raised.sum(-1, keepdims=True))


def _causal_before(call: PlantedCall) -> Array:
    x = _scores(call)
    return _softmax(np.where(np.tri(*x.shape[-2:], dtype=np.bool_), x, -np.inf))
