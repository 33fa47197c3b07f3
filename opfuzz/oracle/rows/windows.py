"""Functions of the reference that look through windows: convolutions over several axes, and resizing of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from opfuzz.oracle import graph, movement
from opfuzz.oracle.graph import Node, as_node
from opfuzz.oracle.movement import moved_axis, pair

Index = NDArray[np.int64]
Sizes = int | Sequence[int]


def windows(x: object, axis: int, size: int, stride: int = 1, dilation: int = 1) -> Node:
    """Windows of `size` elements along an axis, which counts them then; their elements are a last axis.

    Raises ValueError where none fits, or a size, stride or dilation is below 1.
    """
    node = as_node(x)
    place = moved_axis(node.shape, axis)
    count = _count(node.shape[place], size, stride, dilation)
    graph.refuse_more_than_most(node.size // node.shape[place] * count * size)  # before the index is built
    return graph.gather((node,), _windows(np.arange(node.size).reshape(node.shape), place, size, stride, dilation))


def overlap_add(x: object, stride: int) -> Node:
    """Windows (..., count, size) laid `stride` apart and added up, (..., (count - 1) stride + size): the adjoint of
    `windows`. Raises ValueError where there is none, or a stride below 1."""
    node = as_node(x)
    if len(node.shape) < 2:
        raise ValueError(f"windows have axes (..., count, size), not the shape {list(node.shape)}")
    *batch, count, size = node.shape
    if min(count, size, stride) < 1:
        raise ValueError(f"{count} windows of {size} elements cannot be laid {stride} apart")
    terms, length = -(-size // stride), (count - 1) * stride + size
    graph.refuse_more_than_most(prod(batch) * length * terms)
    place = np.arange(length)[:, None]
    turn = np.arange(terms)[::-1]  # the earliest window first
    window, inside = place // stride - turn, place % stride + turn * stride
    is_met = (window >= 0) & (window < count) & (inside < size)
    rows = np.arange(prod(batch)).reshape(*batch, 1, 1) * (count * size)
    seen = graph.gather((node, graph.number(0)), np.where(is_met, rows + window * size + inside, node.size))
    return graph.reshape(Node("sum", (seen,), (*batch, length, 1), (len(batch) + 1,)), (*batch, length))


def conv1d(x: object, weight: object, stride: int = 1, padding: Sizes = 0, dilation: int = 1, groups: int = 1) -> Node:
    """Cross-correlation: x (n, c_in, length), weight (c_out, c_in/groups, k) -> (n, c_out, positions).

    `padding` zeros stand on both sides; a pair of numbers pads left and right differently.
    """
    return _convolved(as_node(x), as_node(weight), (stride,), (pair(padding),), (dilation,), groups)


def conv2d(
    x: object, weight: object, stride: Sizes = 1, padding: Sizes = 0, dilation: Sizes = 1, groups: int = 1
) -> Node:
    """Cross-correlation over the last two axes; a pair is of the two axes."""
    return _over_axes(2, x, weight, stride, padding, dilation, groups)


def conv3d(
    x: object, weight: object, stride: Sizes = 1, padding: Sizes = 0, dilation: Sizes = 1, groups: int = 1
) -> Node:
    """Cross-correlation over the last three axes; three numbers are of the three axes."""
    return _over_axes(3, x, weight, stride, padding, dilation, groups)


def conv_transpose1d(
    x: object,
    weight: object,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Node:
    """The adjoint of conv1d: x (n, c_in, length), weight (c_in, c_out/groups, k) -> (n, c_out, positions)."""
    return _adjoint(as_node(x), as_node(weight), [(stride, padding, output_padding, dilation)], groups)


def conv_transpose2d(
    x: object,
    weight: object,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Node:
    """The adjoint of conv2d: x (n, c_in, height, width), weight (c_in, c_out/groups, k, l) -> (n, c_out, ...)."""
    settings = [_each(given, 2) for given in (stride, padding, output_padding, dilation)]
    return _adjoint(as_node(x), as_node(weight), list(zip(*settings, strict=True)), groups)


def _adjoint(x: Node, kernel: Node, settings: Sequence[Sequence[int]], groups: int) -> Node:
    """`settings`: stride, padding, output padding and dilation of each axis."""
    _refuse_other_axes(x, kernel, len(settings))
    n, c_in, *lengths = x.shape
    _, per_group, *sizes = kernel.shape
    if groups < 1 or c_in % groups or kernel.shape[0] != c_in:
        raise ValueError(f"{c_in} channels in {groups} groups do not fit a kernel of shape {list(kernel.shape)}")
    # An axis goes through its taps, or through its places where they are fewer; each term of a sum is a pair of both.
    met = [_meetings(*each) for each in zip(lengths, sizes, settings, strict=True)]
    inner = c_in // groups
    terms, positions = (prod(source.shape[axis] for source, _ in met) for axis in (0, 1))
    is_by_taps = all(length >= k for length, k in zip(lengths, sizes, strict=True))
    graph.refuse_more_than_most(terms * positions * c_in * max(n, 1 if is_by_taps else per_group))
    places, taps = (_flat([each[side] for each in met], shape) for side, shape in enumerate((lengths, sizes)))
    rows = np.arange(n * c_in).reshape(n, groups, inner, 1, 1) * prod(lengths)
    index = np.where(places < 0, x.size, rows + places).reshape(n, groups, inner * terms, positions)
    seen = graph.gather((x, graph.number(0)), index)  # the zero stands behind x
    rows = np.arange(c_in * per_group).reshape(groups, inner, per_group).swapaxes(1, 2)[..., None, None] * prod(sizes)
    if is_by_taps:
        weights = graph.gather((kernel,), (rows[..., 0] + np.arange(terms)).reshape(groups, per_group, inner * terms))
        product = graph.dot(weights, seen)
    else:
        index = np.where(places < 0, kernel.size, rows + taps).reshape(groups, per_group, inner * terms, positions)
        weights = graph.gather((kernel, graph.number(0)), np.swapaxes(index, -1, -2)[..., None])
        product = graph.dot(movement.expand_dims(movement.swapaxes(movement.expand_dims(seen, 2), -1, -2), -2), weights)
    return graph.reshape(product, (n, groups * per_group, *(source.shape[1] for source, _ in met)))


def _meetings(length: int, k: int, setting: Sequence[int]) -> tuple[Index, Index]:
    """Places of x and taps of the kernel that meet in each position, both (terms, positions); -1 where none do."""
    stride, padding, extra, dilation = setting
    position = np.arange((length - 1) * stride - 2 * padding + dilation * (k - 1) + extra + 1) + padding
    own, other, steps, end = (dilation, stride, k, length) if length >= k else (stride, dilation, length, k)
    graph.refuse_more_than_most(steps * position.size)
    step = np.arange(steps)[:, None]
    offset = position - step * own
    is_met = (offset % other == 0) & (offset >= 0) & (offset < end * other)
    found = np.where(is_met, offset // other, -1), np.where(is_met, step, -1)
    return found if length >= k else found[::-1]


def _flat(parts: Sequence[Index], shape: Sequence[int]) -> Index:
    """Indices into the axes of a shape, each (terms, positions), as one into all of them; -1 where one is."""
    flat, is_none = np.zeros((1, 1), np.int64), np.zeros((1, 1), np.bool_)
    for part, length in zip(parts, shape, strict=True):
        flat, is_none = (_crossed(a, b) for a, b in ((flat * length, part), (is_none, part < 0)))
    return np.where(is_none, -1, flat)


def _crossed(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Every pair of rows and of columns added; of truth values, whether either is true."""
    pairs: NDArray[Any] = a[:, None, :, None] + b[None, :, None, :]
    return pairs.reshape(a.shape[0] * b.shape[0], a.shape[1] * b.shape[1])


