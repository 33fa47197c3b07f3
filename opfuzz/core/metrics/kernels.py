"""Errors of one output in all their units, a pass over its elements each. Arrays are flat, gapless and of one length.

A mask that is empty stands for one that is true, or for `wrong` false, everywhere. Bits of numbers that are not
negative grow with them, and those of NaN are the largest, so that whole numbers find the maximum and keep a NaN.
"""

from __future__ import annotations

import numpy as np

from opfuzz.core.compiled import COUNTED, FILLED, GIVEN, INT, MARKED, MARKS, REAL, VOID, WHOLE, compiled, inlined, row
from opfuzz.core.metrics.magnitude import BANDS, CLASS_BAND, LARGEST_BAND
from opfuzz.core.metrics.ulp import BINS, LOWEST, PER_OCTAVE

_EXPONENT = 0x7FF0000000000000
_SIGNLESS = 0x7FFFFFFFFFFFFFFF
_INFINITY = _EXPONENT
_TINY = 2.0**-1074
_MOST = float(np.finfo(np.float64).max)  # against a tiny exact value the quotient passes float64's range
_BLOCK = 512
_SLACK = 4  # of the last bit: an error that its own roundings put below the edge of a bin, such as 1, is on it
_LIFT = 2.0**54  # makes float64's subnormals normal
# Bits of the significand where the bins of an octave begin, and in which bin numbers with certain leading six bits
# begin: no two bins begin in numbers with the same.
_EDGES = np.array([2.0 ** (part / PER_OCTAVE) for part in range(PER_OCTAVE + 1)]).view(np.int64) - (1023 << 52)
_PARTS = np.searchsorted(_EDGES, np.arange(64) << 46, "right") - 1


@inlined
def _bits(x):
    return np.float64(x).view(np.int64) & _SIGNLESS


@inlined
def _number(bits):
    return np.int64(bits).view(np.float64)


@inlined
def _within(bits, largest):
    return np.int64(0) if bits >= _INFINITY else min(bits, _bits(largest))


@inlined
def _power(bits, largest, least):
    return max(_within(bits, largest) & _EXPONENT, least)


@compiled(row(REAL, REAL, INT, INT, INT), GIVEN, GIVEN, GIVEN, REAL, REAL, INT, REAL, FILLED, MARKED)
def survey(hi, lo, radius, smallest, largest, least, scale, spacing, vague):
    """Fill in the ulp of each exact value, and whether the radius leaves open which ulp it has, or if it is normal; the
    largest radius in ulp, the largest size, and how many values are normal, are subnormal, and are marked.

    An empty `lo` is zero throughout. `least` has the bits of the smallest normal number, `scale` is the ulp of 1.
    Beyond the format a value has the ulp of its largest number, and that of zero where it is no number.
    """
    share, most, normal, subnormal, marked = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for i in range(hi.size):
        bits = _bits(hi[i])
        below, above = max(_number(bits) - radius[i], 0.0), _number(bits) + radius[i]
        near = bits
        if lo.size:  # hi may be a power of two to which the exact value was rounded up
            towards = -lo[i] if hi[i] > 0 else lo[i]
            near -= np.int64((bits != 0) & (towards > radius[i]))
        unit = _number(_power(near, largest, least)) * scale
        spacing[i] = unit
        share = max(share, _bits(radius[i] / unit))
        most = max(most, bits)
        size = _number(bits)
        normal += np.int64((smallest <= size) & (size <= largest))
        subnormal += np.int64((size > 0) & (size < smallest))
        low, high = _within(_bits(below), largest), _within(_bits(above), largest)
        is_vague = max(low & _EXPONENT, least) != max(high & _EXPONENT, least)
        is_vague |= (_number(low) < smallest) & (_number(high) >= smallest)
        is_vague &= bits < _INFINITY
        vague[i] = is_vague
        marked += np.int64(is_vague)
    return _number(share), _number(most), normal, subnormal, marked


