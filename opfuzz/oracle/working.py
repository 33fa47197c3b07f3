"""The appeal: the usual formula run in a working format, with sums in the orders that honest libraries use.

The allowance takes roundings for independent and knows no overflow. Constant inputs, sequential sums and squares
beyond the largest number break that, so an accusation is tried once more against what this arithmetic really does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from math import prod
from operator import or_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import Format, round_to
from opfuzz.oracle.arithmetic.elementwise import step_value
from opfuzz.oracle.dependencies import touched
from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.functions.pairs import PAIRS
from opfuzz.oracle.graph import RELATIONS, STATISTIC, Node, is_whole, tables_of, topological
from opfuzz.oracle.rows.adjoint import scaled_value, side_taken, tied_value
from opfuzz.oracle.rows.fourier import summed, transformed
from opfuzz.oracle.rows.products import largest_so_far
from opfuzz.oracle.rows.scans import running


@dataclass(frozen=True, slots=True)
class Emulated:
    """Values in the working format, and where an intermediate overflowed from finite arguments."""

    values: NDArray[Any]
    overflowed: NDArray[np.bool_]
    unordered: NDArray[np.bool_] | None = None  # of these, where it does in some orders of summation; None: nowhere
    vanished: NDArray[np.bool_] | None = None  # where it is a zero that roundings made; None: nowhere


@dataclass(frozen=True, slots=True)
class Counting:
    """What counts as an overflow while a formula is run, and what becomes of it."""

    most: float = np.inf  # what is larger counts as if it had overflowed
    at: int | None = None  # at the step of that number alone
    in_any_order: bool = True  # in some order of the terms of a sum; else only where it is that large itself
    is_plain: bool = False  # zero times an infinite slope is NaN


def emulate(
    root: Node,
    fmt: Format,
    lanes: int,
    kept: Format | None = None,
    storage: Format | None = None,
    counting: Counting | None = None,
) -> Emulated:
    """The graph evaluated in `fmt`, every operation rounded, sums running in `lanes` parallel sequences.

    With 0 lanes sums run in float64 and are rounded once, as an implementation does that widens only its sums.
    What no input has a part in is computed in `kept`, and rounded where it meets one; whole numbers stay as they are.
    What is saved for the way back is rounded to `storage`, where one is given.
    """
    counting = counting or Counting()
    most, is_plain = counting.most, counting.is_plain
    done: dict[int, Emulated] = {}
    tables = tables_of(root) if kept is not None else frozenset()
    with np.errstate(all="ignore"):
        for number, node in enumerate(topological(root)):
            args = [done[id(a)] for a in node.args]
            limit = most if counting.at in (None, number) else np.inf
            taken, own = [a.values for a in args], kept if kept is not None and id(node) in tables else fmt
            if own is fmt and tables:
                taken = [
                    round_to(values, fmt) if id(arg) in tables and not is_whole(arg) else values
                    for arg, values in zip(node.args, taken, strict=True)
                ]
            if node.op not in _PROMOTES and len({values.dtype for values in taken} | {own.dtype}) > 1:
                taken = [round_to(values.astype(np.float64), own) for values in taken]
            is_product = is_plain and node.op == "scaled"
            values = np.asarray(taken[0] * taken[1] if is_product else value_of(node, taken, own, lanes))
            is_stored = node.op == "saved" and node.detail != STATISTIC
            if is_stored and storage is not None and storage.bits < own.bits:
                values = round_to(values.astype(np.float64), storage).astype(own.dtype)
            # A whole number took part, or an input of a wider format.
            if values.dtype != own.dtype and node.op not in _STAYS:
                values = round_to(values.astype(np.float64), own)
            overflowed = (
                _reached(node, args, [a.overflowed for a in args], most < np.inf, is_plain)
                if args
                else np.zeros(values.shape, np.bool_)
            )
            unordered = _unordered(node, args, min(fmt.largest, limit)) if counting.in_any_order else None
            if args and not np.isfinite(values).all():
                inherited = touched(node, [~np.isfinite(a.values) for a in args])
                overflowed = overflowed | (~np.isfinite(values) & ~inherited)
            if limit < np.inf:  # an infinity that is given, as for what is masked, is no overflow
                overflowed = overflowed | (np.isfinite(values) & (np.abs(values) > limit))
            if unordered is not None:
                overflowed = overflowed | unordered
            done[id(node)] = Emulated(values, overflowed, unordered, _vanished(node, args, values))
    return done[id(root)]


_STAYS = frozenset({"input", "reshape", "neg", "abs"})
_PROMOTES = _STAYS | {"add", "sub", "mul", "div", "square", "scaled"}  # two formats give the wider one


NEARLY = 1 - 2.0**-8  # of the largest number: what was rounded before, such as a weight, decides if this overflows


def _unordered(node: Node, args: list[Emulated], largest: float) -> NDArray[np.bool_] | None:
    """Where terms that add up to more than the largest number have a part in the result; None: nowhere."""
    found = None
    if any(a.unordered is not None for a in args):
        marks = [np.zeros(a.values.shape, np.bool_) if a.unordered is None else a.unordered for a in args]
        found = _reached(node, args, marks)
    if node.op in _MAGNITUDES and (is_large := _magnitude(node, args) > NEARLY * largest).any():
        found = is_large if found is None else found | is_large
    return found


def _reached(
    node: Node, args: list[Emulated], marks: list[NDArray[np.bool_]], is_added: bool = False, is_plain: bool = False
) -> NDArray[np.bool_]:
    """Where what is marked in the arguments has a part in the result: of two branches only the one that is taken.

    Not of two adjoints, one of which is zero: some multiply the other by a mask. But of a zero that roundings made, as
    by the slope of a tanh that saturates: that is multiplied. And of what a mask sets to an infinity, which some add
    to it: PyTorch documents its attention so, and infinity - infinity is NaN. With `is_added` of all that a mask
    chooses, as on the way back from there.
    """
    if node.op == "scaled" and not is_plain:
        is_met = args[0].values != 0
        if args[0].vanished is not None:
            is_met = is_met | args[0].vanished
        return np.asarray(marks[0] | (marks[1] & is_met))
    if node.op != "where":
        return touched(node, marks)
    if len(marks) == 2 and is_added:
        return np.asarray(marks[0] | marks[1])
    *compared, yes, no = (a.values for a in args)
    is_yes = node.detail if not compared else RELATIONS[node.detail](*compared)
    taken = np.where(is_yes, marks[-2] | (marks[-1] & np.isinf(yes)), marks[-1] | (marks[-2] & np.isinf(no)))
    return np.asarray(reduce(or_, marks[:-2], taken))


def _vanished(node: Node, args: list[Emulated], values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where it is zero as 1 - y is of a y that saturates, or as the product of adjoint and slope underflows.

    None: nowhere. Zeros that come of zeros in the inputs are none of these; those who ask replace them.
    """
    is_new = None
    if node.op == "sub" and node.args[0].op == "number":
        is_new = (values == 0) & (args[1].values != 0)
    elif node.op == "scaled":
        is_new = (values == 0) & (args[0].values != 0) & (args[1].values != 0)
    if all(a.vanished is None for a in args):
        return is_new if is_new is not None and is_new.any() else None
    marks = [np.zeros(a.values.shape, np.bool_) if a.vanished is None else a.vanished for a in args]
    found = _on_taken_side(node, args, marks) & (values == 0)
    return np.asarray(found if is_new is None else found | is_new)


