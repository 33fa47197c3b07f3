"""Errors of one output in all their units, a pass over its elements each. Arrays are flat, gapless and of one length.

A mask that is empty stands for one that is true, or for `wrong` false, everywhere. Bits of numbers that are not
negative grow with them, and those of NaN are the largest, so that whole numbers find the maximum and keep a NaN.
"""

from __future__ import annotations

import numpy as np

from opfuzz.core.compiled import COUNTED, FILLED, GIVEN, INT, MARKS, REAL, WHOLE, compiled, inlined, row
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
_LEAST_UNIT = 2.0**-1022  # of which the inverse is a number
_SIGNIFICAND = (1 << 52) - 1
# Bits of the significand where the bins of an octave begin.
_EDGES = tuple(int(each) & _SIGNIFICAND for each in (2.0 ** (np.arange(PER_OCTAVE) / PER_OCTAVE)).view(np.int64))


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


@inlined
def _find_spacing(hi, lo, radius, largest, least, scale, spacing):
    for i in range(hi.size):
        spacing[i] = _number(_power(_bits(hi[i]), largest, least)) * scale
    for i in range(lo.size):  # hi may be a power of two to which the exact value was rounded up
        towards = -lo[i] if hi[i] > 0 else lo[i]
        near = _bits(hi[i]) - np.int64((hi[i] != 0) & (towards > radius[i]))
        spacing[i] = _number(_power(near, largest, least)) * scale


@inlined
def _is_vague(hi, radius, smallest, largest, least):
    """Whether a radius leaves open which ulp a value has, or if it is normal."""
    size = _number(_bits(hi))
    below, above = max(size - radius, 0.0), size + radius
    low, high = _within(_bits(below), largest), _within(_bits(above), largest)
    found = np.int64(max(low & _EXPONENT, least) != max(high & _EXPONENT, least))
    found |= np.int64(_number(low) < smallest) & np.int64(_number(high) >= smallest)
    return found & np.int64(_bits(hi) < _INFINITY)


@inlined
def _is_open(hi, radius, spacing, largest, tight, finest):
    """Whether a value is not known to its tolerance, nor an infinity or NaN that is exact; see `truth`."""
    size = _number(_bits(hi))
    is_number = np.int64(_bits(hi) < _INFINITY)
    is_far = is_number & np.int64(size / 4 > largest) & np.int64(radius <= size / 2)
    is_tight = np.int64(radius <= tight * spacing) | np.int64(radius <= finest) | is_far
    return (1 - is_tight) & (is_number | np.int64(radius != 0))


@compiled(row(REAL, REAL, INT, INT, INT, INT), *3 * [GIVEN], *2 * [REAL], INT, *3 * [REAL], FILLED, *2 * [COUNTED])
def survey(hi, lo, radius, smallest, largest, least, scale, tight, finest, spacing, vague, unknown):
    """Fill in the ulp of each exact value, where the radius leaves open which ulp it has, or if it is normal, and where
    it is more than `tight` in ulp, see `truth`; the largest radius in ulp, the largest size, how many values are normal
    and subnormal, and how many places there are of both kinds.

    An empty `lo` is zero throughout. `least` has the bits of the smallest normal number, `scale` is the ulp of 1.
    Beyond the format a value has the ulp of its largest number, and that of zero where it is no number.
    """
    share, most, normal, subnormal = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    first, second, low, high = 0, 0, _bits(smallest), _bits(largest)
    for start in range(0, hi.size, _BLOCK):
        stop, more, others = min(start + _BLOCK, hi.size), np.int64(0), np.int64(0)
        values, radii, units, rests = hi[start:stop], radius[start:stop], spacing[start:stop], lo[start:stop]
        _find_spacing(values, rests, radii, largest, least, scale, units)
        for i in range(values.size):
            bits = _bits(values[i])
            most, share = max(most, bits), max(share, _bits(radii[i] / units[i]))
            normal += np.int64(low <= bits) & np.int64(bits <= high)
            subnormal += np.int64(bits > 0) & np.int64(bits < low)
        for i in range(values.size):
            more += _is_vague(values[i], radii[i], smallest, largest, least)
            others += _is_open(values[i], radii[i], units[i], largest, tight, finest)
        for i in range(values.size if more else 0):
            if _is_vague(values[i], radii[i], smallest, largest, least):
                vague[first], first = start + i, first + 1
        for i in range(values.size if others else 0):
            if _is_open(values[i], radii[i], units[i], largest, tight, finest):
                unknown[second], second = start + i, second + 1
    return _number(share), _number(most), normal, subnormal, first, second