@compiled(VOID, GIVEN, GIVEN, GIVEN, GIVEN, FILLED)
def errors_of(computed, hi, lo, reach, error):
    """Fill in abs(computed - exact); NaN where either is NaN, and where both are the same infinity.

    An empty `lo` is zero throughout, an empty `reach` nowhere: how far a right value may be from the exact one where it
    is not negative.
    """
    if lo.size:
        for i in range(computed.size):
            error[i] = abs(computed[i] - hi[i] - lo[i])
    else:
        for i in range(computed.size):
            error[i] = abs(computed[i] - hi[i])
    for i in range(reach.size):
        if reach[i] >= 0:
            off = error[i] - reach[i]
            error[i] = 0.0 if off < 0 else off


# ulps = error / ulp, excess = error / (ulp/2 + wide), conditioned = error / (ulp/2 + conditioning). Half of the
# smallest float64 is 0, and 0/0 is no excess.


@compiled(row(REAL, REAL, REAL, REAL, INT, INT, INT), *6 * [GIVEN], REAL, *3 * [FILLED])
def measure(error, computed, hi, spacing, wide, conditioning, smallest, ulps, excess, conditioned):
    """Fill in the errors in three units; the largest error, and that in each unit, how many results are no numbers, how
    many are flushed to zero, and how many are not judged for these reasons or because the exact value is no number.

    Where nothing is judged the errors in units are 0. An empty `conditioning` is not asked for.
    """
    most, most_ulps, most_excess, most_conditioned = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    unusual, flushed, unjudged = np.int64(0), np.int64(0), np.int64(0)
    for i in range(error.size):
        size, result = _bits(hi[i]), _bits(computed[i])
        is_flushed = (result == 0) & (size != 0) & (_number(size) < smallest)
        is_out = (result >= _INFINITY) | (size >= _INFINITY) | is_flushed
        unusual += np.int64(result >= _INFINITY)
        flushed += np.int64(is_flushed)
        unjudged += np.int64(is_out)
        half = max(spacing[i] / 2, _TINY)
        in_ulps, in_excess = error[i] / spacing[i], error[i] / (half + wide[i])
        in_ulps, in_excess = (0.0 if is_out else in_ulps), (0.0 if is_out else in_excess)
        ulps[i], excess[i] = in_ulps, in_excess
        most, most_ulps = max(most, _bits(error[i])), max(most_ulps, _bits(in_ulps))
        most_excess = max(most_excess, _bits(in_excess))
    for i in range(conditioning.size):
        is_out = (_bits(computed[i]) >= _INFINITY) | (_bits(hi[i]) >= _INFINITY)
        is_out |= (computed[i] == 0) & (hi[i] != 0) & (abs(hi[i]) < smallest)
        unit = error[i] / (max(spacing[i] / 2, _TINY) + conditioning[i])
        unit = 0.0 if is_out else unit
        conditioned[i] = unit
        most_conditioned = max(most_conditioned, _bits(unit))
    return (
        _number(most),
        _number(most_ulps),
        _number(most_excess),
        _number(most_conditioned),
        unusual,
        flushed,
        unjudged,
    )


# A long sum is one of blocks, and what each addition of a block loses is added to the next (Kahan, 1965).


@inlined
def _plus(total, lost, part):
    more = part - lost
    longer = total + more
    return (longer, (longer - total) - more) if longer < np.inf else (longer, 0.0)


@inlined
def _count_errors(errors, hi, judged, smallest, largest, bins):
    """Add the errors of judged normal numbers to the bins of their size; how many there are, their sum, the first place
    of the largest, and this one.
    """
    normal, place, worst, total, lost, start = 0, 0, 0.0, 0.0, 0.0, 0
    while start < errors.size:
        stop, part = min(start + _BLOCK, errors.size), 0.0
        for i in range(start, stop):
            size = abs(hi[i])
            if (judged.size and not judged[i]) or not (smallest <= size <= largest):
                continue
            error = errors[i]
            if error > worst:
                place, worst = i, error
            if error > _MOST:
                error = _MOST
            normal, part = normal + 1, part + error
            bits = _bits(error) + _SLACK
            rest = bits & ~_EXPONENT
            begun = _PARTS[rest >> 46]
            at = PER_OCTAVE * ((bits >> 52) - 1023 - LOWEST) + 1 + begun + (rest >= _EDGES[begun + 1])
            bins[min(max(at, 0), BINS - 1)] += 1
        (total, lost), start = _plus(total, lost, part), stop
    return normal, total, place, worst


