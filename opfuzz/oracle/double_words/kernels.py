"""Arithmetic on numbers hi + lo of two float64 with |lo| at most half an ulp of hi, each within a radius of the truth.

What an operation loses is not bounded beforehand but computed, by error-free transformations: where nothing is lost the
radius stays 0, so that exact results, zeros among them, are known to be exact. What is no number, or beyond the range
of float64, has an infinite radius; an infinity
of radius 0 is one, and may be added to and raised to a power. Arrays are flat, gapless and of one length.
"""

from __future__ import annotations

from fractions import Fraction
from math import factorial

import numpy as np

from opfuzz.core.compiled import FILLED, GIVEN, INT, VOID, WHOLE, compiled, inlined

_SPLITTER = 134217729.0  # 2^27 + 1
_U = 2.0**-53
_INFLATE = 1 + 2.0**-24  # radii are rounded themselves; sums of 2^25 terms, with three each, lose up to 2^-26
_BELOW_ONE = 1 - 2.0**-50
_TINY = 2.0**-1074
# Below _SMALL the rest of a product may underflow. Each of its four partial products then loses up to 2^-1075, which a
# rounding of what would be exact without that may double, three times at most.
_SMALL, _LOST = 2.0**-960, 2.0**-1068
_REST = (0.0, 0.0, np.inf)


@inlined
def _sum(a, b):
    """a + b as the nearest float64 and the rest, exactly (Knuth 1969, TwoSum)."""
    total = a + b
    taken = total - a
    return total, (a - (total - taken)) + (b - taken)


@inlined
def _halves(a):
    scaled = _SPLITTER * a
    high = scaled - (scaled - a)
    return high, a - high


@inlined
def _product(a, b):
    """a b as the nearest float64 and the rest, and what that may have lost to underflow (Dekker 1971, TwoProduct)."""
    made = a * b
    (p, q), (r, s) = _halves(a), _halves(b)
    rest = ((p * r - made) + p * s + q * r) + q * s
    return made, rest, (_LOST if (abs(made) < _SMALL) & (a != 0) & (b != 0) else 0.0)


@inlined
def _known(hi, lo, radius):
    """The number, with a radius that bounds its own roundings; one of which nothing is known if it is no number."""
    whole, rest = _sum(hi, lo)
    if not abs(whole) + radius < np.inf:
        return _REST
    return whole, rest, (radius * _INFLATE + _TINY if radius > 0 else 0.0)


@inlined
def _add(ah, al, ar, bh, bl, br):
    if (abs(ah) == np.inf) != (abs(bh) == np.inf) and ar + br < np.inf:
        return ah + bh, 0.0, 0.0
    high, rest = _sum(ah, bh)
    low, lost = _sum(al, bl)
    rest, more = _sum(rest, low)
    return _known(high, rest, abs(lost) + abs(more) + ar + br)


@inlined
def _multiply(ah, al, ar, bh, bl, br):
    made, rest, lost = _product(ah, bh)
    first, second = ah * bl, al * bh
    rest, more = _sum(rest, first + second)
    if (al != 0) | (bl != 0):
        lost += 2 * _U * (abs(first) + abs(second)) + abs(al * bl) + _LOST
    if (ar > 0) | (br > 0):
        lost += (abs(ah) + abs(al)) * br + (abs(bh) + abs(bl)) * ar + ar * br + _LOST
    return _known(made, rest, lost + abs(more))


# The quotient q and the root q of two float64 are guessed, and what they lack is computed: a/b - q = (a - q b) / b, and
# sqrt(a) - q = (a - q q) / (sqrt(a) + q).


@inlined
def _divide(ah, al, ar, bh, bl, br):
    least = abs(bh) * _BELOW_ONE - abs(bl) - br
    if not least > 0:
        return _REST
    guess = ah / bh
    made, rest, _ = _product(guess, bh)
    more = (((ah - made) - rest) + (al - guess * bl)) / bh
    qh, ql = _sum(guess, more)
    ph, pl, pr = _multiply(qh, ql, 0.0, bh, bl, br)
    dh, dl, dr = _add(ah, al, ar, -ph, -pl, pr)
    lacking = abs(dh) + abs(dl) + dr
    return _known(qh, ql, lacking / least + (_TINY if lacking > 0 else 0.0))


@inlined
def _root(ah, al, ar):
    if (ah == 0) & (ar == 0):
        return 0.0, 0.0, 0.0
    if not ah * _BELOW_ONE - abs(al) - ar > 0:
        return _REST
    guess = np.sqrt(ah)
    made, rest, _ = _product(guess, guess)
    qh, ql = _sum(guess, (((ah - made) - rest) + al) / (2 * guess))
    ph, pl, pr = _multiply(qh, ql, 0.0, qh, ql, 0.0)
    dh, dl, dr = _add(ah, al, ar, -ph, -pl, pr)
    lacking = abs(dh) + abs(dl) + dr
    return _known(qh, ql, lacking / (abs(qh) - abs(ql)) + (_TINY if lacking > 0 else 0.0))