def _on_taken_side(node: Node, args: list[Emulated], marks: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Where what is marked has a part in the result, but not as a side of a kink that is not taken."""
    if node.op == "step":
        return side_taken(args[0].values, args[1].values, *(mark.astype(np.float64) for mark in marks[2:])) > 0
    if node.op == "tied":
        return tied_value(node, args[0].values, marks[1].astype(np.float64)) > 0
    return _reached(node, args, marks)


# Terms that add up to more than the largest number overflow in some order of summation, and any order is honest.
_MAGNITUDES: dict[str, Callable[..., Any]] = {
    "sum": lambda node, a: np.sum(a, axis=node.detail, keepdims=True),
    "cumsum": lambda node, a: np.cumsum(a, axis=node.detail),
    "dot": lambda node, a, b: np.matmul(a, b),
    # One that is kept in float64 may overflow where it has long become zero in float32.
    "cumprod": lambda node, a: largest_so_far(a, node.detail),
    # A transform goes through twice its result and more where it is one of half the length, and through a convolution
    # with n roots of one where n has large factors: MKL gives -inf for -3.13e38 at n = 97, of one number beside zeros.
    "dft": lambda node, a: np.broadcast_to(
        4 * np.sqrt(node.shape[-2]) * np.sum(a, axis=(-2, -1), keepdims=True), node.shape
    ),
}


def _magnitude(node: Node, args: list[Emulated]) -> NDArray[Any]:
    """The sum of the absolute values of the finite terms, in float64."""
    finite = [np.where(np.isfinite(a.values), np.abs(a.values), 0).astype(np.float64) for a in args]
    return np.asarray(_MAGNITUDES[node.op](node, *finite))


def value_of(node: Node, args: list[NDArray[Any]], fmt: Format, lanes: int) -> NDArray[Any]:
    """One node in `fmt`, from arguments in it; see `emulate`."""
    if node.op in ("input", "leaf"):
        is_wider = node.format is not None and node.format.precision > fmt.precision
        return round_to(node.detail, node.format if is_wider and node.format is not None else fmt)
    if node.op == "number":
        return round_to(np.asarray(np.pi if node.detail is None else float(node.detail)), fmt)
    if node.op == "sum":
        return _sum(args[0], node.detail, lanes).reshape(node.shape)
    if node.op == "dot":
        return _dot(args[0], args[1], lanes)
    if node.op == "softmax":
        axis = node.detail[0]
        below = args[0] - args[0].max(axis=axis, keepdims=True)
        raised = round_to(np.exp(below.astype(np.float64)), fmt)
        return np.asarray(raised / np.expand_dims(_sum(raised, (axis,), lanes), axis))
    if node.op == "unknown":
        return round_to(np.asarray(np.nan), fmt)
    if node.op == "where" and len(node.args) == 2:
        return np.where(node.detail, *args)
    if node.op == "gather":
        return np.asarray(np.concatenate([a.ravel() for a in args])[node.detail])
    if node.op == "logcumsumexp":
        return (
            running(args[0], node.detail) if lanes else round_to(running(args[0].astype(np.float64), node.detail), fmt)
        )
    if node.op == "cumprod" and lanes == 0:
        return round_to(np.multiply.accumulate(args[0].astype(np.float64), axis=node.detail), fmt)
    if node.op == "dft":
        return _transformed(node, args[0], fmt, lanes)
    if node.op in ELEMENTARY:
        return round_to(ELEMENTARY[node.op].value(args[0].astype(np.float64)), fmt)
    if node.op in PAIRS:
        return round_to(PAIRS[node.op].value(*(arg.astype(np.float64) for arg in args)), fmt)
    return np.asarray(_PLAIN[node.op](node, *args))


_PLAIN: dict[str, Callable[..., Any]] = {
    "neg": lambda node, a: -a,
    "abs": lambda node, a: np.abs(a),
    "add": lambda node, a, b: a + b,
    "sub": lambda node, a, b: a - b,
    "mul": lambda node, a, b: a * b,
    "square": lambda node, a: a * a,
    "div": lambda node, a, b: a / b,
    "sqrt": lambda node, a: np.sqrt(a),
    "maximum": lambda node, a, b: np.maximum(a, b),
    "minimum": lambda node, a, b: np.minimum(a, b),
    "max": lambda node, a: np.max(a, axis=node.detail, keepdims=True),
    "min": lambda node, a: np.min(a, axis=node.detail, keepdims=True),
    "where": lambda node, a, b, yes, no: np.where(RELATIONS[node.detail](a, b), yes, no),
    "cumsum": lambda node, a: np.add.accumulate(a, axis=node.detail, dtype=a.dtype),
    "cumprod": lambda node, a: np.multiply.accumulate(a, axis=node.detail, dtype=a.dtype),
    "cummax": lambda node, a: np.maximum.accumulate(a, axis=node.detail),
    "floor": step_value,
    "rint": step_value,
    "rounded": step_value,
    "reshape": lambda node, a: a.reshape(node.shape),
    "scaled": lambda node, a, b: scaled_value(a, b),
    "step": lambda node, *args: side_taken(*args),
    "tied": tied_value,
    "saved": lambda node, a: a,
}


_MOST_PRODUCTS = 2**24  # of a transform that is added up term by term: one of 512 terms takes 20 ms, for each row


def _transformed(node: Node, x: NDArray[Any], fmt: Format, lanes: int) -> NDArray[Any]:
    # NumPy has the transform in float32 and float64; with half formats float32 is usual inside.
    wide = x if fmt.bits >= 32 else x.astype(np.float32)
    if lanes == 1 and 2 * node.size * node.shape[-2] <= _MOST_PRODUCTS:
        made = summed(node, wide, partial(_dot, lanes=lanes))
    else:
        made = transformed(node, wide)
    return round_to(made.astype(np.float64), fmt)


def _sum(x: NDArray[Any], axes: tuple[int, ...], lanes: int) -> NDArray[Any]:
    kept = [i for i in range(x.ndim) if i not in axes]
    rows = np.transpose(x, (*kept, *axes)).reshape(*(x.shape[i] for i in kept), prod(x.shape[i] for i in axes))
    return _in_lanes(rows, lanes)


def _in_lanes(rows: NDArray[Any], lanes: int) -> NDArray[Any]:
    """Sum over the last axis: every lane sequentially, then the lanes sequentially; see `emulate` for 0 lanes."""
    count = rows.shape[-1]
    if lanes == 0:
        return np.asarray(rows.astype(np.float64).sum(-1).astype(rows.dtype))
    if lanes == 1 or count <= lanes:
        return _sequential(rows)
    padding = np.zeros((*rows.shape[:-1], -count % lanes), rows.dtype)
    turns = -(-count // lanes)
    padded = np.concatenate([rows, padding], -1).reshape(*rows.shape[:-1], turns, lanes)
    return _sequential(_sequential(np.swapaxes(padded, -1, -2)))


def _sequential(rows: NDArray[Any]) -> NDArray[Any]:
    if rows.shape[-1] == 0:
        return np.zeros(rows.shape[:-1], rows.dtype)
    # `accumulate` adds one element after the other, each sum rounded to its dtype; `sum` would go by pairs.
    return np.asarray(np.add.accumulate(rows, axis=-1, dtype=rows.dtype)[..., -1])


def _dot(a: NDArray[Any], b: NDArray[Any], lanes: int) -> NDArray[Any]:
    """Sums of products over the inner axis, in lanes, with no fused multiply-add; see `emulate` for 0 lanes."""
    if lanes == 0:
        return np.asarray(np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(a.dtype))
    k = a.shape[-1]
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    partial = np.zeros((min(lanes, max(k, 1)), *shape), a.dtype)
    for i in range(k):
        partial[i % lanes] += a[..., :, i, None] * b[..., None, i, :]
    return _sequential(np.moveaxis(partial, 0, -1))
