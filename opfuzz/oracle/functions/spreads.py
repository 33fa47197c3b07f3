"""How far a function of an uncertain argument may be from its value in the middle.

All are bounds of abs(f(m + d) - f(m)) over abs(d) <= r: mostly the steepest slope in [m - r, m + r], times r. Infinite
where the range leaves the domain, or holds a pole.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from opfuzz.core.floats import FloatArray
from opfuzz.oracle.functions.record import Spread, special

Slope = Callable[[FloatArray], FloatArray]  # abs(f') at each argument; NaN or infinite where there is none
ROOT_PI = float(np.sqrt(np.pi))


def nearest(m: FloatArray, r: FloatArray) -> FloatArray:
    """Distance from zero of the point of [m - r, m + r] that is nearest to it."""
    return np.maximum(np.abs(m) - r, 0.0)


def steep_near_zero(slope: Slope) -> Spread:
    """The spread of a function whose slope is even and shrinks with the distance from zero."""
    return lambda m, y, r: _run(slope(nearest(m, r)), r)


def steep_far_out(slope: Slope) -> Spread:
    """The spread of a function whose slope is even and grows with the distance from zero."""
    return lambda m, y, r: _run(slope(np.nextafter(np.abs(m) + r, np.inf)), r)


def steep_below(slope: Slope) -> Spread:
    """The spread of a function whose slope shrinks from left to right."""
    return lambda m, y, r: _run(slope(np.nextafter(m - r, -np.inf)), r)


def steep_towards_one(slope: Callable[[FloatArray, FloatArray], FloatArray]) -> Spread:
    """The spread of a function between -1 and 1 that is steepest at the ends: `slope` of abs(x) and 1 - abs(x)."""

    def spread(m: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
        gap = (1 - np.abs(m)) - r  # 1 - (abs(m) + r) would lose it
        return _run(np.where(gap > 0, slope(np.abs(m) + r, gap), np.inf), r)

    return spread


def _run(slope: FloatArray, r: FloatArray) -> FloatArray:
    """slope times r; 0 where r is, and infinite where there is no slope."""
    return np.asarray(np.where(r == 0, 0.0, np.where(np.isnan(slope), np.inf, slope * r)))


def exp_spread(m: FloatArray, raised: FloatArray, r: FloatArray) -> FloatArray:
    """That of exp, from its value."""
    # exp(m) (e^r - 1), which is below exp(m + r); the second holds where exp(m) underflows and the first would be 0.
    near = raised * np.expm1(r)
    if m.min(initial=0.0) > -600 and m.max(initial=0.0) < 700 and r.max(initial=0.0) < 600:
        return near
    return np.asarray(np.where(r == 0, 0.0, np.where((m > -600) & (r < 600), near, np.exp(m + r))))


def log_spread(m: FloatArray, r: FloatArray) -> FloatArray:
    """That of log."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = r / m
        return np.where(r == 0, 0.0, np.where((m > 0) & (ratio < 1), -np.log1p(-np.minimum(ratio, 1.0)), np.inf))


def sine_spread(slope: FloatArray, r: FloatArray) -> FloatArray:
    """That of sin or cos, from the other."""
    return np.minimum((np.abs(slope) + 2.0**-50) * r + r * r / 2, 2.0)


