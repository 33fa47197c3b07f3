"""What a score tells of an output: what its errors add up to, and single elements."""

from __future__ import annotations

import numpy as np

from opfuzz.core.floats import hex_of
from opfuzz.core.metrics.conditioned import room
from opfuzz.core.metrics.totals import ErrorTotals, total_up
from opfuzz.core.results import Index, Mark
from opfuzz.judge.limits import CONDITIONED_LIMIT, EXCESS_LIMIT
from opfuzz.judge.measure import Measured
from opfuzz.judge.verdict import right_at
from opfuzz.oracle.reference import Reference


def totals_of(measured: Measured, reference: Reference) -> ErrorTotals:
    """What the errors add up to."""
    truth = measured.truth
    if measured.is_correct and measured.class_mistakes is None and truth is reference.truth:
        return reference.unerring  # the same for every subject
    wide, masks = measured.allowances.wide, (measured.judged, measured.class_mistakes)
    return total_up(measured.error, truth.hi, truth.spacing, wide, truth.fmt, *masks)


def count_flushed(measured: Measured) -> int:
    """How many subnormal results were returned as zero, of those where honest rounding does not lead to zero."""
    if measured.flushed is None:
        return 0
    unit = room(measured.spacing, measured.allowances.wide)
    return int(np.count_nonzero(measured.flushed & (measured.truth.size > unit)))


def mark_of(measured: Measured, place: Index | None, reference: Reference) -> Mark | None:
    """One element of an output, as a score tells of it."""
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
