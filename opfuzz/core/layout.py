"""Memory layouts: how the elements of an input lie in memory, as a buffer and the views that recover them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from operator import mul
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.errors import OpfuzzError, did_you_mean

Array = NDArray[Any]

# Simplest first: shrinking and `Case.sort_key` prefer a layout to all that stand behind it.
LAYOUTS = ("contiguous", "transposed", "permuted", "offset", "narrowed", "stepped", "broadcast")


def layout_class(layouts: Mapping[str, str]) -> str:
    """What a call as a whole counts as: the layout of its first input that is not contiguous, if there is one."""
    return next((layout for layout in layouts.values() if layout != LAYOUTS[0]), LAYOUTS[0])


@dataclass(frozen=True, slots=True)
class View:
    """One step from a buffer towards an array; no element moves.

    `args`: the order of the axes (transpose); starts, stops and steps by axis (slice); the shape (broadcast).
    """

    op: Literal["transpose", "slice", "broadcast"]
    args: tuple[Any, ...]


def applicable(layout: str, shape: Sequence[int]) -> bool:
    """Whether `layout` says anything about an array of this shape that `contiguous` and the others before it do not.

    Empty arrays and scalars are only ever contiguous. Raises OpfuzzError for an unknown layout.
    """
    if layout not in LAYOUTS:
        raise OpfuzzError(f"unknown layout '{layout}'{did_you_mean(layout, LAYOUTS)}")
    if layout == "contiguous":
        return True
    if not shape or prod(shape) == 0:
        return False
    match layout:
        case "transposed" | "narrowed":
            return len(shape) >= 2
        case "permuted":
            return len(shape) >= 3
        case "broadcast":
            return shape[0] >= 2
        case _:
            return True


def memory(array: Array, layout: str) -> tuple[Array, tuple[View, ...]]:
    """Buffer and views: the views, applied to the buffer one after another, give exactly `array`, laid out so.

    The buffer is C-contiguous and never shares memory with `array`. What it holds beside the elements is NaN
    (largest integer, True), so that a kernel which reads a neighbour shows it.

        transposed  the last two axes swapped
        permuted    all axes reversed
        offset      rows 1 to n of a buffer of n + 2 rows: contiguous, but not at the start
        narrowed    columns 1 to n of a buffer of n + 2 columns: gaps between the rows, as in a part of a joint q, k, v
        stepped     every second element of the last axis
        broadcast   stride 0 along the first axis

    A layout that is not applicable to the shape means contiguous.
    Raises OpfuzzError for an unknown layout, and if an array to broadcast is not constant along its first axis.
    """
    if layout == LAYOUTS[0]:
        return _copy(array), ()
    if not fits(array, layout):
        raise OpfuzzError(f"layout 'broadcast' needs an input that is constant along axis 0, of shape {array.shape}")
    shape, views = placed(array.shape, layout)
    if not views or views[0].op == "transpose":  # each of these is its own inverse
        return _copy(apply(array, views)), views
    if views[0].op == "broadcast":
        return _copy(array[:1]), views
    buffer = np.full(shape, _garbage(array.dtype), array.dtype)
    apply(buffer, views)[...] = array
    return buffer, views


@lru_cache(maxsize=1024)  # every subject of a case asks for the same
def placed(shape: tuple[int, ...], layout: str) -> tuple[tuple[int, ...], tuple[View, ...]]:
    """Shape of the buffer, and the views, that `memory` gives for an array of `shape`. Raises as `applicable` does."""
    if not applicable(layout, shape):
        layout = "contiguous"
    last = len(shape) - 1
    match layout:
        case "transposed":
            return _reordered(shape, (*range(last - 1), last, last - 1))
        case "permuted":
            return _reordered(shape, tuple(range(last, -1, -1)))
        case "offset":
            return _inside(shape, (shape[0] + 2, *shape[1:]), axis=0, start=1, step=1)
        case "narrowed":
            return _inside(shape, (*shape[:-1], shape[-1] + 2), axis=last, start=1, step=1)
        case "stepped":
            return _inside(shape, (*shape[:-1], 2 * shape[-1]), axis=last, start=0, step=2)
        case "broadcast":
            return (1, *shape[1:]), (View("broadcast", shape),)
        case _:
            return shape, ()


@dataclass(frozen=True, slots=True)
class Strides:
    """Where the elements of an array lie in its buffer: element i is at start + sum(i[k] * steps[k]), in elements."""

    elements: int  # of the buffer
    start: int
    steps: tuple[int, ...]


def strides(shape: tuple[int, ...], layout: str) -> Strides:
    """The views of `placed` as one formula. Raises as `applicable` does."""
    whole, views = placed(shape, layout)
    start, steps = 0, [prod(whole[axis + 1 :]) for axis in range(len(whole))]
    for view in views:
        match view.op:
            case "transpose":
                steps = [steps[axis] for axis in view.args]
            case "slice":
                starts, _, every = view.args
                start += sum(map(mul, starts, steps))
                steps = list(map(mul, every, steps))
            case "broadcast":  # along the first axis, of which the buffer has one
                steps[0] = 0
    return Strides(prod(whole), start, tuple(steps))


def has_gaps(layout: str) -> bool:
    """Whether the buffer of this layout holds NaN beside the elements."""
    return layout in ("offset", "narrowed", "stepped")


def apply(base: Array, views: Sequence[View]) -> Array:
    """`base` seen through the views in NumPy; shares its memory. Raises ValueError for an unknown view."""
    for view in views:
        match view.op:
            case "transpose":
                base = base.transpose(view.args)
            case "slice":
                base = base[tuple(map(slice, *view.args))]
            case "broadcast":
                base = np.broadcast_to(base, view.args)
            case _:
                raise ValueError(f"unknown view {view.op}")
    return base


def constant_along_broadcast(array: Array, layout: str) -> Array:
    """`array` with its first row everywhere along axis 0 if `layout` is an applicable 'broadcast'; else `array`."""
    if layout != "broadcast" or not applicable(layout, array.shape):
        return array
    return np.repeat(array[:1], array.shape[0], axis=0)


def fits(array: Array, layout: str) -> bool:
    """Whether `memory` can lay out `array` so: as 'broadcast', where applicable, only what is constant along axis 0."""
    if layout != "broadcast" or not applicable(layout, array.shape):
        return True
    return array.tobytes() == array[:1].tobytes() * len(array)


def _copy(array: Array) -> Array:
    return np.array(array, order="C", copy=True)


def _reordered(shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[View, ...]]:
    """The axes of `shape` in another order, which applied twice is the first one again."""
    return tuple(shape[axis] for axis in order), (View("transpose", order),)


def _inside(
    shape: tuple[int, ...], whole: tuple[int, ...], axis: int, start: int, step: int
) -> tuple[tuple[int, ...], tuple[View, ...]]:
    """A buffer of shape `whole` that holds an array from `start` on along `axis`, every `step` elements."""
    starts, stops, steps = [0] * len(whole), list(whole), [1] * len(whole)
    starts[axis], stops[axis], steps[axis] = start, start + step * shape[axis], step
    return whole, (View("slice", (tuple(starts), tuple(stops), tuple(steps))),)


def _garbage(dtype: np.dtype[Any]) -> object:
    if dtype.kind == "b":
        return True
    return np.iinfo(dtype).max if dtype.kind in "iu" else np.nan
