"""Drift against NumPy's own correlation and statistics, and where those have lost their digits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opfuzz.network.drift import drift

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.floats(0.01, 3))
def test_agrees_with_numpy(seed, amount):
    random = np.random.default_rng(seed)
    a = random.normal(size=(3, 40))
    b = a + amount * random.normal(size=a.shape) + 0.1
    found = drift(a, b)
    assert found.corr == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-12)
    assert found.mae == pytest.approx(np.abs(b - a).mean())
    assert found.median == pytest.approx(np.median(np.abs(b - a)))
    assert found.max == pytest.approx(np.abs(b - a).max())
    assert found.shift == pytest.approx(b.mean() - a.mean())
    assert (found.std_a, found.std_b) == pytest.approx((a.std(), b.std()))
    # The identity between correlation, spread, shift and root mean square.
    square = found.std_a**2 + found.std_b**2 - 2 * found.corr * found.std_a * found.std_b + found.shift**2
    assert found.rms**2 == pytest.approx(square)


def test_small_decorrelation_keeps_its_digits():
    # b = a + e n with a and n orthogonal and of mean 0: corr = 1 / sqrt(1 + e^2 |n|^2 / |a|^2), so 1 - corr = e^2 / 2.
    a = np.array([1.0, -1.0, 1.0, -1.0])
    n = np.array([1.0, 1.0, -1.0, -1.0])
    found = drift(a, a + 2.0**-30 * n)
    assert found.decorrelation == pytest.approx(2.0**-61, rel=1e-6)
    assert found.corr == 1.0


def test_equal_constant_and_opposite_tensors():
    a = np.array([1.0, 2.0, 4.0])
    assert drift(a, a).decorrelation == 0
    assert drift(a, -a).corr == pytest.approx(-1)
    assert drift(a, np.ones(3)).corr == 0
    assert drift(np.ones(3), np.ones(3)).corr == 1


def test_nan_is_not_hidden():
    assert math.isnan(drift(np.array([1.0, 2.0]), np.array([1.0, np.nan])).mae)


@pytest.mark.parametrize(("a", "b"), [((2,), (3,)), ((0,), (0,))])
def test_refuses_what_cannot_be_compared(a, b):
    with pytest.raises(ValueError, match="undefined between shapes"):
        drift(np.zeros(a), np.zeros(b))
