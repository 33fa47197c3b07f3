"""Distances between two subjects."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from opfuzz.core.metrics.distance import largest_distance


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_one_step_away(dtype):
    a = np.array([1.0, -3.0, 100.0], dtype)
    assert largest_distance(a, a) == 0
    assert largest_distance(a, np.nextafter(a, dtype(0))) == 1


def test_bfloat16():
    a = np.array([1.0], ml_dtypes.bfloat16)
    assert largest_distance(a, np.array([1 + 2**-7], ml_dtypes.bfloat16)) == 1


def test_only_normal_numbers_count():
    a = np.array([0.0, 1e-45, np.nan, np.inf, 1.0], np.float32)
    b = np.array([1.0, 1.0, 1.0, 1.0, 1.0], np.float32)
    assert largest_distance(a, b) == 0
    assert largest_distance(np.zeros(0, np.float32), np.zeros(0, np.float32)) == 0


def test_signs_are_far_apart():
    one = np.ones(1, np.float32)
    assert largest_distance(one, -one) == 2 * 0x3F800000
