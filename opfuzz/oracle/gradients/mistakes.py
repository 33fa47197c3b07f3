"""Gradients with one mistake on the way back: a step of their graph that is left out, or is another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np

from opfuzz.oracle import graph, movement
from opfuzz.oracle.gradients.transposed import flipped
from opfuzz.oracle.graph import Node
from opfuzz.oracle.meaning import FAILURES

# What may be wrong with a step.
TERM, FACTOR, SIGN, SQUARE = "term", "factor", "sign", "square"  # left out, or turned
OWN, MEAN, WHOLE, LAST = "own term", "mean", "sum", "last term"  # in place of a sum; of a mean; left out of a sum
OVERWRITTEN, OTHER_WAY, OUT_OF_ORDER = "overwritten", "other way", "out of order"

WRAPPED = frozenset({"reshape", "gather", "neg", "saved"})  # behind which a term is looked for
BROADCAST = frozenset({"add", "sub", "mul", "div", "scaled", "neg", "square", "where", "step", "saved"})
Changed = Iterator[tuple[str, Node, Node]]  # what is wrong, the node that it is about, and what stands there instead


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake at one step of a graph."""

    what: str
    place: int  # of the step, in topological order
    about: Node  # the term or factor that is left out; else the step itself
    make: Callable[[], Node]  # the graph with it; raises one of FAILURES where it would have another shape


def mistakes(root: Node) -> Iterator[Mistake]:
    """Every mistake that is looked for, in the order of the steps."""
    for place, node in enumerate(graph.topological(root)):
        if node.op in CHANGES:
            for what, about, instead in _changed(node):
                yield Mistake(what, place, _unwrapped(about), partial(_with, root, node, instead))


def _changed(node: Node) -> Changed:
    try:
        yield from CHANGES[node.op](node)
    except FAILURES:  # it cannot be so for this shape
        return


def _unwrapped(node: Node) -> Node:
    while node.op in WRAPPED and len(node.args) == 1:
        (node,) = node.args
    return node


def _with(root: Node, target: Node, instead: Node) -> Node:
    """The graph with one node replaced; values and balls may be asked of it."""
    done: dict[int, Node] = {}
    for node in graph.topological(root):
        args = tuple(done[id(arg)] for arg in node.args)
        if node is target:
            done[id(node)] = instead
        elif all(new is old for new, old in zip(args, node.args, strict=True)):
            done[id(node)] = node
        else:
            done[id(node)] = _again(node, args)
    return done[id(root)]


def _again(node: Node, args: tuple[Node, ...]) -> Node:
    """A node of other arguments. Raises ValueError where these have shapes that it does not take."""
    shape = node.shape
    if any(new.shape != old.shape for new, old in zip(args, node.args, strict=True)):
        if node.op not in BROADCAST:
            raise ValueError(f"{node.op} of another shape")
        shape = graph.broadcast(*(arg.shape for arg in args))
    return Node(node.op, args, shape, node.detail)


def _add(node: Node) -> Changed:
    a, b = node.args
    yield TERM, b, _whole(a, node)
    yield TERM, a, _whole(b, node)
    yield SIGN, b, a - b


def _sub(node: Node) -> Changed:
    a, b = node.args
    yield TERM, b, _whole(a, node)
    yield TERM, a, _whole(-b, node)
    yield SIGN, b, a + b


def _product(node: Node) -> Changed:
    a, b = node.args
    yield FACTOR, b, _whole(a, node)
    yield FACTOR, a, _whole(b, node)


def _quotient(node: Node) -> Changed:
    a, b = node.args
    if b.op == "number" and b.detail is not None and b.detail.denominator == 1 and b.detail > 1:
        yield WHOLE, node, _whole(a, node)  # what is divided by a count
    else:
        yield FACTOR, b, _whole(a, node)


def _neg(node: Node) -> Changed:
    yield SIGN, node, node.args[0]


def _square(node: Node) -> Changed:
    yield SQUARE, node, node.args[0]


def _sum(node: Node) -> Changed:
    (x,), axes = node.args, node.detail
    count = prod(x.shape[axis] for axis in axes)
    if count > 1:
        yield LAST, node, node - _last(x, axes)
        yield MEAN, node, node / count
        yield OWN, node, x
    if x.op == "gather" and len(axes) == 1 and x.args[-1].op == "number":
        yield OVERWRITTEN, node, _last_named(x, axes[0])


def _last(x: Node, axes: tuple[int, ...]) -> Node:
    for axis in axes:
        x = movement.narrow(x, axis, x.shape[axis] - 1, 1)
    return x


def _last_named(table: Node, axis: int) -> Node:
    """Of each row of a table of terms, which is padded with zeros at its end, the last that is none of the padding."""
    padding = sum(arg.size for arg in table.args[:-1])
    last = np.maximum((table.detail < padding).sum(axis=axis, keepdims=True) - 1, 0)
    return graph.gather(table.args, np.take_along_axis(table.detail, last, axis))


def _dot(node: Node) -> Changed:
    a, b = node.args
    size = a.shape[-1]
    if size > 1:
        first = movement.narrow(a, len(a.shape) - 1, 0, size - 1)
        yield LAST, node, graph.dot(first, movement.narrow(b, len(b.shape) - 2, 0, size - 1))


def _cumsum(node: Node) -> Changed:
    (x,), axis = node.args, node.detail
    yield OTHER_WAY, node, flipped(Node("cumsum", (flipped(x, axis),), node.shape, axis), axis)


def _gather(node: Node) -> Changed:
    if len(node.args) == 1 and node.args[0].shape == node.shape and node.size > 1:
        yield OUT_OF_ORDER, node, node.args[0]


def _whole(x: Node, node: Node) -> Node:
    return x if x.shape == node.shape else movement.broadcast_to(x, node.shape)


CHANGES: Mapping[str, Callable[[Node], Changed]] = {
    "add": _add,
    "sub": _sub,
    "mul": _product,
    "scaled": _product,
    "div": _quotient,
    "neg": _neg,
    "square": _square,
    "sum": _sum,
    "dot": _dot,
    "cumsum": _cumsum,
    "gather": _gather,
}
