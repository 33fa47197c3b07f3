"""Gradients with one mistake on the way back: a step of their graph that is left out, or is another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

from opfuzz.oracle import graph, movement
from opfuzz.oracle.gradients.transposed import flipped
from opfuzz.oracle.graph import Node
from opfuzz.oracle.meaning import FAILURES

# What may be wrong with a step.
TERM, FACTOR, SIGN, SQUARE = "term", "factor", "sign", "square"  # left out, or turned
OWN, MEAN, WHOLE, LAST = "own term", "mean", "sum", "last term"  # in place of a sum; of a mean; left out of a sum
OVERWRITTEN, AVERAGED = "overwritten", "averaged"  # what goes to one place
OTHER_WAY, OUT_OF_ORDER = "other way", "out of order"

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
    # What is divided by a count is multiplied by one over it.
    yield WHOLE if _is_count(b, is_below=True) else FACTOR, b, _whole(a, node)
    yield WHOLE if _is_count(a, is_below=True) else FACTOR, a, _whole(b, node)


def _quotient(node: Node) -> Changed:
    a, b = node.args
    yield WHOLE if _is_count(b) else FACTOR, b, _whole(a, node)


def _is_count(node: Node, *, is_below: bool = False) -> bool:
    if node.op != "number" or node.detail is None:
        return False
    count, one = (node.detail.denominator, node.detail.numerator)[:: 1 if is_below else -1]
    return bool(count > 2 and one == 1)


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


def _last(x: Node, axes: tuple[int, ...]) -> Node:
    for axis in axes:
        x = movement.narrow(x, axis, x.shape[axis] - 1, 1)
    return x


def _is_table(node: Node) -> bool:
    """Whether a node adds up the rows of a table of terms that go to one place each; see `sent_back`."""
    return node.op == "sum" and node.args[0].op == "gather" and node.args[0].args[-1].op == "number"


def _terms(total: Node) -> tuple[Node, np.ndarray[Any, Any]]:
    """The table, and how many terms each row has: it is padded with zeros at its end."""
    (table,) = total.args
    padding = sum(arg.size for arg in table.args[:-1])
    return table, np.asarray((table.detail < padding).sum(axis=1, keepdims=True))


def _last_named(total: Node) -> Node:
    table, count = _terms(total)
    return graph.gather(table.args, np.take_along_axis(table.detail, np.maximum(count - 1, 0), 1))


def _divided(total: Node) -> Node:
    return total / graph.leaf(np.maximum(_terms(total)[1], 1).astype(np.float64))


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
    if tables := [arg for arg in node.args if _is_table(arg)]:
        for what, made in ((OVERWRITTEN, _last_named), (AVERAGED, _divided)):
            parts = [made(arg) if _is_table(arg) else arg for arg in node.args]
            yield what, tables[0], graph.gather(parts, node.detail)
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
