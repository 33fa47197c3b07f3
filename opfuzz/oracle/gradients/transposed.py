"""The adjoints of what moves, broadcasts and adds elements: sums over the places that an element went to."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from opfuzz.oracle import graph, movement
from opfuzz.oracle.graph import Node, Shape


def spread(g: Node, shape: Shape) -> Node:
    """An adjoint in the full shape of its node."""
    return g if g.shape == shape else movement.broadcast_to(g, shape)


def gathered(g: Node, shape: Shape, target: Shape, *, is_usual: bool) -> Node:
    """The adjoint of what was broadcast from `target` to `shape`; that of the result may itself be broadcast still.

    What is equal along an axis is multiplied by its length; the usual way is to add it up.
    """
    if g.shape == target:
        return g
    lead = len(shape) - len(target)
    padded = (1,) * lead + target
    wide = (1,) * (len(shape) - len(g.shape)) + g.shape
    axes = tuple(i for i, size in enumerate(padded) if size == 1 and shape[i] != 1)
    repeated = [i for i in axes if wide[i] == 1]
    g = g if g.shape == wide else graph.reshape(g, wide)
    if is_usual and repeated:
        wide = tuple(shape[i] if i in axes else size for i, size in enumerate(wide))
        g, repeated = movement.broadcast_to(g, wide), []
    if repeated:
        g = g * prod(shape[i] for i in repeated)
    summed = tuple(i for i in axes if i not in repeated)
    if summed:
        g = Node("sum", (g,), tuple(1 if i in summed else size for i, size in enumerate(g.shape)), summed)
    return graph.reshape(g, g.shape[lead:]) if lead else g


# Each source of a gather has the sum of the adjoints of all places that it went to. Sources that went to about as many,
# up to the next power of two, are added up together in a table of equal rows, padded with zeros.


def sent_back(g: Node, index: NDArray[np.int64], size: int) -> Node:
    """For each of `size` sources the sum of the elements of `g` at the places where `index` names it: (size,).

    Negative indices name no source.
    """
    flat = index.ravel()
    places = np.flatnonzero(flat >= 0)
    named = flat[places]
    counts = np.bincount(named, minlength=size)
    if counts.max(initial=0) <= 1:
        found = np.full(size, g.size)
        found[named] = places
        return graph.gather((g,) if named.size == size else (g, graph.number(0)), found)
    order = places[np.argsort(named, kind="stable")]
    starts = np.cumsum(counts) - counts
    widths = np.frexp(np.maximum(counts - 1, 0).astype(np.float64))[1]  # of c terms the power of two from c on
    parts: list[Node] = []
    found = np.empty(size, np.int64)
    for width in np.unique(widths).tolist():
        targets = np.flatnonzero(widths == width)
        found[targets] = sum(part.size for part in parts) + np.arange(len(targets))
        turns = np.arange(2**width)[None, :]
        is_term = turns < counts[targets, None]
        taken = order[np.where(is_term, starts[targets, None] + turns, 0)]
        table = graph.gather((g, graph.number(0)), np.where(is_term, taken, g.size))
        parts.append(Node("sum", (table,), (len(targets), 1), (1,)))
    return graph.gather(parts, found)


def flipped(x: Node, axis: int) -> Node:
    """Reversed along an axis."""
    return movement.flip(x, axis)


def shifted(x: Node, axis: int, by: int, filled: Node) -> Node:
    """Each element that stands `by` places further on along an axis, and `filled` behind the last."""
    size = x.shape[axis]
    kept = movement.narrow(x, axis, min(by, size), size - min(by, size))
    return movement.pad(kept, 0, min(by, size), axis, filled)