def _over_axes(
    axes: int, x: object, weight: object, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Node:
    paddings = tuple((each, each) for each in _each(padding, axes))
    return _convolved(as_node(x), as_node(weight), _each(stride, axes), paddings, _each(dilation, axes), groups)


def _convolved(
    x: Node,
    kernel: Node,
    strides: Sequence[int],
    paddings: Sequence[tuple[int, int]],
    dilations: Sequence[int],
    groups: int,
) -> Node:
    _refuse_other_axes(x, kernel, len(strides))
    index = np.arange(x.size).reshape(x.shape)
    return _product(x, kernel, _padded(index, paddings, x.size), strides, dilations, groups)


def _product(
    x: Node, kernel: Node, index: Index, strides: Sequence[int], dilations: Sequence[int], groups: int
) -> Node:
    """Sums over the channels of a group and the taps. `index` (n, c_in, ...) is into x with a zero behind it."""
    n, c_in, *lengths = index.shape
    c_out, taken, *sizes = kernel.shape
    if groups < 1 or c_in % groups or c_out % groups or taken != c_in // groups:
        raise ValueError(f"{c_in} channels in {groups} groups do not fit a kernel of shape {list(kernel.shape)}")
    counts = [_count(*each) for each in zip(lengths, sizes, strides, dilations, strict=True)]
    graph.refuse_more_than_most(n * c_in * prod(counts) * prod(sizes))
    for axis, (size, stride, dilation) in enumerate(zip(sizes, strides, dilations, strict=True), 2):
        index = _windows(index, axis, size, stride, dilation)
    positions = index.shape[2 : 2 + len(sizes)]
    order = (0, 1, *range(2 + len(sizes), 2 + 2 * len(sizes)), *range(2, 2 + len(sizes)))  # taps before positions
    terms = c_in // groups * prod(sizes)
    seen = graph.gather((x, graph.number(0)), index.transpose(order).reshape(n, groups, terms, prod(positions)))
    weights = graph.reshape(kernel, (groups, c_out // groups, terms))
    return graph.reshape(graph.dot(weights, seen), (n, c_out, *positions))


def _windows(index: Index, axis: int, size: int, stride: int, dilation: int) -> Index:
    seen = sliding_window_view(index, dilation * (size - 1) + 1, axis)[..., ::dilation]
    steps = [slice(None)] * seen.ndim
    steps[axis] = slice(None, None, stride)
    return seen[tuple(steps)]


def _padded(index: Index, paddings: Sequence[tuple[int, int]], zero: int) -> Index:
    return np.pad(index, ((0, 0), (0, 0), *paddings), constant_values=zero)


def _each(given: Sizes, axes: int) -> tuple[int, ...]:
    """One number for each axis. Raises ValueError for another number of them."""
    found = (given,) * axes if isinstance(given, int) else tuple(given)
    if len(found) != axes:
        raise ValueError(f"{list(found)} has {len(found)} numbers for {axes} axes")
    return found


def _refuse_other_axes(x: Node, kernel: Node, axes: int) -> None:
    if not len(x.shape) == len(kernel.shape) == 2 + axes:
        shapes = f"{list(x.shape)} and {list(kernel.shape)}"
        raise ValueError(f"x and weight of a convolution over {axes} axes have {2 + axes} each, not shapes {shapes}")


def _count(length: int, size: int, stride: int, dilation: int) -> int:
    """How many windows an axis has. Raises ValueError where none fits, or a number is below 1."""
    if min(size, stride, dilation) < 1:
        raise ValueError(f"no windows have a size of {size}, a stride of {stride} and a dilation of {dilation}")
    if dilation * (size - 1) + 1 > length:
        raise ValueError(f"a window of {size} elements, {dilation} apart, is longer than an axis of {length}")
    return (length - dilation * (size - 1) - 1) // stride + 1


# The source of element i of an axis resized from m to n lies at i (m - 1)/(n - 1) where corners are aligned, else at
# (i + 1/2) m/n - 1/2. Cubic convolution: Keys, IEEE Trans. ASSP 29 (1981), with a = -3/4 as torch, MLX and OpenCV have.

KEYS = -0.75


def resize(x: object, axis: int, size: int, method: str = "linear", align_corners: bool = False) -> Node:
    """An axis resized to `size` elements; methods nearest, linear, cubic. Raises ValueError for any other."""
    node = as_node(x)
    place = moved_axis(node.shape, axis)
    length = node.shape[place]
    if method not in _METHODS:
        raise ValueError(f"no method '{method}' of resize; there are {', '.join(_METHODS)}")
    if length == 0 or size < 0:
        raise ValueError(f"an axis of {length} elements cannot be resized to {size}")
    graph.refuse_more_than_most(max(node.size // length, 1) * size)
    places = np.arange(size)
    if method == "nearest":
        return _along(node, place, places * length // max(size, 1))
    if align_corners:
        whole, left = np.divmod(places * (length - 1), max(size - 1, 1))
        source = graph.leaf(places) * (length - 1) / max(size - 1, 1)
    else:
        whole, left = np.divmod((2 * places + 1) * length - size, 2 * max(size, 1))
        source = (graph.leaf(places) + 0.5) * length / max(size, 1) - 0.5
        if method == "linear":  # what lies before the first element is the first element
            source = graph.binary("maximum", source, 0)
            whole, left = np.maximum(whole, 0), np.where(whole < 0, 0, left)
    share = graph.reshape(source - graph.leaf(whole), (size, *(1,) * (len(node.shape) - 1 - place)))
    taps = _METHODS[method](share)
    index = (np.clip(whole + tap, 0, length - 1) for tap in range(-1, len(taps) - 1))
    parts = [_along(node, place, chosen) * weight for chosen, weight in zip(index, taps, strict=True)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _along(x: Node, axis: int, index: Index) -> Node:
    return graph.gather((x,), np.take(np.arange(x.size).reshape(x.shape), index, axis))


# Weights of the elements from the one before the whole part of the source on. Where that is whole, whoever computes it
# may come out below, so the element before counts as well, with a weight of 0.


def _linear(share: Node) -> list[Node]:
    return [graph.binary("maximum", -share, 0), 1 - share, graph.binary("maximum", share, 0)]


def _cubic(share: Node) -> list[Node]:
    def near(t: Node) -> Node:  # |t| <= 1
        return ((KEYS + 2) * t - (KEYS + 3)) * t * t + 1

    def far(t: Node) -> Node:  # 1 < |t| < 2
        return ((KEYS * t - 5 * KEYS) * t + 8 * KEYS) * t - 4 * KEYS

    return [far(share + 1), near(share), near(1 - share), far(2 - share)]


_METHODS: MappingProxyType[str, Callable[[Node], list[Node]]] = MappingProxyType(
    {"nearest": lambda share: [share], "linear": _linear, "cubic": _cubic}
)

FUNCTIONS: MappingProxyType[str, Callable[..., Any]] = MappingProxyType(
    {
        function.__name__: function
        for function in (windows, overlap_add, conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, resize)
    }
)
