"""Rows of the special functions: of the normal distribution, of the gamma function, of Bessel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from opfuzz.core.floats import FloatArray
from opfuzz.oracle.functions import spreads
from opfuzz.oracle.functions.record import (
    Elementary,
    enclosed,
    falling,
    falling_both_ways,
    is_hole,
    oscillating,
    rising,
    rising_both_ways,
    special,
)


def _odd(function: Callable[[FloatArray], FloatArray], at_infinity: float) -> Callable[[FloatArray], FloatArray]:
    """SciPy's function with the sign of zero, and its limit: SciPy gives +0 at -0, and NaN at infinity."""

    def value(x: FloatArray) -> FloatArray:
        size = np.abs(x)
        return np.copysign(np.where(size == np.inf, at_infinity, function(size)), x)

    return value


def _i0(x: FloatArray) -> FloatArray:
    return np.where(np.isinf(x), np.inf, special().i0(x))


# sin(pi x) = +-sin(pi r) with r = x - round(x), which is exact, as are the multiples of 1/2.


def _sinpi(x: FloatArray) -> FloatArray:
    turns = np.round(x)
    sine = np.sin(np.pi * (x - turns))
    whole = np.where(np.isinf(x), np.nan, np.copysign(0.0, x))
    return np.where(x == turns, whole, np.where(np.mod(turns, 2.0) == 0, sine, -sine))


def _cotangent_size(x: FloatArray) -> FloatArray:
    """pi / abs(tan(pi x))."""
    return np.pi / np.abs(np.tan(np.pi * (x - np.round(x))))


# log abs(gamma(x)) = log(pi / abs(sin(pi x))) - log(gamma(1 - x)) left of zero.


def _lgamma(x: FloatArray) -> FloatArray:
    left = np.minimum(x, -0.0)
    mirrored = np.log(np.pi / np.abs(_sinpi(left))) - special().gammaln(1 - left)
    return np.where(np.isinf(x) | is_hole(x), np.inf, np.where(x < 0, mirrored, special().gammaln(x)))


def _lgamma_scale(x: FloatArray, y: FloatArray) -> FloatArray:
    """1 near the zeros; left of zero the terms that cancel, and what the rounding of 1 - x does to the second."""
    size = np.abs(x)
    mirrored = np.abs(np.log(np.abs(_sinpi(x)))) + (size + 1) * (2 + np.log1p(size))
    return np.where(x < 0, mirrored, np.maximum(np.abs(y), np.where(x < 4, 1.0, 0.0)))


def _lgamma_ball(x: Any) -> Any:
    if not x < 0:
        return x.lgamma()
    return (type(x).pi() / abs(x.sin_pi())).log() - (1 - x).lgamma()


# psi(x) = psi(1 - x) - pi / tan(pi x) left of zero.


def _digamma(x: FloatArray) -> FloatArray:
    left = np.where(x < 0, x, -0.5)
    mirrored = special().psi(1 - left) - np.pi / np.tan(np.pi * (left - np.round(left)))
    at_holes = np.where(x == 0, np.copysign(np.inf, -x), np.nan)
    return np.where(is_hole(x), at_holes, np.where(x < 0, mirrored, special().psi(x)))


def _digamma_scale(x: FloatArray, y: FloatArray) -> FloatArray:
    """1 near the zero at 1.46; left of zero the terms that cancel."""
    mirrored = _cotangent_size(x) + np.abs(special().psi(1 - np.minimum(x, 0.0))) + 1
    return np.where(x < 0, mirrored, np.maximum(np.abs(y), np.where(x < 4, 1.0, 0.0)))


# For x > 0, exp(x^2) erfc(x) = U(1/2, 1/2, x^2) / sqrt(pi), which does not overflow inside.


def _erfcx_ball(x: Any) -> Any:
    squared = x * x
    if x > 2:
        half = type(x)(0.5)
        return squared.hypgeom_u(half, half) / type(x).pi().sqrt()
    return squared.exp() * x.erfc()


def _i1e_ball(x: Any) -> Any:
    if x > 0:
        return x.bessel_i(1, scaled=True)
    return -(-x).bessel_i(1, scaled=True) if x < 0 else x.bessel_i(1) * (-abs(x)).exp()


SPECIAL: Mapping[str, Elementary] = MappingProxyType(
    {
        "erf": Elementary(
            value=lambda x: special().erf(x), tested=12.0, spread=spreads.erf_spread, ball=lambda x: x.erf(),
            bounds=rising,
        ),
        "erfc": Elementary(
            value=lambda x: special().erfc(x), tested=4096.0, spread=spreads.erf_spread, ball=lambda x: x.erfc(),
            bounds=falling,
        ),
        "erfcx": Elementary(
            value=lambda x: special().erfcx(x), tested=4096.0, spread=spreads.steep_below(spreads.erfcx_slope),
            ball=_erfcx_ball, bounds=falling,
        ),
        "erfinv": Elementary(
            value=_odd(lambda x: special().erfinv(x), np.nan), tested=16.0,
            spread=spreads.steep_far_out(spreads.erfinv_slope),
            ball=lambda x: x.erfinv(), bounds=rising, domain=(-1.0, 1.0), poles=(-1.0, 1.0),
        ),
        "lgamma": Elementary(
            value=_lgamma, tested=16.0, scale=_lgamma_scale, spread=spreads.lgamma_spread, ball=_lgamma_ball,
            bounds=enclosed, holes=True,
        ),
        "digamma": Elementary(
            value=_digamma, tested=16.0, scale=_digamma_scale, spread=spreads.digamma_spread,
            ball=lambda x: x.digamma(), bounds=enclosed, holes=True,
        ),
        "i0": Elementary(
            value=_i0, tested=32.0, spread=spreads.steep_far_out(lambda t: special().i1(t)),
            ball=lambda x: x.bessel_i(0), bounds=rising_both_ways,
        ),
        "i0e": Elementary(
            value=lambda x: special().i0e(x), tested=32.0, spread=spreads.steep_near_zero(spreads.i0e_slope),
            ball=lambda x: abs(x).bessel_i(0, scaled=True), bounds=falling_both_ways,
        ),
        "i1": Elementary(
            value=_odd(lambda x: special().i1(x), np.inf), tested=64.0, spread=spreads.steep_far_out(spreads.i1_slope),
            ball=lambda x: x.bessel_i(1), bounds=rising,
        ),
        "i1e": Elementary(
            value=_odd(lambda x: special().i1e(x), 0.0), tested=64.0, spread=spreads.i1e_spread,
            ball=_i1e_ball, bounds=enclosed,
        ),
        "sinpi": Elementary(
            value=_sinpi, tested=16.0, spread=spreads.sinpi_spread, ball=lambda x: x.sin_pi(), bounds=oscillating
        ),
    }
)  # fmt: skip
