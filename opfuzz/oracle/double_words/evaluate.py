"""Chosen elements of a graph in double words: what float64 leaves open is mostly settled here, and Arb is not asked.

Only what the elements depend on is evaluated. Steps, scans, transforms and most elementary functions have no rule here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from fractions import Fraction
from functools import cache, lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.oracle.dependencies import dot_starts, reduced_rows, sources_of
from opfuzz.oracle.graph import Node, topological

Places = NDArray[np.int64]  # flat
Words = tuple[FloatArray, FloatArray, FloatArray]  # hi, lo, radius; flat


@cache
def kernels() -> Any:
    """The compiled passes, imported when the first element is left open."""
    return importlib.import_module("opfuzz.oracle.double_words.kernels")


def evaluate(root: Node, places: Places, kept: Collection[int] = ()) -> Words | None:
    """The elements at flat `places`, hi + lo within radius; infinite where nothing is known. None: no rule for a node.

    What is found of a place does not depend on the others. Of nodes that are `kept`, by their ids, the nearest float64
    stands for hi + lo, within half of its ulp.
    """
    order = topological(root)
    if any(node.op not in _RULES for node in order):
        return None
    wanted = {id(root): np.unique(places)}
    for node in reversed(order):
        for arg, more in zip(node.args, sources_of(node, wanted[id(node)]), strict=True):
            known = wanted.get(id(arg))
            wanted[id(arg)] = more if known is None or known is more else np.union1d(known, more)
    found: dict[int, Words] = {}
    last = {id(arg): number for number, node in enumerate(order) for arg in node.args}
    with np.errstate(all="ignore"):
        for number, node in enumerate(order):
            own = wanted[id(node)]
            hi, lo, radius = _RULES[node.op](node, own, [found[id(arg)] for arg in node.args])
            if id(node) in kept:
                radius = np.where(hi == 0, radius, np.maximum(radius + np.abs(lo), np.spacing(np.abs(hi)) / 2))
                lo = np.zeros(len(lo))
            found[id(node)] = _spread(node, own, hi, lo, radius)
            for arg in node.args:
                if last[id(arg)] == number:
                    found.pop(id(arg), None)
    hi, lo, radius = (part[places] for part in found[id(root)])
    return hi + 0.0, lo, np.where(np.isfinite(hi), radius, np.inf)  # Arb has one zero, and the word on infinities


def _spread(node: Node, places: Places, *parts: FloatArray) -> Words:
    """Elements at their places in arrays of all; the others are never looked at."""
    if len(places) == node.size:
        return parts[0], parts[1], parts[2]
    hi, lo, radius = (np.zeros(node.size) for _ in range(3))  # pages that nothing is written to cost nothing
    hi[places], lo[places], radius[places] = parts
    return hi, lo, radius


def _below(node: Node, arg: Node, places: Places) -> Places:
    """For each place of a node, that of an argument that is broadcast, or as large as the result."""
    if arg.shape == node.shape:
        return places
    index = np.broadcast_to(np.arange(arg.size).reshape(arg.shape), node.shape)
    return np.asarray(index[np.unravel_index(places, node.shape)])


def _taken(node: Node, places: Places, args: list[Words]) -> list[list[FloatArray]]:
    """Of each argument, the parts of the elements beside the places of the node."""
    return [[part[_below(node, arg, places)] for part in words] for arg, words in zip(node.args, args, strict=True)]


def _filled(count: int, kernel: Callable[..., None], *given: Any) -> Words:
    hi, lo, radius = np.empty(count), np.empty(count), np.empty(count)
    kernel(*given, hi, lo, radius)
    return hi, lo, radius


# Rules: of a node, the flat places that are wanted of it, and its arguments.


def _given(node: Node, places: Places, args: list[Words]) -> Words:
    values = node.detail.reshape(-1)[places]
    return values, np.zeros(len(places)), np.where(np.isnan(values), np.inf, 0.0)


@lru_cache(maxsize=1024)
def _number(detail: Fraction | None) -> tuple[float, float, float]:
    exact = _PI if detail is None else detail
    if abs(exact) > 2**1000:
        return 0.0, 0.0, np.inf
    hi = float(exact)
    lo = float(exact - Fraction(hi))
    rest = abs(exact - Fraction(hi) - Fraction(lo))
    return hi, lo, float(rest) * (1 + 2.0**-50) + (2.0**-1074 if rest or detail is None else 0.0)


def _arctangent(of: int) -> int:
    """arctan(1 / of) in units of 2^-256."""
    return sum((-1) ** n * ((1 << 256) // ((2 * n + 1) * of ** (2 * n + 1))) for n in range(128))


_PI = Fraction(16 * _arctangent(5) - 4 * _arctangent(239), 1 << 256)  # Machin 1706; off by less than 2^-240


def _constant(node: Node, places: Places, args: list[Words]) -> Words:
    hi, lo, radius = (np.full(len(places), part) for part in _number(node.detail))
    return hi, lo, radius


def _moved(node: Node, places: Places, args: list[Words]) -> Words:
    """Of a reshape, and of what is kept for the way back."""
    hi, lo, radius = (part[places] for part in args[0])
    return hi, lo, radius


def _gather(node: Node, places: Places, args: list[Words]) -> Words:
    sources = node.detail.reshape(-1)[places]
    parts = zip(*args, strict=True)
    hi, lo, radius = (part[0] if len(part) == 1 else np.concatenate(part) for part in parts)
    return hi[sources], lo[sources], radius[sources]


def _negated(words: list[FloatArray]) -> list[FloatArray]:
    return [-words[0], -words[1], words[2]]


def _neg(node: Node, places: Places, args: list[Words]) -> Words:
    hi, lo, radius = _negated(_taken(node, places, args)[0])
    return hi, lo, radius


def _abs(node: Node, places: Places, args: list[Words]) -> Words:
    hi, lo, radius = _taken(node, places, args)[0]
    sign = np.where(hi < 0, -1.0, 1.0)
    return hi * sign, lo * sign, radius


def _of_two(node: Node, places: Places, args: list[Words]) -> Words:
    first, *others = _taken(node, places, args)
    second = others[0] if others else first  # a square
    if node.op == "sub":
        second = _negated(second)
    names = {"add": "add", "sub": "add", "mul": "multiply", "square": "multiply", "div": "divide"}
    return _filled(len(places), getattr(kernels(), names[node.op]), *first, *second)


def _of_one(node: Node, places: Places, args: list[Words]) -> Words:
    names = {"sqrt": "root", "exp": "exponential", "log": "logarithm"}
    return _filled(len(places), getattr(kernels(), names[node.op]), *_taken(node, places, args)[0])


# hi is hi + lo rounded to the nearest, which keeps the order: by hi, and then by lo, numbers stand as they are.


def _is_above(a: list[FloatArray], b: list[FloatArray]) -> NDArray[np.bool_]:
    return np.asarray((a[0] > b[0]) | ((a[0] == b[0]) & (a[1] > b[1])))


def _is_open(a: list[FloatArray], b: list[FloatArray]) -> NDArray[np.bool_]:
    """Whether radii leave open which of two numbers is larger."""
    apart = np.abs(a[0] - b[0]) * (1 - 2.0**-50) - np.abs(a[1] - b[1])
    return np.asarray((a[2] + b[2] > 0) & ~((a[2] + b[2]) * 2 < apart))


def _pick(node: Node, places: Places, args: list[Words]) -> Words:
    first, second = _taken(node, places, args)
    is_first = _is_above(first, second) == (node.op == "maximum")
    hi, lo, radius = (np.where(is_first, a, b) for a, b in zip(first, second, strict=True))
    return hi, lo, np.where(_is_open(first, second), np.maximum(first[2], second[2]), radius)


def _where(node: Node, places: Places, args: list[Words]) -> Words:
    taken = _taken(node, places, args)
    if len(taken) == 2:
        chosen = np.broadcast_to(node.detail, node.shape)[np.unravel_index(places, node.shape)]
        hi, lo, radius = (np.where(chosen, a, b) for a, b in zip(*taken, strict=True))
        return hi, lo, radius
    left, right, yes, no = taken
    is_equal = (left[0] == right[0]) & (left[1] == right[1])
    is_so = {"<": _is_above(right, left), "<=": ~_is_above(left, right), "==": is_equal}[node.detail]
    hi, lo, radius = (np.where(is_so, a, b) for a, b in zip(yes, no, strict=True))
    return hi, lo, np.where(_is_open(left, right), np.inf, radius)


def _step(node: Node, places: Places, args: list[Words]) -> Words:
    left, right, below, above = _taken(node, places, args)
    hi, lo, radius = (np.where(_is_above(right, left), a, b) for a, b in zip(below, above, strict=True))
    is_tied = (left[0] == right[0]) & (left[1] == right[1])
    return hi, lo, np.where(is_tied | _is_open(left, right), np.inf, radius)


def _scaled(node: Node, places: Places, args: list[Words]) -> Words:
    """Exactly zero where the adjoint is; a zero that a slope makes is not exact."""
    adjoint, slope = _taken(node, places, args)
    hi, lo, radius = _filled(len(places), kernels().multiply, *adjoint, *slope)
    is_none, is_flat = ((part[0] == 0) & (part[2] == 0) for part in (adjoint, slope))
    hi, lo = np.where(is_none, 0.0, hi), np.where(is_none, 0.0, lo)
    return hi, lo, np.where(is_none, 0.0, np.where(is_flat, np.maximum(radius, 2.0**-1074), radius))


def _sum(node: Node, places: Places, args: list[Words]) -> Words:
    rows = reduced_rows(node.args[0].shape, node.detail, places)
    return _filled(len(places), kernels().total, *args[0], rows.reshape(-1))


def _extreme(node: Node, places: Places, args: list[Words]) -> Words:
    """The largest of all radii bounds how far the largest of the numbers may be from that of the midpoints."""
    rows = reduced_rows(node.args[0].shape, node.detail, places)
    hi, lo, radius = (part[rows] for part in args[0])
    sign = 1.0 if node.op == "max" else -1.0
    most = (sign * hi).max(axis=1)
    rest = np.where(sign * hi == most[:, None], sign * lo, -np.inf).max(axis=1)
    return sign * most, sign * rest, radius.max(axis=1)


def _lines(node: Node, axis: int, places: Places) -> tuple[Places, Places]:
    """The lines along an axis in which places lie, as flat places, (lines, count); and where in these those are."""
    step, count = prod(node.shape[axis + 1 :]), node.shape[axis]
    along = places // step % count
    starts, line_of = np.unique(places - along * step, return_inverse=True)
    return starts[:, None] + step * np.arange(count), line_of * count + along


def _cumsum(node: Node, places: Places, args: list[Words]) -> Words:
    lines, chosen = _lines(node, node.detail, places)
    hi, lo, radius = _filled(lines.size, kernels().running, *args[0], lines.reshape(-1), lines.shape[1])
    return hi[chosen], lo[chosen], radius[chosen]


# exp(x_i) / sum exp(x_j) = exp(x_i - x_m) / sum exp(x_j - x_m) for any m: that of the largest is exactly 1, however
# large its radius is, and where it saturates all others are next to nothing.


def _softmax(node: Node, places: Places, args: list[Words]) -> Words:
    lines, chosen = _lines(node, node.detail[0], places)
    number, count = lines.shape
    terms = [part[lines] for part in args[0]]
    first = np.where(np.isnan(terms[0]), -np.inf, terms[0]).argmax(axis=1)
    above = [np.repeat(part[np.arange(number), first], count) for part in terms]
    less = _filled(lines.size, kernels().add, *(part.reshape(-1) for part in terms), *_negated(above))
    own = np.arange(number) * count + first
    for part in less:
        part[own] = np.where(np.isfinite(less[2][own]), 0.0, part[own])
    raised = _filled(lines.size, kernels().exponential, *less)
    whole = _filled(number, kernels().total, *raised, np.arange(lines.size))
    both = *(part[chosen] for part in raised), *(part[chosen // count] for part in whole)
    return _filled(len(places), kernels().divide, *both)


def _dot(node: Node, places: Places, args: list[Words]) -> Words:
    rows, columns = dot_starts(node, places)
    return _filled(
        len(places), kernels().inner, *args[0], *args[1], rows, columns, node.args[0].shape[-1], node.shape[-1]
    )


_RULES: dict[str, Callable[[Node, Places, list[Words]], Words]] = {
    "input": _given,
    "leaf": _given,
    "number": _constant,
    "reshape": _moved,
    "saved": _moved,
    "gather": _gather,
    "neg": _neg,
    "abs": _abs,
    "add": _of_two,
    "sub": _of_two,
    "mul": _of_two,
    "square": _of_two,
    "div": _of_two,
    "sqrt": _of_one,
    "exp": _of_one,
    "log": _of_one,
    "maximum": _pick,
    "minimum": _pick,
    "where": _where,
    "sum": _sum,
    "max": _extreme,
    "min": _extreme,
    "cumsum": _cumsum,
    "softmax": _softmax,
    "dot": _dot,
    "scaled": _scaled,
    "step": _step,
}
