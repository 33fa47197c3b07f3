"""Relations: other ways to the same result, which need no second backend; half of the known bugs break one.

Which of them an op promises follows from its spec: `batch:` names the axes along which slices are independent, and an
op of one input that is computed element by element gives each element the same result at any place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Call, Element
from opfuzz.core.case import Case
from opfuzz.core.cause import Cause
from opfuzz.core.layout import LAYOUTS, applicable, fits
from opfuzz.core.relation import ALONE, CONTIGUOUS, DISTURBED, EAGER, REVERSED, ROWS, SHIFTED, VIEW, Relation
from opfuzz.core.results import Index, Outcome, Score
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.judge.limits import CALLED_ROWS, COMMON, COMMON_ELEMENTS, SHIFT, SWITCH
from opfuzz.spec import OpSpec, Output

Array = NDArray[Any]
Place = tuple[Any, ...]  # slices
Perform = Callable[["Piece"], Outcome]


@dataclass(frozen=True, slots=True)
class OutputPart:
    """Of one output: what a further call gives at `taken` stands for what the case's own call gives at `put`."""

    taken: Place = (...,)
    put: Place = (...,)

    def locate(self, index: Index, shape: Index, own: Index) -> Index | None:
        """Where an element of the case's output, of `shape`, lies in this call's, of shape `own`; None: not in it."""
        places = np.full(shape, -1)
        places[self.put] = np.arange(prod(own)).reshape(own)[self.taken]
        place = int(places[index])
        return None if place < 0 else tuple(int(i) for i in np.unravel_index(place, own))


@dataclass(frozen=True, slots=True)
class Piece:
    """One further call, and what of each output it stands for; None: that output is not looked at."""

    dims: Mapping[str, int]
    arrays: Mapping[str, Array]
    layouts: Mapping[str, str]
    parts: tuple[OutputPart | None, ...]
    alone: str = ""  # of a gradient, the one input that it is asked for; '': all

    @property
    def is_seen(self) -> bool:
        """Whether any output is looked at."""
        return any(part is not None for part in self.parts)

    def call(self, case: Case) -> Call:
        """The call, which has format and params of the case."""
        return Call(case.format, self.dims, case.params, self.arrays, self.layouts)

    def locate(self, element: Element, spec: OpSpec, case: Case) -> Element | None:
        """Where an element of the case's outputs lies in those of this call; None: not in them."""
        part = self.parts[spec.place_of(element.output)]
        if part is None:
            return None
        shapes = (spec.output_shapes(dims, case.params)[element.output] for dims in (case.dims, self.dims))
        place = part.locate(element.index, *shapes)
        return None if place is None else Element(element.output, place)


def _whole(spec: OpSpec) -> tuple[OutputPart, ...]:
    return (OutputPart(),) * len(spec.outputs)


@dataclass(frozen=True, slots=True)
class OtherWay:
    """One relation on one case; its calls are made in order."""

    relation: Relation
    pieces: tuple[Piece, ...]


Way = Callable[[], OtherWay]  # one that applies, not made yet: of all that apply to a case one is tried


def list_ways(spec: OpSpec, case: Case, arrays: Mapping[str, Array], is_elementwise: bool) -> list[OtherWay]:
    """All that apply to a case, each kind at most once; which layout, row or shift it is follows from the case."""
    return [way() for way in _ways(spec, case, arrays, is_elementwise)]


def find_way(
    relation: Relation, spec: OpSpec, case: Case, arrays: Mapping[str, Array], is_elementwise: bool
) -> OtherWay:
    """The way of a case that a relation names. Raises LookupError if it does not apply."""
    for made in (*list_ways(spec, case, arrays, is_elementwise), _eager(spec, case, arrays)):
        if made.relation == relation:
            return made
    raise LookupError(f"{relation.id} is no other way to {case}")


def _ways(spec: OpSpec, case: Case, arrays: Mapping[str, Array], is_elementwise: bool) -> list[Way]:
    number = case.seed  # a number as good as random that belongs to the case
    found = [_layout(spec, case, arrays, number)]
    for name in spec.batch:
        found += [_rows(spec, case, arrays, name, number), _reversed(spec, case, arrays, name)]
    if is_elementwise:
        found.append(_moved(spec, case, arrays, number))
    found.append(lambda: _after_other_work(spec, case, arrays))
    if spec.gradient is not None and len(spec.gradient.inputs) > 1:
        found.append(lambda: _alone(spec, case, arrays, number))
    return [way for way in found if way is not None]


def choose_way(
    spec: OpSpec, case: Case, arrays: Mapping[str, Array], is_elementwise: bool, mode: str, turn: int
) -> OtherWay:
    """The relation that is tried on a case of a subject with a mode or '': each of those that apply in its turn."""
    ways = _ways(spec, case, arrays, is_elementwise)
    if mode:
        ways.append(lambda: _eager(spec, case, arrays))
    return ways[turn % len(ways)]()


