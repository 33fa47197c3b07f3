"""Sums of products as an equation names them: `einsum`, made of matrix products, two arrays at a time."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from opfuzz.oracle import graph, movement
from opfuzz.oracle.graph import Node, as_node


def einsum(equation: str, *arrays: object) -> Node:
    """The sum of products over the axes that the result does not have: `einsum('bij,bjk->bik', a, b)`.

    Raises ValueError where the equation does not fit the arrays, or names an axis of one array twice; TypeError where
    it is none.
    """
    if not isinstance(equation, str):
        raise TypeError("einsum takes an equation first, as in einsum('bij,bjk->bik', a, b)")
    terms, _, result = equation.replace(" ", "").partition("->")
    named = list(zip(terms.split(","), map(as_node, arrays), strict=True))
    sizes: dict[str, int] = {}
    for axes, node in named:
        if len(axes) != len(node.shape) or len(set(axes)) < len(axes):
            raise ValueError(f"'{axes}' does not name the axes of an array of the shape {list(node.shape)}")
        for axis, size in zip(axes, node.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise ValueError(f"axis '{axis}' of '{equation}' has {sizes[axis]} and {size} elements")
    axes, whole = named[0]
    for place, (others, other) in enumerate(named[1:], 1):
        later = {*result, *"".join(name for name, _ in named[place + 1 :])}
        axes, whole = _product(axes, whole, others, other, later)
    return movement.transpose(*_ordered(*_summed(axes, whole, result), result))


def _ordered(axes: str, node: Node, wanted: str) -> tuple[Node, list[int]]:
    return node, [axes.index(axis) for axis in wanted]


def _summed(axes: str, node: Node, kept: Iterable[str]) -> tuple[str, Node]:
    """Without the axes that are not kept."""
    gone = tuple(place for place, axis in enumerate(axes) if axis not in kept)
    if not gone:
        return axes, node
    reduced = Node("sum", (node,), tuple(1 if i in gone else n for i, n in enumerate(node.shape)), gone)
    return "".join(axis for axis in axes if axis in kept), movement.squeeze(reduced, gone)


def _product(a: str, first: Node, b: str, second: Node, later: set[str]) -> tuple[str, Node]:
    """Two arrays as one, whose axes are those that come later."""
    a, first = _summed(a, first, later | set(b))
    b, second = _summed(b, second, later | set(a))
    inner = [axis for axis in a if axis in b and axis not in later]
    batch = [axis for axis in a if axis in b and axis in later]
    left, right = ([axis for axis in own if axis not in other] for own, other in ((a, b), (b, a)))
    sizes = {**dict(zip(a, first.shape, strict=True)), **dict(zip(b, second.shape, strict=True))}

    def matrices(axes: str, node: Node, *groups: list[str]) -> Node:
        moved = movement.transpose(*_ordered(axes, node, "".join(map("".join, groups))))
        return graph.reshape(moved, tuple(prod(sizes[axis] for axis in group) for group in groups))

    x, y = matrices(a, first, batch, left, inner), matrices(b, second, batch, inner, right)
    made = graph.dot(x, y) if inner else graph.binary("mul", x, y)  # one product is no sum
    axes = "".join([*batch, *left, *right])
    return axes, graph.reshape(made, tuple(sizes[axis] for axis in axes))
