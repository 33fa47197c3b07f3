"""Errors in ulp, and percentiles from histograms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opfuzz.core.metrics.ulp import absolute_error, histogram, percentile, rms_ratio

WIDTH = 2.0 ** (1 / 8)  # of a bin, as a factor


def test_absolute_error_uses_both_parts_of_the_exact_value():
    third = 1 / 3  # the rest of one third, to 53 more bits
    assert (
        absolute_error(np.array([third]), np.array([third]), np.array([1.850371707708594e-17])) == 1.850371707708594e-17
    )
    assert absolute_error(np.array([2.0, -2.0]), np.array([1.0, 1.0]), np.zeros(2)).tolist() == [1.0, 3.0]


def test_absolute_error_has_no_size_at_specials():
    computed, exact = np.array([np.nan, np.inf, np.inf, 1.0]), np.array([1.0, np.inf, 1.0, np.nan])
    error = absolute_error(computed, exact, np.zeros(4))
    assert np.isnan(error).tolist() == [True, True, False, True]
    assert error[2] == np.inf


errors = st.lists(st.floats(2.0**-15, 2.0**79), min_size=1, max_size=200)


@given(errors, st.sampled_from((0.01, 0.5, 0.9, 0.99, 1.0)))
def test_percentile_is_within_one_bin_of_numpys(values, share):
    array = np.array(values)
    right = np.percentile(array, 100 * share, method="inverted_cdf")
    found = percentile(histogram(array), share)
    assert right * (1 - 1e-12) <= found <= WIDTH * right * (1 + 1e-12)


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_percentile_of_a_large_sample_is_within_nine_percent_of_numpys(spread):
    values = np.exp(np.random.default_rng(1).normal(size=20_000) * spread)
    for share in (0.5, 0.9, 0.99):
        assert percentile(histogram(values), share) == pytest.approx(np.percentile(values, 100 * share), rel=0.09)


@given(errors, errors)
def test_histograms_add_up(a, b):
    whole = histogram(np.array(a + b))
    parts = [histogram(np.array(a)), histogram(np.array(b))]
    assert whole == {place: sum(part.get(place, 0) for part in parts) for place in whole}
    assert sum(whole.values()) == len(a) + len(b)


def test_what_is_beyond_the_bins_is_kept():
    assert percentile(histogram(np.array([0.0, 1e-30])), 0.99) == 0.0
    assert percentile(histogram(np.array([2.0**120])), 0.99) >= 2.0**80
    assert percentile({}, 0.99) == 0.0
    assert histogram(np.zeros(0)) == {}


def test_rms_ratio_is_of_the_output_as_a_whole():
    # sqrt((9 + 16) / (1 + 4 + 20)): the element whose ulp is tiny counts for its error, not for its millions of ulps.
    assert rms_ratio(np.array([3.0, 4.0, 0.0]), np.array([1.0, 2.0, 20.0**0.5])) == pytest.approx(1)
    assert rms_ratio(np.array([1.0, 1.0]), np.array([1.0, 1e-9])) == pytest.approx(2**0.5)
    assert rms_ratio(np.array([]), np.array([])) is None


def test_rms_ratio_at_the_ends_of_the_range():
    tiny = np.array([5e-324, 1e-323])
    assert rms_ratio(3 * tiny, tiny) == pytest.approx(3)
    assert rms_ratio(np.array([1e308, 1e308]), np.array([1e-300, 1e-300])) == np.inf
