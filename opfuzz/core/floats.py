"""Binary float formats: spacing, rounding, bit patterns and the order of floats. The only place that defines an ulp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from opfuzz.core.errors import OpfuzzError

FloatArray = NDArray[np.float64]
Bits = NDArray[np.unsignedinteger[Any]]

# Made once: NumPy reads a dtype's name each time.
_DTYPES: dict[str, np.dtype[Any]] = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "float4_e2m1fn": np.dtype(ml_dtypes.float4_e2m1fn),
}
_BITS_DTYPES: dict[int, np.dtype[Any]] = {bits: np.dtype(f"uint{max(bits, 8)}") for bits in (64, 32, 16, 8, 4)}


@dataclass(frozen=True)
class Format:
    """A binary float format: precision p counts the hidden bit, emax is the exponent of the largest number.

    In IEEE's formats the largest exponent is the bias, and infinity lies beyond. Small ones may have another `bias`,
    and beyond the largest number NaN alone, or nothing, so that it stands for all that is larger. What follows from
    these is computed once: every case asks for it some fifty times.
    """

    name: str
    bits: int
    precision: int
    emax: int
    bias: int | None = None  # None: emax
    beyond: float | None = np.inf  # what rounds too high; None: the largest number

    def __hash__(self) -> int:
        return hash(self.name)  # asked for with all that is kept by format

    @cached_property
    def emin(self) -> int:
        """Exponent of the smallest normal number."""
        return 1 - (self.emax if self.bias is None else self.bias)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype that stores the format."""
        return _DTYPES[self.name]

    @cached_property
    def bits_dtype(self) -> np.dtype[Any]:
        """Unsigned integers of the same width."""
        return _BITS_DTYPES[self.bits]

    @cached_property
    def unit_roundoff(self) -> float:
        """u = 2^-p, the largest relative error of one rounding."""
        return float(2.0**-self.precision)

    @cached_property
    def largest(self) -> float:
        """Largest finite number; of a format without infinity the last of its patterns but for NaN."""
        last = 2 if self.beyond is not None and np.isnan(self.beyond) else 1
        return float((2.0 - last * 2.0 ** (1 - self.precision)) * 2.0**self.emax)

    @cached_property
    def normals(self) -> range:
        """Ordinals of the positive normal numbers; infinity, or NaN, comes next."""
        last = 1 if self.beyond is not None and np.isnan(self.beyond) else 0
        return range(1 << (self.precision - 1), ((self.emax - self.emin + 2) << (self.precision - 1)) - last)

    @cached_property
    def smallest_normal(self) -> float:
        """2^emin."""
        return float(2.0**self.emin)

    @cached_property
    def smallest_subnormal(self) -> float:
        """2^(emin - p + 1)."""
        return float(np.ldexp(1.0, self.emin - self.precision + 1))

    @cached_property
    def threshold(self) -> float:
        """The largest number plus half its ulp: from here on infinity is the right answer."""
        return self.largest + float(np.ldexp(1.0, self.emax - self.precision)) if self.emax < 1023 else np.inf


FLOAT64 = Format("float64", 64, 53, 1023)
FLOAT32 = Format("float32", 32, 24, 127)
FLOAT16 = Format("float16", 16, 11, 15)
BFLOAT16 = Format("bfloat16", 16, 8, 127)
FORMATS: Mapping[str, Format] = MappingProxyType({f.name: f for f in (FLOAT64, FLOAT32, FLOAT16, BFLOAT16)})
HALVES = (FLOAT16, BFLOAT16)
# What numbers are rounded to and kept in, but nothing is computed in: calls and references name them, no case has them.
FLOAT8_E4M3FN = Format("float8_e4m3fn", 8, 4, 8, bias=7, beyond=np.nan)
FLOAT8_E5M2 = Format("float8_e5m2", 8, 3, 15)
FLOAT4_E2M1FN = Format("float4_e2m1fn", 4, 2, 2, bias=1, beyond=None)
SMALL_FORMATS: Mapping[str, Format] = MappingProxyType({f.name: f for f in (FLOAT8_E4M3FN, FLOAT8_E5M2, FLOAT4_E2M1FN)})
NAMED_FORMATS: Mapping[str, Format] = MappingProxyType({**FORMATS, **SMALL_FORMATS})
_BY_DTYPE = {f.dtype: f for f in NAMED_FORMATS.values()}  # a dtype makes its name anew each time it is asked
_EXPONENT = np.int64(0x7FF0 << 48)  # of a float64


def format_of(array: NDArray[Any]) -> Format:
    """The format that an array is stored in. Raises ValueError if its dtype is no float format."""
    found = _BY_DTYPE.get(array.dtype)
    if found is None:
        raise ValueError(f"{array.dtype} is no float format; known: {', '.join(FORMATS)}")
    return found


# ulp(y) is the spacing of a format at y: 2^(max(floor(log2 |y|), emin) - p + 1).
# It is taken at the exact y, not at the rounded one, so that a correctly rounded result is never off by more than 0.5.


