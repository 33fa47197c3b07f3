"""Where functions of one number are hard, by mathematics: ends of the format, round numbers, multiples of constants."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from opfuzz.core.floats import FloatArray, Format

_GUARD = 64  # bits of a constant beyond those that tell its multiples from floats
_SMALL = 256  # multiples up to this one, as exact as the format has them
_LAST, _MULTIPLES = 4, 3  # convergents an exponent, the best ones, and multiples of each


@cache
def seeds(fmt: Format) -> FloatArray:
    """Numbers of `fmt` to begin with, of both signs, as float64; NaN and infinities among them."""
    found = {*_ends(fmt), *_round_numbers(fmt)}
    # Sines reduce their argument by multiples of pi/2, exponential functions by multiples of ln 2.
    for constant in (_half_pi, _ln2):
        found |= set(_near_multiples(constant(_bits(fmt)), fmt))
    positive = np.array(sorted(found))
    return np.concatenate([positive, -positive, [np.nan]])


def _ends(fmt: Format) -> Iterator[float]:
    tiny, smallest = fmt.smallest_subnormal, fmt.smallest_normal
    yield from (0.0, np.inf, tiny, 2 * tiny, smallest - tiny, smallest, smallest + tiny)
    yield from (fmt.largest, fmt.largest * (1 - 2 * fmt.unit_roundoff))


def _round_numbers(fmt: Format) -> Iterator[float]:
    """Powers of two with their neighbours, small whole numbers and halves."""
    for exponent in range(fmt.emin, fmt.emax + 1):
        power = 2.0**exponent
        yield from (power, power * (1 + 2 * fmt.unit_roundoff), power * (1 - fmt.unit_roundoff))
    yield from (number / 2 for number in range(1, 257))


# x = m 2^e lies near a multiple of c where m (2^e / c) lies near a whole number: nearest, for its size, where m is the
# denominator of a convergent of the continued fraction of 2^e / c (Kahan, "Minimizing q*m - n", 1983).


def _near_multiples(scaled: int, fmt: Format) -> Iterator[float]:
    """The positive numbers of `fmt` nearest, for their size, to a multiple of scaled / 2^bits, and small ones."""
    bits, limit = _bits(fmt), 1 << fmt.precision
    yield from (k * (scaled / 2**bits) for k in range(1, _SMALL + 1))
    for exponent in range(fmt.emin - fmt.precision + 1, fmt.emax - fmt.precision + 2):
        shift = exponent + bits
        for mantissa in _denominators(1 << shift, scaled, limit)[-_LAST:]:
            for multiple in range(mantissa, min(limit, _MULTIPLES * mantissa + 1), mantissa):
                yield float(np.ldexp(float(multiple), exponent))


def _denominators(a: int, b: int, limit: int) -> list[int]:
    """Denominators below `limit` of the convergents of a / b, in their order."""
    before, last, found = 1, 0, []
    while b:
        whole, rest = divmod(a, b)
        a, b = b, rest
        before, last = last, last * whole + before
        if last >= limit:
            break
        found.append(last)
    return found


def _bits(fmt: Format) -> int:
    return fmt.emax + 2 * fmt.precision + _GUARD


def _half_pi(bits: int) -> int:
    """pi/2 2^bits = 2^bits (8 arctan 1/5 - 2 arctan 1/239), by Machin."""
    return 8 * _arctan(5, bits, -1) - 2 * _arctan(239, bits, -1)


def _ln2(bits: int) -> int:
    """ln 2 2^bits = 2^bits 2 artanh 1/3."""
    return 2 * _arctan(3, bits, 1)


def _arctan(n: int, bits: int, sign: int) -> int:
    """arctan(1/n) 2^bits for the sign -1, artanh(1/n) 2^bits for 1, within as many units as there are terms."""
    power, total, k = (1 << bits) // n, 0, 0
    while power:
        total += sign**k * power // (2 * k + 1)
        power //= n * n
        k += 1
    return total
