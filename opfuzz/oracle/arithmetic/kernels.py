"""Radii of arithmetic, a pass over the elements each. Arrays are flat, gapless and of one length; an empty radius is 0.

Everything is added in the order in which it is written: no term is left out, and each is rounded to nearest, as in
NumPy. That a radius is a bound rests on what `inflate` adds for these roundings, whatever their order.
"""

from __future__ import annotations

import numpy as np

from opfuzz.core.compiled import FILLED, GIVEN, INT, REAL, VOID, compiled, inlined

_INFLATE = 1 + 2.0**-30  # radii are rounded themselves; sums of 2^20 of them lose up to 2^-33
_TINY = 2.0**-1074


@compiled(VOID, GIVEN, GIVEN, FILLED)
def inflate(mid, radius, out):
    """Bounds of what roundings of radii may have lost. At a midpoint of 0 a radius of 0 is exact.

    Every operation that can underflow adds its own 2^-1074.
    """
    for i in range(out.size):
        more = radius[i] * _INFLATE + _TINY
        out[i] = 0.0 if (radius[i] == 0) & (mid[i] == 0) else more


@inlined
def _add_rounding(mid, roundoff, underflow, flush, out):
    """The rounding of a result: relative, and near zero absolute; with `flush` only where it may be flushed."""
    if flush > 0:
        for i in range(out.size):
            out[i] += abs(mid[i]) * roundoff + (underflow if abs(mid[i]) < 2 * flush else 0.0)
    else:
        for i in range(out.size):
            out[i] += abs(mid[i]) * roundoff + underflow


@compiled(VOID, GIVEN, REAL, REAL, REAL, FILLED)
def rounding(mid, roundoff, underflow, flush, out):
    """The rounding of a result alone."""
    out[:] = 0.0
    _add_rounding(mid, roundoff, underflow, flush, out)


# abs((a + d) (b + e) - a b) <= abs(b) r + abs(a) s + r s


@compiled(VOID, GIVEN, GIVEN, GIVEN, GIVEN, GIVEN, REAL, REAL, REAL, INT, FILLED)
def product(mid, a, b, ra, rb, roundoff, underflow, flush, only_scales, out):
    """The radius of a product. One that `only_scales` by a power of two is rounded near zero alone: none above four
    times the smallest normal number, and no product with a zero.
    """
    if ra.size and rb.size:
        for i in range(out.size):
            out[i] = abs(b[i]) * ra[i] + abs(a[i]) * rb[i] + ra[i] * rb[i]
    elif ra.size:
        for i in range(out.size):
            out[i] = abs(b[i]) * ra[i]
    elif rb.size:
        for i in range(out.size):
            out[i] = abs(a[i]) * rb[i]
    else:
        out[:] = 0.0
    if roundoff > 0 and only_scales:
        small = 4 * underflow / roundoff
        for i in range(out.size):
            out[i] += underflow if (abs(mid[i]) < small) & (a[i] != 0) & (b[i] != 0) else 0.0
    elif roundoff > 0:
        _add_rounding(mid, roundoff, underflow, flush, out)


@compiled(VOID, GIVEN, GIVEN, GIVEN, GIVEN, GIVEN, REAL, INT, FILLED)
def total(mid, a, b, ra, rb, roundoff, is_truth, out):
    """The radius of a sum. What is added to an exact zero is not rounded, if that `is_truth`."""
    if ra.size and rb.size:
        for i in range(out.size):
            out[i] = ra[i] + rb[i]
    elif ra.size:
        out[:] = ra
    elif rb.size:
        out[:] = rb
    else:
        out[:] = 0.0
    if roundoff > 0 and is_truth:
        for i in range(out.size):
            first = (a[i] == 0) & ((not ra.size) or ra[i] == 0)
            second = (b[i] == 0) & ((not rb.size) or rb[i] == 0)
            out[i] += 0.0 if first | second else abs(mid[i]) * roundoff
    elif roundoff > 0:
        for i in range(out.size):
            out[i] += abs(mid[i]) * roundoff


# abs((a + d) / (b + e) - q) <= (r + abs(q) s) / (abs(b) - s), q = a / b


@compiled(VOID, GIVEN, GIVEN, GIVEN, GIVEN, GIVEN, REAL, REAL, REAL, INT, FILLED)
def quotient(mid, a, b, ra, rb, roundoff, underflow, flush, only_scales, out):
    """The radius of a quotient, infinite where the divisor may be 0; `only_scales` as for a product. By an infinity
    nothing is rounded.
    """
    if rb.size:
        for i in range(out.size):
            spread, room = abs(mid[i]) * rb[i], abs(b[i]) - rb[i]
            spread = ra[i] + spread if ra.size else spread
            unknown = 0.0 if spread == 0 else np.inf
            out[i] = spread / room if room > 0 else unknown
    elif ra.size:
        for i in range(out.size):
            out[i] = ra[i] / abs(b[i])
    else:
        out[:] = 0.0
    if roundoff > 0:
        small = 4 * underflow / roundoff
        for i in range(out.size):
            size = abs(mid[i])
            near = underflow if (flush == 0) | (size < 2 * flush) else 0.0
            own = size * roundoff + near
            if only_scales:
                own = underflow if (size < small) & (a[i] != 0) else 0.0
            out[i] += 0.0 if abs(b[i]) == np.inf else own


@compiled(VOID, GIVEN, INT, FILLED)
def halves(x, width, out):
    """Sums of rows by halves: of both halves of a row element by element, and so on; the last of an odd number is added
    to the first.
    """
    part = np.empty(width // 2)
    for line in range(out.size):
        row, length = x[line * width : (line + 1) * width], width // 2
        for i in range(length):
            part[i] = row[i] + row[length + i]
        if width % 2:
            part[0] += row[width - 1]
        while length > 1:
            half, last = length // 2, part[length - 1]
            for i in range(half):
                part[i] += part[half + i]
            if length % 2:
                part[0] += last
            length = half
        out[line] = part[0]


@compiled(VOID, GIVEN, INT, INT, FILLED)
def sizes(x, width, is_squared, out):
    """Sums of the absolute values of rows, or of the squares."""
    for line in range(out.size):
        row, total = x[line * width : (line + 1) * width], 0.0
        for start in range(0, width, 512):
            a, b, c, d, stop = 0.0, 0.0, 0.0, 0.0, min(start + 512, width)
            end = start + (stop - start) // 4 * 4
            if is_squared:
                for i in range(start, end, 4):
                    a, b = a + row[i] * row[i], b + row[i + 1] * row[i + 1]
                    c, d = c + row[i + 2] * row[i + 2], d + row[i + 3] * row[i + 3]
                for i in range(end, stop):
                    a += row[i] * row[i]
            else:
                for i in range(start, end, 4):
                    a, b, c, d = a + abs(row[i]), b + abs(row[i + 1]), c + abs(row[i + 2]), d + abs(row[i + 3])
                for i in range(end, stop):
                    a += abs(row[i])
            total += (a + b) + (c + d)
        out[line] = total


@compiled(VOID, GIVEN, GIVEN, GIVEN, GIVEN, FILLED)
def larger(a, b, ra, rb, out):
    """The radius of the larger of two numbers: that of one where it surely is, else the larger radius."""
    for i in range(out.size):
        first, second = (ra[i] if ra.size else 0.0), (rb[i] if rb.size else 0.0)
        apart, room = a[i] - b[i], (first + second) * (1 + 2.0**-50)  # wider by more than both roundings
        both = first if (first > second) | np.isnan(first) else second
        out[i] = first if apart > room else second if apart < -room else both
