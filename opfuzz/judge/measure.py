"""How far one output is from the exact values: arrays in, arrays and numbers out, nothing remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.core.metrics.conditioned import relative_to
from opfuzz.core.metrics.distance import are_equal
from opfuzz.core.metrics.ulp import NOTHING, kernels
from opfuzz.core.results import Index
from opfuzz.judge.limits import LOOSE_SHARE, NATURAL_ROUNDOFFS
from opfuzz.oracle.allowances import Allowances, Alternatives
from opfuzz.oracle.truth import TIGHT, Truth

Mask = NDArray[np.bool_]
Places = NDArray[np.int64]  # flat
NOWHERE: Places = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Measured:
    """One output against the exact values; arrays have its shape.

    Most outputs are numbers throughout, where known numbers are right: then `judged` is None, and nothing is masked.
    Errors in a unit are 0 where nothing is judged; of most outputs the largest ones are all that anybody asks for.
    """

    output: NDArray[Any]  # as it was returned
    truth: Truth
    allowances: Allowances
    computed: FloatArray  # the output in float64
    error: FloatArray  # abs(computed - exact); the distance to the range where all of one is right
    judged: Mask | None  # where an error has a size that counts; None: everywhere
    class_mistakes: Mask | None  # where NaN, an infinity or the sign of a zero is wrong; None: nowhere
    flushed: Mask | None  # subnormal results returned as zero: a policy, not an error; None: nowhere
    unresolved: Places  # where the exact value is not certain enough for this error
    open: Places  # where it leaves open if the error is below 1/2 ulp, or below 1
    is_correct: bool  # all is judged and nothing errs
    largest_ulp: float
    largest_excess: float
    largest_conditioned: float
    firsts: tuple[int, ...]  # flat, of these three

    @cached_property
    def ulps(self) -> FloatArray:
        """error / ulp."""
        return self._in(lambda: self.error / self.spacing)

    @cached_property
    def wide_excess(self) -> FloatArray:
        """error / (ulp/2 + wide)."""
        return self._in(lambda: relative_to(self.error, self.spacing, self.allowances.wide))

    def _in(self, unit: Callable[[], FloatArray]) -> FloatArray:
        if self.is_correct:
            return self.error
        with np.errstate(invalid="ignore", over="ignore"):
            return unit() if self.judged is None else np.where(self.judged, unit(), 0.0)

    def first(self, unit: int) -> Index | None:
        """The first place of the largest error in ulp (0), in `wide_excess` (1), or over the conditioning (2)."""
        if not self.output.size:
            return None
        return tuple(int(i) for i in np.unravel_index(self.firsts[unit], self.output.shape))

    @property
    def is_judged(self) -> Mask:
        """Where an error has a size that counts, as a mask."""
        return np.ones(self.output.shape, np.bool_) if self.judged is None else self.judged

    @property
    def is_special_wrong(self) -> Mask:
        """Where the class of the result is wrong, as a mask."""
        return np.zeros(self.output.shape, np.bool_) if self.class_mistakes is None else self.class_mistakes

    @property
    def is_normal(self) -> Mask:
        """Judged elements whose exact result is a normal number."""
        is_normal = self.truth.is_normal
        return is_normal if self.judged is None else np.asarray(self.judged & is_normal)

    @property
    def is_finite(self) -> Mask:
        """Where an error can be measured, if the exact value is certain enough."""
        return _measurable(self.computed, self.truth, self.flushed)

    @property
    def spacing(self) -> FloatArray:
        """ulp of the exact values."""
        return self.truth.spacing

    def excess(self, allowance: FloatArray) -> FloatArray:
        """error / (ulp/2 + allowance), 0 where nothing is judged."""
        if self.is_correct:
            return self.error
        return np.where(self.is_judged, relative_to(self.error, self.spacing, allowance), 0.0)


def measure(output: NDArray[Any], truth: Truth, allowances: Allowances) -> Measured:
    """The errors of an output of the truth's shape, in every unit that verdicts and rankings rest on."""
    computed = output.astype(np.float64)
    if _is_right(computed, truth):
        return _without_error(output, computed, truth, allowances)
    is_one = allowances.conditioning is allowances.wide  # nobody asked for it
    error, places = np.empty(computed.shape), np.empty(computed.size, np.int64)
    found = kernels().measure(
        computed.ravel(),
        truth.hi.ravel(),
        NOTHING if truth.rest is None else truth.rest.ravel(),
        NOTHING if truth.granted is None else truth.granted.ravel(),
        truth.spacing.ravel(),
        truth.radius.ravel(),
        allowances.wide.ravel(),
        NOTHING if is_one else allowances.conditioning.ravel(),
        truth.fmt.smallest_normal,
        error.reshape(-1),
        places,
    )
    largest, most, firsts, (unusual, flushed, unjudged, unsure) = found[0], found[1:4], found[4:7], found[7:]
    unresolved, judged = _unresolved(error, truth), None
    if unjudged or unresolved.size:
        judged = np.isfinite(computed) & truth.is_finite
        if flushed:
            judged &= ~((computed == 0) & truth.is_subnormal)
    if judged is not None and unresolved.size:
        judged.ravel()[unresolved] = False
        most, firsts = _largest_judged(error, truth, allowances, judged)
    return Measured(
        output,
        truth,
        allowances,
        computed,
        error,
        judged,
        _class_mistakes(computed, unusual > 0, truth, allowances),
        np.asarray((computed == 0) & truth.is_subnormal) if flushed else None,
        unresolved,
        places[:unsure].copy() if unsure else NOWHERE,
        judged is None and largest == 0.0,
        largest_ulp=most[0],
        largest_excess=most[1],
        largest_conditioned=most[2],
        firsts=firsts,
    )


