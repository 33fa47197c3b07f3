"""Dims and params of a spec file: numbers, ranges and lists of choices."""

from __future__ import annotations

import re

from opfuzz.core.case import Value
from opfuzz.core.files.yaml_nodes import Node, Scalar
from opfuzz.core.files.yaml_scalars import value_of
from opfuzz.spec.nodes import NodeReader, description
from opfuzz.spec.op import Dim, Param, is_like
from opfuzz.spec.schema import RANGE


class SizeReader:
    """Reads the entries of `dims` and `params`; what is wrong is noted, and None returned."""

    def __init__(self, nodes: NodeReader) -> None:
        self.nodes = nodes

    def dim(self, name: str, node: Node) -> Dim | None:
        """A number, `1..`, `2..64`, or a list of sizes."""
        what = f"dim '{name}'"
        if isinstance(node, Scalar):
            value = value_of(node)
            limits = (value, value) if type(value) is int else self._range(node, what)
            if limits is None:
                return None
            low, high = limits
            if low < 0:
                self.nodes.report(node, f"{what} may be {low}; a size is never negative")
            return Dim(name, low, high, None)
        sizes: list[int] = []
        for item in self.nodes.items(node, what, minimum=1) or ():
            size = value_of(item) if isinstance(item, Scalar) else None
            if type(size) is not int or size < 0:
                self.nodes.report(item, f"a choice of {what} must be a size, not {description(item)}")
            elif size in sizes:
                self.nodes.report(item, f"{size} is listed twice in {what}")
            else:
                sizes.append(size)
        return Dim(name, min(sizes), max(sizes), tuple(sizes)) if sizes else None

    def _range(self, node: Scalar, what: str) -> tuple[int, int | None] | None:
        """Limits of `2..64` or `1..`; None, and a problem noted, for anything else."""
        if not re.fullmatch(RANGE, node.text):
            self.nodes.report(node, f"{what} must be a list or a range such as 1..8, not {description(node)}")
            return None
        first, _, last = node.text.partition("..")
        if last and int(last) < int(first):
            self.nodes.report(node, f"range '{node.text}' of {what} is empty; write {last}..{first}")
            return None
        return int(first), int(last) if last else None

    def param(self, name: str, node: Node) -> Param | None:
        """`0..4`, or a list of values of one kind."""
        what = f"param '{name}'"
        if isinstance(node, Scalar):
            limits = self._range(node, what)
            if limits is None:
                return None
            if limits[1] is None:
                self.nodes.report(node, f"range '{node.text}' of {what} has no end; write {node.text}4, for instance")
            return Param(name, None, *limits)
        values: list[Value] = []
        for item in self.nodes.items(node, what, minimum=1) or ():
            found = self.nodes.value(item, f"a choice of {what}")
            if found is None:
                continue
            if any(not is_like(value, found[0]) for value in values):
                self.nodes.report(item, f"{what} mixes numbers, truth values or text; {description(item)} differs")
            elif repr(found[0]) in map(repr, values):
                self.nodes.report(item, f"{description(item)} is listed twice in {what}")
            values.append(found[0])
        return Param(name, tuple(values)) if values else None
