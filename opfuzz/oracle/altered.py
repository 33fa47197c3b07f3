"""A formula evaluated exactly, but for nodes that somebody else computes: what one fault inside would make of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from opfuzz.core.floats import FloatArray, Format, round_to
from opfuzz.oracle import graph, working
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


# r_i = f(f^-1(r_{i-1}) + t_i), rounded, with f the logarithm or nothing: a scan that keeps its results, not its sums.
# It stands still as soon as a term is less than half a unit of the last result.


def carry(root: Node, fmt: Format) -> FloatArray | None:
    """A running sum, or its logarithm, with each result made of the last one as it was rounded to `fmt`.

    None where the formula is neither.
    """
    is_log = root.op in ("log", "logcumsumexp")
    running = root.args[0] if root.op == "log" else root
    if running.op not in ("cumsum", "logcumsumexp"):
        return None
    (terms,) = running.args
    is_known = root.op == "log" and terms.op == "exp"  # the logarithm of a term
    steps = evaluate_with(terms.args[0] if is_known else terms, lambda node, args: None)
    if root.op == "log" and not is_known:
        steps = np.log(steps)
    steps = np.moveaxis(np.broadcast_to(steps, running.shape), running.detail, 0)
    results = np.empty(steps.shape)
    with np.errstate(all="ignore"):
        for number, step in enumerate(steps):
            last = results[number - 1] if number else np.full(step.shape, -np.inf if is_log else 0.0)
            made = np.logaddexp(last, step) if is_log else last + step
            results[number] = round_to(made, fmt).astype(np.float64)
    return np.moveaxis(results, 0, running.detail)


# Of what a result is multiplied from: of a product both sides, of a sum those of each term. Functions do not say.
_TERMS = frozenset({"add", "sub", "neg", "abs", "saved", "where", "step", "maximum", "minimum"})
_PRODUCTS = frozenset({"mul", "scaled", "square", "div"})


def largest_factor(root: Node) -> FloatArray:
    """At each element of `root`, the largest of the factors that it, or a term of it, is made of, at least 1.

    What divides is one over itself as a factor: of 1 / (1 + exp(-x)) the whole sum, and not what it is added up from.
    """
    above: dict[int, FloatArray] = {}  # the largest factor of each node, itself among them
    below: dict[int, FloatArray] = {}  # the largest of one over those of a product
    values: dict[int, FloatArray] = {}
    with np.errstate(all="ignore"):
        for node in topological(root):
            made = midpoint(node, [values[id(arg)] for arg in node.args])
            values[id(node)] = made
            inside = [above[id(arg)] for arg in node.args]
            under = [below[id(arg)] for arg in node.args]
            if node.op == "div":
                inside, under = [inside[0], under[1]], [under[0], inside[1]]
            above[id(node)] = _largest_of(node, np.abs(made), _handed_on(node, inside))
            is_product = node.op in _PRODUCTS or node.op in ("neg", "abs", "saved", "reshape")
            below[id(node)] = _largest_of(node, 1 / np.abs(made), _handed_on(node, under) if is_product else [])
    return np.fmax(above[id(root)], 1.0)


def _largest_of(node: Node, own: FloatArray, others: list[FloatArray]) -> FloatArray:
    """In the shape of a node; what is no number counts as 1."""
    found = np.broadcast_to(own, node.shape)
    for each in others:
        found = np.fmax(found, each)
    return np.where(np.isfinite(found), found, 1.0)


def _handed_on(node: Node, args: list[FloatArray]) -> list[FloatArray]:
    """The factors of what a node is made of, where they are factors of it, in shapes that fit its own."""
    if node.op in _PRODUCTS or node.op in _TERMS:
        return args[-2:]  # what is only compared multiplies nothing
    match node.op:
        case "reshape":
            return [args[0].reshape(node.shape)]
        case "gather":
            return [np.concatenate([arg.ravel() for arg in args])[node.detail]]
        case "sum":
            return [args[0].max(axis=node.detail, keepdims=True, initial=0.0).reshape(node.shape)]
        case "dot":
            return [args[0].max(axis=-1, keepdims=True, initial=0.0), args[1].max(axis=-2, keepdims=True, initial=0.0)]
        case "cumsum" | "cumprod":
            return [np.maximum.accumulate(args[0], axis=node.detail)]
        case "tied":
            return args[1:]
    return []


# One part of a formula computed in a half format, where float32 is usual.

SUMS = ("sum", "cumsum", "logcumsumexp")


def _counted(root: Node) -> frozenset[int]:
    """Ids of the nodes that counters, indices or masks have a part in."""
    found: set[int] = set()
    for node in topological(root):
        if node.op == "leaf" or any(id(arg) in found for arg in node.args):
            found.add(id(node))
    return frozenset(found)


def evaluate_halved(root: Node, fmt: Format, what: str) -> FloatArray | None:
    """Values of `root` in float64, its counts, angles, tables or sums rounded to `fmt`; None where it has none.

    `sums` are added up one by one in the format, of `terms` each is rounded to it and their sum is exact, `totals` are
    rounded to it when they are added up; `numbers` are tables and the constants that they are made with. A table is
    made of counters or indices; a parameter or constant alone is none. What is `kept` are statistics for the way back
    of a gradient.
    """
    tables, counted = graph.tables_of(root), _counted(root)
    is_found = False

    def narrow(values: FloatArray) -> FloatArray:
        return round_to(values, fmt).astype(np.float64)

    def is_table(node: Node) -> bool:
        return id(node) in tables and id(node) in counted

    def is_statistic(node: Node) -> bool:
        return node.op == "saved" and node.detail == graph.STATISTIC

    def change(node: Node, args: list[FloatArray]) -> FloatArray | None:
        nonlocal is_found
        values = midpoint(node, args)
        is_part = graph.is_whole(node) if what == "counts" else is_table(node)
        if what in ("counts", "tables", "numbers") and is_part:
            changed = narrow(values)
        elif what == "numbers" and node.op == "number" and not graph.is_whole(node):
            return narrow(values)  # which alone is no table
        elif what == "angles" and node.op in ("sin", "cos") and is_table(node):
            changed = midpoint(node, [narrow(arg) for arg in args])
        elif (what == "totals" and node.op in SUMS) or (what == "kept" and is_statistic(node)):
            changed = narrow(values)
        elif what == "sums" and node.op in SUMS:
            terms = [round_to(arg, fmt) for arg in args]
            changed = working.value_of(node, terms, fmt, 1).astype(np.float64)
        elif what == "terms" and node.op in SUMS:
            changed = midpoint(node, [narrow(arg) for arg in args])
        else:
            return values
        is_found = True
        return changed

    values = evaluate_with(root, change)
    return values if is_found else None
