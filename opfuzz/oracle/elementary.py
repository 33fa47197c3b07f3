"""Elementary functions of the reference: a float64 value, how far it spreads, and how well NumPy and SciPy compute it.

`tested` is in ulp of float64: at least four times the largest error that a sweep against Arb measured (see
tests/oracle/test_elementary.py, which repeats it). It is tested, not proved. Below FLOOR it says nothing: SciPy gives 0
for many a subnormal result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.special

from opfuzz.floats import FloatArray

FLOOR = 2.0**-1021  # absolute error granted to every elementary function


@dataclass(frozen=True, slots=True)
class Elementary:
    """f on float64 arrays. `spread(m, y, r)` bounds abs(f(m + d) - y) over abs(d) <= r, where y = f(m)."""

    value: Callable[[FloatArray], FloatArray]
    spread: Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
    tested: float
    poles: tuple[float, ...] = ()  # where IEEE arithmetic defines an infinity for a finite argument


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


ELEMENTARY: dict[str, Elementary] = {
    "exp": Elementary(np.exp, _exp_spread, 4.0),
    "expm1": Elementary(np.expm1, lambda m, y, r: _exp_spread(m, np.exp(m), r), 8.0),
    "log": Elementary(np.log, lambda m, y, r: _log_spread(m, r), 4.0, (0.0,)),
    "log1p": Elementary(np.log1p, lambda m, y, r: _log_spread(1 + m, r), 8.0, (-1.0,)),
    "sin": Elementary(np.sin, lambda m, y, r: np.minimum((np.abs(np.cos(m)) + 2.0**-50) * r + r * r / 2, 2.0), 16.0),
    "cos": Elementary(np.cos, lambda m, y, r: np.minimum((np.abs(np.sin(m)) + 2.0**-50) * r + r * r / 2, 2.0), 16.0),
    "tanh": Elementary(np.tanh, _tanh_spread, 8.0),
    "sigmoid": Elementary(scipy.special.expit, _sigmoid_spread, 16.0),
    "softplus": Elementary(_softplus, lambda m, y, r: scipy.special.expit(m + r) * r, 16.0),
    "erf": Elementary(scipy.special.erf, _erf_spread, 12.0),
    "erfc": Elementary(scipy.special.erfc, _erf_spread, 4096.0),
}
