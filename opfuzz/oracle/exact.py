"""Arb: the exact value of chosen elements, with growing precision until it is certain enough.

The graph is pulled from the result: only what the chosen elements depend on is evaluated. Sums of exact products of
narrow inputs go through `math.fsum` first, which is correctly rounded and an order of magnitude faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, islice

import flint
import numpy as np
from flint import arb
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.oracle.arb_arithmetic import (
    FUNCTIONS,
    OF_DETAIL,
    ON_BALLS,
    Value,
    candidates,
    is_zero,
    joined,
    largest,
    order,
    product,
    running_logarithms,
    smallest,
    transform,
)
from opfuzz.oracle.dependencies import dot_rows, reduced_rows
from opfuzz.oracle.double_words import evaluate as double_words
from opfuzz.oracle.double_words import nearest
from opfuzz.oracle.graph import SCANS, Node

FSUM_PRECISION = 106  # at the first precision, exact dot products are kept as a correctly rounded float64
PRECISIONS = (FSUM_PRECISION, 256, 640, 1280, 2560)
# Double words that are good enough may have lost more than Arb, which has the choice of a higher precision; of this
# share of what is allowed nobody sees anything in a figure.
SURPLUS = 2.0**-36


@dataclass(frozen=True, slots=True)
class Settled:
    """Exact values as hi + lo, off by at most `radius`; infinite radius: not settled. Flat float64 arrays."""

    hi: FloatArray
    lo: FloatArray
    radius: FloatArray


def settle(
    root: Node, places: NDArray[np.int64], tolerance: Callable[[FloatArray], FloatArray], side: int = 0
) -> Settled:
    """Exact values of `root` at flat `places`, each within `tolerance(value)` of the truth where that can be reached.

    Double words are asked first, and Arb where they leave it open. `side`: -1 or 1 for one of the two values at every
    kink, 0 for all between both. Precision grows through `PRECISIONS`; what is still wider then keeps its last radius.
    What is found of a place, to the bit, does not depend on the other places, on their order, or on repetitions.
    """
    hi, lo, radius = np.full((3, len(places)), np.nan)
    radius[:] = np.inf
    open_places = np.arange(len(places))
    kept = nearest.sums_of(root)
    for once in (kept, frozenset[int]()) if kept else (kept,):
        if len(open_places) and (found := double_words.evaluate(root, places[open_places], once)) is not None:
            is_certain = np.isfinite(found[2]) & (found[2] <= tolerance(found[0]) * (1.0 if once else SURPLUS))
            chosen = open_places[is_certain]
            hi[chosen], lo[chosen], radius[chosen] = (part[is_certain] for part in found)
            open_places = open_places[~is_certain]
    if not len(open_places):
        return Settled(hi, lo, radius)
    for precision in PRECISIONS:
        with _precision(precision):
            values = Puller(root, precision, side).values(root, places[open_places])
            parts = np.array([_split(v) for v in values]).reshape(-1, 3)
        hi[open_places], lo[open_places], radius[open_places] = parts.T
        with np.errstate(invalid="ignore"):
            certain = radius[open_places] <= tolerance(hi[open_places])
        open_places = open_places[~(certain | _is_special(hi[open_places], radius[open_places]))]
        if not len(open_places):
            break
    return Settled(hi, lo, radius)


def _is_special(hi: FloatArray, radius: FloatArray) -> NDArray[np.bool_]:
    return np.asarray(~np.isfinite(hi) & (radius == 0))


@contextmanager
def _precision(bits: int) -> Iterator[None]:
    before = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        yield
    finally:
        flint.ctx.prec = before


def _split(value: Value) -> tuple[float, float, float]:
    """hi, lo, radius. A finite value beyond float64 becomes an infinity with radius 0, as rounding makes it one."""
    if isinstance(value, float):
        return value, 0.0, 0.0
    if not value.is_finite():
        return math.nan, 0.0, math.inf
    mid = value.mid()
    hi = float(mid)
    spread = float(value.rad())
    if math.isinf(hi):
        return hi, 0.0, (0.0 if abs(value) > _BEYOND else math.inf)
    rest = mid - hi
    lo = float(rest)
    # A radius has 30 bits. lo is rounded in turn: 2^-106 of hi, or the last place of the subnormals; below, it is 0.
    return hi, lo, spread * (1 + 2.0**-50) + abs(lo) * 2.0**-52 + (2.0**-1074 if value.rad() != 0 or rest != 0 else 0.0)


_BEYOND = arb(2) ** 1024


class Puller:
    """Evaluates elements of a graph at one precision, remembering what it has evaluated."""

    def __init__(self, root: Node, precision: int, side: int = 0) -> None:
        self.root, self.precision, self.side = root, precision, side
        self.known: dict[int, dict[int, Value]] = {}

    def values(self, node: Node, places: NDArray[np.int64]) -> list[Value]:
        """The elements at flat `places`, in that order, with repetitions."""
        wanted = places.tolist()
        known = self.known.setdefault(id(node), {})
        missing = np.array(sorted({p for p in wanted if p not in known}), np.int64)
        if len(missing):
            known.update(zip(missing.tolist(), self._compute(node, missing), strict=True))
        return [known[p] for p in wanted]

    def _compute(self, node: Node, places: NDArray[np.int64]) -> list[Value]:
        op = node.op
        if op in ("input", "leaf"):
            return [arb(v) if math.isfinite(v) else v for v in node.detail.ravel()[places].tolist()]
        if op == "number":
            n = node.detail
            value = arb.pi() if n is None else arb(n.numerator) / n.denominator
            return [value] * len(places)
        if op == "reshape":
            return self.values(node.args[0], places)
        if op == "gather":
            return self._gather(node, places)
        if op in ("sum", "max", "min"):
            return self._reduce(node, places)
        if op in SCANS:
            return self._scan(node, places)
        if op == "dft":
            return self._transform(node, places)
        if op == "dot":
            return self._dot(node, places)
        if op == "softmax":
            return self.values(node.detail[1], places)
        if op == "where" and len(node.args) == 2:
            return self._masked(node, places)
        if op == "scaled":
            return self._scaled(node, places)
        if op == "step":
            return self._step(node, places)
        if op == "tied":
            return self._tied(node, places)
        if op == "unknown":
            return [arb.nan()] * len(places)
        return self._map(node, places)

    def _broadcast(self, node: Node, arg: Node, places: NDArray[np.int64]) -> list[Value]:
        if arg.shape == node.shape:
            return self.values(arg, places)
        if arg.size == 1:
            return self.values(arg, np.zeros(len(places), np.int64))
        index = np.broadcast_to(np.arange(arg.size).reshape(arg.shape), node.shape)
        return self.values(arg, index.ravel()[places])

    def _map(self, node: Node, places: NDArray[np.int64]) -> list[Value]:
        columns = [self._broadcast(node, arg, places) for arg in node.args]
        if node.op in ON_BALLS and all(map(_are_balls, columns)):
            return list(map(ON_BALLS[node.op], *columns))
        function = partial(OF_DETAIL[node.op], node.detail) if node.op in OF_DETAIL else FUNCTIONS[node.op]
        return [function(*row) for row in zip(*columns, strict=True)]

    def _masked(self, node: Node, places: NDArray[np.int64]) -> list[Value]:
        chosen = np.broadcast_to(node.detail, node.shape).ravel()[places]
        result: list[Value] = [None] * len(places)
        for arg, pick in zip(node.args, (chosen, ~chosen), strict=True):
            where = np.flatnonzero(pick)
            for i, value in zip(where.tolist(), self._broadcast(node, arg, places[where]), strict=True):
                result[i] = value
        return result

    def _scaled(self, node: Node, places: NDArray[np.int64]) -> list[Value]:
        """Adjoints times slopes; the slope beside an adjoint of exactly zero is not asked for."""
        result = self._broadcast(node, node.args[0], places)
        where = np.flatnonzero([not is_zero(value) for value in result])
        slopes = self._broadcast(node, node.args[1], places[where])
        for i, slope in zip(where.tolist(), slopes, strict=True):
            result[i] = product(result[i], slope)
        return result

    def _step(self, node: Node, places: NDArray[np.int64]) -> list[Value]:
        """Of two sides the one that is taken, and the other is not asked for; both where that is not certain."""
        left, right = (self._broadcast(node, arg, places) for arg in node.args[:2])
        sides = [self.side if taken == 0 else taken for taken in map(order, left, right)]
        result: list[Value] = [None] * len(places)
        for arg, side in zip(node.args[2:], (-1, 1), strict=True):
            where = np.flatnonzero([taken in (0, side) for taken in sides])
            for i, value in zip(where.tolist(), self._broadcast(node, arg, places[where]), strict=True):
                result[i] = value if result[i] is None else joined(result[i], value)
        return [arb.nan() if value is None else value for value in result]

    def _tied(self, node: Node, places: NDArray[np.int64]) -> list[Value]:
        x, g = node.args
        kind, axes = node.detail
        index = np.broadcast_to(np.arange(g.size).reshape(g.shape), node.shape).ravel()[places]
        kept, row_of = np.unique(index, return_inverse=True)
        rows = reduced_rows(node.shape, axes, kept)
        open_places = [
            set(row[candidates(values, kind)].tolist()) for row, values in zip(rows, self._fetch(x, rows), strict=True)
        ]
        result: list[Value] = [arb(0)] * len(places)
        where = [i for i, place in enumerate(places.tolist()) if place in open_places[row_of[i]]]
        for i, value in zip(where, self.values(g, index[where]), strict=True):
            is_alone = len(open_places[row_of[i]]) == 1 or self.side == 1
            result[i] = value if is_alone else joined(arb(0), value) if self.side == 0 else arb(0)
        return result

    def _gather(self, node: Node, places: NDArray[np.int64]) -> list[Value]:
        sources = node.detail.ravel()[places]
        result: list[Value] = [None] * len(places)
        start = 0
        for arg in node.args:
            where = np.flatnonzero((sources >= start) & (sources < start + arg.size))
            for i, value in zip(where.tolist(), self.values(arg, sources[where] - start), strict=True):
                result[i] = value
            start += arg.size
        return result

    def _fetch(self, node: Node, rows: NDArray[np.int64]) -> list[list[Value]]:
        """Elements at rows of flat places, asked for at once: a question costs as much as 50 answers."""
        count = rows.shape[1]
        flat = self.values(node, rows.ravel())
        return [flat[i * count : (i + 1) * count] for i in range(len(rows))]

    def _reduce(self, node: Node, places: NDArray[np.int64]) -> list[Value]:
        arg = node.args[0]
        rows = self._fetch(arg, reduced_rows(arg.shape, node.detail, places))
        if node.op == "sum":
            return [self._total(arg, row) for row in rows]
        return list(map(largest if node.op == "max" else smallest, rows))

    def _total(self, arg: Node, terms: list[Value]) -> Value:
        if nearest.is_exact(arg) and self.precision == FSUM_PRECISION:
            return _rounded_sum([float(t) for t in terms])
        return _added(terms)

    def _scan(self, node: Node, places: NDArray[np.int64]) -> list[Value]:
        axis, length = node.detail, node.shape[node.detail]
        index = np.moveaxis(np.arange(node.size).reshape(node.shape), axis, -1).reshape(-1, length)
        row_of, place_of = np.empty((2, node.size), np.int64)
        row_of[index] = np.arange(len(index))[:, None]
        place_of[index] = np.arange(length)[None, :]
        arg = node.args[0]
        totals: dict[int, list[Value]] = {}  # by row, up to the furthest place asked for
        furthest = np.full(len(index), -1)
        np.maximum.at(furthest, row_of[places], place_of[places])
        rows = np.flatnonzero(furthest >= 0)
        terms = iter(self.values(arg, np.concatenate([index[row, : furthest[row] + 1] for row in rows])))
        for row in rows.tolist():
            totals[row] = self._running(node, list(islice(terms, int(furthest[row]) + 1)))
        return [totals[r][p] for r, p in zip(row_of[places].tolist(), place_of[places].tolist(), strict=True)]

    def _running(self, node: Node, terms: list[Value]) -> list[Value]:
        if node.op == "cummax":
            return list(accumulate(terms, lambda a, b: largest([a, b])))
        if node.op == "cumprod":
            return list(accumulate(terms, FUNCTIONS["mul"]))
        if node.op == "logcumsumexp":
            return running_logarithms(terms)
        if nearest.is_exact(node.args[0]) and self.precision == FSUM_PRECISION:
            return _rounded_sums([float(t) for t in terms])
        return _running(terms)

    def _transform(self, node: Node, places: NDArray[np.int64]) -> list[Value]:
        width = 2 * node.shape[-2]
        rows, row_of = np.unique(places // width, return_inverse=True)
        found = self._fetch(node.args[0], rows[:, None] * width + np.arange(width))
        made = [transform(row, not node.detail) for row in found]
        return [made[row][place] for row, place in zip(row_of.tolist(), (places % width).tolist(), strict=True)]

    def _dot(self, node: Node, places: NDArray[np.int64]) -> list[Value]:
        a, b = node.args
        left, right = dot_rows(node, places)
        if self.precision == FSUM_PRECISION:
            first, second = nearest.factors(a), nearest.factors(b)
            if first is not None and second is not None:
                products = first.ravel()[left] * second.ravel()[right]
                return [_rounded_sum(row.tolist()) for row in products]
        return [_inner(x, y) for x, y in zip(self._fetch(a, left), self._fetch(b, right), strict=True)]


def _rounded_sum(terms: list[float]) -> Value:
    """The correctly rounded sum, as a ball; exact where it is zero."""
    try:
        total = math.fsum(terms)
    except (OverflowError, ValueError):  # an intermediate beyond float64; infinities of both signs
        return _added([arb(t) if math.isfinite(t) else t for t in terms])
    if not math.isfinite(total):
        return total
    return arb(total, math.ulp(total) / 2) if total else arb(0)


def _rounded_sums(terms: list[float]) -> list[Value]:
    """What `_rounded_sum` gives for the first 1, 2, 3, ... terms, in one pass.

    From where the sizes add up to more than `_SAFE_SIZE` on, the sums are kept as they are: no term of a later place
    has a say in that.
    """
    with np.errstate(over="ignore"):
        sizes = np.add.accumulate(np.abs(terms))
    is_safe = sizes <= _SAFE_SIZE  # false for NaN
    safe = len(terms) if is_safe.all() else int(is_safe.argmin())
    sums = _sums_without_overlap(terms[:safe])
    if safe < len(terms):
        values = [arb(t) if math.isfinite(t) else t for t in terms]
        sums += _running(values)[safe:]
    return sums


_SAFE_SIZE = 2.0**1023  # below it no sum of the terms, in any order, leaves float64


def _sums_without_overlap(terms: list[float]) -> list[Value]:
    parts: list[float] = []  # floats that do not overlap, smallest first; their sum is exact (Shewchuk 1997)
    sums: list[Value] = []
    for term in terms:
        carried, kept = term, 0
        for part in parts:
            large, small = (part, carried) if abs(carried) < abs(part) else (carried, part)
            carried = large + small
            lost = small - (carried - large)
            if lost:
                parts[kept] = lost
                kept += 1
        parts[kept:] = [carried]
        sums.append(_rounded_sum(parts))
    return sums


def _running(terms: list[Value]) -> list[Value]:
    return list(accumulate(terms, lambda a, b: _added([a, b])))


def _added(terms: list[Value]) -> Value:
    if _are_balls(terms):
        return sum(terms, arb(0))
    return float(np.sum([t for t in terms if isinstance(t, float)]))


def _are_balls(values: list[Value]) -> bool:
    """Whether none of the values is NaN or infinite; asked once for a column, where most have none."""
    return set(map(type, values)) <= {arb}


def _inner(a: list[Value], b: list[Value]) -> Value:
    if not (_are_balls(a) and _are_balls(b)):
        return _added([FUNCTIONS["mul"](x, y) for x, y in zip(a, b, strict=True)])
    if not a:
        return arb(0)
    return (flint.arb_mat(1, len(a), a) * flint.arb_mat(len(b), 1, b))[0, 0]


def sign_at(root: Node, place: int, precision: int) -> float:
    """1 or -1: the sign of an element, also where it is far below the range of float64; 0 where it is not certain."""
    with _precision(precision):
        value = Puller(root, precision).values(root, np.array([place]))[0]
        return float(value > 0) - float(value < 0)
