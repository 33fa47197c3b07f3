"""What every evaluator of a graph has to know of a function: the records that are the rows of its table."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def rising_both_ways(function: OnBall, low: Any, high: Any) -> tuple[Any, Any]:
    """Bounds of an even function that grows with the distance from zero."""
    near = low if low > 0 else -high if high < 0 else low - low
    return function(near), function(abs(low).max(abs(high)))


def falling_both_ways(function: OnBall, low: Any, high: Any) -> tuple[Any, Any]:
    """Bounds of an even function that shrinks with the distance from zero."""
    return rising_both_ways(function, low, high)[::-1]


def enclosed(function: OnBall, low: Any, high: Any) -> tuple[Any, Any]:
    """Bounds of any function: what Arb makes of the whole range as one ball, which may be wide, or nothing known."""
    whole = function(low.union(high))
    return whole.lower(), whole.upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Elementary:
    """One elementary function f of one real argument: all that any evaluator has to know of it.

    `tested` is in ulp of float64: at least four times the largest error of `value` that a sweep against Arb measured
    (see tests/oracle/test_elementary.py, which repeats it). It is tested, not proved, and says nothing below FLOOR.
    """

    value: Callable[[FloatArray], FloatArray]  # f on float64 arrays
    tested: float
    spread: Spread
    ball: OnBall  # f of an arb inside the domain
    bounds: Bounds
    domain: tuple[float, float] = (-inf, inf)  # f has no real value outside
    poles: tuple[float, ...] = ()  # finite arguments for which IEEE arithmetic defines an infinity, that of `value`
    holes: bool = False  # whether 0, -1, -2, ... are arguments for which `value` says what f is, infinity or NaN
    # Of m and y = f(m): the number whose ulps `tested` counts where `value` is made of larger terms; None: y.
    scale: Callable[[FloatArray, FloatArray], FloatArray] | None = None


@cache
def special() -> Any:
    """scipy.special, imported when the first value is asked for: to read and check references takes none."""
    return importlib.import_module("scipy.special")


def is_hole(m: FloatArray) -> NDArray[np.bool_]:
    """Where an argument is 0, -1, -2, ..."""
    return np.asarray((m <= 0) & (m == np.floor(m)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """One elementary function f of two real arguments; see Elementary."""

    value: Callable[[FloatArray, FloatArray], FloatArray]
    tested: float
    # Of a, b, y = f(a, b) and radii: a bound of abs(f(a + d, b + e) - y) over abs(d) and abs(e) up to the radii.
    spread: Callable[[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray], FloatArray]
    # Of two arbs: an arb, or a Python float where the value is NaN or an infinity.
    ball: Callable[[Any, Any], Any]
    # Where finite arguments have, by IEEE arithmetic, an infinity or NaN that is exact.
    special: Callable[[FloatArray, FloatArray], NDArray[np.bool_]]
