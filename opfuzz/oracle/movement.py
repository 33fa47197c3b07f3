"""Functions of the reference that move elements and compute nothing: each is one index array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, prod
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import numbers_of_codes
from opfuzz.oracle import graph
from opfuzz.oracle.graph import Node, Shape, as_node


def moved_axis(shape: Shape, axis: int) -> int:
    """The axis counted from the front. Raises ValueError where there is none such."""
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"there is no axis {axis} in the shape {list(shape)}")
    return axis % len(shape)


def axes_of(shape: Shape, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    """The axes counted from the front, all of them for None."""
    if axis is None:
        return tuple(range(len(shape)))
    chosen = [axis] if isinstance(axis, int) else list(axis)
    return tuple(sorted({moved_axis(shape, a) for a in chosen}))


def pair(padding: int | Sequence[int]) -> tuple[int, int]:
    """The same number twice, or the two numbers given."""
    if isinstance(padding, int):
        return padding, padding
    left, right = padding
    return left, right


def _moved(x: object, move: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> Node:
    node = as_node(x)
    return graph.gather((node,), move(np.arange(node.size).reshape(node.shape)))


def swapaxes(x: object, first: int, second: int) -> Node:
    """Two axes exchanged."""
    return _moved(x, lambda index: np.swapaxes(index, first, second))


def transpose(x: object, axes: Sequence[int]) -> Node:
    """All axes in another order."""
    return _moved(x, lambda index: np.transpose(index, tuple(axes)))


def flip(x: object, axis: int) -> Node:
    """Reversed along an axis."""
    return _moved(x, lambda index: np.flip(index, axis))


def broadcast_to(x: object, shape: Sequence[int]) -> Node:
    """Repeated to a larger shape by NumPy's rules."""
    return _moved(x, lambda index: np.broadcast_to(index, tuple(shape)))


def repeat(x: object, times: int, axis: int) -> Node:
    """Each element repeated along an axis."""
    graph.refuse_more_than_most(as_node(x).size * times)  # before the index is built
    return _moved(x, lambda index: np.repeat(index, times, axis))


def narrow(x: object, axis: int, start: int, length: int, step: int = 1) -> Node:
    """`length` elements along an axis, from `start` on, `step` apart."""
    node = as_node(x)
    where = moved_axis(node.shape, axis)
    if min(start, length) < 0 or step < 1 or (length and start + (length - 1) * step >= node.shape[where]):
        apart = "" if step == 1 else f", {step} apart,"
        raise ValueError(f"axis {axis} of the shape {list(node.shape)} has no {length} elements{apart} from {start} on")
    return _moved(node, lambda index: np.take(index, start + step * np.arange(length), where))


def take(x: object, indices: object, axis: int = 0) -> Node:
    """Slices of `x` along an axis, chosen by an index input."""
    if not isinstance(indices, np.ndarray):
        raise TypeError("take needs an index input as its second argument")
    node = as_node(x)
    refuse_indices_beyond(indices.view(np.ndarray), node.shape[moved_axis(node.shape, axis)])
    return _moved(x, lambda index: np.take(index, indices, axis))


def decoded(codes: object, format: str) -> Node:
    """The numbers that codes of a small format stand for, as `decoded(q, format='float4_e2m1fn')`."""
    return take(graph.leaf(numbers_of_codes(format)), codes)


def along(shape: Shape, indices: object, axis: int) -> NDArray[np.int64]:
    """Flat places in a tensor of this shape that have each index along an axis, and their own place along the others.

    Shape of the indices, which have as many axes, and none longer but this one. Raises TypeError for what is no index
    input, ValueError where there is no such place.
    """
    if not isinstance(indices, np.ndarray) or indices.dtype.kind not in "iu":
        raise TypeError(
            "gather and scatter_add take whole numbers: an index input, or what is computed of one with + - * // %"
        )
    where = moved_axis(shape, axis)
    chosen = indices.view(np.ndarray).astype(np.int64)
    others = [i for i in range(len(shape)) if i != where]
    if chosen.ndim != len(shape) or any(chosen.shape[i] > shape[i] for i in others):
        raise ValueError(f"indices of the shape {list(chosen.shape)} do not fit {list(shape)} along axis {axis}")
    refuse_indices_beyond(chosen, shape[where])
    places = np.indices(chosen.shape)
    places[where] = chosen
    steps = np.array([int(np.prod(shape[i + 1 :])) for i in range(len(shape))], np.int64)
    return np.asarray(np.tensordot(steps, places, 1), np.int64)


def refuse_indices_beyond(indices: NDArray[Any], count: int) -> None:
    """Raises ValueError for an index that is not from 0 to count - 1."""
    if indices.size and not (indices.min() >= 0 and indices.max() < count):
        raise ValueError(f"indices from {indices.min()} to {indices.max()} into an axis of {count} elements")


def gather(x: object, indices: object, axis: int = 0) -> Node:
    """Of each row along an axis, the elements that an index input of as many axes chooses, row by row."""
    node = as_node(x)
    return graph.gather((node,), along(node.shape, indices, axis))


def reshape(x: object, shape: Sequence[int]) -> Node:
    """The same elements in another shape; one size may be -1."""
    return graph.reshape(as_node(x), tuple(shape))