def _largest_judged(
    error: FloatArray, truth: Truth, allowances: Allowances, judged: Mask
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The largest errors in the three units of what is judged, and their first places."""
    with np.errstate(invalid="ignore", over="ignore"):
        units = (
            error / truth.spacing,
            relative_to(error, truth.spacing, allowances.wide),
            relative_to(error, truth.spacing, allowances.conditioning),
        )
    kept = [np.where(judged, each, 0.0) for each in units]
    return tuple(float(each.max()) for each in kept), tuple(int(each.argmax()) for each in kept)


# What only moves and compares numbers gives the exact ones: nothing of their errors needs to be computed then.


def _is_right(computed: FloatArray, truth: Truth) -> bool:
    """Whether all elements are the exact numbers, and these are known."""
    is_plain = truth.rest is None and truth.ranges is None and truth.largest_size < truth.threshold
    return is_plain and not truth.open_places.size and are_equal(computed, truth.hi)


def _without_error(output: NDArray[Any], computed: FloatArray, truth: Truth, allowances: Allowances) -> Measured:
    none = np.broadcast_to(0.0, computed.shape)
    return Measured(
        output,
        truth,
        allowances,
        computed,
        error=none,
        judged=None,
        class_mistakes=_class_mistakes(computed, False, truth, allowances),
        flushed=None,
        unresolved=NOWHERE,
        open=NOWHERE,
        is_correct=True,
        largest_ulp=0.0,
        largest_excess=0.0,
        largest_conditioned=0.0,
        firsts=(0, 0, 0),
    )


def _measurable(computed: FloatArray, truth: Truth, flushed: Mask | None) -> Mask:
    finite = np.isfinite(computed) & truth.is_finite
    return np.asarray(finite if flushed is None else finite & ~flushed)


def _unresolved(error: FloatArray, truth: Truth) -> Places:
    """Where the exact value is not certain enough for its error; surely beyond the format is certain."""
    places: Places = truth.open_places
    if not places.size:
        return places
    own, size, radius = (part.ravel()[places] for part in (error, truth.size, truth.radius))
    with np.errstate(invalid="ignore"):
        return places[~((radius <= LOOSE_SHARE * own) | (size - radius >= truth.threshold))]


def undecided(measured: Measured) -> Places:
    """Where the exact value leaves open if the error is below 1/2 ulp, or below 1, which decides a verdict."""
    found = measured.open
    return found if measured.judged is None or not found.size else found[measured.is_finite.ravel()[found]]


def unscaled(measured: Measured) -> Places:
    """Where the exact value leaves open in which ulp an error counts, or if it counts at all."""
    truth = measured.truth
    places = truth.vague_places
    if not places.size:
        return places
    error, spacing = (part.ravel()[places] for part in (measured.error, truth.spacing))
    return places[np.isfinite(error) & (error > TIGHT * spacing)]


# Elements that have no error in ulp, only a right or a wrong class.


def _class_mistakes(computed: FloatArray, has_unusual: bool, truth: Truth, allowances: Allowances) -> Mask | None:
    wrong = _wrong_zeros(computed, truth)
    if has_unusual or not truth.largest_size < truth.threshold:
        right = _rightly_special(computed, truth, allowances)
        wrong = ~right if wrong is None else ~right | wrong
    if wrong is None:
        return None
    wrong &= np.isfinite(truth.radius)
    return wrong if wrong.any() else None


def _wrong_zeros(computed: FloatArray, truth: Truth) -> Mask | None:
    """Where a zero whose sign is part of the answer has the other one; None where there is no such zero."""
    if truth.signed_zeros is None:
        return None
    other = truth.has_sign != np.signbit(computed)
    return np.asarray(other & truth.signed_zeros & (computed == 0)) if other.any() else None


def _rightly_special(computed: FloatArray, truth: Truth, allowances: Allowances) -> Mask:
    """Where a number, an infinity or NaN is what is right, or may be."""
    with np.errstate(invalid="ignore"):
        slack = truth.radius + np.where(np.isfinite(allowances.wide), allowances.wide, np.inf)
        may_be_finite, may_be_infinite = truth.size - slack < truth.threshold, _reaches_end(computed, truth, slack)
    right = np.where(
        truth.is_special,
        (np.isnan(computed) & np.isnan(truth.hi)) | (computed == truth.hi),
        (np.isfinite(computed) & may_be_finite) | (np.isinf(computed) & may_be_infinite),
    )
    if allowances.alternatives is not None and not right.all():
        right |= _is_alternative(computed, truth, allowances.alternatives)
    return np.asarray(right)


def _reaches_end(computed: FloatArray, truth: Truth, slack: FloatArray) -> Mask:
    """Where honest arithmetic may be off by so much that it comes to the end of the format that has this sign."""
    with np.errstate(invalid="ignore"):
        is_same = np.sign(computed) == np.sign(truth.hi)
        return np.asarray(np.where(is_same, truth.size, -truth.size) + slack >= truth.threshold)


def _is_alternative(computed: FloatArray, truth: Truth, alternatives: Alternatives) -> Mask:
    """Where something else is right as well: near the end of a half format, or by IEEE arithmetic."""
    right = np.zeros(computed.shape, np.bool_)
    if (radius := alternatives.overflow) is not None:
        slack = truth.radius + np.where(np.isfinite(radius), radius, 0.0)
        near = (truth.size - slack < truth.threshold) & _reaches_end(computed, truth, slack)
        right |= near & ~np.isnan(computed)
    if alternatives.undefined is not None:
        right |= alternatives.undefined
    if alternatives.nan is not None:
        right |= alternatives.nan & np.isnan(computed)
    same = np.zeros(computed.shape, np.bool_)
    for natural in alternatives.values:
        with np.errstate(invalid="ignore"):
            close = np.abs(computed - natural) <= NATURAL_ROUNDOFFS * truth.fmt.unit_roundoff * np.abs(natural)
        same |= (np.isnan(computed) & np.isnan(natural)) | (np.isfinite(computed) & close) | (computed == natural)
    return right if alternatives.reach is None else np.asarray(right | same & alternatives.reach)


def place_of(values: NDArray[Any]) -> Index | None:
    """Index of the largest value; None for an empty array."""
    if not values.size:
        return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(values)), values.shape))
