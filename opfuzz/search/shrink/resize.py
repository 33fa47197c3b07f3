"""The same call at other sizes: its arrays cut to a window, or cycled where an axis grows; or laid out anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Literal

import numpy as np

from opfuzz.core.call import Array, Call, Element
from opfuzz.search.shrink.attempts import below, is_callable
from opfuzz.spec import OpSpec, Value
from opfuzz.spec.expression.program import Program

Keep = Literal["place", "first", "last", "order"]
KEEPS: tuple[Keep, ...] = ("place", "first", "last")  # of windows
Sized = tuple[Call, Element | None]
NOTHING = None, None


def resized(
    spec: OpSpec,
    call: Call,
    place: Element | None,
    dims: Mapping[str, int],
    params: Mapping[str, Value],
    keep: Keep = "place",
) -> Sized | tuple[None, None]:
    """The call with these dims and params, and where the deciding element of its outputs then is.

    Along every axis the values around the place, the first or the last ones are kept; an axis that has nothing to do
    with the place keeps its first. With "order", where one axis is shorter and another longer, all values are laid out
    anew in their order, and of other inputs those around the largest are kept. Indices stay below their limit.
    None, None where the op is not defined.
    """
    if not is_callable(spec, dims, params):
        return NOTHING
    shapes = spec.shapes(dims, params)
    arrays = {}
    for item in spec.inputs:
        array = call.arrays[item.name]
        if keep == "order" and _is_traded(array.shape, shapes[item.name]):
            array = np.resize(array, shapes[item.name])
        for axis, (program, size) in enumerate(zip(item.shape, shapes[item.name], strict=True)):
            own = _centre(spec, program, array.shape[axis], place, call)
            array = _cut(array, axis, size, keep, _largest(array, axis) if keep == "order" else own)
        for axis, size in enumerate(shapes[item.name]):  # only now, lest all axes be long at once
            array = _grow(array, axis, size)
        if item.below is not None and array.size:
            array = np.minimum(array, below(spec, item.name, dims, params) - 1)
        arrays[item.name] = array
    made = replace(call, dims=dict(dims), params=dict(params), arrays=arrays)
    return made, place and _moved(spec, place, call, made, keep)


def _moved(spec: OpSpec, place: Element, call: Call, made: Call, keep: Keep) -> Element | None:
    """Where the place of a call is in another; None where the output is empty."""
    old, new = (spec.output_shapes(each.dims, each.params)[place.output] for each in (call, made))
    if 0 in new:
        return None
    if keep == "order" and _is_traded(old, new):
        number = int(np.ravel_multi_index(place.index, old))
        return Element(place.output, tuple(map(int, np.unravel_index(min(number, prod(new) - 1), new))))
    starts = [_start(keep, *sizes) for sizes in zip(old, new, place.index, strict=True)]
    index = tuple(min(max(p - s, 0), n - 1) for p, s, n in zip(place.index, starts, new, strict=True))
    return Element(place.output, index)


def _is_traded(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    """Whether one axis is shorter and another longer."""
    return any(a > b for a, b in zip(old, new, strict=True)) and any(a < b for a, b in zip(old, new, strict=True))


def _centre(spec: OpSpec, program: Program, size: int, place: Element | None, call: Call) -> int | None:
    """Where along an axis of an input the place is; in proportion where another formula gives the output's axis."""
    if place is None:
        return None
    axes = spec.outputs[spec.place_of(place.output)].shape
    for axis, own in enumerate(axes):
        if own.text == program.text:
            return place.index[axis]
    output = spec.output_shapes(call.dims, call.params)[place.output]
    for axis, own in enumerate(axes):
        if own.names & program.names and output[axis]:
            return place.index[axis] * size // output[axis]
    return None


def _largest(array: Array, axis: int) -> int | None:
    """Where along an axis the largest number is."""
    if not array.size:
        return None
    sizes = np.nan_to_num(np.abs(array.astype(np.float64)))
    return int(np.unravel_index(int(sizes.argmax()), array.shape)[axis])


def _start(keep: Keep, old: int, new: int, centre: int | None) -> int:
    if keep == "last":
        return max(old - new, 0)
    if keep == "first" or centre is None:
        return 0
    return min(max(centre - new // 2, 0), max(old - new, 0))


def _cut(array: Array, axis: int, size: int, keep: Keep, centre: int | None) -> Array:
    if size >= array.shape[axis]:
        return array
    start = _start(keep, array.shape[axis], size, centre)
    return array[(slice(None),) * axis + (slice(start, start + size),)]


def _grow(array: Array, axis: int, size: int) -> Array:
    old = array.shape[axis]
    if size == old:
        return array
    if old == 0:
        return np.zeros((*array.shape[:axis], size, *array.shape[axis + 1 :]), array.dtype)
    return np.asarray(array.take(np.arange(size) % old, axis=axis))
