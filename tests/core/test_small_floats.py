"""Formats of eight and of four bits: every pattern and every tie, against ml_dtypes and against exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from opfuzz.core.floats import (
    FLOAT4_E2M1FN,
    FLOAT8_E4M3FN,
    FLOAT8_E5M2,
    SMALL_FORMATS,
    Format,
    from_bits,
    numbers_of_codes,
    ordinals,
    round_to,
    to_bits,
    ulp,
)

formats = pytest.mark.parametrize("fmt", SMALL_FORMATS.values(), ids=SMALL_FORMATS)


def by_definition(code: int, fmt: Format) -> float:
    """The number of a pattern, by sign, exponent and significand; NaN and infinity where ml_dtypes says so."""
    fraction = fmt.precision - 1
    bias = fmt.emax if fmt.bias is None else fmt.bias
    sign, exponent, rest = code >> (fmt.bits - 1), (code >> fraction) & (2 ** (fmt.bits - fmt.precision) - 1), code
    rest &= 2**fraction - 1
    size = (
        rest * 2.0 ** (1 - bias - fraction) if exponent == 0 else (1 + rest * 2.0**-fraction) * 2.0 ** (exponent - bias)
    )
    return -size if sign else size


@formats
def test_every_pattern_is_its_number(fmt: Format) -> None:
    numbers = numbers_of_codes(fmt.name)
    assert len(numbers) == 2**fmt.bits
    for code, number in enumerate(numbers.tolist()):
        if math.isfinite(number):
            assert number == by_definition(code, fmt)
            assert math.copysign(1, number) == (-1 if code >> (fmt.bits - 1) else 1)
    assert np.array_equal(numbers, from_bits(np.arange(2**fmt.bits), fmt).astype(np.float64), equal_nan=True)


@formats
def test_constants_are_those_of_ml_dtypes(fmt: Format) -> None:
    info = ml_dtypes.finfo(fmt.dtype)
    assert (fmt.largest, fmt.smallest_normal) == (float(info.max), float(info.smallest_normal))
    assert (fmt.smallest_subnormal, fmt.unit_roundoff) == (float(info.smallest_subnormal), float(info.eps) / 2)
    finite = np.unique(numbers_of_codes(fmt.name)[np.isfinite(numbers_of_codes(fmt.name))])
    assert (finite[-1], finite[finite > 0][0]) == (fmt.largest, fmt.smallest_subnormal)


@formats
def test_order_bits_and_spacing(fmt: Format) -> None:
    positive = np.arange(2 ** (fmt.bits - 1))
    numbers = from_bits(positive, fmt)
    assert np.array_equal(to_bits(numbers), positive)
    assert np.array_equal(ordinals(numbers), positive)
    assert np.array_equal(ordinals(from_bits(positive + 2 ** (fmt.bits - 1), fmt)), -positive)
    finite = numbers[np.isfinite(numbers.astype(np.float64))].astype(np.float64)
    np.testing.assert_array_equal(ulp(finite[:-1], fmt), np.diff(finite))
    normal = [int(place) for place in positive if fmt.smallest_normal <= float(numbers[place]) <= fmt.largest]
    assert normal == list(fmt.normals)


@formats
def test_all_numbers_and_all_ties_are_rounded_once(fmt: Format) -> None:
    """Of neighbours a and b, what lies half way goes to the even one, and what lies beside it to the nearer."""
    finite = numbers_of_codes(fmt.name)[: 2 ** (fmt.bits - 1)]
    finite = finite[np.isfinite(finite)]
    for place, (a, b) in enumerate(zip(finite[:-1].tolist(), finite[1:].tolist(), strict=True)):
        tie = (Fraction(a) + Fraction(b)) / 2
        assert Fraction(float(tie)) == tie
        even = a if place % 2 == 0 else b
        near = np.array([a, math.nextafter(float(tie), 0), float(tie), math.nextafter(float(tie), math.inf), b])
        for sign in (1, -1):
            assert round_to(sign * near, fmt).astype(np.float64).tolist() == [
                sign * a,
                sign * a,
                sign * even,
                sign * b,
                sign * b,
            ]


def test_beyond_the_largest_number() -> None:
    beyond = np.array([464.0, math.nextafter(464, 500), 480, 1e300, math.inf, -math.inf])
    assert np.array_equal(
        round_to(beyond, FLOAT8_E4M3FN).astype(np.float64), [448, *[math.nan] * 5], equal_nan=True
    )  # which has no infinity
    wide = np.array([math.nextafter(61440, 0), 61440, math.inf, -math.inf, math.nan])
    made = round_to(wide, FLOAT8_E5M2).astype(np.float64)
    assert np.array_equal(made, [57344, math.inf, math.inf, -math.inf, math.nan], equal_nan=True)
    assert round_to(np.array([6.9, 7.1, 1e9, -math.inf]), FLOAT4_E2M1FN).astype(np.float64).tolist() == [6, 6, 6, -6]


def test_scales_are_powers_of_two() -> None:
    scales = numbers_of_codes("float8_e8m0fnu")
    assert scales[:255].tolist() == [2.0 ** (code - 127) for code in range(255)]
    assert math.isnan(scales[255])
    with pytest.raises(ValueError, match="no codes of a format 'float16'; known: float8_e4m3fn"):
        numbers_of_codes("float16")