def _eager(spec: OpSpec, case: Case, arrays: Mapping[str, Array]) -> OtherWay:
    return OtherWay(Relation(EAGER), (Piece(case.dims, arrays, case.layouts, _whole(spec)),))


def _layout(spec: OpSpec, case: Case, arrays: Mapping[str, Array], number: int) -> Way | None:
    """A case of views with all inputs contiguous; a contiguous case with one input as a view."""
    if any(layout != LAYOUTS[0] for layout in case.layouts.values()):
        plain = dict.fromkeys(case.layouts, LAYOUTS[0])
        return lambda: OtherWay(Relation(CONTIGUOUS), (Piece(case.dims, arrays, plain, _whole(spec)),))
    if not any(array.ndim and array.size for array in arrays.values()):
        return None  # scalars and empty arrays are no views

    def as_view() -> OtherWay:
        views = [
            (name, layout)
            for name, array in arrays.items()
            for layout in LAYOUTS[1:]
            if applicable(layout, array.shape) and fits(array, layout)
        ]
        name, layout = views[number % len(views)]
        piece = Piece(case.dims, arrays, {**case.layouts, name: layout}, _whole(spec))
        return OtherWay(Relation(VIEW, name, layout), (piece,))

    return as_view


@cache
def _batch(spec: OpSpec, dim: str) -> tuple[tuple[int | None, ...], Mapping[str, int]] | None:
    """The axis of each output and of each input that counts rows, if the size `dim` says nothing else."""
    own, axes = tuple(_output_axis(output, dim) for output in spec.outputs), _axes(spec, dim)
    return (own, axes) if any(axis is not None for axis in own) and axes and _is_alone(spec, dim) else None


def _axes(spec: OpSpec, dim: str) -> dict[str, int]:
    """The axis of each input that is a batch; an input without it is shared by all rows.

    Empty where an input has two such axes: no slice of it is a row.
    """
    found: dict[str, int] = {}
    for item in spec.inputs:
        for axis, size in enumerate(item.shape):
            if size.text == dim:
                if item.name in found:
                    return {}
                found[item.name] = axis
    return found


def _is_alone(spec: OpSpec, dim: str) -> bool:
    """Whether a size says nothing but how many rows there are."""
    limits = [item.below for item in spec.inputs if item.below is not None]
    inside = [*spec.require, *limits, *(size for item in spec.inputs for size in item.shape), *spec.output_axes]
    return all(program.text == dim or dim not in program.names for program in inside)


def _along(axis: int, part: slice) -> Place:
    return (*(slice(None),) * axis, part)


def _cut(arrays: Mapping[str, Array], axes: Mapping[str, int], part: slice) -> dict[str, Array]:
    return {name: array[_along(axes[name], part)] if name in axes else array for name, array in arrays.items()}


def _output_axis(output: Output, dim: str) -> int | None:
    axes = [axis for axis, size in enumerate(output.shape) if size.text == dim]
    return axes[0] if len(axes) == 1 else None


def _parts(axes: Sequence[int | None], taken: slice, put: slice) -> tuple[OutputPart | None, ...]:
    """Of each output the part along its axis; an output without one says nothing about rows."""
    return tuple(None if axis is None else OutputPart(_along(axis, taken), _along(axis, put)) for axis in axes)


