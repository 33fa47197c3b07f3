"""Scores: one output, measured, with its verdict and the figures that a ranking adds up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.cause import Cause
from opfuzz.core.floats import hex_of
from opfuzz.core.metrics.magnitude import by_magnitude, first_cells
from opfuzz.core.metrics.ulp import histogram, rms_over, rms_ratio
from opfuzz.core.relation import REPEATED, Relation
from opfuzz.core.results import Index, Mark, Score
from opfuzz.judge.limits import CONDITIONED_LIMIT, EXCESS_LIMIT
from opfuzz.judge.measure import Measured, place_of
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
    truth, is_whole = measured.truth, measured.judged is None
    normal = truth.normal if is_whole else int(np.count_nonzero(measured.is_normal))
    errors = measured.ulps
    if normal < errors.size and not measured.is_correct:
        errors = np.where(measured.is_normal, errors, 0.0)
    largest = place_of(errors)
    worst = float(errors[largest]) if largest is not None else 0.0
    if worst > LARGEST:  # against a tiny exact value the quotient passes float64's range
        worst, errors = LARGEST, np.minimum(errors, LARGEST)
    mark = _mark(measured, largest, reference)
    blind, is_beyond = measured.allowances.is_blind, measured.largest_excess > EXCESS_LIMIT
    return Score(
        verdict=found.word,
        cause=found.cause,
        ulp=worst,
        conditioned=measured.largest_conditioned,
        excess=measured.largest_excess,
        largest=mark,
        deciding=mark if found.place == largest else _mark(measured, found.place, reference),
        histogram=histogram(errors, normal),
        by_magnitude=_by_magnitude(measured),
        ulp_total=float(errors.sum()),
        rms_ulp=_rms_ulp(measured),
        elements=measured.output.size,
        normal=normal,
        unjudged=0 if blind is None else int(np.count_nonzero(blind if is_whole else measured.is_judged & blind)),
        unresolved=measured.unresolved.size,
        flushed=_flushed(measured),
        beyond=int(np.count_nonzero(measured.wide_excess > EXCESS_LIMIT)) if is_beyond else 0,
    )


def _flushed(measured: Measured) -> int:
    """How many subnormal results were returned as zero, of those where honest rounding does not lead to zero."""
    if measured.flushed is None:
        return 0
    return int(np.count_nonzero(measured.flushed & (measured.truth.size > measured.allowances.wide_room)))


def _rms_ulp(measured: Measured) -> float | None:
    if measured.judged is not None:
        return rms_ratio(measured.error[measured.judged], measured.spacing[measured.judged])
    if measured.is_correct:
        return 0.0 if measured.output.size else None
    if not measured.output.size:
        return None
    return rms_over(measured.error.ravel(), *measured.truth.squared_spacing)


def _by_magnitude(measured: Measured) -> dict[int, int]:
    truth, wrong = measured.truth, measured.class_mistakes
    if measured.judged is None:
        return by_magnitude(truth.first_cells, measured.ulps.ravel(), None if wrong is None else wrong.ravel())
    counted = measured.judged if wrong is None else measured.judged | wrong
    counted = counted & truth.is_finite
    # Where the class is wrong the error is not looked at.
    cells = first_cells(truth.hi[counted], truth.fmt)
    return by_magnitude(cells, measured.ulps[counted], None if wrong is None else wrong[counted])


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
