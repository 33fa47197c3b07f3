"""What one element of a result depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.oracle.graph import SCANS, Node, topological

Places = NDArray[np.int64]  # flat, sorted
# All places whose index along each axis is in a range. One element mostly depends on rows, columns and the like, which
# are found axis by axis; what is no box is counted out.
Box = tuple[range, ...]
_FIRST = range(1)


def dependencies(root: Node, place: int) -> dict[int, Places]:
    """For each input, mask or counter that the element at a flat `place` of `root` depends on, by id of its node:
    sorted flat places in it."""
    reached: dict[int, Box | Places] = {id(root): _box_of(place, root.shape)}
    found: dict[int, Places] = {}
    for node in reversed(topological(root)):
        if id(node) not in reached:
            continue
        places = reached[id(node)]
        if not node.args:
            found[id(node)] = _flat(places, node.shape)
            continue
        if isinstance(places, tuple) and 0 not in node.shape:
            sources = _boxes(node, places)
        else:
            sources = sources_of(node, _flat(places, node.shape))
        for arg, more in zip(node.args, sources, strict=True):
            if arg.op != "number":
                known = reached.get(id(arg))
                reached[id(arg)] = more if known is None else _union(known, more, arg)
    return found


def _box_of(place: int, shape: tuple[int, ...]) -> Box:
    """The box of one flat place."""
    box: list[range] = []
    for size in reversed(shape):
        place, along = divmod(place, size)
        box.insert(0, range(along, along + 1))
    return tuple(box)


def _flat(places: Box | Places, shape: tuple[int, ...]) -> Places:
    if not isinstance(places, tuple):
        return places
    if 0 in shape:
        return np.zeros(0, np.int64)
    start, step, wide = 0, 1, []
    for along, size in zip(reversed(places), reversed(shape), strict=True):
        start += along.start * step
        if len(along) != 1:
            wide.append(np.arange(0, len(along) * step, step))
        step *= size
    if not wide:
        return np.array([start])
    found = wide[0] + start
    for more in wide[1:]:
        found = (more[:, None] + found).ravel()
    return found


def _union(known: Box | Places, more: Box | Places, node: Node) -> Box | Places:
    if isinstance(known, tuple) and isinstance(more, tuple):
        if _is_inside(more, known):
            return known
        if _is_inside(known, more):
            return more
    first, second = _flat(known, node.shape), _flat(more, node.shape)
    if first is second or np.array_equal(first, second):
        return first
    return _distinct(np.concatenate([first, second]), node.size)


def _is_inside(inner: Box, outer: Box) -> bool:
    return all(a.start >= b.start and a.stop <= b.stop for a, b in zip(inner, outer, strict=True))


def _boxes(node: Node, box: Box) -> Sequence[Box | Places]:
    """What `sources_of` gives for the elements of a box."""
    if node.op not in _MOVES:
        return [box if arg.shape == node.shape else _along(box, arg.shape) for arg in node.args]
    if node.op == "gather":
        return _gathered(node, node.detail[tuple([slice(along.start, along.stop) for along in box])].ravel())
    first = node.args[0].shape
    if node.op == "tied":
        _, axes = node.detail
        rows = [range(first[axis]) if axis in axes else along for axis, along in enumerate(box)]
        return [tuple(rows), _along(box, node.args[1].shape)]
    if node.op == "reshape":
        places = _flat(box, node.shape)
        return [_box_of(int(places[0]), first) if len(places) == 1 else places]
    if node.op == "dot":
        inner, (*batch, row, column) = range(first[-1]), box
        a, b = (_along(batch, arg.shape[:-2]) for arg in node.args)
        return [(*a, row, inner), (*b, inner, column)]
    sources = list(box)
    if node.op == "softmax":
        sources[node.detail[0]] = range(first[node.detail[0]])
    elif node.op in SCANS:
        sources[node.detail] = range(box[node.detail].stop)
    elif node.op == "dft":
        sources[-2:] = map(range, first[-2:])
    else:
        for axis in node.detail:
            sources[axis] = range(first[axis])
    return [tuple(sources)]


def _along(box: Sequence[range], shape: tuple[int, ...]) -> Box:
    """A box in an argument of this shape that was broadcast."""
    last = box[len(box) - len(shape) :]
    return tuple([_FIRST if size == 1 else along for along, size in zip(last, shape, strict=True)])


def sources_of(node: Node, places: Places) -> Sequence[Places]:
    """For each argument, the flat places in it from which the elements at sorted `places` are computed, sorted."""
    if node.op not in _MOVES:
        return [_below(node, arg, places) for arg in node.args]
    if node.op == "reshape":
        return [places]
    if node.op == "gather":
        return _gathered(node, node.detail.ravel()[places])
    return [_distinct(sources, arg.size) for arg, sources in zip(node.args, _moved(node, places), strict=True)]


def _gathered(node: Node, sources: Places) -> list[Places]:
    """For each argument of a gather, the places in it among those in all of them together."""
    ends = list(accumulate(arg.size for arg in node.args))
    sources = _distinct(sources, ends[-1])
    if len(ends) == 1:
        return [sources]
    cuts = np.searchsorted(sources, [0, *ends]).tolist()
    return [sources[low:high] - start for (low, high), start in zip(pairwise(cuts), [0, *ends], strict=False)]


def _distinct(places: Places, size: int) -> Places:
    """Each place once, sorted; all are below `size`. np.unique takes ten times as long over what occurs often."""
    if (places[1:] > places[:-1]).all():
        return places
    occurs = np.zeros(size, np.bool_)
    occurs[places] = True
    return np.flatnonzero(occurs)


def _steps(shape: tuple[int, ...]) -> list[int]:
    """How far apart in flat places neighbours along each axis are."""
    return [prod(shape[i + 1 :]) for i in range(len(shape))]


def _below(node: Node, arg: Node, places: Places) -> Places:
    """Of an argument that is broadcast, or as large as the result."""
    if arg.shape == node.shape:
        return places
    below = np.zeros(len(places), np.int64)
    index = np.unravel_index(places, node.shape)[len(node.shape) - len(arg.shape) :]
    for along, step, size in zip(index, _steps(arg.shape), arg.shape, strict=True):
        if size > 1:
            below += along * step
    return _distinct(below, arg.size)


_MOVES = SCANS | {"gather", "reshape", "sum", "max", "min", "softmax", "dot", "dft", "tied"}


def _moved(node: Node, places: Places) -> list[Places]:
    if node.op in ("sum", "max", "min"):
        return [reduced_rows(node.args[0].shape, node.detail, places).ravel()]
    if node.op == "tied":
        kept = _below(node, node.args[1], places)
        return [reduced_rows(node.shape, node.detail[1], kept).ravel(), kept]
    if node.op == "dft":
        width = 2 * node.shape[-2]
        return [(_distinct(places // width, node.size)[:, None] * width + np.arange(width)).ravel()]
    if node.op == "softmax" or node.op in SCANS:
        axis = node.detail[0] if node.op == "softmax" else node.detail
        along = np.unravel_index(places, node.shape)[axis]
        step = _steps(node.shape)[axis]
        count = node.shape[axis] if node.op == "softmax" else 1 + int(along.max(initial=-1))  # up to the furthest
        # Many places may lie in one line.
        return [(_distinct(places - along * step, node.size)[:, None] + np.arange(count) * step).ravel()]
    rows, columns = dot_rows(node, places)
    return [rows.ravel(), columns.ravel()]


def reduced_rows(shape: tuple[int, ...], axes: tuple[int, ...], places: Places) -> Places:
    """For each of some flat places of what is reduced along axes, the places of `shape` in its row: (places, count)."""
    steps = _steps(shape)
    inside = np.zeros(1, np.int64)
    for axis in axes:
        inside = (inside[:, None] + np.arange(shape[axis]) * steps[axis]).ravel()
    starts = np.zeros(len(places), np.int64)
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    for along, step in zip(np.unravel_index(places, kept), steps, strict=True):
        starts += along * step  # 0 along what is reduced, which is kept with size 1
    return starts[:, None] + inside


def dot_starts(node: Node, places: Places) -> tuple[Places, Places]:
    """For each flat place of a product, the first place of its row, and of its column."""
    a, b = node.args
    k, batch, (m, n) = a.shape[-1], node.shape[:-2], node.shape[-2:]
    matrix, inside = np.divmod(places, m * n)
    first, second = (
        np.broadcast_to(np.arange(prod(x.shape[:-2])).reshape(x.shape[:-2]), batch).ravel()[matrix] for x in (a, b)
    )
    return (first * m + inside // n) * k, second * k * n + inside % n


def dot_rows(node: Node, places: Places) -> tuple[Places, Places]:
    """For each flat place of a product, the places of its row and of its column: (places, k) each."""
    rows, columns = dot_starts(node, places)
    along = np.arange(node.args[0].shape[-1])
    return rows[:, None] + along, columns[:, None] + along * node.shape[-1]


def spread_from(root: Node, is_flagged: Callable[[Node], NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Elements of `root` that depend on an element of a node without arguments for which `is_flagged` is true."""
    flags: dict[int, NDArray[np.bool_]] = {}
    for node in topological(root):
        flags[id(node)] = touched(node, [flags[id(arg)] for arg in node.args]) if node.args else is_flagged(node)
    return flags[id(root)]


