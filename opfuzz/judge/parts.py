"""Outputs of so many elements that they are in no cache, judged together and part by part, where nothing is at fault.

All that is made of a part is gone when the next one is judged. What explains errors asks for all of an output at once:
where one is beyond the limit, or of a wrong class, the output is judged as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.metrics.totals import ErrorTotals, joined
from opfuzz.core.results import Index, Mark, Score
from opfuzz.judge.cut_calls import Parts
from opfuzz.judge.limits import EXCESS_LIMIT
from opfuzz.judge.marks import count_flushed, mark_of, totals_of
from opfuzz.judge.measure import Measured
from opfuzz.judge.settle import examine
from opfuzz.judge.verdict import word_within
from opfuzz.oracle.reference import Reference

LARGEST = float(np.finfo(np.float64).max)


def score_in_parts(outputs: Sequence[NDArray[Any]], parts: Parts) -> list[Score | None]:
    """The score of each output, None where something is at fault."""
    kept: dict[int, _Kept] = {place: _Kept() for place in range(len(outputs))}
    for part, meaning in parts:
        if not kept:
            break
        reference, start = Reference(meaning, 0), part.start * parts.width
        for place in list(kept):
            measured = examine(outputs[place].reshape(parts.shape)[part], reference)
            if measured.class_mistakes is not None or not measured.largest_excess <= EXCESS_LIMIT:
                del kept[place]
            else:
                kept[place].take(measured, reference, start)
    shapes = [output.shape for output in outputs]
    return [kept[place].score(shapes[place]) if place in kept else None for place in range(len(outputs))]


@dataclass(slots=True)
class _Kept:
    """What is known of an output after some parts."""

    totals: list[ErrorTotals] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)  # flat
    worst: list[float] = field(default_factory=list)  # in ulp, in `excess`, over the conditioning
    marks: list[_Marked] = field(default_factory=list)  # of the first such elements
    largest: _Marked | None = None  # of the largest error in ulp among normal numbers
    elements: int = 0
    unresolved: int = 0
    flushed: int = 0

    def take(self, measured: Measured, reference: Reference, start: int) -> None:
        """Add a part."""

        def mark(place: Index | None) -> _Marked:
            found = mark_of(measured, place, reference)
            assert place is not None
            assert found is not None
            return _Marked(start + int(np.ravel_multi_index(place, measured.output.shape)), found)

        told = totals_of(measured, reference)
        worst = [measured.largest_ulp, measured.largest_excess, measured.largest_conditioned]
        if not self.totals:
            self.worst, self.marks = worst, [mark(measured.first(unit)) for unit in range(3)]
        for unit in range(3):
            if worst[unit] > self.worst[unit]:
                self.worst[unit], self.marks[unit] = worst[unit], mark(measured.first(unit))
        if self.largest is None or told.largest > max(each.largest for each in self.totals):
            self.largest = mark(tuple(map(int, np.unravel_index(told.place, measured.output.shape))))
        self.totals.append(told)
        self.starts.append(start)
        self.elements += measured.output.size
        self.unresolved += measured.unresolved.size
        self.flushed += count_flushed(measured)

    def score(self, shape: tuple[int, ...]) -> Score:
        """What all parts come to."""
        told = joined(self.totals, self.starts)
        ulp, excess, conditioned = self.worst
        word, cause, unit = word_within(ulp, conditioned)
        assert self.largest is not None
        return Score(
            verdict=word,
            cause=cause,
            ulp=min(told.largest, LARGEST),
            conditioned=conditioned,
            excess=excess,
            largest=self.largest.at(shape),
            deciding=self.marks[unit].at(shape),
            histogram=told.histogram,
            by_magnitude=told.by_magnitude,
            ulp_total=told.total,
            rms_ulp=told.rms_ulp,
            elements=self.elements,
            normal=told.normal,
            unjudged=told.blind,
            unresolved=self.unresolved,
            flushed=self.flushed,
            beyond=0,
        )


@dataclass(frozen=True, slots=True)
class _Marked:
    """An element at a flat place."""

    place: int
    mark: Mark

    def at(self, shape: tuple[int, ...]) -> Mark:
        """The same by its place in an output of this shape."""
        return replace(self.mark, index=tuple(map(int, np.unravel_index(self.place, shape))))
