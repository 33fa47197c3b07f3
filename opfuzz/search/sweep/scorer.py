"""Totals of results of an elementwise function, a block of neighbouring inputs at a time.

An exact value is first known as a float64 ball (hi, radius), some 1e-8 ulp wide in float32. That counts a result above
a limit unless the limit lies inside the ball, and tells the largest error but for the last digits. What the balls leave
open is asked of Arb: results so near a limit, neighbours so flat, and the few that could be the worst. So all counts
are exact, the largest error is exact, and Arb is asked once in some 10,000 inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import Bits, FloatArray, Format, from_bits
from opfuzz.judge.measure import Mask, Measured, measure
from opfuzz.judge.settle import examine
from opfuzz.oracle.allowances import Allowances
from opfuzz.oracle.gradients.kinks import ends_at
from opfuzz.oracle.truth import Truth
from opfuzz.search.sweep.reference import Enclosed, FlatReference
from opfuzz.search.sweep.totals import CLASSES, LIMITS, Totals, Worst, merge, worst

BUCKET_BITS = 12  # leading bits of a pattern that share a point of the picture
LOOSE = 2.0**-12  # ulp: what is known less certainly is settled before it is measured
CANDIDATES = 64  # for the largest error, in a chunk
POINTWISE = 256  # inputs so few that Arb rather takes them one by one


@dataclass(frozen=True, slots=True)
class Edge:
    """The input before a block in one of the two ways, to compare with the first of it: arrays of one element."""

    bits: Bits
    computed: NDArray[Any]
    enclosed: Enclosed


@dataclass(frozen=True, slots=True)
class Part:
    """Totals of a block whose largest error is still to be settled among `rivals`: patterns, results, upper bounds."""

    totals: Totals
    rivals: tuple[tuple[int, float, float], ...]
    floor: float  # what the largest error is at least


@dataclass(frozen=True, slots=True)
class _Block:
    """Some inputs, their patterns, and what a subject made of them."""

    bits: Bits
    inputs: NDArray[Any]
    results: NDArray[Any]
    enclosed: Enclosed

    def __getitem__(self, place: Any) -> _Block:
        """A part of it."""
        return _Block(self.bits[place], self.inputs[place], self.results[place], self.enclosed[place])


@dataclass(frozen=True, slots=True)
class Scorer:
    """Adds up the errors of one function in one format."""

    oracle: FlatReference
    fmt: Format
    bucket_bits: int = BUCKET_BITS
    has_neighbours: bool = True  # whether inputs that follow each other are neighbours, and falls between them count

    def part(self, inputs: NDArray[Any], results: NDArray[Any], enclosed: Enclosed, before: Edge | None) -> Part:
        """A block of inputs in the order of their patterns."""
        block = _Block(inputs.view(self.fmt.bits_dtype), inputs, results, enclosed)
        truth = enclosed.truth
        with np.errstate(all="ignore"):
            falls = self._falls(block, before) if self.has_neighbours else None
            # Comparisons that are false for NaN.
            is_plain = self.fmt.bits < 64 and truth.largest_share <= LOOSE and truth.largest_size <= self.fmt.largest
            part = self._plain(block) if is_plain and np.isfinite(results).all() else self._mixed(block)
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
        error, values = self._exactly(self._inputs(bits), np.array([r[1] for r in chosen]))
        found = worst(Worst(float(e), r[0], r[1], float(v)) for e, r, v in zip(error, chosen, values, strict=True))
        assert found is not None
        rest = max((r[2] for r in rivals[CANDIDATES:]), default=0.0)
        return replace(totals, largest=found, ceiling=max(found.value, rest, totals.ceiling))

    def _inputs(self, bits: Bits) -> NDArray[Any]:
        return from_bits(bits.astype(self.fmt.bits_dtype), self.fmt)

    def _exactly(self, inputs: NDArray[Any], computed: FloatArray) -> tuple[FloatArray, FloatArray]:
        """ulp errors and exact values, all settled."""
        reference = self.oracle.exact(inputs)
        truth = reference.settle(np.arange(inputs.size))
        computed = computed.reshape(truth.hi.shape)
        values = truth.hi.copy()
        for at in np.argwhere(truth.ranges) if truth.ranges is not None else ():
            place = tuple(at.tolist())
            low, high = ends_at(reference.root, truth, place) or (truth.hi[place],) * 2
            values[place] = min(max(computed[place], low), high)
        return np.ravel(truth.error_of(computed) / truth.spacing), np.ravel(values)

    def _plain(self, block: _Block) -> Part:
        """A block, or a part of one, in which results and exact values are finite and the latter certain."""
        truth = block.enclosed.truth
        measured = measure(block.results, truth, Allowances(block.enclosed.wide, block.enclosed.wide))
        found: dict[str, Bits] = {}
        if not truth.size.min() >= self.fmt.smallest_normal:
            found["sign"] = block.bits[self._wrong_signs(block, measured)]
        return self._counted(block, measured, found)

    def _wrong_signs(self, block: _Block, measured: Measured) -> NDArray[np.int64]:
        truth, computed = block.enclosed.truth, measured.computed
        both = (computed == 0) & (truth.hi == 0) & (truth.radius == 0)
        places = np.flatnonzero(both & (np.signbit(computed) != truth.has_sign))
        if not len(places):
            return places
        reference = self.oracle.exact(block.inputs[places])
        return places[np.ravel(reference.has_certain_zero(reference.truth.hi))]

    def _mixed(self, block: _Block) -> Part:
        """NaN and infinities, exact values beyond the format, or not certain enough, and the rest as it is."""
        truth, computed = block.enclosed.truth, block.results.astype(np.float64)
        plain = np.isfinite(computed) & (truth.share <= LOOSE) & (truth.size <= self.fmt.largest)
        plain &= self.fmt.bits < 64
        right = ~plain & self._is_surely_right(block, computed)
        parts = [nothing_about(int(np.count_nonzero(right)))]
        if plain.any():
            parts.append(self._plain(block[plain]))
        left = ~plain & ~right
        if left.any():
            parts.append(self._settled(block[left]))
        totals = merge(part.totals for part in parts)
        return Part(totals, sum((part.rivals for part in parts), ()), max(part.floor for part in parts))

    def _is_surely_right(self, block: _Block, computed: FloatArray) -> Mask:
        """Right answers that need no measure: the NaN or infinity itself, or infinity for what is far beyond."""
        truth, wide = block.enclosed.truth, block.enclosed.wide
        hi, radius = truth.hi, truth.radius
        same = (radius == 0) & ((np.isnan(hi) & np.isnan(computed)) | (np.isinf(hi) & (computed == hi)))
        is_far = truth.size - (radius + wide) > 4 * self.fmt.largest
        beyond = is_far & np.isinf(computed) & (np.signbit(computed) == truth.has_sign)
        unknown = np.flatnonzero(~np.isfinite(radius) & np.isinf(computed))
        right: Mask = np.asarray(same | beyond)
        for run in np.split(unknown, np.flatnonzero(np.diff(unknown) != 1) + 1):
            self._settle_run(run, block.inputs, computed, right)
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

    def _settled(self, block: _Block) -> Part:
        reference = self.oracle.exact(block.inputs)
        measured = examine(block.results.reshape(reference.shape), reference)
        wrong, computed, hi = (
            np.ravel(part) for part in (measured.is_special_wrong, measured.computed, measured.truth.hi)
        )
        is_sign = wrong & (computed == 0) & (hi == 0)
        classes = {
            "nan": wrong & np.isnan(computed),
            "inf": wrong & np.isinf(computed),
            "sign": is_sign,
            "finite": wrong & np.isfinite(computed) & ~is_sign,
        }
        return self._counted(block, measured, {name: block.bits[mask] for name, mask in classes.items()})

    def _counted(self, block: _Block, measured: Measured, found: dict[str, Bits]) -> Part:
        """Totals of what was measured; `found` has the patterns of what is counted by class."""
        truth, bits, inputs = measured.truth, block.bits, block.inputs
        computed, hi, excess = (np.ravel(part) for part in (measured.computed, truth.hi, measured.wide_excess))
        top = int(np.argmax(excess))
        largest_excess = Worst(float(excess[top]), int(bits[top]), float(computed[top]), float(hi[top]))
        found = {**found, **self._zeros(bits, measured)}
        errors, radii = np.ravel(measured.ulps), np.ravel(_shares(truth))
        if measured.judged is not None or truth.normal < truth.hi.size:
            normal = np.ravel(measured.is_normal)
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
            inputs=block.bits.size,
            normal=int(bits.size),
            ulp_sum=float(errors.sum()),
            above=above,
            largest=None,
            ceiling=0.0,
            excess=largest_excess,
            mismatches={name: len(found.get(name, ())) for name in CLASSES},
            examples={name: int(places.min()) for name, places in found.items() if len(places)},
            flushed=len(found.get("flushed", ())),
            falls=len(found.get("falls", ())),
            unresolved=int(np.count_nonzero(~np.isnan(block.inputs[measured.unresolved]))),  # of NaN all is right
            buckets=self._buckets(bits, errors),
        )
        return Part(totals, rivals, floor)

    def _zeros(self, bits: Bits, measured: Measured) -> dict[str, Bits]:
        """Patterns of zeros where a normal number is right, and of subnormal results that are flushed."""
        found: dict[str, Bits] = {}
        # 0 for a normal number is 2^(p - 1) ulp off at least.
        if measured.largest_ulp >= 2.0 ** (self.fmt.precision - 1) - 1:
            lost = measured.is_normal & (measured.computed == 0)
            found["zero"] = bits[np.ravel(lost if measured.truth.ranges is None else lost & ~measured.truth.ranges)]
        if measured.flushed is not None:
            # Below half the smallest number 0 is what is right.
            found["flushed"] = bits[
                np.ravel(measured.flushed & (measured.truth.size > self.fmt.smallest_subnormal / 2))
            ]
        return found

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
        shift = self.fmt.bits - self.bucket_bits
        if bits[0] >> shift == bits[-1] >> shift:
            return {int(bits[0] >> shift): float(errors.max())}
        names, starts = np.unique(bits >> shift, return_index=True)
        return dict(zip(names.tolist(), np.maximum.reduceat(errors, starts).tolist(), strict=True))

    # Neighbours.

    def _falls(self, block: _Block, before: Edge | None) -> Totals | None:
        """Counts of neighbours between which the result goes one way and the exact value surely the other."""
        bits, truth, computed = block.bits, block.enclosed.truth, block.results.astype(np.float64)
        falls = bits[1 + self._against(bits, computed, truth.hi, truth.radius)]
        if before is not None:
            last = before.enclosed.truth
            pair = (
                np.concatenate([earlier, later[:1]])
                for earlier, later in (
                    (before.bits, bits),
                    (before.computed.astype(np.float64), computed),
                    (last.hi, truth.hi),
                    (last.radius, truth.radius),
                )
            )
            falls = np.concatenate([bits[self._against(*pair)], falls])
        if not len(falls):
            return None
        return replace(nothing_about(0).totals, falls=len(falls), examples={"falls": int(falls[0])})

    def _against(self, bits: Bits, computed: FloatArray, hi: FloatArray, radius: FloatArray) -> NDArray[np.int64]:
        """Places i at which the result from i to i + 1 goes against the exact value."""
        rises, drops = computed[1:] > computed[:-1], computed[1:] < computed[:-1]
        exact = hi[1:] - hi[:-1]
        slack = 2 * float(np.max(radius, where=np.isfinite(radius), initial=0.0))
        rises &= exact <= slack
        drops &= exact >= -slack
        places = np.flatnonzero(rises | drops)
        if not len(places):
            return places
        unsure = np.abs(exact[places]) <= radius[places] + radius[places + 1]
        wrong = np.where(rises[places], exact[places] < 0, exact[places] > 0) & ~unsure
        wrong[unsure] = self._goes_against(bits, places[unsure], rises)
        return places[wrong]

    def _goes_against(self, bits: Bits, places: NDArray[np.int64], rises: Mask) -> Mask:
        """The same for neighbours that balls cannot tell apart: true where Arb can, and finds it."""
        if not len(places):
            return np.zeros(0, np.bool_)
        both = self.oracle.exact(self._inputs(np.concatenate([bits[places], bits[places + 1]])))
        truth = both.settle(np.arange(2 * len(places)))
        hi, lo, radius = (np.ravel(p).reshape(2, -1) for p in (truth.hi, truth.lo, truth.radius))
        change = (hi[1] - hi[0]) + (lo[1] - lo[0])
        is_sure = np.abs(change) > radius[0] + radius[1]
        return np.asarray(is_sure & np.where(rises[places], change < 0, change > 0))


def nothing_about(inputs: int) -> Part:
    """A part of so many inputs about which there is nothing to say."""
    none = dict.fromkeys(CLASSES, 0)
    return Part(Totals(inputs, 0, 0.0, (0,) * len(LIMITS), None, 0.0, None, none, {}, 0, 0, 0, {}), (), -math.inf)


def _shares(truth: Truth) -> FloatArray:
    """How certain exact values are, in ulp; where all of a range is right the error is the distance to that."""
    return truth.share if truth.ranges is None else np.where(truth.ranges, 0.0, truth.share)
