"""Scores of results of an elementwise function, a block of neighbouring inputs at a time.

An exact value is first known as a float64 ball (hi, radius), some 1e-8 ulp wide in float32. That counts a result above
a limit unless the limit lies inside the ball, and tells the largest error but for the last digits. What the balls leave
open is asked of Arb: results so near a limit, neighbours so flat, and the few that could be the worst. So all counts
are exact, the largest error is exact, and Arb is asked once in some 10,000 inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from opfuzz.explain import Exact, Mask
from opfuzz.floats import Bits, FloatArray, Format, from_bits, ulp
from opfuzz.metrics.ulp import absolute_error
from opfuzz.score import Judge
from opfuzz.search.totals import CLASSES, LIMITS, Totals, Worst, merge, worst

BUCKET_BITS = 12  # leading bits of a pattern that share a point of the picture
LOOSE = 2.0**-12  # ulp: an exact value less certain than this is left to `Judge`, which refines it
CANDIDATES = 64  # for the largest error, in a chunk
POINTWISE = 256  # inputs so few that Arb rather takes them one by one


@dataclass(frozen=True, slots=True)
class Enclosed:
    """Flat float64 arrays: the exact values lie within `radius` of `hi`.

    NaN or infinity with radius 0 is the right answer itself; an infinite radius means that nothing is known. `wide` is
    what an honest implementation may be off by.
    """

    hi: FloatArray
    radius: FloatArray
    wide: FloatArray

    def __getitem__(self, place: Any) -> Enclosed:
        """A part of them."""
        return Enclosed(self.hi[place], self.radius[place], self.wide[place])


class Oracle(Protocol):
    """What a sweep asks about the function. Inputs are flat arrays of the format."""

    def enclose(self, inputs: NDArray[Any]) -> Enclosed:
        """The exact values as float64 balls."""

    def exact(self, inputs: NDArray[Any]) -> Exact:
        """The same, to be refined where that is needed."""

    def between(self, low: float, high: float) -> tuple[float, float]:
        """Bounds of the function over a whole range."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The input before a block in one of the two ways, to compare with the first of it."""

    computed: NDArray[Any]
    enclosed: Enclosed


