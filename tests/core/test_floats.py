"""opfuzz.core.floats against NumPy's nextafter and spacing, ml_dtypes, and exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    FORMATS,
    Format,
    format_of,
    from_bits,
    hex_of,
    ordinals,
    round_to,
    to_bits,
    ulp,
    ulp_distance,
)

formats = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
halves = pytest.mark.parametrize("fmt", [FLOAT16, BFLOAT16], ids=["float16", "bfloat16"])
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def all_finite(fmt: Format) -> NDArray[Any]:
    """All finite numbers of a half format, ascending, one zero."""
    magnitudes = np.arange((2 * fmt.emax + 1) << (fmt.precision - 1))
    positive = from_bits(magnitudes, fmt)
    return np.concatenate([-positive[:0:-1], positive])


def finfo(fmt: Format) -> Any:
    return ml_dtypes.finfo(fmt.dtype)


def exactly_rounded(value: Fraction, fmt: Format) -> float:
    """`value` to the nearest number of the format, ties to even, in exact arithmetic."""
    if value == 0:
        return 0.0
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    exponent -= Fraction(2) ** exponent > magnitude
    spacing = Fraction(2) ** (max(exponent, fmt.emin) - fmt.precision + 1)
    rounded = round(magnitude / spacing) * spacing  # Fraction rounds ties to even
    number = math.inf if rounded > Fraction(fmt.largest) else float(rounded)
    return math.copysign(number, value)


@formats
def test_constants_are_those_of_ml_dtypes(fmt: Format) -> None:
    info = finfo(fmt)
    assert fmt.largest == float(info.max)
    assert fmt.smallest_normal == float(info.smallest_normal)
    assert fmt.smallest_subnormal == float(info.smallest_subnormal)
    assert fmt.unit_roundoff == float(info.eps) / 2
    assert fmt.bits == info.bits
    assert fmt.dtype.itemsize * 8 == fmt.bits == fmt.bits_dtype.itemsize * 8


@pytest.mark.parametrize("fmt", [FLOAT16, FLOAT32, FLOAT64], ids=lambda fmt: fmt.name)
def test_ulp_is_numpys_spacing(fmt: Format) -> None:
    magnitude = np.arange(0, (2 * fmt.emax + 1) << (fmt.precision - 1), max(1, 2 ** (fmt.bits - 17)), np.uint64)
    numbers = from_bits(magnitude, fmt)
    numbers = numbers[numbers < fmt.largest]  # NumPy has no spacing there
    spacing = np.spacing(numbers).astype(np.float64)
    np.testing.assert_array_equal(ulp(numbers.astype(np.float64), fmt), spacing)
    np.testing.assert_array_equal(ulp(-numbers.astype(np.float64), fmt), spacing)


def test_ulp_of_bfloat16_is_the_distance_to_the_next_number() -> None:
    numbers = all_finite(BFLOAT16).astype(np.float64)
    positive = numbers[numbers >= 0]
    np.testing.assert_array_equal(ulp(positive[:-1], BFLOAT16), np.diff(positive))


@formats
@pytest.mark.parametrize(("power", "below"), [(0, False), (0, True), (5, False), (-3, True)])
def test_ulp_changes_at_powers_of_two(fmt: Format, power: int, below: bool) -> None:
    value = np.array(math.nextafter(2.0**power, 0) if below else 2.0**power)
    assert ulp(value, fmt) == 2.0 ** (power - below - fmt.precision + 1)


@formats
def test_ulp_goes_on_beyond_the_largest_and_stops_at_the_subnormals(fmt: Format) -> None:
    assert ulp(np.array(0.0), fmt) == fmt.smallest_subnormal
    assert ulp(np.array(fmt.smallest_normal / 2), fmt) == fmt.smallest_subnormal
    if fmt is not FLOAT64:
        assert ulp(np.array(2.0 ** (fmt.emax + 3)), fmt) == 2.0 ** (fmt.emax + 3 - fmt.precision + 1)


def test_ulp_of_rows_of_several_lengths_is_refused() -> None:
    with pytest.raises(OpfuzzError, match="exact is of type list; give an array of float64"):
        ulp([[1.0], [1.0, 2.0]], FLOAT32)  # type: ignore[arg-type]


def test_ulp_of_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="2 of 3 values"):
        ulp(np.array([1.0, np.nan, np.inf]), FLOAT32)


@formats
@given(value=FINITE)
@example(value=1 + 2.0**-8 + 2.0**-40)  # a tie of bfloat16 but for the last bit: rounding twice goes down
@example(value=1 + 2.0**-8 - 2.0**-40)
@example(value=1 + 2.0**-11 + 2.0**-50)  # the same for float16 through float32
@example(value=3.4028235677973366e38)  # half way between the largest float32 and infinity
@example(value=3.3961775292304957e38)  # half way between the largest bfloat16 and infinity
@example(value=2.0**-134)  # half the smallest bfloat16
@example(value=2.0**-134 + 2.0**-180)
@example(value=-1e-60)
@example(value=65519.99999)
@example(value=65520.0)
def test_round_to_is_the_exact_rounding(fmt: Format, value: float) -> None:
    rounded = round_to(np.array(value), fmt)
    assert rounded.dtype == fmt.dtype
    assert float(rounded) == exactly_rounded(Fraction(value), fmt)
    assert math.copysign(1, float(rounded)) == math.copysign(1, value)


@halves
def test_round_to_between_all_neighbours(fmt: Format) -> None:
    numbers = all_finite(fmt).astype(np.float64)
    low, high = numbers[:-1], numbers[1:]
    middle = (low + high) / 2
    even = np.where(to_bits(low.astype(fmt.dtype)) % 2 == 0, low, high)
    np.testing.assert_array_equal(round_to(middle, fmt).astype(np.float64), even)
    np.testing.assert_array_equal(round_to(np.nextafter(middle, -np.inf), fmt).astype(np.float64), low)
    np.testing.assert_array_equal(round_to(np.nextafter(middle, np.inf), fmt).astype(np.float64), high)
    np.testing.assert_array_equal(round_to(numbers, fmt).astype(np.float64), numbers)


@formats
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 3)])
def test_round_to_keeps_shape_and_special_values(fmt: Format, shape: tuple[int, ...]) -> None:
    assert isinstance(round_to(np.ones(shape), fmt), np.ndarray)
    assert round_to(np.ones(shape), fmt).shape == shape
    special = round_to(np.array([np.inf, -np.inf, np.nan, -0.0]), fmt).astype(np.float64)
    np.testing.assert_array_equal(special, [np.inf, -np.inf, np.nan, -0.0])
    assert np.signbit(special[3])


def test_round_to_takes_a_view() -> None:
    values = np.linspace(0, 1, 20)[::3]
    np.testing.assert_array_equal(round_to(values, BFLOAT16), round_to(values.copy(), BFLOAT16))


@formats
def test_bits_come_back(fmt: Format) -> None:
    patterns = np.random.Generator(np.random.Philox(1)).integers(0, 2**fmt.bits, (7, 5), np.uint64, endpoint=False)
    floats = from_bits(patterns, fmt)
    assert floats.dtype == fmt.dtype
    np.testing.assert_array_equal(to_bits(floats), patterns)
    np.testing.assert_array_equal(to_bits(floats.T), patterns.T)
    assert to_bits(floats[0, 0:1].reshape(())).shape == ()


@halves
def test_ordinals_count_all_numbers_of_a_half_format(fmt: Format) -> None:
    numbers = all_finite(fmt)
    count = len(numbers) // 2
    np.testing.assert_array_equal(ordinals(numbers), np.arange(-count, count + 1))
    assert ordinals(np.array([-0.0], fmt.dtype)) == 0
    assert ordinals(np.array([np.inf], fmt.dtype)) == count + 1


@pytest.mark.parametrize("fmt", [FLOAT32, FLOAT64], ids=lambda fmt: fmt.name)
@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_next_float_has_the_next_ordinal(fmt: Format, value: float) -> None:
    number = np.array(value, fmt.dtype)
    if number < fmt.largest:
        above = np.nextafter(number, np.array(np.inf, fmt.dtype))
        assert ordinals(above) - ordinals(number) == 1
        assert ulp_distance(above, number) == ulp_distance(number, above) == 1


@formats
def test_ulp_distance_across_zero_and_of_special_values(fmt: Format) -> None:
    tiny, largest = fmt.smallest_subnormal, fmt.largest
    first = np.array([tiny, 0.0, np.nan, np.nan, np.inf, largest], fmt.dtype)
    second = np.array([-tiny, -0.0, np.nan, 1.0, largest, -largest], fmt.dtype)
    count = ((2 * fmt.emax + 1) << (fmt.precision - 1)) - 1
    np.testing.assert_array_equal(ulp_distance(first, second), [2, 0, 0, np.inf, 1, float(2 * count)])


def test_ulp_distance_between_two_formats_is_refused() -> None:
    with pytest.raises(ValueError, match="float16 and float32"):
        ulp_distance(np.ones(1, np.float16), np.ones(1, np.float32))


def test_hex_has_the_width_of_the_format() -> None:
    assert hex_of(np.float32(1)) == "0x3f800000"  # type: ignore[arg-type]
    assert hex_of(np.array(-2.0, np.float16)) == "0xc000"
    assert hex_of(np.array([1.0], ml_dtypes.bfloat16)) == "0x3f80"
    assert hex_of(np.array(0.0)) == "0x0000000000000000"


def test_format_of_anything_else_is_refused() -> None:
    assert format_of(np.ones(2, ml_dtypes.bfloat16)) is BFLOAT16
    with pytest.raises(ValueError, match="int64 is no float format"):
        format_of(np.ones(2, np.int64))
