"""Bounds over whole ranges hold what the function does inside them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from opfuzz.oracle.graph import equal, leaf
from opfuzz.oracle.interval import between
from opfuzz.oracle.operations import REFERENCE_FUNCTIONS

F = REFERENCE_FUNCTIONS
ONE_ARGUMENT = {
    "exp": np.exp, "expm1": np.expm1, "tanh": np.tanh, "sin": np.sin, "cos": np.cos, "abs": np.abs,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "softplus": lambda x: np.log1p(np.exp(x)),
    "erf": np.vectorize(math.erf), "erfc": np.vectorize(math.erfc), "log1p": np.log1p, "log": np.log, "sqrt": np.sqrt,
}  # fmt: skip


def x():
    return leaf(np.ones((1, 1)), "input")


@pytest.mark.parametrize("name", ONE_ARGUMENT)
def test_bounds_hold_every_value_and_are_reached(name):
    for low, high in ((-0.75, 0.5), (0.5, 3.0), (1e-3, 2e-3)):
        if low <= 0 and name in ("log", "sqrt"):
            continue
        bounds = between(F[name](x()), low, high)
        values = ONE_ARGUMENT[name](np.linspace(low, high, 1001))
        slack = 1e-12 * np.abs(values).max()
        assert bounds[0] <= values.min() + slack
        assert values.max() - slack <= bounds[1]
        if name not in ("sin", "cos"):
            assert bounds == pytest.approx((values.min(), values.max()), rel=1e-9, abs=1e-15)


def test_arithmetic_and_choices():
    assert between(x() * x() - 2 / x(), 1.0, 2.0) == pytest.approx((-1.0, 3.0))
    assert between(-(x() ** 2), -3.0, 2.0) == pytest.approx((-9.0, 0.0))
    assert between(F["maximum"](x(), 0), -3.0, 2.0) == pytest.approx((0.0, 2.0))
    assert between(F["where"](x() < 5, x(), 2 * x()), 1.0, 2.0) == pytest.approx((1.0, 2.0))
    assert between(F["where"](x() < 1.5, x(), 10 * x()), 1.0, 2.0) == pytest.approx((1.0, 20.0))


def test_steps_and_what_is_equal():
    assert between(F["floor"](x() / 2), -3.0, 4.5) == pytest.approx((-2, 2))
    assert between(F["round"](x()), 0.5, 2.5) == pytest.approx((0, 2))
    assert between(F["float16"](x()), 1.0, 1.0004) == pytest.approx((1, 1))
    assert between(F["where"](equal(x(), 3), 7, 8), -1.0, 1.0) == pytest.approx((8, 8))
    assert between(F["where"](equal(x(), 3), 7, 8), 3.0, 3.0) == pytest.approx((7, 7))
    assert between(F["where"](equal(x(), 3), 7, 8), 2.0, 4.0) == pytest.approx((7, 8))
    assert between(F["where"](x() <= 3, 7, 8), 2.0, 3.0) == pytest.approx((7, 7))


def test_beyond_float64_the_bound_is_its_largest_number():
    low, high = between(F["exp"](x()), 1e30, 2e30)
    assert low == np.finfo(np.float64).max
    assert high == math.inf
    low, high = between(F["exp"](x()), -2e30, -1e30)
    assert 0 <= high < 1e-300
    assert low <= 0


def test_what_has_no_real_value_is_nan_and_what_is_not_known_is_everything():
    assert all(map(math.isnan, between(1 / F["sqrt"](x()), -3.0, -2.0)))
    assert between(1 / x(), -1.0, 1.0) == (-math.inf, math.inf)
    assert between(F["maximum"](F["log"](x()), 0), -3.0, -2.0) == (-math.inf, math.inf)
