"""A graph a block of elements, or of rows, at a time, so that what is in between stays in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.functions.pairs import PAIRS
from opfuzz.oracle.graph import ELEMENTWISE, SCANS, Node, Shape, is_elementwise, topological

# Ten or twenty arrays are alive at a time: of this many elements, 512 kB each, most of them fit; of fewer, calls cost
# as much as what they compute.
BLOCK = 2**16
_OF_ELEMENTS = frozenset({*ELEMENTARY, *PAIRS})
_OF_ROWS = frozenset({"sum", "max", "min"})  # along the axes that are their detail


@dataclass(frozen=True, slots=True)
class Blocks:
    """The parts of a graph along the first axis of its result, or of all its elements in a row."""

    root: Node
    cut: frozenset[int]  # ids of the nodes that are cut, along with the result; others are the same in every part
    shape: Shape  # of the result, as it is cut
    step: int

    def __iter__(self) -> Iterator[tuple[slice, Node]]:
        """Parts of the first axis, and the graph of each."""
        nodes, count = topological(self.root), self.shape[0]
        is_flat = self.shape != self.root.shape
        rows: dict[int, Any] = {}  # details that are cut as well
        for node in nodes:
            if id(node) in self.cut and _has_values(node):
                whole = np.broadcast_to(node.detail, node.shape)
                rows[id(node)] = whole.reshape(-1) if is_flat else whole
        for start in range(0, count, self.step):
            part = slice(start, min(start + self.step, count))
            made: dict[int, Node] = {}
            for node in nodes:
                if id(node) not in self.cut:
                    made[id(node)] = node
                    continue
                shape = (part.stop - part.start, *(() if is_flat else node.shape[1:]))
                detail = rows[id(node)][part] if id(node) in rows else node.detail
                args = tuple(made[id(arg)] for arg in node.args)
                made[id(node)] = one = Node(node.op, args, shape, detail)
                one.format = node.format
            block = made[id(self.root)]
            block.before = tuple(made[id(node)] for node in nodes[:-1])  # the same order, see `topological`
            yield part, block


def blocks_of(root: Node) -> Blocks | None:
    """How a graph is cut; None where it is too short for that, or cannot be."""
    nodes = topological(root)
    if not root.shape or max([root.size, *[node.size for node in nodes if node.op == "input"]]) < 2 * BLOCK:
        return None
    if is_elementwise(root, _OF_ELEMENTS):
        cut = frozenset(id(node) for node in nodes if node.shape == root.shape)
        return Blocks(root, cut, (root.size,), BLOCK) if root.size >= 2 * BLOCK else None
    cut = _rows_of(root, nodes)
    widest = max((node.size for node in nodes if id(node) in cut), default=0)
    step = max(1, BLOCK * root.shape[0] // max(widest, 1))
    if not cut or root.shape[0] < 2 * step or sum(node.size for node in nodes if id(node) not in cut) > 2 * BLOCK:
        return None
    return Blocks(root, cut, root.shape, step)


def _rows_of(root: Node, nodes: Sequence[Node]) -> frozenset[int]:
    """The nodes of a graph of which each row depends on that row of some inputs; none where it is not so."""
    count, depth, cut = root.shape[0], max(len(node.shape) for node in nodes), set[int]()
    for node in nodes:
        if node.op == "input" and len(node.shape) == depth and node.shape[0] == count:
            cut.add(id(node))
        elif any(id(arg) in cut for arg in node.args):
            if not _keeps_rows(node, count, cut):
                return frozenset()
            cut.add(id(node))
    return frozenset(cut) if id(root) in cut else frozenset()


def _keeps_rows(node: Node, count: int, cut: set[int]) -> bool:
    """Whether each row of a node comes of that row of the arguments that are cut."""
    if node.shape[:1] != (count,):
        return False
    if node.op == "reshape":
        return True
    if node.op in _OF_ROWS:
        return 0 not in node.detail
    if node.op in SCANS:
        return bool(node.detail != 0)
    if node.op == "softmax":
        return bool(node.detail[0] != 0)
    if node.op not in ELEMENTWISE and node.op not in _OF_ELEMENTS:
        return False
    for arg in node.args:
        is_row = len(arg.shape) == len(node.shape) and arg.shape[0] == count
        is_shared = len(arg.shape) < len(node.shape) or arg.shape[0] == 1
        if not (is_row if id(arg) in cut else is_shared):
            return False
    return True


def _has_values(node: Node) -> bool:
    """Whether the detail of a node is an array of its shape, or one that is broadcast to it."""
    return node.op in ("input", "leaf") or (node.op == "where" and len(node.args) == 2)
