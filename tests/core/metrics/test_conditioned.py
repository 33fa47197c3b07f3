"""Errors against what is unavoidable."""

from __future__ import annotations

import numpy as np
import pytest

from opfuzz.core.floats import BFLOAT16, FLOAT32
from opfuzz.core.metrics.conditioned import effective_bits, relative_to


def test_one_without_a_radius_is_half_an_ulp():
    spacing = np.array([2.0**-23, 8.0])
    assert relative_to(spacing / 2, spacing, np.zeros(2)).tolist() == [1.0, 1.0]


def test_the_radius_is_forgiven():
    assert relative_to(np.array([3.0]), np.array([2.0]), np.array([5.0])) == 0.5


def test_an_unbounded_radius_forgives_everything():
    assert relative_to(np.array([1e300]), np.array([1.0]), np.array([np.inf])) == 0.0


@pytest.mark.parametrize(("conditioned", "bits"), [(0.0, 24.0), (1.0, 24.0), (2.0, 23.0), (2.0**13, 11.0), (1e30, 0.0)])
def test_effective_bits_of_float32(conditioned, bits):
    assert effective_bits(conditioned, FLOAT32) == bits


def test_effective_bits_start_from_the_precision():
    assert effective_bits(0.5, BFLOAT16) == 8.0