def undefined(root: Node) -> NDArray[np.bool_] | None:
    """Elements that a transform of NaN or infinities has a part in, of which each algorithm makes something else.

    None where there is none.
    """
    if not any(node.op == "dft" for node in topological(root)):
        return None
    flags: dict[int, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {}  # reached by what is no number; and transformed
    for node in topological(root):
        args = [flags[id(arg)] for arg in node.args]
        if not args:
            is_special = ~np.isfinite(node.detail) if node.op == "input" else np.zeros(node.shape, np.bool_)
            flags[id(node)] = is_special, np.zeros(node.shape, np.bool_)
            continue
        is_special, is_undefined = (touched(node, list(each)) for each in zip(*args, strict=True))
        flags[id(node)] = is_special, is_special if node.op == "dft" else is_undefined
    found = flags[id(root)][1]
    return found if found.any() else None


def touched(node: Node, flags: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Elements of `node` that depend on a flagged element of its arguments; one flag array per argument."""
    if node.op in ("sum", "max", "min"):
        return np.asarray(flags[0].any(axis=node.detail, keepdims=True))
    if node.op == "tied":
        return np.broadcast_to(flags[0].any(axis=node.detail[1], keepdims=True) | flags[1], node.shape)
    if node.op in SCANS:
        return np.asarray(np.logical_or.accumulate(flags[0], axis=node.detail))
    if node.op == "dft":
        return np.broadcast_to(flags[0].any(axis=(-2, -1), keepdims=True), node.shape)
    if node.op == "softmax":
        return np.broadcast_to(flags[0].any(axis=node.detail[0], keepdims=True), node.shape)
    if node.op == "dot":
        rows, columns = np.asarray(flags[0].any(-1))[..., :, None], np.asarray(flags[1].any(-2))[..., None, :]
        return np.broadcast_to(rows | columns, node.shape)
    if node.op == "gather":
        return np.asarray(np.concatenate([f.ravel() for f in flags])[node.detail])
    if node.op == "reshape":
        return flags[0].reshape(node.shape)
    out = np.zeros(node.shape, np.bool_)
    for flag in flags:
        out = out | flag
    return out


def repeats_in(sources: Mapping[str, NDArray[np.int64]], arrays: Mapping[str, NDArray[Any]]) -> float:
    """How often, at the least, a term occurs among those that an element is made of, from places of inputs by name.

    As many terms are counted as places of the input that has most, or as an index names one place, which may be the
    same term each time; as many that differ as values of all inputs allow.
    """
    values = [arrays[name].ravel()[places] for name, places in sources.items()]
    named = [np.unique(each, return_counts=True)[1] for each in arrays.values() if each.dtype.kind == "i" and each.size]
    count = max((*(each.size for each in values), *(int(counts.max()) for counts in named)), default=1)
    unlike = prod(len(np.unique(each)) for each in values if each.size)
    return max(count, 1) / min(max(count, 1), unlike)
