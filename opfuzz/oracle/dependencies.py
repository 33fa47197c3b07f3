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
            found[id(arg)] = np.unique(places if known is None else np.concatenate([known, places]))
    return found


def _sources(node: Node, places: Places) -> list[Places]:
    """For each argument, the flat places in it from which the elements at `places` are computed."""
    if node.op == "reshape":
        return [places]
    if node.op == "gather":
        sources = node.detail.ravel()[places]
        starts = np.cumsum([0] + [arg.size for arg in node.args])
        return [sources[(sources >= low) & (sources < high)] - low for low, high in pairwise(starts)]
    if node.op in ("sum", "max", "min"):
        return [reduced_rows(node)[places].ravel()]
    if node.op == "cumsum":
        index = np.moveaxis(np.arange(node.size).reshape(node.shape), node.detail, -1).reshape(
            -1, node.shape[node.detail]
        )
        rows = index[np.isin(index, places).any(1)]
        return [rows[:, : 1 + int(np.flatnonzero(np.isin(rows, places).any(0)).max())].ravel()]
    if node.op == "softmax":
        axis = node.detail[0]
        index = np.moveaxis(np.arange(node.size).reshape(node.shape), axis, -1).reshape(-1, node.shape[axis])
        return [index[np.isin(index, places).any(1)].ravel()]
    if node.op == "dot":
        rows, columns = dot_rows(node, places)
        return [rows.ravel(), columns.ravel()]
    return [np.broadcast_to(np.arange(arg.size).reshape(arg.shape), node.shape).ravel()[places] for arg in node.args]


def reduced_rows(node: Node) -> Places:
    """For each flat place of a reduction, the places that it reduces: (places, count)."""
    arg, axes = node.args[0], node.detail
    index = np.arange(arg.size).reshape(arg.shape)
    kept = [i for i in range(index.ndim) if i not in axes]
    return np.transpose(index, (*kept, *axes)).reshape(node.size, prod(arg.shape[i] for i in axes))


def dot_rows(node: Node, places: Places) -> tuple[Places, Places]:
    """For each flat place of a product, the places of its row and of its column: (places, k) each."""
    a, b = node.args
    k, batch, (m, n) = a.shape[-1], node.shape[:-2], node.shape[-2:]
    count = prod(batch)
    rows = np.broadcast_to(np.arange(a.size).reshape(a.shape), (*batch, m, k)).reshape(count * m, k)
    turned = np.swapaxes(np.arange(b.size).reshape(b.shape), -1, -2)
    columns = np.broadcast_to(turned, (*batch, n, k)).reshape(count * n, k)
    matrix, inside = np.divmod(places, m * n)
    return rows[matrix * m + inside // n], columns[matrix * n + inside % n]


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
