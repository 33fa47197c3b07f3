"""What one element of a result depends on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from opfuzz.oracle.graph import Node, topological

Places = NDArray[np.int64]


def dependencies(root: Node, place: int) -> dict[int, Places]:
    """For each node that the element at a flat `place` of `root` depends on, by id: sorted flat places in it."""
    found: dict[int, Places] = {id(root): np.array([place])}
    for node in reversed(topological(root)):
        if id(node) not in found:
            continue
        for arg, places in zip(node.args, _sources(node, found[id(node)]), strict=True):
            known = found.get(id(arg))
            if known is None:
                found[id(arg)] = places
            elif known is not places and not np.array_equal(known, places):
                found[id(arg)] = _distinct(np.concatenate([known, places]), arg.size)
    return found


def _sources(node: Node, places: Places) -> list[Places]:
    """For each argument, the flat places in it from which the elements at sorted `places` are computed, sorted."""
    if node.op == "reshape":
        return [places]
    if node.op not in _MOVES:
        return [_below(node, arg, places) for arg in node.args]
    return [_distinct(sources, arg.size) for arg, sources in zip(node.args, _moved(node, places), strict=True)]


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


_MOVES = frozenset({"gather", "sum", "max", "min", "cumsum", "softmax", "dot"})


def _moved(node: Node, places: Places) -> list[Places]:
    if node.op == "gather":
        sources = node.detail.ravel()[places]
        starts = np.cumsum([0] + [arg.size for arg in node.args])
        return [sources[(sources >= low) & (sources < high)] - low for low, high in pairwise(starts)]
    if node.op in ("sum", "max", "min"):
        return [reduced_rows(node, places).ravel()]
    if node.op in ("softmax", "cumsum"):
        axis = node.detail[0] if node.op == "softmax" else node.detail
        along = np.unravel_index(places, node.shape)[axis]
        step = _steps(node.shape)[axis]
        count = node.shape[axis] if node.op == "softmax" else 1 + int(along.max(initial=-1))  # up to the furthest
        # Many places may lie in one line.
        return [(_distinct(places - along * step, node.size)[:, None] + np.arange(count) * step).ravel()]
    rows, columns = dot_rows(node, places)
    return [rows.ravel(), columns.ravel()]


def reduced_rows(node: Node, places: Places) -> Places:
    """For each of some flat places of a reduction, the places that it reduces: (places, count)."""
    steps = _steps(node.args[0].shape)
    inside = np.zeros(1, np.int64)
    for axis in node.detail:
        inside = (inside[:, None] + np.arange(node.args[0].shape[axis]) * steps[axis]).ravel()
    starts = np.zeros(len(places), np.int64)
    for along, step in zip(np.unravel_index(places, node.shape), steps, strict=True):
        starts += along * step  # 0 along what is reduced, which is kept with size 1
    return starts[:, None] + inside


def dot_rows(node: Node, places: Places) -> tuple[Places, Places]:
    """For each flat place of a product, the places of its row and of its column: (places, k) each."""
    a, b = node.args
    k, batch, (m, n) = a.shape[-1], node.shape[:-2], node.shape[-2:]
    matrix, inside = np.divmod(places, m * n)
    first, second = (
        np.broadcast_to(np.arange(prod(x.shape[:-2])).reshape(x.shape[:-2]), batch).ravel()[matrix] for x in (a, b)
    )
    along = np.arange(k)
    rows = ((first * m + inside // n) * k)[:, None] + along
    columns = (second * k * n + inside % n)[:, None] + along * n
    return rows, columns


def spread_from(root: Node, is_flagged: Callable[[Node], NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Elements of `root` that depend on an element of a node without arguments for which `is_flagged` is true."""
    flags: dict[int, NDArray[np.bool_]] = {}
    for node in topological(root):
        flags[id(node)] = touched(node, [flags[id(arg)] for arg in node.args]) if node.args else is_flagged(node)
    return flags[id(root)]


def touched(node: Node, flags: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Elements of `node` that depend on a flagged element of its arguments; one flag array per argument."""
    if node.op in ("sum", "max", "min"):
        return np.asarray(flags[0].any(axis=node.detail, keepdims=True))
    if node.op == "cumsum":
        return np.asarray(np.logical_or.accumulate(flags[0], axis=node.detail))
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
