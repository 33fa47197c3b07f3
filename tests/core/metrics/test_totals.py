"""What errors add up to: against sums and counts that are made one by one."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from error_totals import totals
from hypothesis import given
from hypothesis import strategies as st

from opfuzz.core.floats import FLOAT16, FLOAT32

numbers = st.floats(0, 1e6)
elements = st.tuples(numbers, st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1e-7, 7e4]), st.booleans())


@given(st.lists(elements, max_size=40))
def test_what_is_judged_and_normal_is_counted(found):
    ulps, exact, judged = (np.array([each[at] for each in found]) for at in range(3))
    told = totals(ulps, exact.astype(float), fmt=FLOAT16, judged=judged.astype(bool))
    counted = [e for e, x, j in found if j and FLOAT16.smallest_normal <= abs(x) <= FLOAT16.largest]
    assert told.normal == len(counted)
    assert told.total == pytest.approx(math.fsum(counted), rel=1e-14)
    assert told.largest == max(counted, default=0.0)
    if told.largest:
        assert told.place == [e if e in counted else -1.0 for e, _, _ in found].index(told.largest) or not judged.all()
    assert sum(told.histogram.values()) == len(counted)


@given(st.lists(numbers, min_size=1, max_size=2000), st.integers(0, 3))
def test_sums_are_right_however_long(values, shift):
    some = [value * 2.0**shift for value in values]
    assert totals(some).total == pytest.approx(math.fsum(some), rel=1e-14)


def test_a_long_sum_loses_no_more_than_a_short_one():
    values = np.full(10**6, 0.1)
    told = totals(values * 0.3, spacing=0.3)
    assert told.total == pytest.approx(float(Fraction(0.1) * 10**6), rel=1e-14)
    assert told.rms_ulp == pytest.approx(0.1, rel=1e-14)


def test_the_first_of_the_largest_is_told_and_nothing_beyond_float64():
    assert totals([1.0, 3.0, 2.0, 3.0]).place == 1
    told = totals([0.0, np.inf])
    assert (told.place, told.largest) == (1, np.inf)
    assert told.total == np.finfo(np.float64).max
    assert totals([]).place == 0


def test_rms_is_of_the_output_as_a_whole():
    # sqrt((9 + 16) / (1 + 4 + 20)): the element whose ulp is tiny counts for its error, not for its millions of ulps.
    assert totals([3.0, 4.0, 0.0], spacing=[1.0, 2.0, 20.0**0.5]).rms_ulp == pytest.approx(1)
    assert totals([1.0, 1.0], spacing=[1.0, 1e-9]).rms_ulp == pytest.approx(2**0.5)
    assert totals([]).rms_ulp is None
    assert totals([1.0, 9.0], judged=np.array([True, False])).rms_ulp == 1.0
    assert totals([1.0], judged=np.array([False])).rms_ulp is None


def test_rms_at_the_ends_of_the_range():
    tiny = np.array([5e-324, 1e-323])
    assert totals(3 * tiny, spacing=tiny).rms_ulp == pytest.approx(3)
    assert totals([1e308, 1e308], spacing=1e-300).rms_ulp == np.inf


def test_an_allowance_beyond_the_value_and_half_an_ulp_is_blind():
    told = totals([0.0] * 4, exact=[1.0, 1.0, 0.0, 1.0], spacing=0.5, wide=[1.5, 0.9, 0.3, np.inf], fmt=FLOAT32)
    assert told.blind == 3
