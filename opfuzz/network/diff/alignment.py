"""Which tensor of one file is which of another where names differ: by values, then by classes, in the order of both."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from opfuzz.core.floats import BFLOAT16, FLOAT32
from opfuzz.network.diff.pair import allowed, as_real, root_mean_square, unit_of
from opfuzz.network.tensors import TensorFile
from opfuzz.network.trace.names import are_alike, common_end

# Two tensors have equal figures if each agrees to a thousandth of the largest value, or to what rounding may do in
# their formats.
LIKE = 1e-3
ROUGHLY = allowed(float(BFLOAT16.unit_roundoff))  # the most that any format allows


@dataclass(frozen=True, slots=True)
class Print:
    """Figures of a tensor that no order of its axes or elements changes."""

    unit: float
    figures: tuple[float, ...]  # mean, root mean square, mean size, least, largest
    scale: float  # largest size
    is_telling: bool  # neither constant nor without finite values

    def is_like(self, other: Print) -> bool:
        """Whether both may be one tensor, but for rounding."""
        if not (self.is_telling and other.is_telling):
            return False
        margin = max(LIKE, allowed(max(self.unit, other.unit))) * self.scale
        return all(abs(x - y) <= margin for x, y in zip(self.figures, other.figures, strict=True))


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a tensor beside its name."""

    name: str
    dims: tuple[int, ...]  # sorted, without those of length 1
    kind: str  # class of its module, "" where it is not known
    print: Print

    @property
    def bare(self) -> str:
        """The name without the number of the call, `attn#2:0`."""
        return re.sub(r"#\d+", "", self.name)

    @property
    def is_first_call(self) -> bool:
        """Whether it is of a module's first call, or its only one."""
        return self.bare == self.name or re.search(r"#1\b", self.name) is not None


@dataclass(frozen=True, slots=True)
class Alignment:
    """Names in A to names in B, and those pairs of them that no name and no value stands behind."""

    pairs: Mapping[str, str]
    guessed: frozenset[str]  # names in A


def known(file: TensorFile) -> list[Known]:
    """The tensors of a file that has an order, in that order; one of them is in memory at a time."""
    found = []
    names = set(file.names())
    for name in file.execution.order:
        if name not in names:
            continue
        module = file.execution.modules.get(name)
        dims = tuple(sorted(length for length in file.shape(name) if length != 1))
        found.append(Known(name, dims, module.kind if module else "", _print(file, name)))
    return found


def _print(file: TensorFile, name: str) -> Print:
    array = file.read(name)
    unit = unit_of(array)
    values = as_real(array).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        return Print(unit, (), 0.0, is_telling=False)
    least, largest = float(values.min()), float(values.max())
    scale = max(abs(least), abs(largest))
    figures = float(values.mean()), root_mean_square(values), float(np.abs(values).mean()), least, largest
    return Print(max(unit, FLOAT32.unit_roundoff), figures, scale, is_telling=largest - least > LIKE * scale)


def align_in_order(
    a: Sequence[Known], b: Sequence[Known], named: Mapping[str, str], fixed: Collection[str]
) -> Alignment:
    """The pairs of `named`, and more: equal values first, then alike classes of equal sizes between pairs found so far.

    A pair by name whose classes differ is given up where the values of both say that they belong elsewhere, unless it
    is `fixed`.
    """
    found = {**named}
    for x, y in _doubtful(found, a, b):
        elsewhere = any(_is_like(x, t) for t in b) or any(_is_like(s, y) for s in a)
        if elsewhere and x.name not in fixed:
            del found[x.name]
    found.update(_by_value(_left(a, found), _left(b, found.values())))
    before = set(found)
    _by_class(a, b, found)
    _repeat_calls(a, b, found)
    return Alignment(found, frozenset(found) - before)


def _doubtful(found: Mapping[str, str], a: Sequence[Known], b: Sequence[Known]) -> list[tuple[Known, Known]]:
    of_a, of_b = {x.name: x for x in a}, {y.name: y for y in b}
    pairs = [(of_a[name], of_b[other]) for name, other in found.items() if name in of_a and other in of_b]
    return [(x, y) for x, y in pairs if x.kind and y.kind and not are_alike(x.kind, y.kind) and not _is_like(x, y)]


def _is_like(x: Known, y: Known) -> bool:
    return x.dims == y.dims and x.print.is_like(y.print)


def needs_alignment(a: TensorFile, b: TensorFile, named: Mapping[str, str]) -> bool:
    """Whether both have orders, and some tensors no pair, or one that the classes of its modules contradict."""
    if not (a.execution.order and b.execution.order):
        return False
    kinds = [
        (a.execution.modules[name].kind, b.execution.modules[other].kind)
        for name, other in named.items()
        if name in a.execution.modules and other in b.execution.modules
    ]
    has_unpaired = len(named) < min(len(a.names()), len(b.names()))
    return has_unpaired or any(not are_alike(kind, other) for kind, other in kinds)


