"""An elementwise graph a block of elements at a time, so that what is in between stays in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.functions.pairs import PAIRS
from opfuzz.oracle.graph import Node, is_elementwise, topological

# Ten or twenty arrays are alive at a time: of this many elements, 64 kB each, they fit; of fewer, calls cost more than
# what they compute.
BLOCK = 2**14
_OF_ELEMENTS = frozenset({*ELEMENTARY, *PAIRS})

Part = slice


def is_long(root: Node) -> bool:
    """Whether a graph is so long that it is worth cutting, and can be cut."""
    return root.size >= 2 * BLOCK and is_elementwise(root, _OF_ELEMENTS)


def blocks_of(root: Node) -> Iterator[tuple[Part, Node]]:
    """Parts of the flat result of an elementwise graph, and the graph of each."""
    nodes = topological(root)
    rows = {id(node): node.detail.reshape(-1) for node in nodes if node.shape == root.shape and _has_row(node)}
    for start in range(0, root.size, BLOCK):
        part = slice(start, min(start + BLOCK, root.size))
        made: dict[int, Node] = {}
        for node in nodes:
            if node.shape != root.shape:  # a number, the same for every element
                made[id(node)] = node
                continue
            detail = rows[id(node)][part] if id(node) in rows else node.detail
            args = tuple(made[id(arg)] for arg in node.args)
            made[id(node)] = one = Node(node.op, args, (part.stop - part.start,), detail)
            one.format = node.format
        block = made[id(root)]
        block.before = tuple(made[id(node)] for node in nodes[:-1])  # the same order, see `topological`
        yield part, block


def _has_row(node: Node) -> bool:
    """Whether the detail of a node has a value for each element."""
    return node.op in ("input", "leaf") or (node.op == "where" and len(node.args) == 2)
