"""What a diagnosis rests on: the call that shows a fault, its output, and ways to run and judge other calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS, FloatArray, Format, round_to, ulp
from opfuzz.core.metrics.conditioned import relative_to
from opfuzz.core.results import Score
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.judge.limits import (
    EXCESS_LIMIT,
    FLOAT64_APART,
    HALF_VARIANT_ELEMENTS,
    HALF_VARIANT_EXCESS,
    ILL_CONDITIONED,
    ORDINARY_ELEMENTS,
    ORDINARY_SIZE,
    ORDINARY_WORK,
)
from opfuzz.judge.measure import Measured
from opfuzz.judge.settle import examine
from opfuzz.judge.verdict import decide_verdict
from opfuzz.oracle.reference import Reference
from opfuzz.spec import OpSpec
from opfuzz.spec.expression.program import Program

Array = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fit:
    """How well other values explain an output: on how many elements, and within which share of their allowance."""

    elements: int
    excess: float


@dataclass(frozen=True)
class Evidence:
    """One fault of one output, that which decided. `run` gives None where a call has no output."""

    spec: OpSpec
    score: Score  # verdict, cause and the element that decided
    call: Call
    output: Array
    run: Callable[[Call], Array | None]
    refer: Callable[[Call], Reference]  # the exact result of a call
    wider: Evidence | None = None  # the same fault on a larger call, for what a few elements hide

    @cached_property
    def reference(self) -> Reference:
        """The exact result, and what may be asked of it."""
        return self.refer(self.call)

    @cached_property
    def judged(self) -> Measured:
        """The output against the exact result."""
        return examine(self.output, self.reference)

    @property
    def axes(self) -> tuple[Program, ...]:
        """The sizes of the output, as the spec has them."""
        return self.spec.outputs[self.reference.place].shape

    @property
    def fmt(self) -> Format:
        """The format of the output."""
        return FORMATS[self.call.format]

    @cached_property
    def _excused(self) -> Mask:
        """Where an intermediate overflows in the usual formula as well: nobody is accused of that."""
        excess = self.judged.wide_excess
        is_clean = excess.max(initial=0.0) <= EXCESS_LIMIT and not self.judged.is_special_wrong.any()
        if is_clean or self.score.verdict == "normwise":
            return np.zeros(excess.shape, np.bool_)
        return np.asarray(self.reference.emulated(1).overflowed)

    @cached_property
    def excess(self) -> FloatArray:
        """Of every element, 0 where nothing is judged, or excused."""
        return np.where(self._excused, 0.0, self.judged.wide_excess)

    @cached_property
    def is_special(self) -> Mask:
        """Elements of the wrong class, such as NaN for a number."""
        return np.asarray(self.judged.is_special_wrong & ~self._excused)

    @cached_property
    def is_wrong(self) -> Mask:
        """Elements that are off by more than honest arithmetic is, or of the wrong class."""
        return np.asarray((self.excess > EXCESS_LIMIT) | self.is_special)

    @property
    def floats(self) -> list[str]:
        """Names of the inputs that hold numbers."""
        return [item.name for item in self.spec.inputs if item.kind == "float" and self.call.arrays[item.name].size]

    def again(self, **arrays: Array) -> Array | None:
        """The subject's output with some inputs replaced."""
        return self.run(self.call.with_arrays(arrays))

    def fails(self, call: Call) -> bool:
        """Whether the subject is at fault on another call."""
        output = self.run(call)
        return output is not None and SEVERITY[self.verdict_on(output, call)] == FAULT

    def verdict_on(self, output: Array, call: Call) -> str:
        """The verdict on what some call returned."""
        reference = self.refer(call)
        return decide_verdict(examine(output, reference), reference).word

    def excess_against(self, values: FloatArray, allowance: FloatArray) -> FloatArray:
        """Errors in units of another meaning's allowance; infinite where its class, such as NaN, is another."""
        computed, fmt = self.judged.computed, self.fmt
        with np.errstate(invalid="ignore", over="ignore"):
            rounded = round_to(values, fmt).astype(np.float64)
            same = (np.isnan(computed) & np.isnan(values)) | (computed == rounded)
            finite = np.isfinite(computed) & np.isfinite(values)
            spacing = ulp(np.where(finite, np.clip(values, -fmt.largest, fmt.largest), 0.0), fmt)
            off = relative_to(np.abs(computed - values), spacing, allowance)
        return np.where(same, 0.0, np.where(finite, off, np.inf))

    def fit(self, values: FloatArray, allowance: FloatArray) -> Fit | None:
        """How well another meaning explains the output, faulty elements included; None where it does not."""
        reference, fmt = self.reference, self.fmt
        off = self.excess_against(values, allowance)
        # What a flushed result, or one that nobody can judge, is said to be proves nothing.
        counted = self.judged.is_judged | self.judged.is_special_wrong | ~np.isfinite(values)
        largest = float(np.where(counted, off, 0.0).max(initial=0.0))
        is_half = fmt.bits == 16
        if largest > (HALF_VARIANT_EXCESS if is_half else EXCESS_LIMIT):
            return None
        with np.errstate(invalid="ignore", over="ignore"):
            seen = counted & np.isfinite(values) & (allowance < np.abs(values))
            distance = relative_to(np.abs(values - self.judged.truth.hi), self.judged.spacing, reference.wide)
            # The right answer is an infinity, or NaN, and this meaning has a number.
            other = seen & (
                (distance > (FLOAT64_APART if fmt.bits == 64 else 1.0)) | ~np.isfinite(self.judged.truth.hi)
            )
            other &= np.isfinite(self.judged.computed)  # whatever is large enough overflows
        needed = HALF_VARIANT_ELEMENTS if is_half else 1
        if (
            np.count_nonzero(other) < needed
            or not (other & self.is_wrong).any()
            or seen.sum() < (1 - ILL_CONDITIONED) * counted.sum()
        ):
            return None
        return Fit(int(np.count_nonzero(counted)), largest)

    def fits(self, call: Call) -> Fit | None:
        """How well the exact result of another call explains this output, which may be a first part of that result."""
        shape = self.spec.output_shapes(call.dims, call.params)[self.reference.output]
        if len(shape) != self.output.ndim or any(a < b for a, b in zip(shape, self.output.shape, strict=True)):
            return None
        exact, part = self.refer(call), tuple(map(slice, self.output.shape))
        return self.fit(np.where(np.isfinite(exact.truth.radius), exact.truth.hi, np.nan)[part], exact.wide[part])


