"""Scores and verdicts: how far one subject is from the exact result on one case, and what that means."""

from __future__ import annotations

from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.explain import EXCESS_LIMIT, Exact, Mask, Verdict, explain, place_of
from opfuzz.floats import FloatArray, hex_of
from opfuzz.metrics.conditioned import relative_to
from opfuzz.metrics.magnitude import by_magnitude, first_cells
from opfuzz.metrics.ulp import absolute_error, histogram, rms_over, rms_ratio
from opfuzz.records import Index, Mark, Outcome, Score

Places = NDArray[np.int64]  # flat

# A result that is as good as inputs rounded a few times. Beyond it relative accuracy is lost somewhere: normwise.
CONDITIONED_LIMIT = 16.0
LARGEST = np.finfo(np.float64).max
NATURAL_ROUNDOFFS = 64  # how close a finite result must be to IEEE arithmetic's where mathematics has NaN
LOOSE_SHARE = 2.0**-10  # an exact value may be as uncertain as this share of the error that is measured with it


def score(outcome: Outcome, exact: Exact) -> Score:
    """Errors and verdict of one outcome. `exact` is refined where this outcome needs it."""
    if outcome.status != "ok" or outcome.output is None:
        return Score(outcome.status, outcome.message)
    judge = Judge(outcome.output, exact)
    verdict, reason, place = judge.verdict()
    if outcome.repeated is False:
        verdict, reason = "unstable", "the same call twice gave different bits"
    return judge.score(verdict, reason, place)


