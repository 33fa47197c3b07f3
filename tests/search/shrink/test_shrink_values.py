"""Faults of values and layouts, and what is left of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from shrunk_calls import call_of, shrunk
from toy_specs import CONVOLUTION, LOOKUP, NORM, PRODUCT, UNARY

NORMAL = np.random.default_rng(1).normal(size=70000).astype(np.float32)


def with_at(index, value):
    x = NORMAL.copy()
    x[index] = value
    return x


def test_nan_anywhere():
    start = call_of(UNARY, {"n": 70000}, x=with_at(54321, np.nan))
    found, count = shrunk(UNARY, start, lambda call: bool(np.isnan(call.arrays["x"]).any()))
    assert found.arrays["x"].tobytes() == np.float32([np.nan]).tobytes()
    assert count <= 60


@pytest.mark.parametrize(("low", "high", "simple"), [(88, 88.72, 88.5), (88, np.inf, 128), (-2.5, -2.1, -2.25)])
def test_a_range_of_numbers_gives_one_with_few_digits(low, high, simple):
    def is_in(call):
        return bool(((call.arrays["x"] > low) & (call.arrays["x"] < high)).any())

    found, count = shrunk(UNARY, call_of(UNARY, {"n": 70000}, x=30 * NORMAL), is_in)
    assert found.arrays["x"].tolist() == [simple]
    assert count <= 80


def test_much_mean_and_little_spread():
    def is_steep(call):
        x = call.arrays["x"].astype(np.float64)
        return bool(x.size) and bool(((np.abs(x.mean(1)) > 2**12 * x.std(1)) & (x.std(1) > 0)).any())

    start = call_of(NORM, {"batch": 7, "d": 300}, x=(NORMAL[:2100] + 5000).reshape(7, 300))
    found, count = shrunk(NORM, start, is_steep, (3, 20))
    assert found.dims == {"batch": 1, "d": 2}
    assert not found.arrays["weight"].any()
    assert is_steep(found)
    assert count <= 110


def test_all_minus_infinity():
    start = call_of(UNARY, {"n": 200}, x=np.full(200, -np.inf, np.float32))
    found, count = shrunk(UNARY, start, lambda c: c.dims["n"] >= 128 and bool(np.isneginf(c.arrays["x"]).all()))
    assert found.arrays["x"].tolist() == [-np.inf] * 128
    assert count <= 100


def test_two_equal_neighbours():
    def are_equal(call):
        x = call.arrays["x"]
        return bool(((x[1:] == x[:-1]) & (np.abs(x[1:]) > 0.01) & (x[1:] != 1)).any())

    start = call_of(UNARY, {"n": 1000}, x=with_at(501, NORMAL[500])[:1000])
    found, count = shrunk(UNARY, start, are_equal)
    assert found.arrays["x"].tolist() == [-1, -1]
    assert count <= 80


def test_what_does_not_matter_becomes_zero():
    a = NORMAL[:42].reshape(6, 7)
    start = call_of(PRODUCT, {"m": 6, "k": 7, "n": 5}, a=a)
    found, _ = shrunk(PRODUCT, start, lambda c: c.dims == start.dims and c.arrays["a"][4, 2] == a[4, 2])
    assert np.flatnonzero(found.arrays["a"]).tolist() == [30]
    assert not found.arrays["b"].any()


def test_what_a_spec_never_makes_negative_stays_so():
    """A variance: -1 would be simpler than 3, and shows this fault as well."""
    spread = replace(UNARY, inputs=(replace(UNARY.inputs[0], regimes=("positive", "unit")),))
    start = call_of(spread, {"n": 2}, x=np.float32([2.7, 3.3]))
    asked = []

    def is_interesting(call):
        asked.append(call)
        x = call.arrays["x"]
        return bool(x.size and (abs(x) > 0.5).all() and not np.isin(x, (1, 2)).any())

    found, _ = shrunk(spread, start, is_interesting)
    assert all((call.arrays["x"] >= 0).all() for call in asked)
    assert found.arrays["x"].tolist() == [3]
    assert shrunk(UNARY, start, is_interesting)[0].arrays["x"].tolist() == [-1]


def test_rounding_in_a_sum_of_bfloat16():
    def stops(call):
        x = call.arrays["x"].astype(np.float64)
        total = np.zeros(x.shape[0])
        for column in x.T:
            total = (total + column).astype(call.arrays["x"].dtype).astype(np.float64)
        return bool((np.abs(total - x.sum(1)) > 2**-7 * np.abs(x).sum(1)).any())

    ones = call_of(NORM, {"batch": 2, "d": 2000}, format="bfloat16")
    ones = ones.with_arrays({"x": np.ones_like(ones.arrays["x"])})
    found, count = shrunk(NORM, ones, stops)
    assert found.dims == {"batch": 1, "d": 4}  # 1 + 2^-8 is 1: three lost are the first that are 2^-7 of all
    assert count <= 270


def test_masks_and_indices():
    start = call_of(LOOKUP, {"rows": 6, "columns": 5, "vocab": 9, "d": 8})

    def is_masked(call):
        return bool(np.isneginf(call.arrays["bias"]).any() and call.arrays["keep"].any())

    found, count = shrunk(LOOKUP, start, is_masked)
    assert found.arrays["bias"].tolist() == [[-np.inf]]
    assert found.arrays["keep"].tolist() == [[True]]
    assert found.arrays["index"].tolist() == [[0]]
    assert count <= 80


DIMS = {"n": 3, "c_in": 8, "c_out": 12, "length": 20, "k": 3}


def test_a_weight_that_is_not_contiguous():
    start = call_of(CONVOLUTION, DIMS, {"groups": 4}, {"weight": "permuted", "x": "offset"})
    found, count = shrunk(CONVOLUTION, start, lambda c: c.layouts["weight"] != "contiguous" and c.dims["n"] > 0)
    assert found.layouts == {"x": "contiguous", "weight": "transposed"}
    assert set(found.dims.values()) == {1}
    assert count <= 40


def test_a_slice_with_an_offset_a_batch_and_a_nan():
    weight = with_at(33, np.nan)[:80]
    start = call_of(NORM, {"batch": 30, "d": 80}, None, {"x": "offset", "weight": "stepped"}, weight=weight)

    def is_wrong(call):
        is_view = call.layouts["x"] == "offset"
        return is_view and call.dims["batch"] >= 2 and bool(np.isnan(call.arrays["weight"]).any())

    found, count = shrunk(NORM, start, is_wrong)
    assert found.dims == {"batch": 2, "d": 1}
    assert found.layouts == {"x": "offset", "weight": "contiguous", "bias": "contiguous"}
    assert not found.arrays["x"].any()
    assert count <= 80


def test_a_broadcast_batch_stays_constant():
    row = np.repeat(NORMAL[None, :9], 7, axis=0)
    start = call_of(NORM, {"batch": 7, "d": 9}, None, {"x": "broadcast"}, x=row)
    found, _ = shrunk(NORM, start, lambda c: c.layouts["x"] == "broadcast" and bool((c.arrays["x"] > 0.3).any()))
    assert found.arrays["x"].tolist() == [[1], [1]]