def expand_dims(x: object, axis: int) -> Node:
    """A new axis of size 1."""
    node = as_node(x)
    return graph.reshape(node, np.expand_dims(np.empty(node.shape, np.bool_), axis).shape)


def _expanded(x: object, axis: int) -> object:
    """What a reference calls `expand_dims`: of indices they stay whole numbers, which can choose elements."""
    return np.expand_dims(x, axis) if isinstance(x, graph.Whole) else expand_dims(x, axis)


def squeeze(x: object, axis: int | Sequence[int]) -> Node:
    """Axes of size 1 removed."""
    node = as_node(x)
    gone = axes_of(node.shape, axis)
    return graph.reshape(node, tuple(n for i, n in enumerate(node.shape) if i not in gone))


def concatenate(parts: Sequence[object], axis: int = 0) -> Node:
    """Tensors joined along an axis."""
    nodes = [as_node(part) for part in parts]
    starts = np.cumsum([0] + [node.size for node in nodes])
    pieces = [np.arange(n.size).reshape(n.shape) + start for n, start in zip(nodes, starts, strict=False)]
    return graph.gather(nodes, np.concatenate(pieces, axis))


def pad(x: object, before: int, after: int, axis: int, value: float | Node = 0, mode: str = "constant") -> Node:
    """Copies of one value put before and after along an axis; or, by mode, what stands there already.

    `edge`: the outermost elements; `reflect`: mirrored at them; `wrap`: from the other end. Raises ValueError for
    another mode, and for more elements than there are to mirror or to wrap.
    """
    node = as_node(x)
    place = moved_axis(node.shape, axis)
    widths = [(0, 0)] * len(node.shape)
    widths[place] = (before, after)
    graph.refuse_more_than_most(node.size // max(node.shape[place], 1) * (before + after))
    index = np.arange(node.size).reshape(node.shape)
    if mode == "constant":
        return graph.gather((node, as_node(value)), np.pad(index, widths, constant_values=node.size))
    if mode not in _MOST_PADDED:
        raise ValueError(f"no mode '{mode}' of pad; there are constant, {', '.join(_MOST_PADDED)}")
    length = node.shape[place]
    if length == 0 or max(before, after) > _MOST_PADDED[mode](length):
        raise ValueError(f"an axis of {length} elements cannot be padded by {before} and {after} with mode '{mode}'")
    return graph.gather((node,), np.pad(index, widths, mode))  # type: ignore[call-overload]  # a mode of NumPy's


_MOST_PADDED: MappingProxyType[str, Callable[[int], float]] = MappingProxyType(
    {"edge": lambda length: inf, "reflect": lambda length: length - 1, "wrap": lambda length: length}
)


def sort(x: object, axis: int = -1) -> Node:
    """An input's elements in ascending order along an axis, NaN last."""
    return _chosen(x, axis, "sort", lambda values, place: np.argsort(values, place, kind="stable"))


def argmax(x: object, axis: int = -1, keepdims: bool = True) -> Node:
    """Place of the first of an input's largest elements along an axis."""
    node, place = _drawn(x, "argmax"), moved_axis(as_node(x).shape, axis)
    if node.shape[place] == 0:
        raise ValueError("argmax over no elements")
    return graph.leaf(np.argmax(node.detail, place, keepdims=keepdims))


def _chosen(x: object, axis: int, name: str, choose: Callable[[NDArray[np.float64], int], NDArray[np.int64]]) -> Node:
    node = _drawn(x, name)
    place = moved_axis(node.shape, axis)
    order = choose(node.detail, place)
    chosen = _moved(node, lambda index: np.take_along_axis(index, order, place))
    chosen.meant = ("sort", node, (place,))
    return chosen


def _drawn(x: object, name: str) -> Node:
    """A tensor whose values are known as such: which of two computed ones is larger may never be decided."""
    node = as_node(x)
    if node.op not in ("input", "leaf"):
        raise TypeError(f"{name} needs an input as it was drawn, not what is computed from it")
    return node


def arange(count: int) -> Node:
    """0, 1, ..., count - 1."""
    graph.refuse_more_than_most(count)
    return graph.leaf(np.arange(count))


def linspace(start: object, stop: object, count: int) -> Node:
    """`count` equally spaced values, both ends included."""
    first, last = as_node(start), as_node(stop)
    if count == 1:
        return reshape(first, (1,))
    return first + (last - first) * (arange(count) / max(count - 1, 1))


def zeros(shape: Sequence[int]) -> Node:
    """All 0."""
    graph.refuse_more_than_most(prod(shape))
    return graph.leaf(np.zeros(tuple(shape)))


def ones(shape: Sequence[int]) -> Node:
    """All 1."""
    graph.refuse_more_than_most(prod(shape))
    return graph.leaf(np.ones(tuple(shape)))


FUNCTIONS: MappingProxyType[str, Callable[..., Any]] = MappingProxyType(
    {
        function.__name__: function
        for function in (
            swapaxes, transpose, flip, broadcast_to, repeat, narrow, take, decoded, gather, reshape, expand_dims,
            squeeze, concatenate, pad, sort, argmax, arange, linspace, zeros, ones,
        )
    }
    | {"expand_dims": _expanded}
)  # fmt: skip