@inlined
def _find_errors(computed, hi, lo, reach, error):
    """See `ulp.absolute_error`; an empty `lo` is zero throughout, an empty `reach` nowhere."""
    for i in range(computed.size):
        error[i] = abs(computed[i] - hi[i])
    for i in range(lo.size):
        error[i] = abs(computed[i] - hi[i] - lo[i])
    for i in range(reach.size):
        if reach[i] >= 0:
            off = error[i] - reach[i]
            error[i] = 0.0 if off < 0 else off


# ulps = error / ulp, excess = error / (ulp/2 + wide), conditioned = error / (ulp/2 + conditioning). Half of the
# smallest float64 is 0, and 0/0 is no excess.


@inlined
def _judge(computed, hi, smallest, judged):
    """Fill in -1, all bits, where results are numbers that are not flushed to zero, and exact values numbers, else 0;
    how many results are no numbers, how many are flushed, and how many are not judged.
    """
    unusual, flushed, unjudged = np.int64(0), np.int64(0), np.int64(0)
    for i in range(hi.size):
        size, result = _bits(hi[i]), _bits(computed[i])
        is_flushed = np.int64(result == 0) & np.int64(size != 0) & np.int64(size < _bits(smallest))
        is_unusual = np.int64(result >= _INFINITY)
        is_out = is_unusual | np.int64(size >= _INFINITY) | is_flushed
        unusual, flushed, unjudged = unusual + is_unusual, flushed + is_flushed, unjudged + is_out
        judged[i] = is_out - 1
    return unusual, flushed, unjudged


@inlined
def _most(unit, judged):
    most = np.int64(0)
    for i in range(unit.size):
        most = max(most, _bits(unit[i]) & judged[i])
    return most


@inlined
def _first_of(bits, errors, judged):
    """The first place of an error that is judged."""
    for i in range(errors.size):
        if judged[i] and _bits(errors[i]) == bits:
            return i
    return 0


@inlined
def _fill_ulps(error, spacing, ulps):
    for i in range(error.size):
        ulps[i] = error[i] / spacing[i]


@inlined
def _find_most_relative(error, spacing, radius, judged, unit, most):
    """The bits of the largest error / (ulp/2 + radius) that is judged, if that is more than `most`, and its place."""
    more, known = np.int64(0), _number(most)
    for i in range(error.size):  # products tell nearly always that none is, in a third of the time of quotients
        least = known * (spacing[i] / 2 + radius[i]) * (1 - 2.0**-50) - 2.0**-960
        more |= np.int64(not error[i] <= max(least, 0.0))
    if more:
        for i in range(error.size):
            unit[i] = error[i] / (max(spacing[i] / 2, _TINY) + radius[i])
        found = _most(unit, judged)
        if found > most:
            return found, _first_of(found, unit, judged)
    return most, -1


@inlined
def _is_undecided(error, spacing, radius):
    near = np.int64(abs(error - 0.5 * spacing) <= radius) | np.int64(abs(error - spacing) <= radius)
    return near & np.int64(radius > 0)


_MEASURED = row(REAL, REAL, REAL, REAL, INT, INT, INT, INT, INT, INT, INT)


@compiled(_MEASURED, *8 * [GIVEN], REAL, FILLED, COUNTED)
def measure(computed, hi, lo, reach, spacing, radius, wide, conditioning, smallest, error, places):
    """Fill in the errors, see `ulp`. The largest, and that in each of three units; the first places of the
    latter; how many results are no numbers, how many are flushed to zero, and how many are not judged for these reasons
    or because the exact value is no number, so that their errors have no unit; and of how many errors it is open if
    they are below 1/2 ulp, or below 1, whose places are filled in. An empty `conditioning` is not asked for.
    """
    most = ulps = excess = conditioned = unusual = flushed = unjudged = unsure = np.int64(0)
    first = second = third = 0
    masks, units = np.empty(_BLOCK, np.int64), np.empty(_BLOCK)
    for start in range(0, error.size, _BLOCK):
        stop = min(start + _BLOCK, error.size)
        part, steps, radii = error[start:stop], spacing[start:stop], radius[start:stop]
        judged, unit = masks[: stop - start], units[: stop - start]
        _find_errors(computed[start:stop], hi[start:stop], lo[start:stop], reach[start:stop], part)
        more = np.int64(0)
        for i in range(part.size):
            more += _is_undecided(part[i], steps[i], radii[i])
        for i in range(part.size if more else 0):
            if _is_undecided(part[i], steps[i], radii[i]):
                places[unsure], unsure = start + i, unsure + 1
        counts = _judge(computed[start:stop], hi[start:stop], smallest, judged)
        unusual, flushed, unjudged = unusual + counts[0], flushed + counts[1], unjudged + counts[2]
        _fill_ulps(part, steps, unit)
        for i in range(part.size):
            most = max(most, _bits(part[i]))
        found = _most(unit, judged)
        if found > ulps:
            ulps, first = found, start + _first_of(found, unit, judged)
        excess, place = _find_most_relative(part, steps, wide[start:stop], judged, unit, excess)
        second = second if place < 0 else start + place
        if conditioning.size:
            conditioned, place = _find_most_relative(part, steps, conditioning[start:stop], judged, unit, conditioned)
            third = third if place < 0 else start + place
    if not conditioning.size:
        conditioned, third = excess, second
    sizes = _number(most), _number(ulps), _number(excess), _number(conditioned)
    return (*sizes, first, second, third, unusual, flushed, unjudged, unsure)


