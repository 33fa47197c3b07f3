"""Regimes of everyday values: what a network sees, and what makes arithmetic easy to follow."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray, Format, from_bits
from opfuzz.generate import numbers
from opfuzz.generate.choices import Words
from opfuzz.generate.numbers import Shape


def zeros(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """All +0."""
    return np.zeros(shape)


def ones(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """All 1: in a half format a running sum stops at 2^p, 256 or 2048."""
    return np.ones(shape)


def constant(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """One value everywhere, 0.1 in half of the cases: every addition of a running sum then errs the same way."""
    value = 0.1 if not words.chance(1, 2) else words.pick((1 / 3, -0.1, 0.7, 3.0, 1e-3, -1.0, 10.1, 100.0))
    return np.full(shape, value)


def integers(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """Whole numbers up to 1, 4, 100 or 2^p, all of them exact in the format; of both signs or not."""
    high = words.pick((1, 4, 100, min(2**fmt.precision, int(fmt.largest))))
    return numbers.integers(words, shape, -high if words.chance(2, 3) else 0, high)


def unit(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """Uniform from 0 to 1: probabilities, times."""
    return numbers.uniform(words, shape)


def uniform(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """Uniform from -1 to 1."""
    return numbers.symmetric(words, shape)


def normal(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """Mean 0, standard deviation 1."""
    return numbers.normal(words, shape)


def positive(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """Positive, every power of two as likely as another."""
    low, high = _exponents(fmt)
    return numbers.powers(words, shape, low, high, signed=False)


def powers_of_two(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """1/256 to 256, positive: scales by which a product is exact."""
    return np.ldexp(1.0, numbers.integers(words, shape, -8, 8).astype(np.int64))


def log_magnitude(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """Both signs, every power of two from 2^-20 to 2^20 as likely as another."""
    low, high = _exponents(fmt)
    return numbers.powers(words, shape, low, high)


def full_range(words: Words, shape: Shape, fmt: Format) -> NDArray[Any]:
    """Every finite float of the format as likely as another."""
    word = words.array(prod(shape))
    finite = (2 * fmt.emax + 1) << (fmt.precision - 1)  # patterns without sign below that of infinity
    magnitude = (word >> np.uint64(1)) % np.uint64(finite)
    return from_bits((magnitude | ((word & np.uint64(1)) << np.uint64(fmt.bits - 1))).reshape(shape), fmt)


def one_hot(words: Words, shape: Shape, fmt: Format) -> FloatArray:
    """0, and 1 at one place: of a gradient one row alone, or one column."""
    values = np.zeros(shape)
    anywhere = words.below(1 << 32)
    if values.size:
        values.reshape(-1)[anywhere % values.size] = 1.0
    return values


def _exponents(fmt: Format) -> tuple[int, int]:
    """2^-20 to 2^20, or what of it is normal in the format."""
    return max(-20, fmt.emin), min(20, fmt.emax - 1)
