"""A formula evaluated exactly, but for nodes that somebody else computes: what one fault inside would make of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from opfuzz.core.floats import FloatArray
from opfuzz.oracle.balls import midpoint
from opfuzz.oracle.graph import Node, topological

# Of a node and the values of its arguments, in float64: its values, or None where it is computed exactly.
Change = Callable[[Node, list[FloatArray]], FloatArray | None]


def evaluate_with(root: Node, change: Change) -> FloatArray:
    """Values of `root` in float64, its nodes as `change` has them. What `change` raises is passed on."""
    done: dict[int, FloatArray] = {}
    with np.errstate(all="ignore"):
        for node in topological(root):
            args = [done[id(arg)] for arg in node.args]
            values = change(node, args)
            done[id(node)] = midpoint(node, args) if values is None else values.reshape(node.shape)
    return done[id(root)]


def largest_inside(root: Node) -> FloatArray:
    """At each element of `root`, the largest number among the intermediates that stand at its place, at least 1."""
    largest = np.ones(root.shape)

    def watch(node: Node, args: list[FloatArray]) -> None:
        for values in args:
            if values.ndim <= largest.ndim and all(
                size in (1, whole) for size, whole in zip(values.shape[::-1], largest.shape[::-1], strict=False)
            ):
                np.fmax(largest, np.where(np.isfinite(values), np.abs(values), 1.0), out=largest)

    evaluate_with(root, watch)
    return largest