def _left(side: Sequence[Known], taken: Iterable[str]) -> list[Known]:
    gone = set(taken)
    return [tensor for tensor in side if tensor.name not in gone]


def _by_value(a: Sequence[Known], b: Sequence[Known]) -> dict[str, str]:
    """Pairs of equal figures, the likest names and classes first; of several that are as good, the earliest."""
    by_dims: dict[tuple[int, ...], list[int]] = {}
    for j, y in enumerate(b):
        if y.print.is_telling:
            by_dims.setdefault(y.dims, []).append(j)
    means = {dims: np.array([b[j].print.figures[0] for j in places]) for dims, places in by_dims.items()}
    options = []
    for i, x in enumerate(a):
        if x.dims in by_dims and x.print.is_telling:
            # Of the thousands of tensors of a solver's steps, few have the same mean even roughly.
            near = np.flatnonzero(np.abs(means[x.dims] - x.print.figures[0]) <= ROUGHLY * x.print.scale)
            places = [by_dims[x.dims][k] for k in near]
            options += [(-_likeness(x, b[j]), i, j) for j in places if x.print.is_like(b[j].print)]
    found, taken = dict[int, int](), set[int]()
    for _, i, j in sorted(options):
        if i not in found and j not in taken:
            found[i] = j
            taken.add(j)
    return {a[i].name: b[j].name for i, j in found.items()}


def _likeness(x: Known, y: Known) -> int:
    """How alike two tensors are called; 0 if in nothing."""
    kind = 2 * (x.kind.lower() == y.kind.lower()) or int(are_alike(x.kind, y.kind)) if x.kind and y.kind else 0
    return 2 * kind + common_end(x.bare, y.bare)


def _by_class(a: Sequence[Known], b: Sequence[Known], found: dict[str, str]) -> None:
    """Pairs first calls of equal sizes and alike classes or names, between pairs that are in order on both sides."""
    place = {y.name: j for j, y in enumerate(b)}
    anchors = _increasing([(i, place[found[x.name]]) for i, x in enumerate(a) if found.get(x.name) in place])
    taken = set(found.values())
    edges = [(-1, -1), *anchors, (len(a), len(b))]
    for (i, j), (k, m) in pairwise(edges):
        some_a = [x for x in a[i + 1 : k] if x.name not in found and x.is_first_call]
        some_b = [y for y in b[j + 1 : m] if y.name not in taken and y.is_first_call]
        found.update(_best(some_a, some_b))


def _increasing(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The most pairs that are in order on both sides; `pairs` are in the order of the first."""
    ends: list[int] = []  # the least last place of a row of each length
    lengths = []
    for _, j in pairs:
        length = bisect_left(ends, j)
        ends[length : length + 1] = [j]
        lengths.append(length)
    found: list[tuple[int, int]] = []
    wanted, least = len(ends) - 1, float("inf")
    for (i, j), length in zip(reversed(pairs), reversed(lengths), strict=True):
        if length == wanted and j < least:
            found.append((i, j))
            wanted, least = wanted - 1, j
    return found[::-1]


def _best(a: Sequence[Known], b: Sequence[Known]) -> dict[str, str]:
    """Pairs in one order with the largest sum of likeness (Needleman and Wunsch, without a price for gaps)."""
    if not a or not b:
        return {}
    score = [[_likeness(x, y) if x.dims == y.dims else 0 for y in b] for x in a]
    total = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, row in enumerate(score):
        for j, value in enumerate(row):
            total[i + 1][j + 1] = max(total[i][j + 1], total[i + 1][j], total[i][j] + value if value else 0)
    found, i, j = {}, len(a), len(b)
    while i and j:
        if total[i][j] == total[i - 1][j]:
            i -= 1
        elif total[i][j] == total[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            found[a[i].name] = b[j].name
    return found


def _repeat_calls(a: Sequence[Known], b: Sequence[Known], found: dict[str, str]) -> None:
    """Pairs later calls of modules whose first calls are paired, where both are called equally often."""
    calls_a, calls_b = _calls(a), _calls(b)
    first_of_b = {names[0]: names for names in calls_b.values()}
    taken = set(found.values())
    for names in calls_a.values():
        others = first_of_b.get(found.get(names[0], ""), [])
        if len(others) == len(names):
            later = zip(names[1:], others[1:], strict=True)
            found.update((name, other) for name, other in later if name not in found and other not in taken)


def _calls(side: Sequence[Known]) -> dict[str, list[str]]:
    """Names of tensors that differ in the number of the call only, in order."""
    found: dict[str, list[str]] = {}
    for tensor in side:
        found.setdefault(tensor.bare, []).append(tensor.name)
    return found