# exp(x) = 2^k exp(r)  with  r = x - k ln 2;  exp(r) - 1 is the Taylor series at r / 2^9, taken to
# exp(2 s) - 1 = 2 (exp(s) - 1) + (exp(s) - 1)^2  nine times. The first term left out is below 2^-113 of the sum.

_STEPS, _TERMS = 9, 9


def _words(number: Fraction, count: int) -> list[float]:
    """The nearest float64, that of the rest, and so on."""
    found = []
    for _ in range(count):
        found.append(float(number))
        number -= Fraction(found[-1])
    return found


# ln 2 = sum of 1 / (n 2^n), in units of 2^-256; its first word has 42 bits, so that k of 11 bits times it is exact.
_LN_2 = Fraction(sum((1 << 256) // (n << n) for n in range(1, 257)), 1 << 256)
_FIRST = float(Fraction(int(_LN_2 * 2**42), 2**42))
_SECOND, _THIRD = _words(_LN_2 - Fraction(_FIRST), 2)
_COEFFICIENTS = np.array([_words(Fraction(1, factorial(n)), 2) for n in range(1, _TERMS + 1)])
# Tested, not proved: at least four times what a sweep against Arb measured, see tests/oracle/test_double_words.py.
EXP_ERROR = 2.0**-100
_FAR = 600.0  # up to here exp(x), its rest and its radius are normal numbers
_BELOW = 2.0**-864  # more than exp(-_FAR)


@inlined
def _exponential(ah, al, ar):
    if (ah == 0) & (al == 0) & (ar == 0):
        return 1.0, 0.0, 0.0
    if ah + ar < -_FAR:
        return 0.0, 0.0, (_BELOW if ah > -np.inf else 0.0)
    if not (abs(ah) < _FAR) & (ar <= 1):
        return _REST
    k = np.rint(ah / _FIRST)
    rh, rl, _ = _add(ah, al, 0.0, -k * _FIRST, 0.0, 0.0)
    ph, pl, _ = _multiply(k, 0.0, 0.0, _SECOND, _THIRD, 0.0)
    rh, rl, _ = _add(rh, rl, 0.0, -ph, -pl, 0.0)
    scale = 2.0**-_STEPS
    rh, rl = rh * scale, rl * scale
    sh, sl = _COEFFICIENTS[_TERMS - 1, 0], _COEFFICIENTS[_TERMS - 1, 1]
    for n in range(_TERMS - 2, -1, -1):
        sh, sl, _ = _multiply(sh, sl, 0.0, rh, rl, 0.0)
        sh, sl, _ = _add(sh, sl, 0.0, _COEFFICIENTS[n, 0], _COEFFICIENTS[n, 1], 0.0)
    sh, sl, _ = _multiply(sh, sl, 0.0, rh, rl, 0.0)
    for _ in range(_STEPS):
        qh, ql, _ = _multiply(sh, sl, 0.0, sh, sl, 0.0)
        sh, sl, _ = _add(2 * sh, 2 * sl, 0.0, qh, ql, 0.0)
    sh, sl, _ = _add(1.0, 0.0, 0.0, sh, sl, 0.0)
    power = np.int64((np.int64(k) + 1023) << 52).view(np.float64)
    # exp(r) - 1 <= r + r^2 for r up to 1.
    return _known(sh * power, sl * power, sh * power * (EXP_ERROR + (1 + EXP_ERROR) * (ar + ar * ar)))


# log(a) = y + log(1 + d)  with  d = a exp(-y) - 1, tiny where y is the logarithm of float64; log(1 + d) is within |d|^3
# of d - d^2 / 2.

_NEAR = 2.0**-10


@inlined
def _logarithm(ah, al, ar):
    if not (ah > _BELOW) & (ah < 1 / _BELOW):
        return _REST
    y = np.log(ah)
    eh, el, er = _exponential(-y, 0.0, 0.0)
    dh, dl, dr = _multiply(ah, al, ar, eh, el, er)
    dh, dl, dr = _add(dh, dl, dr, -1.0, 0.0, 0.0)
    size = abs(dh) + dr
    if not size < _NEAR:
        return _REST
    square = dh * dh
    lost = 2 * dr + size * size * size + abs(dh * dl) + _U * square if size > 0 else 0.0
    return _add(y, 0.0, 0.0, dh, dl - square / 2, lost)


@compiled(VOID, *6 * [GIVEN], *3 * [FILLED])
def add(ah, al, ar, bh, bl, br, hi, lo, radius):
    """Fill in the sums."""
    for i in range(hi.size):
        hi[i], lo[i], radius[i] = _add(ah[i], al[i], ar[i], bh[i], bl[i], br[i])


@compiled(VOID, *6 * [GIVEN], *3 * [FILLED])
def multiply(ah, al, ar, bh, bl, br, hi, lo, radius):
    """Fill in the products."""
    for i in range(hi.size):
        hi[i], lo[i], radius[i] = _multiply(ah[i], al[i], ar[i], bh[i], bl[i], br[i])


@compiled(VOID, *6 * [GIVEN], *3 * [FILLED])
def divide(ah, al, ar, bh, bl, br, hi, lo, radius):
    """Fill in the quotients; nothing is known of those of what may be zero."""
    for i in range(hi.size):
        hi[i], lo[i], radius[i] = _divide(ah[i], al[i], ar[i], bh[i], bl[i], br[i])


@compiled(VOID, *3 * [GIVEN], *3 * [FILLED])
def root(ah, al, ar, hi, lo, radius):
    """Fill in the square roots; nothing is known of those of what may be negative."""
    for i in range(hi.size):
        hi[i], lo[i], radius[i] = _root(ah[i], al[i], ar[i])


@compiled(VOID, *3 * [GIVEN], *3 * [FILLED])
def exponential(ah, al, ar, hi, lo, radius):
    """Fill in the exponentials; nothing is known of those beyond the range."""
    for i in range(hi.size):
        hi[i], lo[i], radius[i] = _exponential(ah[i], al[i], ar[i])


@compiled(VOID, *3 * [GIVEN], *3 * [FILLED])
def logarithm(ah, al, ar, hi, lo, radius):
    """Fill in the natural logarithms; nothing is known of those of what may be no positive number."""
    for i in range(hi.size):
        hi[i], lo[i], radius[i] = _logarithm(ah[i], al[i], ar[i])


# Sums: those of the first words are exact but for a rest, and so are the sums of rests but for theirs, which add up to
# what is lost.


@inlined
def _more(total, rest, radius, hi, lo, lost):
    total, own = _sum(total, hi)
    rest, first = _sum(rest, own)
    rest, second = _sum(rest, lo)
    return total, rest, radius + (abs(first) + abs(second) + lost)


@compiled(VOID, *3 * [GIVEN], WHOLE, *3 * [FILLED])
def total(ah, al, ar, places, hi, lo, radius):
    """Fill in the sums of rows of equal length, whose flat places stand one after another."""
    count = places.size // max(hi.size, 1)
    for i in range(hi.size):
        whole, rest, lost = 0.0, 0.0, 0.0
        for place in places[i * count : (i + 1) * count]:
            whole, rest, lost = _more(whole, rest, lost, ah[place], al[place], ar[place])
        hi[i], lo[i], radius[i] = _known(whole, rest, lost)


@compiled(VOID, *3 * [GIVEN], WHOLE, INT, *3 * [FILLED])
def running(ah, al, ar, places, count, hi, lo, radius):
    """Fill in the sums of the first 1, 2, 3, ... of rows of `count` flat places, which stand one after another."""
    whole, rest, lost = 0.0, 0.0, 0.0
    for i in range(hi.size):
        if i % count == 0:
            whole, rest, lost = 0.0, 0.0, 0.0
        place = places[i]
        whole, rest, lost = _more(whole, rest, lost, ah[place], al[place], ar[place])
        hi[i], lo[i], radius[i] = _known(whole, rest, lost)


@compiled(VOID, *6 * [GIVEN], WHOLE, WHOLE, INT, INT, *3 * [FILLED])
def inner(ah, al, ar, bh, bl, br, rows, columns, count, step, hi, lo, radius):
    """Fill in the inner products of `count` neighbours from `rows` on, and as many, a step apart, from `columns` on."""
    for i in range(hi.size):
        whole, rest, lost = 0.0, 0.0, 0.0
        a, b = rows[i], columns[i]
        for _ in range(count):
            made, own, under = _product(ah[a], bh[b])
            first, second = ah[a] * bl[b], al[a] * bh[b]
            if (al[a] != 0) | (bl[b] != 0):
                under += 2 * _U * (abs(first) + abs(second)) + abs(al[a] * bl[b]) + _LOST
            if (ar[a] > 0) | (br[b] > 0):
                under += (abs(ah[a]) + abs(al[a])) * br[b] + (abs(bh[b]) + abs(bl[b])) * ar[a] + ar[a] * br[b] + _LOST
            whole, rest, lost = _more(whole, rest, lost, made, own, under)
            rest, again = _sum(rest, first + second)
            lost += abs(again)
            a, b = a + 1, b + step
        hi[i], lo[i], radius[i] = _known(whole, rest, lost)
