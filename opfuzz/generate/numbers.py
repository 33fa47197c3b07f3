"""Words to floats: the distributions from which the regimes are made.

Only bit operations, + - * / are used: NumPy's exp, log, cos and pow give other bits on other processors.
"""

from __future__ import annotations

from math import prod
from typing import Final

import numpy as np

from opfuzz.core.floats import FloatArray
from opfuzz.generate.choices import WordArray, Words

Shape = tuple[int, ...]

_SHIFT_TO_53: Final = np.uint64(11)
_EVEN_BYTES: Final = np.uint64(0x00FF00FF00FF00FF)
_LANE_SUM: Final = np.uint64(0x0001000100010001)  # times four 16-bit lanes: their sum in the highest lane
_BYTE_SUM_MEAN: Final = 1020.0  # of eight bytes
_NORMAL_SCALE: Final = 0.004784191591904521  # 1 / sqrt(8 * 65535/12 + 1/12): eight bytes and a uniform


def uniform(words: Words, shape: Shape) -> FloatArray:
    """Uniform on [0, 1), multiples of 2^-53."""
    return _fraction(words.array(prod(shape))).reshape(shape)


def symmetric(words: Words, shape: Shape) -> FloatArray:
    """Uniform on [-1, 1)."""
    return uniform(words, shape) * 2.0 - 1.0


# A sum of eight bytes is nearly normal but takes 2041 values only; a uniform on one step makes it continuous.


def normal(words: Words, shape: Shape) -> FloatArray:
    """Nearly normal, mean 0 and standard deviation 1; never beyond 4.9."""
    pairs = words.array(2 * prod(shape))
    word, fine = pairs[0::2], pairs[1::2]
    lanes = (word & _EVEN_BYTES) + ((word >> np.uint64(8)) & _EVEN_BYTES)
    coarse = ((lanes * _LANE_SUM) >> np.uint64(48)).astype(np.float64) - _BYTE_SUM_MEAN
    values = (coarse + (_fraction(fine) - 0.5)) * _NORMAL_SCALE
    return values.reshape(shape)


def powers(words: Words, shape: Shape, low: int, high: int, *, signed: bool = True) -> FloatArray:
    """m * 2^e with e uniform from `low` to `high`, m uniform on [1, 2); of both signs, or positive.

    `low` is at least -1022, `high` at most 1023.
    """
    word = words.array(prod(shape))
    exponent = (
        (((word >> np.uint64(52)) & np.uint64(0x7FF)) * np.uint64(high - low + 1)) >> np.uint64(11)
    ) + np.uint64(low + 1023)
    bits = (word & np.uint64((1 << 52) - 1)) | (exponent << np.uint64(52))
    if signed:
        bits |= word & np.uint64(1 << 63)
    return bits.view(np.float64).reshape(shape)


def integers(words: Words, shape: Shape, low: int, high: int) -> FloatArray:
    """Whole numbers from `low` to `high`, both included."""
    return (words.array(prod(shape)) % np.uint64(high - low + 1)).astype(np.float64).reshape(shape) + float(low)


def a_few_roundings_off(words: Words, values: FloatArray, unit_roundoff: float) -> FloatArray:
    """`values` times 1 + 2ku, k from -4 to 4."""
    return values * (1.0 + integers(words, values.shape, -4, 4) * (2.0 * unit_roundoff))


def _fraction(word: WordArray) -> FloatArray:
    return (word >> _SHIFT_TO_53).astype(np.float64) * 2.0**-53
