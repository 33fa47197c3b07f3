"""Scores: one output, measured, with its verdict and the figures that a ranking adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.cause import Cause
from opfuzz.core.relation import REPEATED, Relation
from opfuzz.core.results import Index, Mark, Score
from opfuzz.judge.cut_calls import parts_of
from opfuzz.judge.limits import EXCESS_LIMIT
from opfuzz.judge.marks import count_flushed, mark_of, totals_of
from opfuzz.judge.measure import Measured
from opfuzz.judge.parts import LARGEST, score_in_parts
from opfuzz.judge.settle import examine
from opfuzz.judge.verdict import Verdict, decide_verdict
from opfuzz.oracle.reference import Reference


def score(output: NDArray[Any], reference: Reference, is_stable: bool = True) -> Score:
    """Errors and verdict of one output; nothing of what was judged before has a part in it.

    `is_stable`: whether it had the same bits when the call was made twice.
    """
    return score_each([output], reference, [is_stable])[0]


def score_each(outputs: Sequence[NDArray[Any]], reference: Reference, are_stable: Sequence[bool]) -> list[Score]:
    """The same of several outputs of one call: those that are in no cache are judged together, part by part."""
    parts = parts_of(reference.meaning)
    in_parts = [None] * len(outputs) if parts is None else score_in_parts(outputs, parts)
    found = [each or _whole(output, reference) for each, output in zip(in_parts, outputs, strict=True)]
    return [each if is_stable else _unstable(each) for each, is_stable in zip(found, are_stable, strict=True)]


def _whole(output: NDArray[Any], reference: Reference) -> Score:
    measured = examine(output, reference)
    return summarize(measured, decide_verdict(measured, reference), reference)


def _unstable(found: Score) -> Score:
    return replace(found, verdict="unstable", cause=Cause("depends-on", "repetition", Relation(REPEATED)))


def summarize(measured: Measured, found: Verdict, reference: Reference) -> Score:
    """The record of one output."""
    is_beyond, shape = measured.largest_excess > EXCESS_LIMIT, measured.output.shape
    told = totals_of(measured, reference)
    largest = tuple(map(int, np.unravel_index(told.place, shape))) if measured.output.size else None
    mark = mark_of(measured, largest, reference)
    return Score(
        verdict=found.word,
        cause=found.cause,
        ulp=min(told.largest, LARGEST),  # against a tiny exact value the quotient passes float64's range
        conditioned=measured.largest_conditioned,
        excess=measured.largest_excess,
        largest=mark,
        deciding=mark if found.place == largest else mark_of(measured, found.place, reference),
        histogram=told.histogram,
        by_magnitude=told.by_magnitude,
        ulp_total=told.total,
        rms_ulp=told.rms_ulp,
        elements=measured.output.size,
        normal=told.normal,
        unjudged=told.blind,
        unresolved=measured.unresolved.size,
        flushed=count_flushed(measured),
        beyond=int(np.count_nonzero(measured.wide_excess > EXCESS_LIMIT)) if is_beyond else 0,
    )


def mark_at(output: NDArray[Any], reference: Reference, place: Index) -> Mark | None:
    """One element of an output, as a score tells of it."""
    return mark_of(examine(output, reference), place, reference)
