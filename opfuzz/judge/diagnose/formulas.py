"""Formulas for the same values that lose more, or fail: those that a spec names, and functions written otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from opfuzz.core.cause import Cause, Figure
from opfuzz.core.floats import FloatArray
from opfuzz.core.metrics.conditioned import relative_to
from opfuzz.judge.diagnose.evidence import Array, Evidence, ordinary
from opfuzz.judge.diagnose.predictions import (
    Prediction,
    compare,
    confirm,
    differs_elsewhere,
    errs_otherwise,
    has_values_of,
    is_same_formula,
    ranges_as,
    run_formula,
    same_formulas,
    scaled,
)
from opfuzz.judge.diagnose.probing import end_alike, ends_as
from opfuzz.judge.limits import ALIKE, COVERED_SHARE, EXCESS_LIMIT, LEAST_MET, MOST_ELEMENTS, TINY
from opfuzz.oracle.meaning import FAILURES
from opfuzz.oracle.models import wide_format
from opfuzz.oracle.reference import Reference
from opfuzz.oracle.working import Counting, emulate


def formula(evidence: Evidence) -> Cause | None:
    """A formula for the same values that errs as much as the output when it is run."""
    reference, judged, told = evidence.reference, evidence.judged, evidence.score.cause
    wrong, worst = evidence.is_wrong & judged.is_judged, float(evidence.excess.max(initial=0.0))
    is_gradient = evidence.spec.gradient is not None
    found: list[tuple[bool, float, Cause]] = []  # the one that errs most alike is told
    for name, note in reference.variants.items():
        # Another value of a param is no other formula, however little it differs from the spec's own.
        if evidence.spec.variants[name].reference is None or (other := reference.variant(name)) is None:
            continue
        values, error = run_formula(evidence, name)
        is_named = told.kind == "formula" and told.name == name
        if not is_named and not is_same_formula(evidence, name):
            continue  # it has other values, which is another cause
        if is_gradient and not all(has_values_of(each, name) for each in evidence.telling):
            continue  # the same, which rows of one element do not show
        fails = evidence.is_special.any() and _same_class(evidence, values) and _fails_alike(evidence, name)
        if fails and (is_gradient or all(has_values_of(each, name) for each in evidence.telling)):
            cause = Cause("formula", name, figures={"note": note, "fails": True})
            written = rewritten(evidence)
            return written if written is not None and _loses_less(evidence, written.name, name) else cause
        if worst <= EXCESS_LIMIT:
            continue
        if not is_named and not (wrong & (other[1] < np.abs(judged.truth.hi))).any():
            continue  # it may lose everything where the output is wrong, as whatever returns 0 does
        own = float(relative_to(error, judged.spacing, reference.wide).max(initial=0.0))
        ratio = _rms(error[wrong]) / max(_rms(judged.error[wrong]), np.finfo(np.float64).tiny)
        is_seen = not is_gradient or own > EXCESS_LIMIT  # many a formula of a gradient is allowed
        is_alike = is_seen and ALIKE * own >= worst and 1 / ALIKE <= ratio <= ALIKE
        is_refuted = any(errs_otherwise(each, name) for each in (evidence, *evidence.others))
        if is_alike and not is_refuted and not _is_tiny_otherwise(evidence, name):
            inside = "float32" if evidence.fmt.bits == 16 else evidence.fmt.name
            cause = Cause("formula", name, figures={"note": note, "worst": worst, "own": own, "inside": inside})
            found.append((not is_named, max(own / worst, worst / max(own, 1.0)), cause))
    return min(found, key=lambda each: each[:2])[2] if found else None


def _is_tiny_otherwise(evidence: Evidence, name: str) -> bool:
    """Whether a function of one number is wrong for tiny ones as well, and by far more or less than the formula is.

    What is lost beside 1 is all of a tiny number; a wrong slope is off by the same part of each.
    """
    call = ordinary(evidence, TINY) if evidence.reference.is_unary else None
    output = None if call is None else evidence.run(call)
    if call is None or output is None:
        return False
    other = replace(evidence.numeric, call=call, output=output, wider=None)
    wrong = other.is_wrong & other.judged.is_judged
    if not wrong.any():
        return False
    _, error = run_formula(other, name)
    ratio = _rms(error[wrong]) / max(_rms(other.judged.error[wrong]), np.finfo(np.float64).tiny)
    return not 1 / ALIKE <= ratio <= ALIKE


def in_half(evidence: Evidence) -> Cause | None:
    """A formula for the same values whose every step is rounded to the half format, where just that was computed."""
    if evidence.fmt.bits != 16 or not _is_small(evidence) or not evidence.is_wrong.any():
        return None
    for name in same_formulas(evidence):
        if evidence.spec.variants[name].reference is None or not _loses_more(evidence, name):
            continue

        def predict(each: Evidence, name: str = name) -> Prediction | None:
            try:
                return compare(each, each.reference.narrowed(name, 1).values.astype(np.float64))
            except FAILURES:
                return None

        if (total := _upheld(evidence, predict)) is not None:
            note = evidence.reference.variants[name]
            is_lost = evidence.score.verdict == "special"
            errors: dict[str, Figure] = {"fails": True} if is_lost else {"worst": total.before, "own": total.before}
            return Cause("formula", name, figures={"note": note, **errors, "inside": evidence.fmt.name})
    return None


def usual_in_half(evidence: Evidence) -> Cause | None:
    """That the usual formula, whose every step is rounded to the half format, has the NaN and infinities computed."""
    if evidence.fmt.bits != 16 or not _is_small(evidence) or not evidence.is_special.any():
        return None
    for place in range(len(list(_runs_in_half(evidence.reference)))):

        def predict(each: Evidence, place: int = place) -> Prediction | None:
            return compare(each, next(islice(_runs_in_half(each.reference), place, None)), each.reference.narrow)

        if _upheld(evidence, predict) is not None:
            return Cause("usual-formula", evidence.fmt.name)
    return None


def _runs_in_half(reference: Reference) -> Iterator[FloatArray]:
    """What each of the usual formulas gives in a half format; of a gradient also with plain products throughout."""
    yield from (run.values.astype(np.float64) for run in reference.emulations(1, narrow=True))
    if reference.spec.gradient is not None:
        for formula in (*reference.usual, *reference.by_powers):
            run = emulate(formula, reference.fmt, 1, wide_format(reference.fmt), reference.fmt, Counting(is_plain=True))
            yield run.values.astype(np.float64)


def _upheld(evidence: Evidence, predict: Callable[[Evidence], Prediction | None]) -> Prediction | None:
    """A prediction that is met and confirmed; of special values, for values of all sizes as well."""
    first = predict(evidence)
    total = confirm(evidence, first, predict) if first is not None and first.is_met else None
    if total is None or evidence.score.verdict != "special":
        return total
    return total if ranges_as(evidence, predict) and not differs_elsewhere(evidence, predict) else None


def _loses_more(evidence: Evidence, name: str) -> bool:
    """Whether roundings to the half format may do more to a formula than to the usual one, where the output is wrong.

    Else the usual formula loses as much in some order of its steps.
    """
    other = evidence.reference.variant(name, True)
    return other is not None and bool((other[1] >= ALIKE * evidence.reference.narrow)[evidence.is_wrong].any())


def rewritten(evidence: Evidence) -> Cause | None:
    """A function inside that is written in a way that loses more, where what comes of that is what was computed."""
    if not _is_small(evidence) or not evidence.is_wrong.any():
        return None
    for kind, text in [each[:2] for each in evidence.reference.written_otherwise()]:

        def predict(evidence: Evidence, text: str = text) -> Prediction | None:
            values = (values for _, own, values in evidence.reference.written_otherwise() if own == text)
            return compare(evidence, next(values))

        if (total := _upheld(evidence, predict)) is not None:
            if evidence.score.verdict == "special":
                return Cause("formula", text, figures={"note": f"{kind} written so", "fails": True})
            inside = "float32" if evidence.fmt.bits == 16 else evidence.fmt.name
            figures: dict[str, Figure] = {"note": f"{kind} written so", "worst": total.before, "own": total.before}
            return Cause("formula", text, figures={**figures, "inside": inside})
    return None


def _is_small(evidence: Evidence) -> bool:
    return sum(array.size for array in evidence.call.arrays.values()) + evidence.output.size <= MOST_ELEMENTS


def _same_class(evidence: Evidence, values: Array) -> bool:
    """Whether a formula that is run gives what the subject does wherever that is of the wrong class."""
    computed, run = evidence.judged.computed[evidence.is_special], values[evidence.is_special]
    usual = evidence.reference.emulated(1).values.astype(np.float64)[evidence.is_special]
    same = (np.isnan(computed) & np.isnan(run)) | (np.isinf(computed) & (computed == run))
    same |= (computed == 0) & (run == 0) & (np.signbit(computed) == np.signbit(run))
    return bool(same.all() and np.isfinite(usual).all())


def _fails_alike(evidence: Evidence, name: str) -> bool:
    """Whether a formula that is run is infinite, or NaN, where the subject is, for values of all sizes.

    Nor does it lose digits that the subject has: then that is not what the subject runs.
    """
    lost = 0
    for each in _of_both_signs(evidence):
        reference, judged = each.reference, each.judged
        run, _ = run_formula(each, name)
        counted = np.isfinite(judged.truth.hi) & ~reference.overflows
        if counted.any() and end_alike(run, judged.computed)[counted].mean() < COVERED_SHARE:
            return False
        with np.errstate(invalid="ignore", over="ignore"):
            own = relative_to(np.abs(run - judged.truth.hi), judged.spacing, reference.wide)
        is_lost = counted & np.isfinite(run) & (own > ALIKE * EXCESS_LIMIT) & (each.excess <= 1.0)
        lost += int(np.count_nonzero(is_lost))
    return lost < LEAST_MET and ends_as(evidence, lambda reference: reference.variant_emulated(name).values)


def _of_both_signs(evidence: Evidence) -> Iterator[Evidence]:
    yield from scaled(evidence)
    yield from scaled(evidence, -1.0)


def _loses_less(evidence: Evidence, text: str, name: str) -> bool:
    """Whether a function written as `text` loses less than a formula does: half formats have too few digits to tell."""

    def lost(values: FloatArray, reference: Reference) -> float:
        size = np.abs(reference.truth.hi)
        counted = np.isfinite(values) & np.isfinite(size) & (size >= reference.fmt.smallest_normal)
        with np.errstate(over="ignore"):
            return float(np.abs(values / np.where(counted, reference.truth.hi, 1) - 1)[counted].max(initial=0.0))

    own = theirs = 0.0
    for each in _of_both_signs(evidence):
        written = next(values for _, own_text, values in each.reference.written_otherwise() if own_text == text)
        own = max(own, lost(written, each.reference))
        theirs = max(theirs, lost(each.reference.variant_emulated(name).values.astype(np.float64), each.reference))
    return ALIKE * own < theirs


def _rms(errors: Array) -> float:
    largest = float(errors.max(initial=0.0))
    return float(largest * np.sqrt(np.mean((errors / largest) ** 2))) if largest > 0 else 0.0