def tanh_spread(m: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    """That of tanh, whose slope is 4 e^-2t / (1 + e^-2t)^2."""
    decay = np.exp(-2 * nearest(m, r))
    return np.asarray(np.minimum(4 * decay / (1 + decay) ** 2 * r, 2.0))


def sigmoid_spread(m: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    """That of the logistic function."""
    decay = np.exp(-nearest(m, r))
    return np.asarray(np.minimum(decay / (1 + decay) ** 2 * r, 1.0))


def erf_spread(m: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    """That of erf and of erfc."""
    return np.asarray(np.minimum(2 / ROOT_PI * np.exp(-(nearest(m, r) ** 2)) * r, 2.0))


# tan(m + d) - tan(m) = (1 + y^2) tan(d) / (1 - y tan(d)): no more than with abs(y), and infinite at the next pole.


def tan_spread(m: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    """That of tan."""
    turned = np.tan(np.minimum(r, 0.75))
    room = 1 - np.abs(y) * turned
    return np.where(r == 0, 0.0, np.where((r < 0.75) & (room > 2.0**-20), (1 + y * y) * turned / room, np.inf))


# The cube roots of two numbers that are r apart differ most where zero is in the middle: by 2 (r/2)^(1/3).


def cbrt_spread(m: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    """That of the cube root."""
    near = np.cbrt(nearest(m, r))
    return np.asarray(np.where(r == 0, 0.0, np.fmin(r / (3 * near * near), 1.5875 * np.cbrt(r))))


def acosh_spread(m: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    """That of acosh, whose slope is 1 / sqrt((x - 1) (x + 1))."""
    gap = (m - 1) - r
    return _run(np.where(gap > 0, 1 / np.sqrt(np.abs(gap) * (2 + gap)), np.inf), r)


def sinpi_spread(m: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    """That of sin(pi x), from its cosine at the nearest half turn."""
    turns = np.pi * r
    return sine_spread(np.cos(np.pi * (m - 2 * np.round(m / 2))), turns)


def _between_holes(m: FloatArray, r: FloatArray) -> FloatArray:
    """0 where [m - r, m + r] is positive or holds no whole number; else infinite, or NaN."""
    low, high = np.nextafter(m - r, -np.inf), np.nextafter(m + r, np.inf)
    is_clear = (low > 0) | ((high < 0) & (np.floor(low) == np.floor(high)) & (low != np.floor(low)))
    return np.where(is_clear, 0.0, np.inf)


def _at_the_ends(slope: Slope) -> Spread:
    """Of what has no steepest place between two holes, or right of all, but at the ends of a range."""

    def spread(m: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
        ends = np.maximum(slope(np.nextafter(m - r, -np.inf)), slope(np.nextafter(m + r, np.inf)))
        return _run(ends + _between_holes(m, r), r)

    return spread


def _trigamma(x: FloatArray) -> FloatArray:
    # psi'(x) + psi'(1 - x) = pi^2 / sin(pi x)^2
    above = special().polygamma(1, np.where(x > 0, x, 1 - x))
    turned = np.pi / np.sin(np.pi * (x - 2 * np.round(x / 2)))
    return np.asarray(np.where(x > 0, above, turned * turned - above))


lgamma_spread = _at_the_ends(lambda x: np.abs(special().psi(x)))  # the slope psi grows between two holes
digamma_spread = _at_the_ends(_trigamma)  # and its own slope is convex there, and shrinks right of zero


def erfinv_slope(x: FloatArray) -> FloatArray:
    """sqrt(pi)/2 exp(erfinv(x)^2)."""
    y = special().erfinv(np.where(x < 1, x, np.nan))
    return np.asarray(ROOT_PI / 2 * np.exp(y * y))


# erfcx' = 2 x erfcx(x) - 2/sqrt(pi), of which x >= 0 leaves less than 1 / (sqrt(pi) (x^2 + 1/2)), because erfcx(x) is
# above x / (sqrt(pi) (x^2 + 1/2)).


def erfcx_slope(x: FloatArray) -> FloatArray:
    """A bound of the slope of erfcx; it shrinks from left to right."""
    left = np.minimum(x, 0.0)
    return np.where(x < 0, 2 / ROOT_PI - 2 * left * special().erfcx(left), 1 / ROOT_PI / (x * x + 0.5))


def i0e_slope(t: FloatArray) -> FloatArray:
    """A bound of the slope i0e - i1e of i0e at t >= 0.

    By Amos (1974): I1/I0 is at least t / (1/2 + s) with s = sqrt(t^2 + 9/4).
    """
    s = np.hypot(t, 1.5)
    return np.asarray(special().i0e(t) * (0.5 + 2.25 / (s + t)) / (0.5 + s))


# The slope of i1e is the difference of the positive, falling i0e - i1e and i1e/t, and changes by no more than its
# argument does: its own is (7 I1 + I3)/4 - (I0 + I2) times e^-t, where I0 + I2 is at most e^t and I3 < I1 < I0.


def i1e_spread(m: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    """That of i1e: by the slope in the middle, or by the larger of its two terms where they are largest."""
    t = nearest(m, r)
    most = np.fmax(i0e_slope(t), _over(special().i1e(t), t))
    size = np.abs(m)
    middle = np.abs(special().i0e(size) - special().i1e(size) - _over(special().i1e(size), size))
    return np.asarray(np.fmin(most * r, (middle + 2.0**-50) * r + r * r / 2))


def _over(i1e: FloatArray, t: FloatArray) -> FloatArray:
    return np.where(t > 0, i1e / np.where(t > 0, t, 1.0), 0.5)


def i1_slope(t: FloatArray) -> FloatArray:
    """The slope (I0 + I2) / 2 of I1."""
    return np.asarray((special().i0(t) + special().iv(2, t)) / 2)
