"""Errors in ulp, and percentiles from histograms."""

from __future__ import annotations

import numpy as np
import pytest
from error_totals import histogram
from hypothesis import given
from hypothesis import strategies as st

from opfuzz.core.metrics.ulp import absolute_error, percentile

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


def test_what_may_be_off_counts_from_its_reach():
    error = absolute_error(np.array([3.0, 3.0, 3.0, np.nan]), np.ones(4), None, np.array([-1.0, 1.5, 2.5, 1.0]))
    assert error[:3].tolist() == [2.0, 0.5, 0.0]
    assert np.isnan(error[3])
