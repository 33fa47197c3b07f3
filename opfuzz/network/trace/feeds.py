"""What a module of b is given of the inputs that its counterpart in a received, and what else it might be given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from opfuzz.network.trace.layouts import (
    CLEAR,
    GAIN,
    NO_HABITS,
    Habits,
    TensorSource,
    assign_inputs,
    correlation,
    input_ways,
)
from opfuzz.network.trace.recording import Array, Leaf, ModuleCall, named_arguments

TRIES = 16  # other ways to give a module of b what a's received
IGNORED = -1e4  # what an additive mask holds where nothing is to be seen: less than this


@dataclass(frozen=True, slots=True)
class Feed:
    """The arguments of one call of b, and the tensors in them."""

    arguments: Any
    tensors: tuple[Array, ...]
    sources: tuple[TensorSource | None, ...]  # None: b keeps its own
    instead: str = ""  # the argument that b's caller gave otherwise


def feed(ours: ModuleCall, theirs: ModuleCall, habits: Habits = NO_HABITS) -> Feed:
    """The inputs of a's call in the places of those of b's."""
    sources = assign_inputs(ours, theirs, habits)
    return Feed(theirs.arguments, _taken(ours, theirs, sources), sources)


def _taken(ours: ModuleCall, theirs: ModuleCall, sources: Sequence[TensorSource | None]) -> tuple[Array, ...]:
    return tuple(s.take(ours.inputs).astype(y.dtype) if s else y for s, y in zip(sources, theirs.inputs, strict=True))


def other_feeds(
    ours: ModuleCall, theirs: ModuleCall, kept: Feed, accepts: tuple[Sequence[str], Sequence[str]]
) -> Iterator[Feed]:
    """Other ways than `kept` to give b what a had: axes of one length the other way round, settings, forms of masks.

    A module that is right in one of them computes what its counterpart does.
    """
    ways = chain(
        _other_layouts(ours, theirs, kept),
        _other_settings(ours, theirs, kept, accepts),
        _other_masks(ours, theirs, kept, accepts),
    )
    return islice(ways, TRIES)


def _other_layouts(ours: ModuleCall, theirs: ModuleCall, kept: Feed) -> Iterator[Feed]:
    sources = kept.sources
    for j, source in enumerate(sources):
        if source is None:
            continue
        # What b received here says in which order its axes are, where it has a's values in that order alone: a softmax
        # of the wrong axis of a square is right in the other order.
        known = correlation(source.take(ours.inputs), theirs.inputs[j])
        for way in input_ways(ours.inputs[source.index], theirs.inputs[j]):
            other = TensorSource(source.index, way)
            is_known = known >= CLEAR and correlation(other.take(ours.inputs), theirs.inputs[j]) < known - GAIN
            if way != source.way and not is_known:
                changed = (*sources[:j], other, *sources[j + 1 :])
                yield Feed(theirs.arguments, _taken(ours, theirs, changed), changed)


def _other_settings(
    ours: ModuleCall, theirs: ModuleCall, kept: Feed, accepts: tuple[Sequence[str], Sequence[str]]
) -> Iterator[Feed]:
    first, second = (
        named_arguments(call.arguments, names) for call, names in zip((ours, theirs), accepts, strict=True)
    )
    for name, value in second.items():
        other = first.get(name, value)
        if other != value and all(isinstance(v, bool | int | float | str | None) for v in (value, other)):
            yield Feed(_replaced(theirs.arguments, accepts[1], name, other), kept.tensors, kept.sources, name)


def _other_masks(
    ours: ModuleCall, theirs: ModuleCall, kept: Feed, accepts: tuple[Sequence[str], Sequence[str]]
) -> Iterator[Feed]:
    """What is hidden, in each form in which it is said: a tensor of a's, nothing, the word, or a triangle."""
    given = named_arguments(theirs.arguments, accepts[1])
    names = dict.fromkeys([*(name for name in given if "mask" in name), *(n for n in accepts[1] if "mask" in n)])
    length = next((x.shape[-2] for x in theirs.inputs if x.ndim > 1), 0)
    seen = np.tril(np.ones((length, length), np.bool_))
    masks = [x for x, place in zip(ours.inputs, ours.places, strict=True) if "mask" in place]
    for name in names:
        value = given.get(name)
        if isinstance(value, Leaf) and kept.sources[value.index] is not None:
            continue
        tensors = [form for mask in (*masks, seen) for form in _forms(mask)]
        for form in (None, *(("causal",) if not masks else ()), *tensors):
            index = len(kept.tensors)
            changed = _replaced(
                theirs.arguments, accepts[1], name, Leaf(index) if isinstance(form, np.ndarray) else form
            )
            extra = (form,) if isinstance(form, np.ndarray) else ()
            yield Feed(changed, (*kept.tensors, *extra), (*kept.sources, *(None for _ in extra)), name)


def _forms(mask: Array) -> list[Array]:
    seen = mask if mask.dtype.kind in "bui" else mask > IGNORED
    seen = seen.astype(np.bool_)
    return [np.where(seen, 0.0, -1e9).astype(np.float32), seen]


def _replaced(arguments: Any, accepts: Sequence[str], name: str, value: Any) -> Any:
    args, kwargs = arguments
    place = list(accepts).index(name) if name in accepts else len(args)
    if place < len(args):
        return (*args[:place], value, *args[place + 1 :]), kwargs
    return args, {**kwargs, name: value}
