"""The elementary functions of references: one table, one row a function.

Every evaluator of a graph reads its row here: balls (`value`, `tested`, `spread`, `poles`), Arb (`ball`), bounds over
ranges (`bounds`) and the working formats (`value`). A reference calls a function by its key in the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy.special

from opfuzz.core.floats import FloatArray

FLOOR = 2.0**-1021  # absolute error granted to every elementary function: SciPy gives 0 for many a subnormal result

OnBall = Callable[[Any], Any]  # of an arb; Arb is used by its methods only, so that nothing is imported for it
# Of m, y = f(m) and r: a bound of abs(f(m + d) - y) over abs(d) <= r.
Spread = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
# Of the function on arbs, low and high: between which values it stays while its argument runs from low to high.
Bounds = Callable[[OnBall, Any, Any], tuple[Any, Any]]


def rising(function: OnBall, low: Any, high: Any) -> tuple[Any, Any]:
    """Bounds of what grows: its values at the ends."""
    return function(low), function(high)


def falling(function: OnBall, low: Any, high: Any) -> tuple[Any, Any]:
    """Bounds of what shrinks: its values at the ends, exchanged."""
    return function(high), function(low)


def oscillating(function: OnBall, low: Any, high: Any) -> tuple[Any, Any]:
    """Bounds of a sine, wherever its argument lies."""
    return -1, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Elementary:
    """One elementary function f of one real argument: all that any evaluator has to know of it.

    `tested` is in ulp of float64: at least four times the largest error of `value` that a sweep against Arb measured
    (see tests/oracle/test_elementary.py, which repeats it). It is tested, not proved, and says nothing below FLOOR.
    """

    value: Callable[[FloatArray], FloatArray]  # f on float64 arrays
    tested: float
    spread: Callable[
        [FloatArray, FloatArray, FloatArray], FloatArray
    ]  # (m, y = f(m), r): the largest abs(f(m +- r) - y)
    ball: OnBall  # f of an arb inside the domain
    bounds: Bounds
    domain: tuple[float, float] = (-inf, inf)  # f has no real value outside
    poles: tuple[float, ...] = ()  # finite arguments for which IEEE arithmetic defines an infinity, that of `value`


def _nearest(m: FloatArray, r: FloatArray) -> FloatArray:
    """Distance from zero of the point of [m - r, m + r] that is nearest to it."""
    return np.maximum(np.abs(m) - r, 0.0)


def _exp_spread(m: FloatArray, raised: FloatArray, r: FloatArray) -> FloatArray:
    # exp(m) (e^r - 1), which is below exp(m + r); the second holds where exp(m) underflows and the first would be 0.
    near = raised * np.expm1(r)
    if m.min(initial=0.0) > -600 and m.max(initial=0.0) < 700 and r.max(initial=0.0) < 600:
        return near
    return np.asarray(np.where(r == 0, 0.0, np.where((m > -600) & (r < 600), near, np.exp(m + r))))


def _log_spread(m: FloatArray, r: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = r / m
        return np.where(r == 0, 0.0, np.where((m > 0) & (ratio < 1), -np.log1p(-np.minimum(ratio, 1.0)), np.inf))


def _sine_spread(slope: FloatArray, r: FloatArray) -> FloatArray:
    return np.minimum((np.abs(slope) + 2.0**-50) * r + r * r / 2, 2.0)


def _tanh_spread(m: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    decay = np.exp(-2 * _nearest(m, r))  # slope of tanh: 4 e^-2t / (1 + e^-2t)^2
    return np.asarray(np.minimum(4 * decay / (1 + decay) ** 2 * r, 2.0))


def _sigmoid_spread(m: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    decay = np.exp(-_nearest(m, r))
    return np.asarray(np.minimum(decay / (1 + decay) ** 2 * r, 1.0))


def _erf_spread(m: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    return np.asarray(np.minimum(2 / np.sqrt(np.pi) * np.exp(-(_nearest(m, r) ** 2)) * r, 2.0))


def _softplus(x: FloatArray) -> FloatArray:
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def _sigmoid_ball(x: Any) -> Any:
    if x > 0:
        return 1 / (1 + (-x).exp())
    raised = x.exp()
    return raised / (1 + raised)


def _softplus_ball(x: Any) -> Any:
    return x + (-x).exp().log1p() if x > 0 else x.exp().log1p()


ELEMENTARY: MappingProxyType[str, Elementary] = MappingProxyType(
    {
        "exp": Elementary(
            value=np.exp, tested=4.0, spread=_exp_spread, ball=lambda x: x.exp(), bounds=rising
        ),
        "expm1": Elementary(
            value=np.expm1, tested=8.0, spread=lambda m, y, r: _exp_spread(m, np.exp(m), r),
            ball=lambda x: x.expm1(), bounds=rising,
        ),
        "log": Elementary(
            value=np.log, tested=4.0, spread=lambda m, y, r: _log_spread(m, r),
            ball=lambda x: x.log(), bounds=rising, domain=(0.0, inf), poles=(0.0,),
        ),
        "log1p": Elementary(
            value=np.log1p, tested=8.0, spread=lambda m, y, r: _log_spread(1 + m, r),
            ball=lambda x: x.log1p(), bounds=rising, domain=(-1.0, inf), poles=(-1.0,),
        ),
        "sin": Elementary(
            value=np.sin, tested=16.0, spread=lambda m, y, r: _sine_spread(np.cos(m), r),
            ball=lambda x: x.sin(), bounds=oscillating,
        ),
        "cos": Elementary(
            value=np.cos, tested=16.0, spread=lambda m, y, r: _sine_spread(np.sin(m), r),
            ball=lambda x: x.cos(), bounds=oscillating,
        ),
        "tanh": Elementary(
            value=np.tanh, tested=8.0, spread=_tanh_spread, ball=lambda x: x.tanh(), bounds=rising
        ),
        "sigmoid": Elementary(
            value=scipy.special.expit, tested=16.0, spread=_sigmoid_spread, ball=_sigmoid_ball, bounds=rising
        ),
        "softplus": Elementary(
            value=_softplus, tested=16.0, spread=lambda m, y, r: scipy.special.expit(m + r) * r,
            ball=_softplus_ball, bounds=rising,
        ),
        "erf": Elementary(
            value=scipy.special.erf, tested=12.0, spread=_erf_spread, ball=lambda x: x.erf(), bounds=rising
        ),
        "erfc": Elementary(
            value=scipy.special.erfc, tested=4096.0, spread=_erf_spread, ball=lambda x: x.erfc(), bounds=falling
        ),
    }
)  # fmt: skip
