"""The exact values of an output, and what follows from them alone: computed once, however many outputs are judged."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray, Format, ulp
from opfuzz.core.metrics.ulp import NOTHING, absolute_error, flat, kernels

TIGHT = 0.01  # ulp: an exact value is certain enough when its radius is at most this
FINEST = 2.0**-1074  # what hi + lo can still hold, so float64's own subnormals are known to one ulp only

Mask = NDArray[np.bool_]
Places = NDArray[np.int64]  # flat


@dataclass(frozen=True)
class Truth:
    """Exact values hi + lo within `radius`; NaN or infinity with radius 0 is the right answer itself.

    `fmt` is that of the outputs. What follows from the values is computed once, when it is asked for.
    """

    hi: FloatArray
    lo: FloatArray
    radius: FloatArray
    fmt: Format
    signed_zeros: Mask | None = None  # where the sign of an exact zero is part of the answer; None: nowhere
    ranges: Mask | None = None  # where all within the radius is right, as at a kink; None: nowhere

    @property
    def threshold(self) -> float:
        """The largest number plus half its ulp: from here on infinity is the right answer."""
        return self.fmt.threshold

    @cached_property
    def rest(self) -> FloatArray | None:
        """lo; None where it is zero throughout, as it is before anything was refined."""
        lo = self.lo if any(self.lo.strides) else self.lo.reshape(-1)[:1]  # one number, seen everywhere
        return self.lo if lo.any() else None

    @cached_property
    def _survey(self) -> tuple[FloatArray, Places, Places, float, float, int, int]:
        """Spacing; places that are vague, and open; the largest share and size; how many are normal, and subnormal."""
        fmt, size, spacing = self.fmt, self.hi.size, np.empty(self.hi.shape)
        vague, unknown = np.empty(size, np.int64), np.empty(size, np.int64)
        lo = NOTHING if self.rest is None else flat(self.rest)
        units = fmt.smallest_normal, fmt.largest, (fmt.emin + 1023) << 52, 2.0 ** (1 - fmt.precision), TIGHT, FINEST
        found = kernels().survey(flat(self.hi), lo, flat(self.radius), *units, spacing.reshape(-1), vague, unknown)
        *figures, first, second = found
        return spacing, vague[:first].copy(), unknown[:second].copy(), *figures

    @cached_property
    def is_special(self) -> Mask:
        """Where the right answer is NaN or an infinity by the rules for special values."""
        return np.asarray(~np.isfinite(self.hi) & (self.radius == 0))

    @cached_property
    def is_finite(self) -> Mask:
        """Where there is a number that is known."""
        return np.isfinite(self.hi)

    @cached_property
    def size(self) -> FloatArray:
        """abs(hi)."""
        return np.abs(self.hi)

    def is_number_beyond(self, fmt: Format) -> Mask | None:
        """Where the right answer is a number that overflows in a format; None: nowhere."""
        found = self.is_finite & (self.size > fmt.largest)
        return np.asarray(found) if found.any() else None

    @cached_property
    def largest_size(self) -> float:
        """The largest abs(hi); NaN if there is one."""
        return self._survey[4]

    @cached_property
    def is_normal(self) -> Mask:
        """Where hi is a normal number of the format."""
        return np.asarray((self.size >= self.fmt.smallest_normal) & (self.size <= self.fmt.largest))

    @cached_property
    def normal(self) -> int:
        """How many are normal numbers of the format."""
        return self._survey[5]

    @cached_property
    def is_subnormal(self) -> Mask:
        """Where hi is smaller than every normal number, and not zero."""
        return np.asarray((self.size > 0) & (self.size < self.fmt.smallest_normal))

    @cached_property
    def has_subnormal(self) -> bool:
        """Whether any is smaller than every normal number, and not zero."""
        return self._survey[6] > 0

    @cached_property
    def zeros(self) -> Mask | None:
        """Where the exact result is zero; None if it is nowhere."""
        if self.normal == self.hi.size:
            return None
        zeros = (self.hi == 0) & (self.radius == 0)
        return np.asarray(zeros) if zeros.any() else None

    @cached_property
    def has_sign(self) -> Mask:
        """Where hi has the bit of a minus."""
        return np.signbit(self.hi)

    @cached_property
    def spacing(self) -> FloatArray:
        """ulp(hi + lo); beyond the format that of its largest number, and that of zero where there is no number."""
        return self._survey[0]

    @cached_property
    def open_places(self) -> Places:
        """Flat places where the radius is more than the tolerance, and the right answer is a number."""
        places = self._survey[2]
        return places if self.ranges is None else places[~self.ranges.reshape(-1)[places]]

    @cached_property
    def vague_places(self) -> Places:
        """Flat places where the radius leaves open which spacing the value has, or if it is a normal number.

        Near a power of two two are possible; where terms cancelled, hi may be rounding alone, and any smaller one is.
        """
        return self._survey[1]

    @cached_property
    def share(self) -> FloatArray:
        """The radius in units of the spacing."""
        with np.errstate(over="ignore"):
            return np.asarray(self.radius / self.spacing)

    @cached_property
    def largest_share(self) -> float:
        """The largest share."""
        return self._survey[3]

    @cached_property
    def reach(self) -> FloatArray:
        """How far a right value may be from hi where all of a range is right: to the end of it, rounded."""
        end = np.minimum(self.size + np.where(np.isfinite(self.radius), self.radius, 0.0), self.fmt.largest)
        return np.asarray(self.radius + ulp(np.where(np.isfinite(end), end, 0.0), self.fmt) / 2)

    @cached_property
    def granted(self) -> FloatArray | None:
        """`reach` where all of a range is right, and less than 0 elsewhere; None: nowhere."""
        return None if self.ranges is None else np.where(self.ranges, self.reach, -1.0)

    def error_of(self, values: FloatArray) -> FloatArray:
        """How far values are from the exact ones; where all of a range is right, from the range."""
        return absolute_error(values, self.hi, self.rest, self.granted)

    def __getitem__(self, place: tuple[Any, ...]) -> Truth:
        """The exact values of a part."""
        ranges = None if self.ranges is None else self.ranges[place]
        return Truth(self.hi[place], self.lo[place], self.radius[place], self.fmt, ranges=ranges)

    def may_equal(self, other: Truth) -> bool:
        """Whether two truths, known to their radii, can be the same values."""
        with np.errstate(invalid="ignore"):
            gap = np.abs((self.hi - other.hi) + (self.lo - other.lo))
            is_near = gap <= self.radius + other.radius + FINEST
        is_same = (self.hi == other.hi) | (np.isnan(self.hi) & np.isnan(other.hi))
        return bool((is_near | is_same | ~np.isfinite(self.radius) | ~np.isfinite(other.radius)).all())


def inside(values: FloatArray, fmt: Format) -> FloatArray:
    """Values that the format has: beyond its largest number that one, and 0 where there is no number."""
    return np.where(np.isfinite(values), np.clip(values, -fmt.largest, fmt.largest), 0.0)


def tolerance(values: FloatArray, spacing: FloatArray, fmt: Format) -> FloatArray:
    """Largest radius with which an exact value near each of `values` is certain enough for any error.

    `spacing` is that of the values.
    """
    close = np.maximum(TIGHT * spacing, FINEST)
    finite = np.where(np.isfinite(values), np.abs(values), 0.0)
    is_far = finite / 4 > fmt.largest
    # Far beyond the format only that matters: any such value rounds to infinity.
    return np.maximum(close, np.where(is_far, finite / 2, 0.0)) if is_far.any() else close