def _rows(spec: OpSpec, case: Case, arrays: Mapping[str, Array], dim: str, number: int) -> Way | None:
    size, batch, smaller = case.dims[dim], _batch(spec, dim), {**case.dims, dim: 1}
    if size < 2 or batch is None or not spec.allows(smaller, case.params):
        return None
    own, axes = batch

    def one_by_one() -> OtherWay:
        rows = sorted({0, size - 1, number % size, number // 7 % size})[:CALLED_ROWS]
        parts = (slice(row, row + 1) for row in rows)
        pieces = tuple(
            Piece(smaller, _cut(arrays, axes, part), case.layouts, _parts(own, slice(0, 1), part)) for part in parts
        )
        return OtherWay(Relation(ROWS, dim), pieces)

    return one_by_one


def _reversed(spec: OpSpec, case: Case, arrays: Mapping[str, Array], dim: str) -> Way | None:
    batch = _batch(spec, dim)
    if case.dims[dim] < 2 or batch is None:
        return None
    own, axes = batch
    if any(case.layouts[name] == "broadcast" for name in axes):
        return None

    def turned() -> OtherWay:
        back = slice(None, None, -1)
        piece = Piece(case.dims, _cut(arrays, axes, back), case.layouts, _parts(own, back, slice(None)))
        return OtherWay(Relation(REVERSED, dim), (piece,))

    return turned


def _moved(spec: OpSpec, case: Case, arrays: Mapping[str, Array], number: int) -> Way | None:
    """The same values nearer to the start of a shorter vector: another lane, or the tail instead of the body."""
    (name, array), *_ = arrays.items()
    dim = spec.inputs[0].shape[-1].text if array.ndim else ""
    size = case.dims.get(dim, 0)
    if size < 2 or case.layouts[name] == "broadcast" or dim in spec.reference.names:
        return None  # x / sqrt(n) is another function of x where n is another
    by = 1 + number % min(SHIFT, size - 1)
    dims = {**case.dims, dim: size - by}
    kept = (..., slice(by, None))
    if not spec.allows(dims, case.params) or spec.shapes(dims, case.params)[name] != array[kept].shape:
        return None

    def shorter() -> OtherWay:
        parts = (OutputPart(put=kept),) * len(spec.outputs)
        piece = Piece(dims, {name: array[kept]}, case.layouts, parts)
        return OtherWay(Relation(SHIFTED, dim, by=by), (piece,))

    return shorter


def fill_with_nan(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Inputs of the same shapes, in which every number is NaN; masks and indices stay."""
    return {name: np.full_like(a, np.nan) if a.dtype.kind not in "biu" else a for name, a in arrays.items()}


def _after_other_work(spec: OpSpec, case: Case, arrays: Mapping[str, Array]) -> OtherWay:
    """The same call once more, after one of the same shapes that leaves NaN wherever memory is used again."""
    other = fill_with_nan(arrays)
    whole = _whole(spec)
    unseen = (None,) * len(whole)
    pieces = (Piece(case.dims, other, case.layouts, unseen), Piece(case.dims, arrays, case.layouts, whole))
    return OtherWay(Relation(DISTURBED), pieces)


def _alone(spec: OpSpec, case: Case, arrays: Mapping[str, Array], number: int) -> OtherWay:
    """The gradient by one input, where none is asked for by the others: kernels leave out what is not needed."""
    assert spec.gradient is not None
    names = spec.gradient.inputs
    place = number % len(names)
    parts = tuple(OutputPart() if other == place else None for other in range(len(names)))
    piece = Piece(case.dims, arrays, case.layouts, parts, names[place])
    return OtherWay(Relation(ALONE, names[place]), (piece,))


def assemble(way: OtherWay, outputs: Sequence[Array], perform: Perform) -> tuple[Outcome, int]:
    """The case's outputs as this other way gives them, on copies of `outputs`; the first outcome that has none.

    Also the place of the last call that was made.
    """
    patched = tuple(output.copy() for output in outputs)
    outcome, place = Outcome("", "ok"), 0
    for place, piece in enumerate(way.pieces):
        made = perform(piece)
        if not piece.is_seen:
            continue
        if made.outputs is None:
            return made, place
        # Of what is asked alone nothing else is given.
        seen = [pair for pair in zip(patched, piece.parts, strict=True) if not piece.alone or pair[1] is not None]
        for (own, part), output in zip(seen, made.outputs, strict=True):
            if part is not None:
                own[part.put] = output[part.taken]
        outcome = made
    return replace(outcome, outputs=patched), place


def is_switch(narrow: Score, excess: float) -> bool:
    """Whether a half format inside shows in one way only, where the other has `excess`."""
    is_common = narrow.beyond >= max(COMMON * narrow.elements, COMMON_ELEMENTS)
    return narrow.excess > SWITCH * max(excess, 1.0) and is_common


def decide(main: Score, other: Score, relation: Relation, is_same: bool) -> Score:
    """The score of a case on which a relation was tried: `main`, or what the other way shows to be wrong.

    `other` is the score of the other way, against the same exact result. Half formats may round inside or not, but
    not now and then: that is a fault of either way.
    """
    is_other_fault = SEVERITY[other.verdict] == FAULT
    if SEVERITY[main.verdict] == FAULT or (relation.kind == EAGER and is_other_fault):
        return main  # what is wrong in eager mode is a fault of another subject
    if relation.is_repeat and not is_same:
        return replace(main, verdict="unstable", cause=Cause("depends-on", "repetition", relation))
    if is_other_fault:
        return replace(other, cause=replace(other.cause, relation=relation))
    narrow = [score for score in (main, other) if score.verdict == "narrow"]
    if len(narrow) == 1 and is_switch(narrow[0], main.excess + other.excess - narrow[0].excess):
        # Only in the other way, or in the case's own call but not in the other way.
        figures = {**narrow[0].cause.figures, "only": narrow[0] is other}
        cause = replace(narrow[0].cause, relation=relation, figures=figures)
        return replace(narrow[0], verdict="imprecise", cause=cause)
    return main
