"""Scores: one output, measured, with its verdict and the figures that a ranking adds up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.cause import Cause
from opfuzz.core.floats import hex_of
from opfuzz.core.metrics.conditioned import room
from opfuzz.core.metrics.totals import total_up
from opfuzz.core.relation import REPEATED, Relation
from opfuzz.core.results import Index, Mark, Score
from opfuzz.judge.limits import CONDITIONED_LIMIT, EXCESS_LIMIT
from opfuzz.judge.measure import Measured
from opfuzz.judge.settle import examine
from opfuzz.judge.verdict import Verdict, decide_verdict, right_at
from opfuzz.oracle.reference import Reference

LARGEST = float(np.finfo(np.float64).max)


def score(output: NDArray[Any], reference: Reference, is_stable: bool = True) -> Score:
    """Errors and verdict of one output; nothing of what was judged before has a part in it.

    `is_stable`: whether it had the same bits when the call was made twice.
    """
    measured = examine(output, reference)
    found = decide_verdict(measured, reference)
    if not is_stable:
        found = replace(found, word="unstable", cause=Cause("depends-on", "repetition", Relation(REPEATED)))
    return summarize(measured, found, reference)


def summarize(measured: Measured, found: Verdict, reference: Reference) -> Score:
    """The record of one output."""
    truth, is_beyond = measured.truth, measured.largest_excess > EXCESS_LIMIT
    if measured.is_correct and measured.class_mistakes is None and truth is reference.truth:
        told = reference.unerring  # the same for every subject
    else:
        told = total_up(
            measured.error,
            truth.hi,
            truth.spacing,
            measured.allowances.wide,
            truth.fmt,
            measured.judged,
            measured.class_mistakes,
        )
    largest = tuple(map(int, np.unravel_index(told.place, truth.hi.shape))) if truth.hi.size else None
    mark = _mark(measured, largest, reference)
    return Score(
        verdict=found.word,
        cause=found.cause,
        ulp=min(told.largest, LARGEST),  # against a tiny exact value the quotient passes float64's range
        conditioned=measured.largest_conditioned,
        excess=measured.largest_excess,
        largest=mark,
        deciding=mark if found.place == largest else _mark(measured, found.place, reference),
        histogram=told.histogram,
        by_magnitude=told.by_magnitude,
        ulp_total=told.total,
        rms_ulp=told.rms_ulp,
        elements=measured.output.size,
        normal=told.normal,
        unjudged=told.blind,
        unresolved=measured.unresolved.size,
        flushed=_flushed(measured),
        beyond=int(np.count_nonzero(measured.wide_excess > EXCESS_LIMIT)) if is_beyond else 0,
    )


def _flushed(measured: Measured) -> int:
    """How many subnormal results were returned as zero, of those where honest rounding does not lead to zero."""
    if measured.flushed is None:
        return 0
    unit = room(measured.spacing, measured.allowances.wide)
    return int(np.count_nonzero(measured.flushed & (measured.truth.size > unit)))


def mark_at(output: NDArray[Any], reference: Reference, place: Index) -> Mark | None:
    """One element of an output, as a score tells of it."""
    return _mark(examine(output, reference), place, reference)


def _mark(measured: Measured, place: Index | None, reference: Reference) -> Mark | None:
    if place is None:
        return None
    half = measured.spacing[place] / 2
    bound = EXCESS_LIMIT * (half + measured.allowances.wide[place])
    if measured.error[place] <= bound:
        bound = min(bound, CONDITIONED_LIMIT * (half + measured.allowances.conditioning[place]))
    truth = measured.truth
    exact, ends = right_at(measured, reference, place)
    if ends is not None:
        bound += truth.reach[place] - (ends[1] - ends[0]) / 2  # an end is judged rounded
    return Mark(
        index=place,
        computed=float(measured.computed[place]),
        computed_hex=hex_of(measured.output[place]),
        exact=exact,
        ulp=float(measured.error[place] / measured.spacing[place]),
        bound=float(bound),
        output=reference.output,
        ends=ends,
    )
