"""Wrong readings of masks, and of the scale of attention where it is written out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from opfuzz.network.observe.readings.reading import WiringReading, arguments_of, at, given_to
from opfuzz.network.observe.records import OPERANDS, Array, Observation, ObservedCall, PlantedCall

ATTENTION = "scaled_dot_product_attention"
FILLS = (-10.0, -1e4)
MINUS = -1e30  # as good as minus infinity, and 0 times it is 0


def other_masks_of_attention(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """The mask of fused attention dropped, inverted, of the other axis, causal."""
    if call.family != ATTENTION:
        return
    queries, keys = call.arrays["q"].shape[-2:][0] if "q" in call.arrays else 0, 0
    if "k" in call.arrays:
        keys = call.arrays["k"].shape[-2]

    def with_mask(change: Any) -> Any:
        def plant(planted: PlantedCall) -> Any:
            own = given_to(planted)
            mask = own.pop("attn_mask")
            if own.pop("is_causal"):
                mask = np.tri(queries, keys, dtype=np.bool_)
            tensors = [own.pop(name) for name in ("query", "key", "value")]
            bare = replace(planted.function, args=tuple(tensors), kwargs={**own, "attn_mask": change(mask)})
            return planted.perform(bare)

        return plant

    given = arguments_of(call)
    if given.get("attn_mask") is not None or given.get("is_causal"):
        yield at(call, "mask dropped", "attention has no mask", with_mask(lambda mask: None))
        yield at(call, "mask inverted", "the mask hides what may be seen", with_mask(_inverted))
        if queries == keys > 1:
            yield at(call, "mask of the other axis", "queries and keys of the mask are exchanged",
                     with_mask(lambda mask: None if mask is None else np.swapaxes(mask, -1, -2)))  # fmt: skip
    if queries > 1 and not given.get("is_causal"):
        note = "a query sees no key that comes after it"
        yield at(call, "causal", note, with_mask(lambda mask: _both(mask, np.tri(queries, keys, dtype=np.bool_))))


def _inverted(mask: Array) -> Array:
    if mask.dtype == np.bool_:
        return ~mask
    return np.where(mask < -1, np.float32(0), np.float32(-np.inf)).astype(mask.dtype)


def _both(mask: Array | None, other: Array) -> Array:
    if mask is None:
        return other
    if mask.dtype == np.bool_:
        return np.logical_and(mask, other)
    return np.where(other, mask, np.float32(-np.inf)).astype(mask.dtype)


def other_masks(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """A mask that is filled in, `masked_fill` or `where`: dropped, inverted, of the other axis, filled otherwise."""
    if call.family not in ("masked_fill", "where"):
        return
    given = arguments_of(call)
    name = "mask" if call.family == "masked_fill" else "condition"
    kept, other = ("input", "value") if call.family == "masked_fill" else ("input", "other")
    if not isinstance(given.get(name), OPERANDS) or not isinstance(given.get(kept), OPERANDS):
        return
    mask = seen.value(given[name])
    output = call.output
    yield at(
        call, "mask dropped", f"{call.family} is left out", lambda p: _chosen(given_to(p), kept, p.observed.output)
    )

    def inverted(planted: PlantedCall) -> Array:
        own = given_to(planted)
        is_there = np.asarray(own[name])
        fill, first = own[other], own[kept]
        is_filled = is_there if call.family == "where" else ~is_there
        chosen = np.where(~is_there, first, fill) if call.family == "where" else np.where(is_filled, fill, first)
        return np.asarray(chosen, output.dtype)

    yield at(call, "mask inverted", f"the mask of {call.family} is inverted", inverted)
    if mask is not None and mask.ndim >= 2 and mask.shape[-1] == mask.shape[-2] > 1:

        def turned(planted: PlantedCall) -> Any:
            own = given_to(planted)
            own[name] = np.swapaxes(own[name], -1, -2)
            return planted.perform(replace(planted.function, args=tuple(own.values()), kwargs={}))

        yield at(call, "mask of the other axis", f"the axes of the mask of {call.family} are exchanged", turned)
    if call.family == "masked_fill" and isinstance(given["value"], int | float) and given["value"] < min(FILLS):
        for fill in FILLS:
            yield at(call, f"mask filled with {fill:g}", f"{given['value']:g} is {fill:g}", _filled(fill))


def _filled(fill: float) -> Any:
    return lambda p: np.where(given_to(p)["mask"], np.float32(fill), given_to(p)["input"])


def _chosen(own: Mapping[str, Any], name: str, output: Array) -> Array:
    return np.array(np.broadcast_to(np.asarray(own[name], output.dtype), output.shape))


def causal_scores(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """A causal mask before a softmax over the keys that has none."""
    if call.family != "softmax" or call.output.ndim < 3 or call.output.shape[-1] < 2:
        return
    axis = arguments_of(call).get("dim")
    if axis not in (-1, call.output.ndim - 1):
        return

    def plant(planted: PlantedCall) -> Any:
        scores = planted.function.args[0]
        hidden = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, np.float32(MINUS))
        return planted.perform(replace(planted.function, args=(hidden, *planted.function.args[1:])))

    yield at(call, "causal", "a query sees no key that comes after it", plant)
