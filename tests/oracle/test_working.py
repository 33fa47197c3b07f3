"""The appeal's emulation: sums in the orders that libraries use, and overflow inside."""

import numpy as np
import pytest

from opfuzz.core.floats import BFLOAT16, FLOAT32
from opfuzz.oracle import graph, working
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS as F


def x_of(array):
    return graph.leaf(np.asarray(array, np.float32).astype(np.float64), "input")


def test_sequential_sum_is_the_one_that_mlx_makes():
    # Measured on MLX 0.32: mx.sum of 10^6 times 0.1 is 100958, as adding one after the other in float32 is.
    emulated = working.emulate(F["sum"](x_of(np.full(10**6, 0.1)), keepdims=False), FLOAT32, lanes=1)
    assert emulated.values == pytest.approx(100958, abs=1)


def test_bfloat16_sum_of_ones_stops_at_256():
    emulated = working.emulate(F["sum"](x_of(np.ones(1000)), keepdims=False), BFLOAT16, lanes=1)
    assert float(emulated.values) == 256


@pytest.mark.parametrize("lanes", [1, 8, 32])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 33, 100])
def test_every_order_gives_the_exact_sum_of_integers(lanes, n):
    x = np.arange(n, dtype=np.float64)
    assert working.emulate(F["sum"](x_of(x), keepdims=False), FLOAT32, lanes).values == x.sum()
    if n:
        product = x_of(x[None, :]) @ x_of(x[:, None])
        assert working.emulate(product, FLOAT32, lanes).values == (x * x).sum()


def test_says_where_an_intermediate_overflows():
    x = x_of([1e19, 1e20, 1.0, np.inf])
    emulated = working.emulate(F["sqrt"](x * x), FLOAT32, 1)
    # An infinite input is no overflow.
    assert emulated.overflowed.tolist() == [False, True, False, False]
    assert emulated.overflowed.dtype == bool


def test_an_overflow_in_a_branch_that_is_not_taken_has_no_part_in_the_result():
    x = x_of([1e20, 1.0, -1e20, 0.0])
    chosen = F["where"](x < 0, x * x, x)
    assert working.emulate(chosen, FLOAT32, 1).overflowed.tolist() == [False, False, True, False]
    quotient = F["where"](x < 0, x / x, F["where"](x > 0, x / x, 1))  # 0 / 0 is looked at by nobody
    assert working.emulate(quotient, FLOAT32, 1).overflowed.tolist() == [False] * 4
    compared = F["where"](x * x < 4, 2.0, 3.0)
    assert working.emulate(compared, FLOAT32, 1).overflowed.tolist() == [True, False, True, False]
    picked = F["where"](np.array([True, True, False, False]), x * x, x)
    assert working.emulate(picked, FLOAT32, 1).overflowed.tolist() == [True, False, False, False]