@inlined
def _count_cells(hi, errors, judged, wrong, first, lowest, width, last, cells):
    """Add errors to the cells of the size of the exact value and of their own; see `magnitude`.

    `first` has the first cell of each biased exponent of float64; float64's own subnormals are placed by the `lowest`
    exponent of columns, their `width` and the `last` of them.
    """
    for i in range(hi.size):
        is_wrong = wrong.size and wrong[i]
        bits = _bits(hi[i])
        if (judged.size and not (judged[i] or is_wrong)) or bits >= _INFINITY:
            continue
        place = first[bits >> 52]
        if bits != 0 and bits >> 52 == 0:
            exponent = (_bits(hi[i] * _LIFT) >> 52) - 1023 - 54
            place = BANDS * (min(max((exponent - lowest) // width, 0), last - 1) + 1)
        if is_wrong:
            place += CLASS_BAND
        else:  # one bit less, so that exactly 2^e is of the band below
            place += min(max(((_bits(errors[i]) - 1) >> 52) - 1021, 0), LARGEST_BAND)
        cells[place] += 1


@inlined
def _sum_squares(values, unit, judged):
    """The sum of the squares of what is judged, in a unit."""
    total, lost, start = 0.0, 0.0, 0
    while start < values.size:
        stop, a, b, c, d = min(start + _BLOCK, values.size), 0.0, 0.0, 0.0, 0.0  # sums that do not wait for each other
        while start < stop - 3 and not judged.size:
            p, q, r, s = (
                values[start] / unit,
                values[start + 1] / unit,
                values[start + 2] / unit,
                values[start + 3] / unit,
            )
            a, b, c, d, start = a + p * p, b + q * q, c + r * r, d + s * s, start + 4
        for i in range(start, stop):
            if not judged.size or judged[i]:
                a += (values[i] / unit) * (values[i] / unit)
        (total, lost), start = _plus(total, lost, (a + b) + (c + d)), stop
    return total


@inlined
def _count_blind(hi, spacing, wide, judged):
    """The largest spacing of what is judged, how many that are, and for how many of them `wide` exceeds the value."""
    widest, count, blind = np.int64(0), np.int64(0), np.int64(0)
    for i in range(hi.size):
        is_counted = (not judged.size) or judged[i]
        widest = max(widest, _bits(spacing[i]) if is_counted else np.int64(0))
        count += np.int64(is_counted)
        blind += np.int64(is_counted & (wide[i] > max(abs(hi[i]), spacing[i] / 2)))
    return _number(widest), count, blind


@inlined
def _gather(counts, places, numbers, start):
    """Fill in, from a place on, where counts are not 0, and the counts; where this ends."""
    for i in range(counts.size):
        if counts[i]:
            places[start], numbers[start] = i, counts[i]
            start += 1
    return start


@compiled(
    row(INT, REAL, INT, REAL, REAL, REAL, INT, INT, INT, INT),
    *5 * [GIVEN],
    *2 * [MARKS],
    *2 * [REAL],
    WHOLE,
    *3 * [INT],
    *2 * [COUNTED],
)
def total_up(
    error, ulps, hi, spacing, wide, judged, wrong, smallest, largest, first, lowest, width, last, places, numbers
):
    """Add up the errors of an output, see `totals`: how many count, their sum in ulp, the first place of the largest,
    and this one; the sums of squares of errors and of ulps in one unit, how many are judged, and for how many of these
    the allowance is larger than the value; and how many bins, and bins and cells, are not empty, whose places and
    counts are filled in.
    """
    bins, cells = np.zeros(BINS, np.int64), np.zeros(BANDS * (last + 1), np.int64)
    normal, total, place, worst = _count_errors(ulps, hi, judged, smallest, largest, bins)
    _count_cells(hi, ulps, judged, wrong, first, lowest, width, last, cells)
    unit, count, blind = _count_blind(hi, spacing, wide, judged)
    squares, units = _sum_squares(error, unit, judged), _sum_squares(spacing, unit, judged)
    split = _gather(bins, places, numbers, 0)
    end = _gather(cells, places, numbers, split)
    return normal, total, place, worst, squares, units, count, blind, split, end
