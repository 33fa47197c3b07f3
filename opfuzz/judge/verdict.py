"""What the errors of an output mean: a verdict, its cause, and the element that decided it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

import numpy as np

from opfuzz.core.cause import NOTHING, Cause, Figure
from opfuzz.core.results import Ends, Index
from opfuzz.judge.explain import explain, flushes_inputs
from opfuzz.judge.limits import CONDITIONED_LIMIT, EXCESS_LIMIT
from opfuzz.judge.measure import Mask, Measured, place_of
from opfuzz.oracle.gradients.kinks import ends_at
from opfuzz.oracle.reference import Reference


@dataclass(frozen=True, slots=True)
class Verdict:
    """One of VERDICTS, and why."""

    word: str
    cause: Cause
    place: Index | None  # of the element that decided; None: there is none


def decide_verdict(measured: Measured, reference: Reference) -> Verdict:
    """The first of the table that holds. `reference` is asked for more only where something must explain the errors."""
    mistakes = measured.class_mistakes
    if mistakes is None:
        if measured.largest_ulp <= 1.0 or measured.largest_excess <= EXCESS_LIMIT:
            word, cause, unit = word_within(measured.largest_ulp, measured.largest_conditioned)
            return Verdict(word, cause, measured.first(unit))
        return Verdict(*explain(measured, reference, measured.wide_excess, np.zeros(measured.output.shape, np.bool_)))
    excused = reference.overflows & ~_stays_finite(measured, reference)
    if (mistakes & ~excused).any():
        flushed = flushes_inputs(measured, reference)
        if (mistakes & ~excused & ~flushed).any():
            return _special(measured, reference, mistakes & ~excused & ~flushed)
        excused = excused | flushed
        if np.where(excused, 0.0, measured.wide_excess).max(initial=0.0) <= EXCESS_LIMIT:
            return Verdict("normwise", Cause("underflows-inside", "inputs"), place_of(mistakes))
    excess = np.where(excused, 0.0, measured.wide_excess)
    if excess.max(initial=0.0) <= EXCESS_LIMIT:
        return Verdict("normwise", Cause("overflows-inside"), place_of(mistakes))
    return Verdict(*explain(measured, reference, excess, excused))


def _stays_finite(measured: Measured, reference: Reference) -> Mask:
    """Where a function of one number gives a number, and the usual formula the infinity that is right.

    An infinity on the way makes no number but zero of it, whatever the formula.
    """
    computed, truth = measured.computed, measured.truth
    if not reference.is_unary or reference.spec.gradient is not None:
        return np.zeros(computed.shape, np.bool_)
    usual = reference.emulated(1).values.astype(np.float64)
    is_beyond = np.isinf(usual) & (np.sign(usual) == np.sign(truth.hi)) & (truth.size >= truth.threshold)
    return np.asarray(is_beyond & np.isfinite(computed) & (computed != 0))


def _special(measured: Measured, reference: Reference, mistakes: Mask) -> Verdict:
    place = place_of(mistakes)
    assert place is not None
    exact, ends = right_at(measured, reference, place)
    figures: dict[str, Figure] = {
        "computed": float(measured.computed[place]),
        "exact": exact,
    }
    if ends is not None:
        figures["ends"] = ends
    return Verdict("special", Cause("special-at", figures=figures), place)


def right_at(measured: Measured, reference: Reference, place: Index) -> tuple[float, Ends]:
    """The right value of an element next to what was computed, and the ends of the range where all of one is right."""
    ends = ends_at(reference.root, measured.truth, place)
    if ends is None:
        return float(measured.truth.hi[place]), None
    computed = float(measured.computed[place])
    return (ends[0] if isnan(computed) else min(max(computed, ends[0]), ends[1])), ends


def word_within(ulp: float, conditioned: float) -> tuple[str, Cause, int]:
    """The verdict of what is within the limit, by its largest errors; and in which unit, see `Measured.first`, one
    decided.
    """
    if ulp <= 1.0:
        return "exact" if ulp <= 0.5 else "faithful", NOTHING, 0
    if conditioned <= CONDITIONED_LIMIT:
        return "stable", NOTHING, 1
    return "normwise", Cause("cancels"), 2