# A long sum is one of blocks, and what each addition of a block loses is added to the next (Kahan, 1965).
#
# Loops that only compute take several elements at a time, and are apart from those that count. Counts of many are kept
# in four rows: adding to the one that was added to last waits for it.


@inlined
def _plus(total, lost, part):
    more = part - lost
    longer = total + more
    return (longer, (longer - total) - more) if longer < np.inf else (longer, 0.0)


@inlined
def _mark(hi, judged, wrong, smallest, largest, counted, placed):
    """Fill in 1 for what is judged and a normal number, and for what has a cell; how many float64's subnormals are."""
    low, high, tiny = _bits(smallest), _bits(largest), np.int64(0)
    for i in range(hi.size):
        size = _bits(hi[i])
        counted[i], placed[i] = np.int64((low <= size) & (size <= high)), np.int64(size < _INFINITY)
        tiny += np.int64((size != 0) & (size < 1 << 52))
    for i in range(judged.size):
        counted[i], placed[i] = counted[i] & np.int64(judged[i]), placed[i] & np.int64(judged[i])
    for i in range(wrong.size):
        placed[i] |= np.int64(wrong[i] & (_bits(hi[i]) < _INFINITY))
    return tiny


@inlined
def _largest(errors, counted):
    """The bits of the largest error that counts, and how many do."""
    most, normal = np.int64(0), np.int64(0)
    for i in range(errors.size):
        bits = _bits(errors[i])
        most = max(most, (bits if bits <= _INFINITY else 0) & -counted[i])
        normal += counted[i]
    return most, normal


@inlined
def _sum_of(values):
    """The sum of some numbers, in four sums that do not wait for each other."""
    a, b, c, d, end = 0.0, 0.0, 0.0, 0.0, values.size // 4 * 4
    for i in range(0, end, 4):
        a, b, c, d = a + values[i], b + values[i + 1], c + values[i + 2], d + values[i + 3]
    for i in range(end, values.size):
        a += values[i]
    return (a + b) + (c + d)


@inlined
def _find_bins(errors, at):
    for i in range(errors.size):
        bits = _bits(errors[i]) + _SLACK - ((LOWEST + 1023) << 52)
        rest, begun = bits & _SIGNIFICAND, 1
        for each in range(1, PER_OCTAVE):
            begun += np.int64(rest >= _EDGES[each])
        at[i] = min(max(PER_OCTAVE * (bits >> 52) + begun, 0), BINS - 1)


@inlined
def _find_bands(errors, at):
    for i in range(errors.size):  # one bit less, so that exactly 2^e is of the band below
        at[i] = min(max(((_bits(errors[i]) - 1) >> 52) - 1021, 0), LARGEST_BAND)


