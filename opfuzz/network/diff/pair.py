"""Two tensors made comparable: one shape, float64, finite; and what rounding may do to them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FLOAT32, FLOAT64, FloatArray
from opfuzz.network.drift import Drift, drift
from opfuzz.network.rearrange import Rearrangement, align

# b is a but for rounding where rms(b - a) <= A rms(a) and max |b - a| <= A max |a|, with A a multiple of the unit
# roundoff u of the coarser of the two formats. Measured over 185 layers of a small decoder that two frameworks
# computed in float32: 6.1 u by rms and 16 u by max; the full-size decoder over ten steps has 17 u. The mildest
# fault planted in it, an activation function, has 2e4 u. In half formats each layer rounds once to the half format and
# sums in float32: 0.9 u over the whole small decoder in float16.
ALLOWED, ALLOWED_HALF = 64, 8


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Elements that are NaN or infinite and not the same in the other tensor; the first of them."""

    count: int
    index: tuple[int, ...]
    a: float
    b: float


@dataclass(frozen=True)  # not slotted, for the cached properties
class Pair:
    """Tensor A and tensor B in the shape of B, as float64. Where either was not finite, both are 0."""

    a: FloatArray
    b: FloatArray
    unit: float  # unit roundoff of the coarser format; that of float64 for integers
    finite: NDArray[np.bool_] | None  # in both; None: everywhere
    layout: Rearrangement  # what was done to A to bring it into the shape of B
    mismatch: Mismatch | None = None
    is_complex: bool = False  # the last axis holds real and imaginary parts
    is_given: bool = False  # it was not computed from what is in the files: an input, or noise

    @property
    def allowed(self) -> float:
        """Relative difference that rounding explains."""
        return allowed(self.unit)

    @cached_property
    def drift(self) -> Drift | None:
        """Figures over the elements finite in both; None if there are none."""
        a, b = (self.a, self.b) if self.finite is None else (self.a[self.finite], self.b[self.finite])
        return drift(a, b) if a.size else None

    @cached_property
    def rms(self) -> float:
        """Root mean square of B - A."""
        return root_mean_square(self.b - self.a)

    @cached_property
    def is_rounding(self) -> bool:
        """Whether only rounding separates them."""
        return is_rounding(self.a, self.b, self.allowed)

    @cached_property
    def has_same_values(self) -> bool:
        """Whether B holds the values of A in any order, but for rounding.

        Noise hardly moves sorted values either, so the order must explain 99 % of the difference.
        """
        margin = self.allowed * max(root_mean_square(self.a), float(np.abs(self.a).max(initial=0)))
        if abs(float(self.a.mean() - self.b.mean())) > margin or abs(float(self.a.std() - self.b.std())) > margin:
            return False  # most pairs end here, without a sort
        first, second = np.sort(self.a, axis=None), np.sort(self.b, axis=None)
        return is_rounding(first, second, self.allowed) and root_mean_square(first - second) <= self.rms / 100

    def explained_by(self, predicted: FloatArray, target: FloatArray) -> bool:
        """Whether `predicted` is `target` but for rounding, where A is not B.

        The residual must be small against the difference of A and B, and against the spread of the target: beside a
        large mean rounding hides any values at all.
        """
        if not is_rounding(predicted, target, self.allowed):
            return False
        left = root_mean_square(target - predicted)
        return left <= self.rms / 4 and left <= float(target.std()) / 100


def allowed(unit: float) -> float:
    """Relative difference that rounding explains in a format with this unit roundoff."""
    return unit * (ALLOWED_HALF if unit >= 2.0**-11 else ALLOWED)


def is_rounding(a: FloatArray, b: FloatArray, allowed: float) -> bool:
    """Whether b differs from a by no more than `allowed`, both in root mean square and at its largest."""
    return relative_error(a, b) <= allowed


def relative_error(a: FloatArray, b: FloatArray) -> float:
    """The larger of rms(b - a) / rms(a) and max |b - a| / max |a|; inf where all of a is 0 and b is not."""
    difference = np.abs(b - a)
    largest = float(difference.max(initial=0.0))
    if largest == 0:
        return 0.0
    scale = float(np.abs(a).max())
    if scale == 0:
        return float("inf")
    return max(root_mean_square(difference) / root_mean_square(a), largest / scale)


def root_mean_square(x: FloatArray) -> float:
    """sqrt(mean x^2), without overflow; 0 of nothing."""
    largest = float(np.abs(x).max(initial=0.0))
    return largest * float(np.sqrt(np.mean(np.square(x / largest)))) if largest else 0.0


def make_pair(a: NDArray[Any], b: NDArray[Any]) -> Pair | None:
    """The pair, A rearranged into the shape of B; None if no order of axes or reshaping makes sense of the shapes.

    A complex tensor becomes a real one with an axis of two at the end. Infinities and NaN become 0 on both sides.
    """
    unit = max(unit_of(a), unit_of(b))
    x, y = as_real(a), as_real(b)
    if unit < FLOAT32.unit_roundoff and x.size and (_holds_singles(x) or _holds_singles(y)):
        unit = FLOAT32.unit_roundoff  # computed in float32, saved as float64
    rearrangement = align(x, y)
    if rearrangement is None:
        return None
    x = rearrangement.apply(x)
    finite, mismatch = np.isfinite(x) & np.isfinite(y), None
    if not finite.all():
        unlike = ~finite & ~((x == y) | (np.isnan(x) & np.isnan(y)))
        if unlike.any():
            index = tuple(int(i) for i in np.argwhere(unlike)[0])
            mismatch = Mismatch(int(unlike.sum()), index, float(x[index]), float(y[index]))
        x, y = np.where(finite, x, 0.0), np.where(finite, y, 0.0)
    x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
    is_complex = a.dtype.kind == b.dtype.kind == "c" and rearrangement.is_identity
    return Pair(x, y, unit, None if finite.all() else finite, rearrangement, mismatch, is_complex)


def as_real(array: NDArray[Any]) -> FloatArray:
    """As float64; a complex tensor gets an axis of two at the end."""
    if array.dtype.kind == "c":
        array = np.stack((array.real, array.imag), axis=-1)
    with np.errstate(invalid="ignore"):  # a signalling NaN warns when it is converted
        return np.asarray(array, np.float64)


def unit_of(array: NDArray[Any]) -> float:
    """Unit roundoff of a tensor's format; that of float64 for integers."""
    if array.dtype.kind in "biu":
        return FLOAT64.unit_roundoff
    return float(ml_dtypes.finfo(array.dtype).eps) / 2


def _holds_singles(x: FloatArray) -> bool:
    if bool((x == np.rint(x)).all()):
        return False  # whole numbers say nothing
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.array_equal(x, x.astype(np.float32), equal_nan=True))
