"""Predictions: what an output would be if a cause were true, held against what it is, on this call and on others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from opfuzz.core.cause import Figure
from opfuzz.core.floats import FloatArray, Format, round_to
from opfuzz.core.metrics.conditioned import relative_to
from opfuzz.judge.diagnose.evidence import Evidence, Mask, ordinary
from opfuzz.judge.limits import (
    ALIKE,
    BETTER,
    COVERED_SHARE,
    EXCESS_LIMIT,
    LEAST_MET,
    LEAST_POWER,
    MET_SHARE,
    POWER_STEP,
    SMALLER,
    TELLING_EXCESS,
)


@dataclass(frozen=True, slots=True)
class Prediction:
    """How well predicted values meet an output, on the elements that honest arithmetic would not have made so."""

    elements: int  # that tell: the output, or what is predicted, is off by more than honest arithmetic often is
    met: int  # of them, that are as predicted
    covered: float  # share of all elements that are judged, and are no worse against what is predicted
    before: float = 0.0  # largest excess of an element that is met, against the exact values
    after: float = 0.0  # the same against those predicted

    @property
    def is_met(self) -> bool:
        """Whether the output is as predicted: neither by chance nor by an allowance that covers anything."""
        return self.met > 0 and self.met >= MET_SHARE * self.elements and self.covered >= COVERED_SHARE

    def __add__(self, other: Prediction) -> Prediction:
        """Both calls together."""
        before, after = max(self.before, other.before), max(self.after, other.after)
        met, covered = self.met + other.met, min(self.covered, other.covered)
        return Prediction(self.elements + other.elements, met, covered, before, after)

    @property
    def figures(self) -> dict[str, Figure]:
        """For a cause."""
        return {"elements": self.elements, "met": self.met, "before": self.before, "after": self.after}


def compare(
    evidence: Evidence, values: FloatArray, allowance: FloatArray | None = None, usual: FloatArray | None = None
) -> Prediction:
    """An output held against predicted values, which honest arithmetic may miss by the allowance of the op.

    Where the usual formula gives the same NaN or infinity, that tells nothing; `usual` are other values of which that
    is so.
    """
    judged, wide = evidence.judged, evidence.allowance_of(evidence.reference)
    allowance = wide if allowance is None else allowance
    off = evidence.excess_against(values, allowance)
    # What meets a NaN of which nothing is known is told; then a number that is right is none.
    is_number = np.isfinite(judged.computed) & np.isfinite(judged.truth.hi)
    off = np.where(np.isnan(values) & is_number, np.inf, off)
    # What is exact need not be known to see what is not as predicted, nor is what is meant to be large flushed.
    counted = np.array(judged.is_judged)
    counted.ravel()[judged.unresolved] = True
    if judged.flushed is not None:
        counted |= judged.flushed & (np.abs(values) >= judged.truth.fmt.smallest_normal)
    if evidence.score.verdict == "special":
        counted = counted | evidence.is_special
        usual = evidence.reference.natural_values if usual is None else usual
        telling, own = evidence.is_special & ~_same_class(judged.computed, usual), np.full(off.shape, np.inf)
        off = np.where(evidence.is_special & _other_zero(judged.computed, values), np.inf, off)
    else:
        with np.errstate(invalid="ignore", over="ignore"):
            meant = relative_to(np.abs(values - judged.truth.hi), judged.spacing, wide)
        own = np.fmax(evidence.excess, np.where(judged.is_judged & np.isfinite(values), meant, 0.0))
        telling = (own > TELLING_EXCESS) & judged.is_judged
    # Where its allowance exceeds it, a prediction meets anything; where it exceeds how far it is from the exact values,
    # what meets it says nothing: a formula that cancels is no other meaning.
    telling = telling & ~(np.isfinite(values) & (allowance > np.maximum(np.abs(values), judged.spacing)))
    with np.errstate(invalid="ignore", over="ignore"):
        apart = relative_to(np.abs(values - judged.truth.hi), judged.spacing, np.maximum(allowance, wide))
    telling = telling & ~((apart <= BETTER) & (allowance > wide) & (off <= EXCESS_LIMIT))
    # Where it is infinite, anything would be as predicted.
    telling = telling & (np.isfinite(allowance) | _same_class(judged.computed, values))
    met = telling & (off <= EXCESS_LIMIT) & (BETTER * off <= own)
    asked = int(np.count_nonzero(counted))
    covered = np.count_nonzero((off <= EXCESS_LIMIT) & counted) / asked if asked else 1.0
    return Prediction(
        int(np.count_nonzero(telling)),
        int(np.count_nonzero(met)),
        covered,
        float(np.where(met, evidence.excess, 0.0).max(initial=0.0)),
        float(np.where(met, off, 0.0).max(initial=0.0)),
    )


def _same_class(a: FloatArray, b: FloatArray) -> Mask:
    return np.asarray((np.isnan(a) & np.isnan(b)) | (np.isinf(a) & (a == b)))


def _other_zero(a: FloatArray, b: FloatArray) -> Mask:
    return np.asarray((a == 0) & (b == 0) & (np.signbit(a) != np.signbit(b)))


def same_formulas(evidence: Evidence) -> list[str]:
    """Variants that are other formulas for the same values, on this call and on others: of zeros all make zeros."""
    if not evidence.judged.is_judged.any():
        return []
    return [name for name in evidence.reference.variants if is_same_formula(evidence, name)]


def is_same_formula(evidence: Evidence, name: str) -> bool:
    """Whether a variant has the exact values, as far as they are judged, on this call and on others."""
    return has_values_of(evidence, name) and all(has_values_of(other, name) for other in evidence.others)


def has_values_of(evidence: Evidence, name: str) -> bool:
    """Whether a variant has the exact values on this call, as far as they are judged."""
    reference, judged = evidence.reference, evidence.judged
    if (other := reference.variant(name)) is None:
        return False
    with np.errstate(invalid="ignore", over="ignore"):
        # What overflows or underflows on the way, in float64 as well, is no other value.
        off = np.where(np.isfinite(other[0]), np.abs(other[0] - judged.truth.hi), 0.0)
        apart = relative_to(off, judged.spacing, np.maximum(other[1], reference.wide))
    return bool((apart[judged.is_judged | evidence.is_special] <= EXCESS_LIMIT).all())


def run_formula(evidence: Evidence, name: str) -> tuple[FloatArray, FloatArray]:
    """What comes of another formula when it is run, and its errors where these are judged."""
    reference, judged = evidence.reference, evidence.judged
    values = round_to(reference.variant_emulated(name).values.astype(np.float64), evidence.fmt).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        return values, np.where(judged.is_judged & np.isfinite(values), np.abs(values - judged.truth.hi), 0.0)


def errs_otherwise(evidence: Evidence, name: str) -> bool:
    """Whether the output is wrong on a call on which the formula loses nothing like that."""
    if evidence.reference.variant(name) is None or evidence.excess.max(initial=0.0) <= EXCESS_LIMIT:
        return False
    values, error = run_formula(evidence, name)
    worst = float(np.where(evidence.judged.is_judged & np.isfinite(values), evidence.excess, 0.0).max(initial=0.0))
    own = relative_to(error, evidence.judged.spacing, evidence.reference.wide)
    return worst > ALIKE * max(float(own.max(initial=0.0)), EXCESS_LIMIT)


def ranges_as(evidence: Evidence, predict: Callable[[Evidence], Prediction | None]) -> bool:
    """Whether values of all sizes and of either sign, in the same shapes and views, come out as predicted.

    Infinities alone say little: whatever overflows at less, or at more, gives the same ones.
    """
    found = [predict(each) for sign in (1.0, -1.0) for each in scaled(evidence, sign)]
    return bool(found) and all(each is not None and each.covered >= COVERED_SHARE for each in found)


def differs_elsewhere(evidence: Evidence, predict: Callable[[Evidence], Prediction | None]) -> bool:
    """Whether something else than predicted comes out with params as they are by default, or of small values.

    Of rows of one element nothing is seen of what a variance, or a small one, does.
    """
    params = {param.name: param.default for param in evidence.spec.params}
    calls = [evidence.call, ordinary(evidence, SMALLER**3)]
    for call in [replace(each, params=params) for each in calls if each is not None]:
        if not evidence.spec.allows(call.dims, call.params) or (output := evidence.run(call)) is None:
            continue
        other = replace(evidence, call=call, output=output, wider=None)
        found = predict(other)
        if found is not None and (found.covered < COVERED_SHARE or (other.is_at_fault and not found.is_met)):
            return True
    return False


def is_lost_within(evidence: Evidence, fmt: Format, predict: Callable[[Evidence], Prediction | None]) -> bool:
    """Whether small numbers that a format holds are lost in the same way."""
    return _differs_at(evidence, fmt.smallest_normal**0.5, predict)


def ends_otherwise(evidence: Evidence, fmt: Format, predict: Callable[[Evidence], Prediction | None]) -> bool:
    """Whether something else than predicted comes out of numbers that are subnormal in a format, or too small for it.

    What is lost below any other number is lost below the format's as well.
    """
    return any(_differs_at(evidence, scale, predict) for scale in (fmt.smallest_normal / 8, fmt.smallest_subnormal / 8))


def _differs_at(evidence: Evidence, scale: float, predict: Callable[[Evidence], Prediction | None]) -> bool:
    """Whether a call on ordinary values times `scale` is wrong otherwise than predicted, or right where that is not."""
    call = ordinary(evidence, scale)
    output = None if call is None else evidence.run(call)
    if call is None or output is None:
        return False
    other = replace(evidence.numeric, call=call, output=output, wider=None)
    found = predict(other)
    if found is None:
        return False
    return not found.is_met if other.is_at_fault else found.covered < COVERED_SHARE


def scaled(evidence: Evidence, sign: float = 1.0) -> Iterator[Evidence]:
    """The subject on ordinary values times powers of two and a sign, as far as it has an output."""
    power, dims = LEAST_POWER, None if evidence.reference.is_unary else evidence.call.dims
    while power < evidence.fmt.emax:
        call = ordinary(evidence, sign * 2.0**power, dims)
        output = None if call is None else evidence.run(call)
        if call is not None and output is not None:
            yield replace(evidence, call=call, output=output, wider=None)
        power = max(power + 1, int(POWER_STEP * power))


def confirm(
    evidence: Evidence, first: Prediction, predict: Callable[[Evidence], Prediction | None], is_elsewhere: bool = False
) -> Prediction | None:
    """What a prediction meets on all calls together; None where it fails on one that is wrong, or meets too little.

    With `is_elsewhere` it must be met on other values as well, which those of the larger call that the smallest came
    from are not: all elements of a row may hang on one number, such as the sum that they are divided by, and then many
    that are met are met by one chance.
    """
    if evidence.spec.gradient is not None and any(_refutes(predict(each)) for each in evidence.telling):
        return None
    total, met, made = first, 0, 0
    for other in evidence.others:
        found = predict(other)
        is_other = other is not evidence.wider
        made += is_other
        if found is not None and found.is_met:
            total += found
            met += is_other
        elif other.is_at_fault:
            return None
    is_known = met > 0 or not is_elsewhere or not made
    if total.met < LEAST_MET or not is_known or _is_right_elsewhere(evidence, predict):
        return None
    return total


def _is_right_elsewhere(evidence: Evidence, predict: Callable[[Evidence], Prediction | None]) -> bool:
    """Whether the subject is right on ordinary values, or smaller ones, in the same shapes and views, where it is not.

    Indices and masks stay as they are.
    """
    for scale in (1.0, SMALLER):
        call = ordinary(evidence, scale, evidence.call.dims)
        call = call and replace(call, layouts=evidence.call.layouts)
        output = None if call is None else evidence.run(call)
        if call is None or output is None or not output.size:
            return False
        other = replace(evidence.numeric, call=call, output=output, wider=None)
        if not other.judged.is_judged.any():
            continue  # all of it overflows, which says nothing
        found = predict(other)
        # A few that are wrong there are no sign of it where none is as predicted.
        is_right = found is not None and (not other.is_wrong.any() or (found.elements >= LEAST_MET and not found.met))
        if found is not None and is_right and found.covered < COVERED_SHARE:
            return True
    return False


def _refutes(found: Prediction | None) -> bool:
    """Whether ordinary values of other sizes speak against a cause: of gradients many are met where sizes are 1."""
    return found is not None and found.elements >= LEAST_MET and not found.is_met
