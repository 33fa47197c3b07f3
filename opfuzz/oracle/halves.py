"""A formula evaluated exactly, but for one part of it that is computed in a half format, where float32 is usual."""

from __future__ import annotations

import numpy as np

from opfuzz.core.floats import FloatArray, Format, round_to
from opfuzz.oracle import balls, graph, working
from opfuzz.oracle.altered import evaluate_with
from opfuzz.oracle.graph import Node

SUMS = ("sum", "cumsum", "logcumsumexp")


def _counted(root: Node) -> frozenset[int]:
    """Ids of the nodes that counters, indices or masks have a part in."""
    found: set[int] = set()
    for node in graph.topological(root):
        if node.op == "leaf" or any(id(arg) in found for arg in node.args):
            found.add(id(node))
    return frozenset(found)


def evaluate_halved(root: Node, fmt: Format, what: str) -> FloatArray | None:
    """Values of `root` in float64, its counts, angles, tables or sums rounded to `fmt`; None where it has none.

    `sums` are added up one by one in the format, `totals` rounded to it when they are added up; `numbers` are tables
    and the constants that they are made with. A table is made of counters or indices; a parameter or constant alone is
    none.
    """
    tables, counted = graph.tables_of(root), _counted(root)
    is_found = False

    def narrow(values: FloatArray) -> FloatArray:
        return round_to(values, fmt).astype(np.float64)

    def is_table(node: Node) -> bool:
        return id(node) in tables and id(node) in counted

    def change(node: Node, args: list[FloatArray]) -> FloatArray | None:
        nonlocal is_found
        values = balls.midpoint(node, args)
        is_part = graph.is_whole(node) if what == "counts" else is_table(node)
        if what in ("counts", "tables", "numbers") and is_part:
            changed = narrow(values)
        elif what == "numbers" and node.op == "number" and not graph.is_whole(node):
            return narrow(values)  # which alone is no table
        elif what == "angles" and node.op in ("sin", "cos") and is_table(node):
            changed = balls.midpoint(node, [narrow(arg) for arg in args])
        elif what == "totals" and node.op in SUMS:
            changed = narrow(values)
        elif what == "sums" and node.op in SUMS:
            terms = [round_to(arg, fmt) for arg in args]
            changed = working.value_of(node, terms, fmt, 1).astype(np.float64)
        else:
            return values
        is_found = True
        return changed

    values = evaluate_with(root, change)
    return values if is_found else None
