"""Reverse mode over a graph: the gradients of its results, as graphs."""

from __future__ import annotations

from collections.abc import Sequence

from opfuzz.oracle import graph
from opfuzz.oracle.gradients.rules import MEANT, RULES, ZERO, Writing
from opfuzz.oracle.gradients.transposed import gathered, spread
from opfuzz.oracle.graph import Node


def gradients(
    roots: Sequence[Node],
    cotangents: Sequence[Node],
    inputs: Sequence[Node],
    *,
    is_usual: bool = False,
    by_powers: bool = False,
    cut: int | None = None,
) -> tuple[Node, ...]:
    """The gradient of sum(cotangent * root) over all roots, one for each of the inputs, of its shape.

    `is_usual` writes them as libraries compute them, with the results that they keep; else exactly. `by_powers` is the
    other way that is usual for quotients. Through the node at the place `cut` of `ordered` none is handed back.
    Raises NoDerivativeError where a node on the way has none.
    """
    whole, active = ordered(roots, inputs)
    writing = Writing(is_usual, active, _kept(roots) if is_usual else frozenset(), by_powers)
    adjoints: dict[int, Node] = {}

    def give(node: Node, part: Node) -> None:
        if id(node) in active and not (part.op == "number" and part.detail == 0):
            known = adjoints.get(id(node))
            adjoints[id(node)] = part if known is None else known + part

    for root, cotangent in zip(roots, cotangents, strict=True):
        give(root, cotangent)
    for place, node in reversed([*enumerate(whole)]):
        g = adjoints.get(id(node))
        if g is None or not node.args or place == cut:
            continue
        if node.meant is not None:
            kind, x, _ = node.meant
            give(x, MEANT[kind](node, g, writing))
            continue
        for arg, part in zip(node.args, RULES[node.op](node, g, writing), strict=True):
            if id(arg) in active:
                # Only the batch of a product is broadcast.
                shape = (*node.shape[:-2], *arg.shape[-2:]) if node.op == "dot" else node.shape
                give(arg, gathered(part(), shape, arg.shape, is_usual=is_usual))
    return tuple(spread(adjoints.get(id(node), ZERO), node.shape) for node in inputs)


def ordered(roots: Sequence[Node], inputs: Sequence[Node]) -> tuple[list[Node], frozenset[int]]:
    """The nodes behind some roots, arguments first; and the ids of those that an input has a part in."""
    whole = graph.topological(Node("roots", tuple(roots), ()))[:-1]
    active = {id(node) for node in inputs}
    for node in whole:
        if any(id(arg) in active for arg in node.args):
            active.add(id(node))
    return whole, frozenset(active)


def _kept(roots: Sequence[Node]) -> frozenset[int]:
    """Ids of the nodes that are results of the op, but for their shape: they are kept as they were returned."""
    found = set()
    for root in roots:
        node = root
        while node.op == "reshape":
            (node,) = node.args
        found.add(id(node))
    return frozenset(found)
