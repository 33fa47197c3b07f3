"""Rows of the functions that every mathematical library has: powers, logarithms, of circles, of hyperbolas."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from types import MappingProxyType
from typing import Any

import numpy as np

from opfuzz.core.floats import FloatArray
from opfuzz.oracle.functions import spreads
from opfuzz.oracle.functions.record import (
    Elementary,
    enclosed,
    falling,
    oscillating,
    rising,
    rising_both_ways,
    special,
)

LN_2, LN_10 = float(np.log(2.0)), float(np.log(10.0))


# Libraries reduce an argument by pi to about 2^-92, so that next to a zero or a pole they lose what is small there: cos
# of 5.83e282, 6e-18, is off by 3e-29 in glibc, and so is tan.
REDUCED = 2.0**-40


def _reduced_scale(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.abs(y) + np.where(np.abs(x) > 1, REDUCED, 0.0)


def _tan_scale(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.abs(y) + np.where(np.abs(x) > 1, REDUCED * (1 + y * y), 0.0)


def _softplus(x: FloatArray) -> FloatArray:
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def _sigmoid_ball(x: Any) -> Any:
    if x > 0:
        return 1 / (1 + (-x).exp())
    raised = x.exp()
    return raised / (1 + raised)


def _softplus_ball(x: Any) -> Any:
    return x + (-x).exp().log1p() if x > 0 else x.exp().log1p()


def _cbrt_ball(x: Any) -> Any:
    return -(-x).root(3) if x < 0 else x.root(3)


PLAIN: Mapping[str, Elementary] = MappingProxyType(
    {
        "exp": Elementary(
            value=np.exp, tested=4.0, spread=spreads.exp_spread, ball=lambda x: x.exp(), bounds=rising
        ),
        "exp2": Elementary(
            value=np.exp2, tested=16.0, spread=lambda m, y, r: spreads.exp_spread(m * LN_2, y, r * LN_2),
            ball=lambda x: 2**x, bounds=rising,
        ),
        "expm1": Elementary(
            value=np.expm1, tested=8.0, spread=lambda m, y, r: spreads.exp_spread(m, np.exp(m), r),
            ball=lambda x: x.expm1(), bounds=rising,
        ),
        "log": Elementary(
            value=np.log, tested=4.0, spread=lambda m, y, r: spreads.log_spread(m, r),
            ball=lambda x: x.log(), bounds=rising, domain=(0.0, inf), poles=(0.0,),
        ),
        "log2": Elementary(
            value=np.log2, tested=16.0, spread=lambda m, y, r: spreads.log_spread(m, r) / LN_2,
            ball=lambda x: x.log_base(2), bounds=rising, domain=(0.0, inf), poles=(0.0,),
        ),
        "log10": Elementary(
            value=np.log10, tested=16.0, spread=lambda m, y, r: spreads.log_spread(m, r) / LN_10,
            ball=lambda x: x.log_base(10), bounds=rising, domain=(0.0, inf), poles=(0.0,),
        ),
        "log1p": Elementary(
            value=np.log1p, tested=8.0, spread=lambda m, y, r: spreads.log_spread(1 + m, r),
            ball=lambda x: x.log1p(), bounds=rising, domain=(-1.0, inf), poles=(-1.0,),
        ),
        "cbrt": Elementary(
            value=np.cbrt, tested=16.0, spread=spreads.cbrt_spread, ball=_cbrt_ball, bounds=rising
        ),
        "sin": Elementary(
            value=np.sin, tested=16.0, scale=_reduced_scale, spread=lambda m, y, r: spreads.sine_spread(np.cos(m), r),
            ball=lambda x: x.sin(), bounds=oscillating,
        ),
        "cos": Elementary(
            value=np.cos, tested=16.0, scale=_reduced_scale, spread=lambda m, y, r: spreads.sine_spread(np.sin(m), r),
            ball=lambda x: x.cos(), bounds=oscillating,
        ),
        "tan": Elementary(
            value=np.tan, tested=16.0, scale=_tan_scale, spread=spreads.tan_spread, ball=lambda x: x.tan(),
            bounds=enclosed,
        ),
        "asin": Elementary(
            value=np.arcsin, tested=16.0,
            spread=spreads.steep_towards_one(lambda t, gap: 1 / np.sqrt(gap * (1 + t))),
            ball=lambda x: x.asin(), bounds=rising, domain=(-1.0, 1.0),
        ),
        "acos": Elementary(
            value=np.arccos, tested=16.0,
            spread=spreads.steep_towards_one(lambda t, gap: 1 / np.sqrt(gap * (1 + t))),
            ball=lambda x: x.acos(), bounds=falling, domain=(-1.0, 1.0),
        ),
        "atan": Elementary(
            value=np.arctan, tested=16.0, spread=spreads.steep_near_zero(lambda t: 1 / (1 + t * t)),
            ball=lambda x: x.atan(), bounds=rising,
        ),
        "sinh": Elementary(
            value=np.sinh, tested=16.0, spread=spreads.steep_far_out(np.cosh), ball=lambda x: x.sinh(), bounds=rising
        ),
        "cosh": Elementary(
            value=np.cosh, tested=16.0, spread=spreads.steep_far_out(np.sinh), ball=lambda x: x.cosh(),
            bounds=rising_both_ways,
        ),
        "tanh": Elementary(
            value=np.tanh, tested=8.0, spread=spreads.tanh_spread, ball=lambda x: x.tanh(), bounds=rising
        ),
        "asinh": Elementary(
            value=np.arcsinh, tested=16.0, spread=spreads.steep_near_zero(lambda t: 1 / np.hypot(1.0, t)),
            ball=lambda x: x.asinh(), bounds=rising,
        ),
        "acosh": Elementary(
            value=np.arccosh, tested=16.0, spread=spreads.acosh_spread, ball=lambda x: x.acosh(), bounds=rising,
            domain=(1.0, inf),
        ),
        "atanh": Elementary(
            value=np.arctanh, tested=16.0, spread=spreads.steep_towards_one(lambda t, gap: 1 / (gap * (1 + t))),
            ball=lambda x: x.atanh(), bounds=rising, domain=(-1.0, 1.0), poles=(-1.0, 1.0),
        ),
        "sigmoid": Elementary(
            value=lambda x: special().expit(x), tested=16.0, spread=spreads.sigmoid_spread, ball=_sigmoid_ball,
            bounds=rising,
        ),
        "softplus": Elementary(
            value=_softplus, tested=16.0, spread=lambda m, y, r: special().expit(m + r) * r,
            ball=_softplus_ball, bounds=rising,
        ),
    }
)  # fmt: skip