@inlined
def _find_cells(hi, wrong, tiny, first, lowest, width, last, at):
    """Make bands to cells: `first` has the first cell of each biased exponent of float64, whose own subnormals are
    placed by the `lowest` exponent of columns, their `width` and the `last` of them."""
    for i in range(wrong.size):
        at[i] = CLASS_BAND if wrong[i] else at[i]
    for i in range(hi.size):
        at[i] += first[np.uint64(_bits(hi[i]) >> 52)]
    for i in range(hi.size if tiny else 0):
        if hi[i] != 0 and _bits(hi[i]) >> 52 == 0:
            exponent = (_bits(hi[i] * _LIFT) >> 52) - 1023 - 54
            at[i] += BANDS * (min(max((exponent - lowest) // width, 0), last - 1) + 1) - first[0]


@inlined
def _count(at, counts, bins, low, high):
    """Add counts to their bins; the first and the last bin that was ever added to."""
    last = bins.shape[0] - 1
    for i in range(at.size):
        bins[np.uint64(i & last), np.uint64(at[i])] += counts[i]
    for i in range(at.size):
        low, high = min(low, at[i]), max(high, at[i])
    return low, high


@inlined
def _count_errors(error, spacing, hi, judged, wrong, smallest, largest, first, lowest, width, last, bins, cells):
    """Add the errors in ulp of judged normal numbers to the bins of their size, and all that are judged or of a wrong
    class to the cells of the size of the exact value and of their own, see `magnitude`; how many such numbers there
    are, the sum of their errors, the first place of the largest, and this one, and which bins and cells are used.
    """
    normal, place, worst, total, lost = np.int64(0), 0, np.int64(0), 0.0, 0.0
    ats, ones, others = np.empty(_BLOCK, np.int64), np.empty(_BLOCK, np.int64), np.empty(_BLOCK, np.int64)
    units, low, high, least, most_used = np.zeros(_BLOCK), BINS, -1, cells.shape[1], -1
    for start in range(0, hi.size, _BLOCK):
        stop, size = min(start + _BLOCK, hi.size), min(_BLOCK, hi.size - start)
        part, exact, is_wrong = units[:size], hi[start:stop], wrong[start:stop]
        at, counted, placed = ats[:size], ones[:size], others[:size]
        if error.size:
            _fill_ulps(error[start:stop], spacing[start:stop], part)
        tiny = _mark(exact, judged[start:stop], is_wrong, smallest, largest, counted, placed)
        most, more = _largest(part, counted)
        if most > worst:
            place, worst = start + _first_of(most, part, counted), most
        normal += more
        if error.size:
            _find_bins(part, at)
            low, high = _count(at, counted, bins, low, high)
        else:
            bins[0, 0], low, high = normal, 0, 0
        _find_bands(part, at)
        _find_cells(exact, is_wrong, tiny, first, lowest, width, last, at)
        least, most_used = _count(at, placed, cells, least, most_used)
        if error.size:
            for i in range(size):
                part[i] = _number(min(_bits(part[i]), _bits(_MOST)) & -counted[i])
            total, lost = _plus(total, lost, _sum_of(part))
    return normal, total, place, _number(worst), low, high, least, most_used


@inlined
def _sum_squares(values, unit, judged):
    """The sum of the squares of what is judged, in a unit that is a power of two."""
    total, lost, scale, squares = 0.0, 0.0, 1 / unit, np.empty(_BLOCK)
    for start in range(0, values.size, _BLOCK):
        part, mask = values[start : start + _BLOCK], judged[start : start + _BLOCK]
        for i in range(part.size):
            squares[i] = (part[i] * scale) * (part[i] * scale)
        for i in range(mask.size):
            squares[i] = squares[i] if mask[i] else 0.0
        total, lost = _plus(total, lost, _sum_of(squares[: part.size]))
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
    return max(_number(widest), _LEAST_UNIT), count, blind


@inlined
def _gather(counts, low, high, places, numbers, start):
    """Fill in, from a place on, where counts are not 0, and the counts; where this ends."""
    for i in range(low, high + 1):
        number = counts[:, i].sum()
        if number:
            places[start], numbers[start] = i, number
            start += 1
    return start


_TOTALS = row(INT, REAL, INT, *4 * [REAL], *4 * [INT])


@compiled(_TOTALS, *4 * [GIVEN], *2 * [MARKS], *2 * [REAL], WHOLE, *3 * [INT], *2 * [COUNTED])
def total_up(error, hi, spacing, wide, judged, wrong, smallest, largest, first, lowest, width, last, places, numbers):
    """Add up the errors of an output, see `totals`: how many count, their sum in ulp, the first place of the largest,
    and this one; the sums of squares of errors and of ulps in one unit, and this, how many are judged, and for how many
    of these the allowance is larger than the value; and how many bins, and bins and cells, are not empty, whose places
    and counts are filled in. An empty `error` is zero throughout.
    """
    rows = 1 if hi.size < 2 * _BLOCK else 4
    bins, cells = np.zeros((rows, BINS), np.int64), np.zeros((rows, BANDS * (last + 1)), np.int64)
    given = judged, wrong, smallest, largest, first, lowest, width, last
    normal, total, place, worst, low, high, least, most = _count_errors(error, spacing, hi, *given, bins, cells)
    unit, count, blind = _count_blind(hi, spacing, wide, judged)
    squares, units = _sum_squares(error, unit, judged), _sum_squares(spacing, unit, judged)
    split = _gather(bins, low, high, places, numbers, 0)
    end = _gather(cells, least, most, places, numbers, split)
    return normal, total, place, worst, squares, units, unit, count, blind, split, end
