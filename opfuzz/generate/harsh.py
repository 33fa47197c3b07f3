"""Regimes of values that break implementations: cancellation, overflow, underflow, special values."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray, Format, from_bits, round_to
from opfuzz.generate import numbers
from opfuzz.generate.choices import Words
from opfuzz.generate.numbers import Shape

_HALF_PI: Final = 1.5707963267948966
_LARGEST_ANGLE: Final = 1e4


def offset(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """Mean / standard deviation from 2^2 to 2^17, less in half formats, which would hold nothing but the mean.

    Cancels in one-pass variances and in sums of differences.
    """
    power = words.between(2, min(17, fmt.precision + 1))
    deviation = words.pick((1.0, 2.0**-7, 2.0**-12))
    mean = 2.0**power * (1.0 + words.below(1 << 20) * 2.0**-20)
    sign = -1.0 if words.chance(1, 4) else 1.0
    return (numbers.normal(words, shape) + sign * mean) * deviation


def tiny_variance(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """One value and noise so small that an eps of 1e-5 or 1e-12 decides, or that is a few ulps of the value.

    pytorch #190491: LayerNorm of rows with a variance below 1e-6.
    """
    centre = words.pick((0.0, 1.0, 0.1, 10.0, 100.0))
    if centre and words.chance(1, 3):
        return numbers.a_few_roundings_off(words, np.full(shape, centre), fmt.unit_roundoff)
    noise = words.pick((1e-3, 1e-4, 1e-5, 1e-6))
    return numbers.normal(words, shape) * noise + centre


def spread(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """Uniform between -s and s, s from 90 to 200: the exponentials of float32 end at 88.7 and -103.9."""
    return numbers.symmetric(words, shape) * words.pick((90.0, 100.0, 128.0, 200.0))


def large(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """Near overflow: of the values themselves, of their squares, or of their sums."""
    overflows = words.pick(("squares", "sums", "values"))
    if overflows == "squares":  # sd 1.8e19 in float32 and bfloat16
        return numbers.normal(words, shape) * math.ldexp(1.0, (fmt.emax + 1) // 2)
    if overflows == "sums":
        return numbers.symmetric(words, shape) * fmt.largest
    return numbers.powers(words, shape, fmt.emax - 4, fmt.emax - 1)


def small(words: Words, shape: Shape, fmt: Format) -> NDArray[Any]:
    """Near underflow, of both signs: the lowest exponents, and subnormals down to the smallest."""
    word = words.array(math.prod(shape))
    magnitude = (word >> np.uint64(8)) % np.uint64(4 << (fmt.precision - 1))
    # In half of the elements the leading bits go, so that short subnormals are as likely as long ones.
    cut = ((word >> np.uint64(2)) & np.uint64(63)) % np.uint64(fmt.precision + 1)
    magnitude = np.where((word & np.uint64(2)) != 0, magnitude >> cut, magnitude)
    sign = (word & np.uint64(1)) << np.uint64(fmt.bits - 1)
    return from_bits((magnitude | sign).reshape(shape), fmt)


def near_zero(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """Both signs, 2^-40 to 2^-10, about 1e-12 to 1e-3: where erf(x) is 2x/sqrt(pi) and 1 - cos(x) cancels."""
    return numbers.powers(words, shape, max(-40, fmt.emin - fmt.precision + 1), -10)


def angles(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """Arguments of sines up to 1e4, half of them next to a multiple of pi/2, where the result cancels."""
    widest = words.pick((3.2, 100.0, _LARGEST_ANGLE))
    anywhere = numbers.symmetric(words, shape) * widest
    steps = int(widest / _HALF_PI)
    multiples = np.asarray(round_to(numbers.integers(words, shape, -steps, steps) * _HALF_PI, fmt), np.float64)
    multiples = numbers.a_few_roundings_off(words, multiples, fmt.unit_roundoff)
    return np.where(numbers.integers(words, shape, 0, 1) == 1, multiples, anywhere)


def cancelling(words: Words, shape: Shape, fmt: Format) -> NDArray[Any]:
    """Pairs x, -x(1 + 2ku) with k from -4 to 4: neighbours, in two halves, or shuffled.

    Along the last axis in three of four cases, else along the first.
    """
    order = words.pick(("neighbours", "halves", "shuffled"))
    axis = 0 if words.chance(1, 4) else -1
    step, start = words.below(1 << 32), words.below(1 << 32)
    if not shape:
        return round_to(numbers.normal(words, shape), fmt)
    *others, length = np.moveaxis(np.empty(shape, np.bool_), axis, -1).shape
    half = (length + 1) // 2
    first = np.asarray(round_to(numbers.normal(words, (*others, half)), fmt), np.float64)
    second = -numbers.a_few_roundings_off(words, first, fmt.unit_roundoff)
    place = np.arange(length)
    if order == "halves":
        pairs = np.concatenate([first, second], axis=-1)
    else:
        pairs = np.stack([first, second], axis=-1).reshape(*others, 2 * half)
    if order == "shuffled" and length:
        # i -> (step * i + start) mod length goes everywhere once if step and length have no common factor.
        while math.gcd(step, length) != 1:
            step += 1
        place = (place * (step % length) + start) % length
    return round_to(np.moveaxis(pairs[..., place], -1, axis), fmt)


def outliers(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """Normal values, a few of them 16 to 256 times as large: here and there, or at one place of the last axis."""
    factor = words.pick((16.0, 64.0, 256.0))
    is_channel, anywhere = words.chance(1, 2), words.below(1 << 32)
    values = numbers.normal(words, shape)
    hit = numbers.integers(words, shape, 0, 31) == 0
    if is_channel and shape and values.size:
        hit = np.broadcast_to(np.arange(shape[-1]) == anywhere % shape[-1], shape)
    return np.where(hit, factor, 1.0) * values


def specials(words: Words, shape: Shape, fmt: Format) -> NDArray[Any]:
    """Normal values with a few special ones, or one whole row of one special value (mlx #1467: softmax of all -inf).

    Zeros, infinities, NaN, subnormals and the largest numbers: each kind alone in some cases, since NaN hides the rest.
    """
    # Infinities twice: of the special values, they have the most public bugs, and few elements are drawn.
    kinds = words.pick(("zeros", "infinities", "infinities", "nan", "subnormals", "largest", "any", "any"))
    chosen = np.array(_special_values(kinds, fmt))
    one_row, share, anywhere = words.chance(1, 4), words.pick((2, 4, 8)), words.below(1 << 32)
    values = numbers.normal(words, shape)
    if not values.size:
        return round_to(values, fmt)
    which = numbers.integers(words, shape, 0, len(chosen) - 1).astype(np.int64)
    if one_row and shape:
        row = anywhere % math.prod(shape[:-1])
        values.reshape(-1, shape[-1])[row] = chosen[anywhere % len(chosen)]
    else:
        hit = numbers.integers(words, shape, 0, (1 << share) - 1) == 0
        values = np.where(hit, chosen[which], values)
        for place, value in enumerate(chosen[: min(4, values.size)]):  # both zeros, both infinities, whatever was hit
            values.reshape(-1)[(anywhere + place) % values.size] = value
    return round_to(values, fmt)


def _special_values(kinds: str, fmt: Format) -> list[float]:
    subnormals = [fmt.smallest_subnormal, fmt.smallest_normal - fmt.smallest_subnormal, fmt.smallest_normal]
    by_kind = {
        "zeros": [0.0, -0.0],
        "infinities": [math.inf, -math.inf],
        "nan": [math.nan],
        "subnormals": [*subnormals, *(-value for value in subnormals)],
        "largest": [fmt.largest, -fmt.largest],
    }
    return by_kind[kinds] if kinds in by_kind else [value for values in by_kind.values() for value in values]
