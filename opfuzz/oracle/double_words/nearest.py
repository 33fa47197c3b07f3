"""Sums of what float64 has exactly: at the first precision the nearest float64 stands for them, that of `math.fsum`."""

from __future__ import annotations

import numpy as np

from opfuzz.core.floats import FloatArray
from opfuzz.oracle.graph import Node, topological


def sums_of(root: Node) -> frozenset[int]:
    """The ids of such nodes of a graph."""
    return frozenset(id(node) for node in topological(root) if _is_sum(node))


def _is_sum(node: Node) -> bool:
    if node.op in ("sum", "cumsum"):
        return is_exact(node.args[0])
    return node.op == "dot" and all(factors(arg) is not None for arg in node.args)


def is_exact(node: Node) -> bool:
    """Whether a node has inputs, or zeros, that were only moved."""
    return node.op in ("input", "leaf") or (node.op in ("gather", "reshape") and all(map(_is_part, node.args)))


def _is_part(node: Node) -> bool:
    return is_exact(node) or (node.op == "number" and node.detail == 0)


# A product of two numbers of float32 is exact in float64: such as are inputs, and what half-precision scales make of
# the codes of a weight.


def factors(node: Node) -> FloatArray | None:
    """The values of a node where they are exact and numbers of float32, so that products of them are exact; or None."""
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        values = _exactly(node)
        is_narrow = values is not None and np.all((values.astype(np.float32) == values) | np.isnan(values))
    return values if is_narrow else None


def _exactly(node: Node) -> FloatArray | None:
    """The values of a node where float64 has them exactly; None where that is not seen."""
    if node.op in ("input", "leaf"):
        return np.asarray(node.detail, np.float64)
    if node.op == "number":
        is_float = node.detail is not None and abs(node.detail) < 2**1000 and node.detail == float(node.detail)
        return np.asarray(float(node.detail)) if is_float else None
    if node.op in ("mul", "add", "sub"):
        a, b = (factors(arg) for arg in node.args)
        if a is None or b is None:
            return None
        if node.op == "mul":
            return np.asarray(a * b)
        b = b if node.op == "add" else -b
        total = np.asarray(a + b)
        taken = total - a  # Knuth's sum of two: what is lost is (a - (total - taken)) + (b - taken), exactly
        is_exact = (((a - (total - taken)) + (b - taken)) == 0) | ~np.isfinite(total)
        return total if is_exact.all() else None
    if node.op not in ("gather", "reshape"):
        return None
    parts = [_exactly(arg) for arg in node.args]
    if any(part is None for part in parts):
        return None
    flat = np.concatenate([part.ravel() for part in parts if part is not None])
    return np.asarray(flat.reshape(node.shape) if node.op == "reshape" else flat[node.detail])