@dataclass(frozen=True, slots=True)
class Part:
    """Totals of a block whose largest error is still to be settled among `rivals`: patterns, results, upper bounds."""

    totals: Totals
    rivals: tuple[tuple[int, float, float], ...]
    floor: float  # what the largest error is at least


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores results of one function in one format."""

    oracle: Oracle
    fmt: Format

    def part(
        self, first: int, inputs: NDArray[Any], results: NDArray[Any], enclosed: Enclosed, before: Edge | None
    ) -> Part:
        """A block of the patterns from `first` on."""
        computed = results.astype(np.float64)
        bits = inputs.view(self.fmt.bits_dtype)
        with np.errstate(all="ignore"):
            falls = self._falls(first, computed, enclosed, before)
            scale = self._per_ulp(enclosed.hi)
            radii = enclosed.radius * scale
            # Comparisons that are false for NaN.
            is_plain = self.fmt.bits < 64 and radii.max() <= LOOSE and _reach(enclosed.hi) <= self.fmt.largest
            if is_plain and _reach(computed) < np.inf:
                part = self._plain(bits, inputs, computed, enclosed, scale, radii)
            else:
                part = self._mixed(bits, inputs, results, computed, enclosed, scale, radii)
        return part if falls is None else replace(part, totals=merge([part.totals, falls]))

    def only_answer(self, ends: NDArray[Any]) -> float | None:
        """The NaN, infinity or zero that is right for all inputs between two, if that can be proved at once.

        Zero is, where it is off by less than a millionth of the smallest number.
        """
        if not np.isfinite(ends).all():
            return None
        low, high = self.oracle.between(*sorted(ends.astype(np.float64).tolist()))
        if np.isnan(low):
            return math.nan
        if low > 4 * self.fmt.largest or high < -4 * self.fmt.largest:
            return math.copysign(math.inf, low)
        if max(-low, high) < self.fmt.smallest_subnormal * 2.0**-20 and low * high > 0:
            return math.copysign(0.0, low)
        return None

    def settled(self, parts: list[Part]) -> Totals:
        """Totals of a chunk, its largest error settled by Arb among the rivals for it."""
        totals = merge(part.totals for part in parts)
        floor = max(part.floor for part in parts)
        rivals = sorted({r for part in parts for r in part.rivals if r[2] >= floor}, key=lambda r: (-r[2], r[0]))
        if not rivals:
            return totals
        chosen = rivals[:CANDIDATES]
        bits = np.array([r[0] for r in chosen])
        error, _, values = self._exactly(self._inputs(bits), np.array([r[1] for r in chosen]))
        found = worst(Worst(float(e), r[0], r[1], float(v)) for e, r, v in zip(error, chosen, values, strict=True))
        assert found is not None
        rest = max((r[2] for r in rivals[CANDIDATES:]), default=0.0)
        return replace(totals, largest=found, ceiling=max(found.value, rest, totals.ceiling))

    def _inputs(self, bits: Bits) -> NDArray[Any]:
        return from_bits(bits.astype(self.fmt.bits_dtype), self.fmt)

    def _per_ulp(self, hi: FloatArray) -> FloatArray:
        """1 / ulp(hi), by the exponents' bits; garbage for what is no number of the format, and for float64."""
        if self.fmt.bits == 64:
            return np.ones(hi.shape)
        exponents = hi.view(np.uint64) & np.uint64(0x7FF << 52)
        np.maximum(exponents, np.uint64((self.fmt.emin + 1023) << 52), out=exponents)
        return np.asarray(np.subtract(np.uint64((2046 + self.fmt.precision - 1) << 52), exponents).view(np.float64))

    def _exactly(self, inputs: NDArray[Any], computed: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """ulp errors, their uncertainty, and exact values, all refined."""
        exact = self.oracle.exact(inputs)
        exact.refine(np.arange(inputs.size))
        hi, lo, radius = (np.ravel(part) for part in (exact.truth.hi, exact.truth.lo, exact.truth.radius))
        spacing = ulp(np.clip(np.nan_to_num(hi), -self.fmt.largest, self.fmt.largest), self.fmt)
        return absolute_error(computed, hi, lo) / spacing, radius / spacing, hi

    # Blocks, or parts of them, where results and exact values are finite and the latter certain.

    def _plain(
        self,
        bits: Bits,
        inputs: NDArray[Any],
        computed: FloatArray,
        enclosed: Enclosed,
        scale: FloatArray,
        radii: FloatArray,
    ) -> Part:
        errors = np.subtract(computed, enclosed.hi)
        np.abs(errors, out=errors)
        errors *= scale
        excess = enclosed.wide * scale
        excess += 0.5
        np.divide(errors, excess, out=excess)
        normal: Mask | None = None
        found: dict[str, Bits] = {}
        if _least(enclosed.hi) < self.fmt.smallest_normal:
            size, is_zero = np.abs(enclosed.hi), computed == 0
            normal = size >= self.fmt.smallest_normal
            is_flushed = is_zero & ~normal & (size > self.fmt.smallest_subnormal / 2)
            excess[is_flushed] = 0.0  # a policy, not an error
            found = {"flushed": bits[is_flushed], "sign": bits[self._wrong_signs(inputs, computed, enclosed, is_zero)]}
        # 0 for a normal number is 2^(p - 1) ulp off at least.
        if errors.max() >= 2.0 ** (self.fmt.precision - 1) - 1:
            found["zero"] = bits[(computed == 0) & (True if normal is None else normal)]
        return self._counted(bits, inputs, computed, enclosed.hi, errors, radii, excess, normal, found)

    def _wrong_signs(
        self, inputs: NDArray[Any], computed: FloatArray, enclosed: Enclosed, is_zero: Mask
    ) -> NDArray[np.int64]:
        both = is_zero & (enclosed.hi == 0) & (enclosed.radius == 0)
        places = np.flatnonzero(both & (np.signbit(computed) != np.signbit(enclosed.hi)))
        return places[np.ravel(self.oracle.exact(inputs[places]).has_certain_zeros)] if len(places) else places

    def _counted(
        self,
        bits: Bits,
        inputs: NDArray[Any],
        computed: FloatArray,
        hi: FloatArray,
        errors: FloatArray,
        radii: FloatArray,
        excess: FloatArray,
        normal: Mask | None,
        found: dict[str, Bits],
        unresolved: int = 0,
    ) -> Part:
        """`found` has the patterns of what is counted by class; `normal` None means all of them."""
        largest_excess = Worst(0.0, 0, 0.0, 0.0)
        if excess.size and (top := int(np.argmax(excess))) >= 0:
            largest_excess = Worst(float(excess[top]), int(bits[top]), float(computed[top]), float(hi[top]))
        count = bits.size
        if normal is not None:
            bits, inputs = bits[normal], inputs[normal]
            computed, errors, radii = computed[normal], errors[normal], radii[normal]
        rivals: tuple[tuple[int, float, float], ...] = ()
        floor = 0.0
        above = (0,) * len(LIMITS)
        if bits.size:
            slack = float(radii.max())
            highest = float(errors.max())
            errors, above = self._counts(inputs, computed, errors, highest, slack)
            highest = float(errors.max())
            floor = highest - slack
            near = np.flatnonzero(errors >= floor - slack)
            if len(near) > CANDIDATES:  # those with the largest upper bounds, and no more
                near = np.sort(near[np.argsort(-(errors[near] + radii[near]), kind="stable")[: CANDIDATES + 1]])
            bounds = errors[near] + radii[near]
            rivals = tuple(zip(bits[near].tolist(), computed[near].tolist(), bounds.tolist(), strict=True))
        totals = Totals(
            inputs=count,
            normal=int(bits.size),
            ulp_sum=float(errors.sum()),
            above=above,
            largest=None,
            ceiling=0.0,
            excess=largest_excess if count else None,
            mismatches={name: len(found.get(name, ())) for name in CLASSES},
            examples={name: int(places.min()) for name, places in found.items() if len(places)},
            flushed=len(found.get("flushed", ())),
            falls=len(found.get("falls", ())),
            unresolved=unresolved,
            buckets=self._buckets(bits, errors),
        )
        return Part(totals, rivals, floor)

    def _counts(
        self, inputs: NDArray[Any], computed: FloatArray, errors: FloatArray, highest: float, slack: float
    ) -> tuple[FloatArray, tuple[int, ...]]:
        """How many errors are above each limit; and the errors, exact where that was not certain."""
        counts = []
        for limit in LIMITS:
            if highest < limit - slack:
                counts.append(0)
                continue
            count = int(np.count_nonzero(errors > limit + slack))
            if int(np.count_nonzero(errors >= limit - slack)) > count:
                unsure = np.flatnonzero(np.abs(errors - limit) <= slack)
                errors = errors.copy()
                errors[unsure] = self._exactly(inputs[unsure], computed[unsure])[0]
                count = int(np.count_nonzero(errors > limit))
            counts.append(count)
        return errors, tuple(counts)

    def _buckets(self, bits: Bits, errors: FloatArray) -> dict[int, float]:
        if not bits.size:
            return {}
        shift = self.fmt.bits - BUCKET_BITS
        if bits[0] >> shift == bits[-1] >> shift:
            return {int(bits[0] >> shift): float(errors.max())}
        names, starts = np.unique(bits >> shift, return_index=True)
        return dict(zip(names.tolist(), np.maximum.reduceat(errors, starts).tolist(), strict=True))

    # The rest: NaN and infinities, exact values beyond the format, or not certain enough.

    def _mixed(
        self,
        bits: Bits,
        inputs: NDArray[Any],
        results: NDArray[Any],
        computed: FloatArray,
        enclosed: Enclosed,
        scale: FloatArray,
        radii: FloatArray,
    ) -> Part:
        size = np.abs(enclosed.hi)
        plain = np.isfinite(computed) & (radii <= LOOSE) & (size <= self.fmt.largest) & (self.fmt.bits < 64)
        right = ~plain & self._is_surely_right(inputs, computed, enclosed, size)
        parts = [nothing_about(int(np.count_nonzero(right)))]
        if plain.any():
            part = self._plain(bits[plain], inputs[plain], computed[plain], enclosed[plain], scale[plain], radii[plain])
            parts.append(part)
        left = ~plain & ~right
        if left.any():
            parts.append(self._judged(bits[left], inputs[left], results[left]))
        totals = merge(part.totals for part in parts)
        return Part(totals, sum((part.rivals for part in parts), ()), max(part.floor for part in parts))

    def _is_surely_right(
        self, inputs: NDArray[Any], computed: FloatArray, enclosed: Enclosed, size: FloatArray
    ) -> Mask:
        """Right answers that need no judge: the NaN or infinity itself, or infinity for what is far beyond."""
        hi, certain = enclosed.hi, enclosed.radius == 0
        same = certain & ((np.isnan(hi) & np.isnan(computed)) | (np.isinf(hi) & (computed == hi)))
        slack = enclosed.radius + enclosed.wide
        beyond = (size - slack > 4 * self.fmt.largest) & np.isinf(computed) & (np.signbit(computed) == np.signbit(hi))
        unknown = np.flatnonzero(~np.isfinite(enclosed.radius) & np.isinf(computed))
        right: Mask = np.asarray(same | beyond)
        for run in np.split(unknown, np.flatnonzero(np.diff(unknown) != 1) + 1):
            self._settle_run(run, inputs, computed, right)
        return right

    def _settle_run(self, run: NDArray[np.int64], inputs: NDArray[Any], computed: FloatArray, right: Mask) -> None:
        """Mark infinities as right where the function is beyond the format over a whole run of neighbours."""
        if len(run) <= POINTWISE:
            return
        answer = self.only_answer(inputs[run[[0, -1]]])
        if answer is not None:
            right[run] = computed[run] == answer
        else:
            for half in np.array_split(run, 2):
                self._settle_run(half, inputs, computed, right)

    def _judged(self, bits: Bits, inputs: NDArray[Any], results: NDArray[Any]) -> Part:
        exact = self.oracle.exact(inputs)
        judge = Judge(results.reshape(exact.truth.hi.shape), exact)
        truth = exact.truth
        computed, hi = np.ravel(judge.computed), np.ravel(truth.hi)
        wrong, is_zero = np.ravel(judge.is_special_wrong), computed == 0
        is_sign = wrong & is_zero & (hi == 0)
        classes = {
            "nan": wrong & np.isnan(computed),
            "inf": wrong & np.isinf(computed),
            "sign": is_sign,
            "finite": wrong & np.isfinite(computed) & ~is_sign,
            "zero": np.ravel(judge.is_normal) & is_zero,
            "flushed": np.ravel(judge.is_flushed) & (np.abs(hi) > self.fmt.smallest_subnormal / 2),
        }
        spacing = np.ravel(judge.spacing)
        return self._counted(
            bits,
            inputs,
            computed,
            hi,
            np.ravel(judge.error) / spacing,
            np.ravel(truth.radius) / spacing,
            np.ravel(judge.excess(exact.wide)),
            np.ravel(judge.is_normal),
            {name: bits[mask] for name, mask in classes.items()},
            int(np.count_nonzero(judge.is_unresolved)),
        )

    # Neighbours.

    def _falls(self, first: int, computed: FloatArray, enclosed: Enclosed, before: Edge | None) -> Totals | None:
        """Counts of neighbours between which the result goes one way and the exact value surely the other."""
        falls = first + 1 + self._against(first, computed, enclosed.hi, enclosed.radius)
        if before is not None:
            pair = (
                np.concatenate([earlier, later[:1]])
                for earlier, later in (
                    (before.computed.astype(np.float64), computed),
                    (before.enclosed.hi, enclosed.hi),
                    (before.enclosed.radius, enclosed.radius),
                )
            )
            falls = np.concatenate([first + self._against(first - 1, *pair), falls])
        if not len(falls):
            return None
        return replace(nothing_about(0).totals, falls=len(falls), examples={"falls": int(falls[0])})

    def _against(self, first: int, computed: FloatArray, hi: FloatArray, radius: FloatArray) -> NDArray[np.uint64]:
        """Places i at which the result from i to i + 1 goes against the exact value."""
        rises, drops = computed[1:] > computed[:-1], computed[1:] < computed[:-1]
        exact = hi[1:] - hi[:-1]
        slack = 2 * float(np.max(radius, where=np.isfinite(radius), initial=0.0))
        rises &= exact <= slack
        drops &= exact >= -slack
        places = np.flatnonzero(rises | drops)
        if not len(places):
            return places.astype(np.uint64)
        unsure = np.abs(exact[places]) <= radius[places] + radius[places + 1]
        wrong = np.where(rises[places], exact[places] < 0, exact[places] > 0) & ~unsure
        wrong[unsure] = self._goes_against(first, places[unsure], rises)
        return places[wrong].astype(np.uint64)

    def _goes_against(self, first: int, places: NDArray[np.int64], rises: Mask) -> Mask:
        """The same for neighbours that balls cannot tell apart: true where Arb can, and finds it."""
        if not len(places):
            return np.zeros(0, np.bool_)
        here = np.uint64(first) + places.astype(np.uint64)
        exact = self.oracle.exact(self._inputs(np.concatenate([here, here + np.uint64(1)])))
        exact.refine(np.arange(2 * len(places)))
        hi, lo, radius = (np.ravel(p).reshape(2, -1) for p in (exact.truth.hi, exact.truth.lo, exact.truth.radius))
        change = (hi[1] - hi[0]) + (lo[1] - lo[0])
        is_sure = np.abs(change) > radius[0] + radius[1]
        return np.asarray(is_sure & np.where(rises[places], change < 0, change > 0))


def _reach(values: FloatArray) -> float:
    """The largest magnitude; NaN if there is any."""
    return max(float(values.max()), -float(values.min()))


def _least(values: FloatArray) -> float:
    """The smallest magnitude, where all have one sign; else 0."""
    low, high = float(values.min()), float(values.max())
    return max(low, -high, 0.0)


def nothing_about(inputs: int) -> Part:
    """A part of so many inputs about which there is nothing to say."""
    none = dict.fromkeys(CLASSES, 0)
    return Part(Totals(inputs, 0, 0.0, (0,) * len(LIMITS), None, 0.0, None, none, {}, 0, 0, 0, {}), (), -math.inf)