def ordinary(
    evidence: Evidence, scale: float = 1.0, dims: Mapping[str, int] | None = None, seed: int = 0
) -> Call | None:
    """A call on normally distributed numbers around 1.5, times a power of two in the first input, with no small dim.

    None where an input is no array of numbers, or they are too many.
    """
    spec, call = evidence.spec, evidence.call
    if any(item.kind != "float" for item in spec.inputs):
        return None
    if dims is None:
        dims = {name: max(size, ORDINARY_SIZE) for name, size in call.dims.items()}
    if not spec.allows(dims, call.params):
        dims = call.dims
    shapes = spec.shapes(dims, call.params)
    if spec.elements(dims, call.params) > ORDINARY_ELEMENTS or prod(dims.values()) > ORDINARY_WORK:
        return None
    chance = np.random.default_rng(seed)
    arrays = {}
    for item, (name, shape) in zip(spec.inputs, shapes.items(), strict=True):
        factor = scale if item is spec.inputs[0] else 1.0
        arrays[name] = ((1.5 + chance.standard_normal(shape)) * factor).astype(call.arrays[name].dtype)
    return replace(call, dims=dims, arrays=arrays)


def same_values(a: Array, b: Array) -> bool:
    """Whether two outputs, of any formats, hold the same numbers; all NaN count as one."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    return bool(a.shape == b.shape and np.array_equal(x, y, equal_nan=True))
