"""Calls with their values: the order from simple to complicated."""

from __future__ import annotations

import numpy as np
import pytest

from opfuzz.spec.order import complexity


def test_simple_numbers_come_first():
    order = [0.0, 1.0, -1.0, 3.0, 1024.0, 1023.0, 0.1]
    sizes = complexity(np.array(order))
    assert list(sizes) == sorted(sizes)
    assert len(set(sizes[:4])) == 4
    assert complexity(np.array([-0.0, 2.0, 4.0, 3.0, np.nan, np.inf])).tolist() == [1, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("value", [2.0**-1074, 1.7976931348623157e308, 5e-320])
def test_the_ends_of_the_range_count(value):
    assert complexity(np.array(value)) > 100


def test_integers_and_truth_values_count_too():
    assert complexity(np.array([0, 1, 7])).tolist() == [0, 1, 5]
    assert complexity(np.array([False, True])).tolist() == [0, 1]