class Judge:
    """One output against the exact result. Arrays have the shape of the output.

    Most outputs are numbers throughout, where known numbers are right: then `is_all_judged`, and nothing is masked.
    """

    def __init__(self, output: NDArray[Any], exact: Exact) -> None:
        self.output, self.exact = output, exact
        self._tighten()

    @cached_property
    def computed(self) -> FloatArray:
        return self.output.astype(np.float64)

    @cached_property
    def threshold(self) -> float:
        """The largest number plus half its ulp: from here on infinity is the right answer."""
        fmt = self.exact.fmt
        return fmt.largest + float(np.ldexp(1.0, fmt.emax - fmt.precision)) if fmt.emax < 1023 else np.inf

    @cached_property
    def error(self) -> FloatArray:
        truth = self.exact.truth
        return absolute_error(self.computed, truth.hi, truth.rest)

    @cached_property
    def largest_error(self) -> float:
        """Not a finite number where any output or exact result is none."""
        return float(self.error.max(initial=0.0))

    @cached_property
    def is_all_judged(self) -> bool:
        """Whether every element has an error that counts."""
        # An error that is a number is one between numbers.
        if not isfinite(self.largest_error) or self._unresolved.size:
            return False
        return not (self.exact.truth.has_subnormal and self.is_flushed.any())

    @cached_property
    def is_correct(self) -> bool:
        """Whether all is judged and nothing errs: then every quotient of the error is 0."""
        return self.is_all_judged and self.largest_error == 0.0

    # Elements that have no error in ulp, only a right or a wrong class.

    @cached_property
    def is_special_wrong(self) -> Mask:
        """Where NaN, an infinity, or the sign of a unary zero differs from the exact result."""
        wrong = self._special_wrong
        return np.zeros(self.output.shape, np.bool_) if wrong is None else wrong

    @cached_property
    def _special_wrong(self) -> Mask | None:
        """The same; None if it is nowhere."""
        c, truth = self.computed, self.exact.truth
        wrong = self._wrong_zeros()
        if not (isfinite(self.largest_error) or np.isfinite(c).all()) or not truth.largest_size < self.threshold:
            right = self._rightly_special()
            wrong = ~right if wrong is None else ~right | wrong
        if wrong is None:
            return None
        wrong &= np.isfinite(truth.radius)
        return wrong if wrong.any() else None

    def _rightly_special(self) -> Mask:
        """Where a number, an infinity or NaN is what is right, or may be."""
        c, truth = self.computed, self.exact.truth
        may_be_finite, may_be_infinite = self._classes()
        right = np.where(
            truth.is_special,
            (np.isnan(c) & np.isnan(truth.hi)) | (c == truth.hi),
            (np.isfinite(c) & may_be_finite) | (np.isinf(c) & (np.sign(c) == np.sign(truth.hi)) & may_be_infinite),
        )
        if not right.all() and self.exact.fmt.bits == 16:
            right |= self._is_near_the_end()
        if self.exact.has_special_inputs and not self.exact.is_unary and not right.all():
            right |= self.exact.depends_on_special & self._equals_natural()
        return np.asarray(right)

    def _wrong_zeros(self) -> Mask | None:
        """Where a zero whose sign is part of the answer has the other one; None where there is no such zero."""
        c, truth = self.computed, self.exact.truth
        if not self.exact.is_unary or truth.zeros is None:
            return None
        other = truth.has_sign != np.signbit(c)
        if not other.any():
            return None
        return np.asarray(other & truth.zeros & (c == 0) & self.exact.has_certain_zeros)

    def _equals_natural(self) -> Mask:
        """Where IEEE arithmetic of the usual formula gives the same; its underflow counts, so 0 * inf may be NaN."""
        c = self.computed
        emulated = [self.exact.emulated(1), self.exact.emulated(1, narrow=True)]
        same = np.zeros(c.shape, np.bool_)
        for natural in (self.exact.natural_values, *(e.values.astype(np.float64) for e in emulated)):
            close = np.abs(c - natural) <= NATURAL_ROUNDOFFS * self.exact.fmt.unit_roundoff * np.abs(natural)
            same |= (np.isnan(c) & np.isnan(natural)) | (np.isfinite(c) & close) | (c == natural)
        return same

    def _is_near_the_end(self) -> Mask:
        """Half formats: infinite or finite alike where rounding intermediates to the format may decide which."""
        c, truth = self.computed, self.exact.truth
        narrow = self.exact.allowance(self.exact.lower_precisions()[0])
        size, slack = np.abs(truth.hi), truth.radius + np.where(np.isfinite(narrow), narrow, 0.0)
        near = (size - slack < self.threshold) & (size + slack >= self.threshold)
        return np.asarray(near & ~np.isnan(c) & (np.sign(c) == np.sign(truth.hi)))

    def _classes(self) -> tuple[Mask, Mask]:
        truth = self.exact.truth
        with np.errstate(invalid="ignore"):
            slack = truth.radius + np.where(np.isfinite(self.exact.wide), self.exact.wide, np.inf)
            size = np.abs(truth.hi)
            return size - slack < self.threshold, size + slack >= self.threshold

    @cached_property
    def is_flushed(self) -> Mask:
        """Subnormal results returned as zero: a policy, not an error."""
        return np.asarray((self.computed == 0) & self.exact.truth.is_subnormal)

    @cached_property
    def is_finite(self) -> Mask:
        """Where an error can be measured, if the exact value is certain enough."""
        return np.asarray(np.isfinite(self.computed) & self.exact.truth.is_finite & ~self.is_flushed)

    @property
    def spacing(self) -> FloatArray:
        spacing: FloatArray = self.exact.truth.spacing
        return spacing

    @cached_property
    def _unresolved(self) -> Places:
        """Where the exact value is not certain enough for this error; surely beyond the format is certain."""
        truth = self.exact.truth
        places: Places = truth.open_places
        if not places.size:
            return places
        error, size, radius = (part.ravel()[places] for part in (self.error, truth.size, truth.radius))
        with np.errstate(invalid="ignore"):
            return places[~((radius <= LOOSE_SHARE * error) | (size - radius >= self.threshold))]

    @cached_property
    def is_unresolved(self) -> Mask:
        """The same as a mask."""
        mask = np.zeros(self.output.shape, np.bool_)
        mask.ravel()[self._unresolved] = True
        return mask

    def _undecided(self) -> Places:
        """Where the exact value leaves open if the error is below 1/2 ulp, or below 1, which decides a verdict."""
        truth = self.exact.truth
        widest = truth.largest_share * (1 + 2.0**-40)
        if widest == 0.0:
            return np.zeros(0, np.int64)
        if not self.is_all_judged or truth.fmt.bits == 64:  # whose own spacing may be smaller than its roundings
            off = np.minimum(np.abs(self.error - 0.5 * self.spacing), np.abs(self.error - self.spacing))
            return np.flatnonzero((off <= truth.radius) & (truth.radius > 0) & self.is_finite)
        found = np.zeros(self.output.shape, np.bool_)
        for limit in (0.5, 1.0):
            low, high = limit - widest, limit + widest
            if self.largest_ulp >= low and np.count_nonzero(self.ulps < low) < np.count_nonzero(self.ulps <= high):
                found |= np.abs(self.ulps - limit) <= truth.share
        return np.flatnonzero(found & (truth.share > 0)) if found.any() else np.zeros(0, np.int64)

    def _tighten(self) -> None:
        places = self._undecided()
        if self._unresolved.size:
            places = np.union1d(places, self._unresolved)
        if places.size:
            self.exact.refine(places)
            for stale in vars(self).keys() - {"output", "exact", "computed"}:
                del self.__dict__[stale]

    @cached_property
    def is_judged(self) -> Mask:
        if self.is_all_judged:
            return np.ones(self.output.shape, np.bool_)
        return self.is_finite & ~self.is_unresolved

    @cached_property
    def is_normal(self) -> Mask:
        """Judged elements whose exact result is a normal number."""
        is_normal: Mask = self.exact.truth.is_normal
        return is_normal if self.is_all_judged else np.asarray(self.is_judged & is_normal)

    @cached_property
    def ulps(self) -> FloatArray:
        """error / ulp, 0 where nothing is judged."""
        return self._in(self.spacing)

    @cached_property
    def largest_ulp(self) -> float:
        """The largest error in ulp of all that is judged."""
        return float(self.ulps.max(initial=0.0))

    @cached_property
    def wide_excess(self) -> FloatArray:
        """Excess under wide."""
        return self._in(self.exact.wide_room)

    @cached_property
    def conditioned(self) -> FloatArray:
        return self._in(self.exact.conditioning_room)

    @cached_property
    def largest_conditioned(self) -> float:
        """The largest conditioned error."""
        return float(self.conditioned.max(initial=0.0))

    def excess(self, allowance: FloatArray) -> FloatArray:
        """error / (ulp/2 + allowance), 0 where nothing is judged."""
        if self.is_correct:
            return self.error
        return np.where(self.is_judged, relative_to(self.error, self.spacing, allowance), 0.0)

    def _in(self, unit: FloatArray) -> FloatArray:
        """The error in a unit, 0 where nothing is judged."""
        if self.is_correct:
            return self.error
        with np.errstate(over="ignore", invalid="ignore"):
            return self.error / unit if self.is_all_judged else np.where(self.is_judged, self.error / unit, 0.0)

    # The verdict, in the order of the table: the first that holds.

    def verdict(self) -> Verdict:
        """Verdict, reason in words, and the element that decided it."""
        wrong = self._special_wrong
        if wrong is None:
            worst = self.largest_ulp
            if worst <= 1.0:
                return ("exact" if worst <= 0.5 else "faithful"), "", place_of(self.ulps)
            if self.largest_excess <= EXCESS_LIMIT:
                return self._by_conditioning()
            return explain(self, self.wide_excess, np.zeros(self.output.shape, np.bool_))
        excused = self.exact.emulated(1).overflowed
        if (wrong & ~excused).any():
            return "special", *self._describe_special(wrong & ~excused)
        excess = np.where(excused, 0.0, self.wide_excess)
        if excess.max(initial=0.0) <= EXCESS_LIMIT:
            return "normwise", "an intermediate overflows in the usual formula", place_of(wrong)
        return explain(self, excess, excused)

    @cached_property
    def largest_excess(self) -> float:
        """The largest excess under wide."""
        return float(self.wide_excess.max(initial=0.0))

    def _describe_special(self, wrong: Mask) -> tuple[str, Index | None]:
        place = place_of(wrong)
        assert place is not None
        words = f"returned {self.computed[place]:g} where {self.exact.truth.hi[place]:.9g} is right"
        if self.exact.fmt.bits == 16 and self.exact.emulated(1, narrow=True).overflowed[place]:
            words += f": an intermediate overflows {self.exact.fmt.name}"
        return words, place

    def _by_conditioning(self) -> Verdict:
        if self.largest_conditioned <= CONDITIONED_LIMIT:
            return "stable", "", place_of(self.wide_excess)
        return "normwise", "relative accuracy is lost where the result is small", place_of(self.conditioned)

    def score(self, verdict: str, reason: str, place: Index | None) -> Score:
        """The record of this case."""
        truth, is_whole = self.exact.truth, self.is_all_judged
        normal = truth.normal if is_whole else int(np.count_nonzero(self.is_normal))
        errors = self.ulps
        if normal < errors.size and not self.is_correct:
            errors = np.where(self.is_normal, errors, 0.0)
        largest = place_of(errors)
        worst = float(errors[largest]) if largest is not None else 0.0
        if worst > LARGEST:  # against a tiny exact value the quotient passes float64's range
            worst, errors = LARGEST, np.minimum(errors, LARGEST)
        mark = self._mark(largest)
        blind = self.exact.is_blind
        return Score(
            verdict=verdict,
            reason=reason,
            ulp=worst,
            conditioned=self.largest_conditioned,
            excess=self.largest_excess,
            largest=mark,
            deciding=mark if place == largest else self._mark(place),
            histogram=histogram(errors, normal),
            by_magnitude=self._by_magnitude(),
            ulp_total=float(errors.sum()),
            rms_ulp=self._rms_ulp(),
            elements=self.output.size,
            normal=normal,
            unjudged=0 if blind is None else int(np.count_nonzero(blind if is_whole else self.is_judged & blind)),
            unresolved=self._unresolved.size,
            flushed=int(np.count_nonzero(self.is_flushed)) if truth.has_subnormal else 0,
            beyond=int(np.count_nonzero(self.wide_excess > EXCESS_LIMIT)) if self.largest_excess > EXCESS_LIMIT else 0,
        )

    def _rms_ulp(self) -> float | None:
        if not self.is_all_judged:
            return rms_ratio(self.error[self.is_judged], self.spacing[self.is_judged])
        if self.is_correct:
            return 0.0 if self.output.size else None
        return rms_over(self.error.ravel(), *self.exact.truth.squared_spacing) if self.output.size else None

    def _by_magnitude(self) -> dict[int, int]:
        truth, wrong = self.exact.truth, self._special_wrong
        if self.is_all_judged:
            return by_magnitude(truth.first_cells, self.ulps.ravel(), None if wrong is None else wrong.ravel())
        judged = self.is_judged if wrong is None else self.is_judged | wrong
        counted = judged & truth.is_finite
        # Where the class is wrong the error is not looked at.
        cells = first_cells(truth.hi[counted], truth.fmt)
        return by_magnitude(cells, self.ulps[counted], None if wrong is None else wrong[counted])

    def _mark(self, place: Index | None) -> Mark | None:
        if place is None:
            return None
        half = self.spacing[place] / 2
        bound = EXCESS_LIMIT * (half + self.exact.wide[place])
        if self.error[place] <= bound:
            bound = min(bound, CONDITIONED_LIMIT * (half + self.exact.conditioning[place]))
        return Mark(
            index=place,
            computed=float(self.computed[place]),
            computed_hex=hex_of(self.output[place]),
            exact=float(self.exact.truth.hi[place]),
            ulp=float(self.error[place] / self.spacing[place]),
            bound=float(bound),
        )