def ulp(exact: FloatArray, fmt: Format) -> FloatArray:
    """Spacing of `fmt` at each exact value.

    Shape of `exact`; float64, in the unit of `exact`. Zero has the spacing of the subnormals; beyond the largest
    number the exponents go on.
    Raises ValueError if any value is NaN or infinite, OpfuzzError for what is no number or no format. Goldberg's ulp,
    as in Muller et al., Handbook of Floating-Point Arithmetic.
    """
    if not isinstance(fmt, Format):
        raise OpfuzzError(f"fmt is of type {type(fmt).__name__}; give a Format, such as opfuzz.FORMATS['float32']")
    try:
        kind = np.asarray(exact).dtype.kind
    except Exception:  # rows of several lengths, or an object of any library
        kind = "O"
    if kind not in "biuf":
        raise OpfuzzError(f"exact is of type {type(exact).__name__}; give an array of float64")
    if not np.isfinite(exact).all():
        undefined = np.count_nonzero(~np.isfinite(exact))
        raise ValueError(f"ulp is undefined for {undefined} of {np.size(exact)} values: NaN or infinite")
    # The bits of the exponent alone are the power of two below a number; zero and float64's subnormals have none.
    exponent = np.ascontiguousarray(exact, np.float64).view(np.int64) & _EXPONENT
    power = np.maximum(exponent, np.int64((fmt.emin + 1023) << 52)).view(np.float64)
    return np.asarray(power * 2.0 ** (1 - fmt.precision)).reshape(np.shape(exact))


def round_to(values: FloatArray, fmt: Format) -> NDArray[Any]:
    """`values` rounded once to `fmt`, to nearest, ties to even; shape kept, dtype `fmt.dtype`.

    NumPy converts float64 to float32 and float16 in one rounding; ml_dtypes goes to its formats through float32,
    which would round twice, so that conversion rounds to odd in float32 first (Boldo and Melquiond, 2008).
    """
    values = np.asarray(values, np.float64)
    if fmt.dtype.isbuiltin == 1:
        with np.errstate(over="ignore", under="ignore"):
            return values.astype(fmt.dtype)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        single = values.astype(np.float32)
        inexact = np.isfinite(values) & (single.astype(np.float64) != values)
        # Rounding to odd: cut towards zero, then set the last bit where something was cut.
        away = inexact & (np.abs(single.astype(np.float64)) > np.abs(values))
    bits = single.view(np.uint32) - away.astype(np.uint32)
    return np.asarray((bits | inexact.astype(np.uint32)).view(np.float32).astype(fmt.dtype))


def to_bits(array: NDArray[Any]) -> Bits:
    """Bit patterns of a float array; shape kept, unsigned integers of the same width."""
    return np.ascontiguousarray(array).view(format_of(array).bits_dtype).reshape(np.shape(array))


def from_bits(bits: NDArray[Any], fmt: Format) -> NDArray[Any]:
    """Floats with these bit patterns; shape kept."""
    return np.ascontiguousarray(bits, dtype=fmt.bits_dtype).view(fmt.dtype).reshape(np.shape(bits))


# One of eight bits has no Format: a scale, which is a power of two or NaN, without sign and zero.
_CODED: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {**{name: fmt.dtype for name, fmt in SMALL_FORMATS.items()}, "float8_e8m0fnu": np.dtype(ml_dtypes.float8_e8m0fnu)}
)


def numbers_of_codes(format: str) -> FloatArray:
    """The number that each bit pattern of a small format stands for, in the order of the patterns.

    Raises ValueError, with those that there are, for another format.
    """
    if format not in _CODED:
        raise ValueError(f"no codes of a format '{format}'; known: {', '.join(_CODED)}")
    bits = SMALL_FORMATS[format].bits if format in SMALL_FORMATS else 8
    return np.arange(2**bits, dtype=np.uint8).view(_CODED[format]).astype(np.float64)


def ordinals(array: NDArray[Any]) -> NDArray[np.int64]:
    """Position of each float in the order of its format; both zeros are 0, infinities come after the largest."""
    bits, width = to_bits(array), format_of(array).bits
    signed = bits.view(f"i{bits.itemsize}").astype(np.int64)
    magnitude = signed & ((1 << (width - 1)) - 1)
    return np.where(bits >> (width - 1) != 0, -magnitude, magnitude)


def format_of_both(a: NDArray[Any], b: NDArray[Any]) -> Format:
    """The format of two arrays. Raises ValueError if they differ, or have none."""
    if a.dtype != b.dtype:
        raise ValueError(f"ulp distance between {a.dtype} and {b.dtype} is undefined")
    return format_of(a)


def ulp_distance(a: NDArray[Any], b: NDArray[Any]) -> FloatArray:
    """How many floats lie between `a` and `b`, element by element, as float64; 0 where both are NaN, inf where one is.

    Raises ValueError if the formats differ.
    """
    fmt = format_of_both(a, b)
    first, second = ordinals(a), ordinals(b)
    nan_a, nan_b = np.abs(first) > fmt.normals.stop, np.abs(second) > fmt.normals.stop
    return np.where(nan_a & nan_b, 0.0, np.where(nan_a | nan_b, np.inf, ordinal_distance(first, second, fmt)))


def ordinal_distance(first: NDArray[np.int64], second: NDArray[np.int64], fmt: Format) -> FloatArray:
    """How far ordinals of floats of one format are apart, as float64."""
    if fmt.bits < 64:
        return np.asarray(np.abs(first - second), np.float64)
    # Differences of opposite signs may exceed int64; they are summed as float64.
    apart = np.abs(first).astype(np.float64) + np.abs(second).astype(np.float64)
    with np.errstate(over="ignore"):
        gap = np.abs(first - second).astype(np.float64)
    return np.where((first < 0) == (second < 0), gap, apart)


def hex_of(value: NDArray[Any]) -> str:
    """Bit pattern of one float, `0x3f800000`; as many digits as its format has."""
    return hexes_of(np.asarray(value).reshape(1))[0]


def hexes_of(values: NDArray[Any]) -> tuple[str, ...]:
    """What `hex_of` gives for each float of a vector."""
    fmt = format_of(values)
    digits = f"0x%0{fmt.bits // 4}x"
    return tuple([digits % bits for bits in values.view(fmt.bits_dtype).tolist()])
