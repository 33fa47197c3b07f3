"""Scores and verdicts: how far one subject is from the exact result on one case, and what that means."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.explain import EXCESS_LIMIT, Exact, Mask, Verdict, explain, place_of
from opfuzz.floats import FloatArray, hex_of
from opfuzz.metrics.conditioned import relative_to
from opfuzz.metrics.magnitude import by_magnitude
from opfuzz.metrics.ulp import absolute_error, histogram, rms_ratio
from opfuzz.records import Index, Mark, Outcome, Score

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


@dataclass(frozen=True)
class Judge:
    """One output against the exact result. Arrays have the shape of the output."""

    output: NDArray[Any]
    exact: Exact

    def __post_init__(self) -> None:
        self._tighten()

    @cached_property
    def computed(self) -> FloatArray:
        return self.output.astype(np.float64)

    @cached_property
    def threshold(self) -> float:
        """The largest number plus half its ulp: from here on infinity is the right answer."""
        fmt = self.exact.fmt
        return fmt.largest + float(np.ldexp(1.0, fmt.emax - fmt.precision)) if fmt.emax < 1023 else np.inf

    # Elements that have no error in ulp, only a right or a wrong class.

    @cached_property
    def is_special_wrong(self) -> Mask:
        """Where NaN, an infinity, or the sign of a unary zero differs from the exact result."""
        c, truth = self.computed, self.exact.truth
        if np.isfinite(c).all() and truth.size.max(initial=0.0) < self.threshold:  # numbers where numbers are right
            return np.asarray(self._has_wrong_zero() & np.isfinite(truth.radius))
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
        return np.asarray((~right | self._has_wrong_zero()) & np.isfinite(truth.radius))

    def _has_wrong_zero(self) -> Mask:
        """Where a zero whose sign is part of the answer has the other one."""
        c, truth = self.computed, self.exact.truth
        if not self.exact.is_unary:
            return np.zeros(c.shape, np.bool_)
        zeros = (truth.hi == 0) & (truth.radius == 0) & (c == 0)
        if not zeros.any():
            return np.asarray(zeros)
        return np.asarray(zeros & self.exact.has_certain_zeros & (np.signbit(c) != np.signbit(truth.hi)))

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
    def error(self) -> FloatArray:
        truth = self.exact.truth
        return absolute_error(self.computed, truth.hi, truth.lo)

    @cached_property
    def is_loose(self) -> Mask:
        """Where the radius of the exact value is too wide for this error."""
        radius = self.exact.truth.radius
        if not radius.any():
            return self.is_unresolved
        # Whether the error is below 1/2 ulp, or below 1, decides a verdict.
        off = np.minimum(np.abs(self.error - 0.5 * self.spacing), np.abs(self.error - self.spacing))
        return np.asarray(self.is_unresolved | ((off <= radius) & (radius > 0) & self.is_finite))

    @cached_property
    def is_unresolved(self) -> Mask:
        """Where the exact value is not certain enough for this error; what is surely beyond the format is certain."""
        truth = self.exact.truth
        if truth.is_tight.all():
            return np.zeros(truth.hi.shape, np.bool_)
        with np.errstate(invalid="ignore"):
            tight = truth.is_tight | (truth.radius <= LOOSE_SHARE * self.error)
            beyond = truth.size - truth.radius >= self.threshold
        return np.asarray(~truth.is_special & ~tight & ~beyond)

    def _tighten(self) -> None:
        places = np.flatnonzero(self.is_loose)
        if len(places):
            self.exact.refine(places)
            stale = ("is_special_wrong", "is_flushed", "is_finite", "error", "is_loose", "is_unresolved")
            for name in stale:
                self.__dict__.pop(name, None)

    @cached_property
    def is_judged(self) -> Mask:
        return self.is_finite & ~self.is_unresolved

    @cached_property
    def is_normal(self) -> Mask:
        """Judged elements whose exact result is a normal number."""
        return np.asarray(self.is_judged & self.exact.truth.is_normal)

    @cached_property
    def ulps(self) -> FloatArray:
        """error / ulp, 0 where nothing is judged."""
        if self.is_correct:
            return self.error
        with np.errstate(over="ignore", invalid="ignore"):
            return np.where(self.is_judged, self.error / self.spacing, 0.0)

    @cached_property
    def wide_excess(self) -> FloatArray:
        """Excess under wide."""
        return self.excess(self.exact.wide)

    @cached_property
    def is_correct(self) -> bool:
        """Whether all is judged and nothing errs: then every quotient of the error is 0."""
        return bool(self.is_judged.all() and not self.error.any())

    def excess(self, allowance: FloatArray) -> FloatArray:
        """error / (ulp/2 + allowance), 0 where nothing is judged."""
        if self.is_correct:
            return self.error
        return np.where(self.is_judged, relative_to(self.error, self.spacing, allowance), 0.0)

    # The verdict, in the order of the table: the first that holds.

    def verdict(self) -> Verdict:
        """Verdict, reason in words, and the element that decided it."""
        wrong = self.is_special_wrong
        excused = np.zeros(wrong.shape, np.bool_)
        if wrong.any():
            excused = self.exact.emulated(1).overflowed
            if (wrong & ~excused).any():
                return "special", *self._describe_special(wrong & ~excused)
        elif (worst := float(self.ulps.max(initial=0.0))) <= 1.0:
            return ("exact" if worst <= 0.5 else "faithful"), "", place_of(self.ulps)
        excess = np.where(excused, 0.0, self.wide_excess)
        if excess.max(initial=0.0) <= EXCESS_LIMIT:
            if wrong.any():
                return "normwise", "an intermediate overflows in the usual formula", place_of(wrong)
            return self._by_conditioning()
        return explain(self, excess, excused)

    def _describe_special(self, wrong: Mask) -> tuple[str, Index | None]:
        place = place_of(wrong)
        assert place is not None
        words = f"returned {self.computed[place]:g} where {self.exact.truth.hi[place]:.9g} is right"
        if self.exact.fmt.bits == 16 and self.exact.emulated(1, narrow=True).overflowed[place]:
            words += f": an intermediate overflows {self.exact.fmt.name}"
        return words, place

    def _by_conditioning(self) -> Verdict:
        conditioned = self.conditioned
        if conditioned.max(initial=0.0) <= CONDITIONED_LIMIT:
            return "stable", "", place_of(self.wide_excess)
        return "normwise", "relative accuracy is lost where the result is small", place_of(conditioned)

    @cached_property
    def conditioned(self) -> FloatArray:
        return self.excess(self.exact.conditioning)

    def score(self, verdict: str, reason: str, place: Index | None) -> Score:
        """The record of this case."""
        normal, truth = self.is_normal, self.exact.truth
        # Against a tiny exact value the quotient may pass float64's range.
        errors = np.where(normal, np.minimum(self.ulps, LARGEST), 0.0)
        counted = _chosen(errors, normal)
        excess, judged = self.wide_excess, self.is_judged
        blind = judged & (self.exact.wide > np.maximum(truth.size, self.spacing / 2))
        largest = place_of(errors)
        mark = self._mark(largest)
        return Score(
            verdict=verdict,
            reason=reason,
            ulp=float(errors.max(initial=0.0)),
            conditioned=float(self.conditioned.max(initial=0.0)),
            excess=float(excess.max(initial=0.0)),
            largest=mark,
            deciding=mark if place == largest else self._mark(place),
            histogram=histogram(counted),
            by_magnitude=self._by_magnitude(),
            ulp_total=float(counted.sum()),
            rms_ulp=rms_ratio(_chosen(self.error, judged), _chosen(self.spacing, judged)),
            elements=self.output.size,
            normal=int(np.count_nonzero(normal)),
            unjudged=int(np.count_nonzero(blind)),
            unresolved=int(np.count_nonzero(self.is_unresolved)),
            flushed=int(np.count_nonzero(self.is_flushed)),
            beyond=int(np.count_nonzero(excess > EXCESS_LIMIT)),
        )

    def _by_magnitude(self) -> dict[int, int]:
        truth, wrong = self.exact.truth, self.is_special_wrong
        counted = (self.is_judged | wrong) & truth.is_finite
        # Where the class is wrong the error is not looked at.
        exact, ulps, is_wrong = (_chosen(part, counted) for part in (truth.hi, self.ulps, wrong))
        return by_magnitude(exact, ulps, is_wrong, self.exact.fmt)

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


def _chosen(values: NDArray[Any], mask: Mask) -> NDArray[Any]:
    """values[mask], without a copy where that is all of them."""
    return values.ravel() if mask.all() else values[mask]
