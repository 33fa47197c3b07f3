"""Limits of an elementwise function at infinity, and its value at zeros of either sign."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from opfuzz.core.floats import FloatArray
from opfuzz.oracle import exact
from opfuzz.oracle.graph import Node

_EXPONENTS = (40, 50, 60)
_SIGN_EXPONENTS = (60, 20, 10, 7)  # far out, Arb may know that a value is tiny but not its sign
_PRECISION = 256


def limit(rebuild: Callable[[FloatArray], Node], sign: float) -> float:
    """The limit of an elementwise function where its argument grows with this sign; NaN where there is none.

    `rebuild` gives the function's graph on other arguments. Evaluated with Arb at 2^40, 2^50 and 2^60: a value that
    settles is the limit, one that shrinks is a zero with its sign, one that grows is an infinity.
    """
    at = np.array([math.copysign(1.3 * 2.0**e, sign) for e in _EXPONENTS])
    settled = exact.settle(rebuild(at), np.arange(at.size), lambda hi: np.abs(hi) * 2.0**-40)
    first, second, third = settled.hi.tolist()
    if math.isinf(third):
        return float(third)
    if abs(third) < 2.0**-15 and abs(third) <= abs(second) <= abs(first):
        return math.copysign(0.0, _sign(rebuild, sign))
    if abs(third - second) <= abs(third) * 2.0**-20 and abs(second - first) <= abs(second) * 2.0**-20:
        return float(third)
    is_one_sided = len({math.copysign(1, value) for value in (first, second, third)}) == 1
    if abs(third) > abs(second) > abs(first) and abs(third) > 20 and is_one_sided:
        return math.copysign(math.inf, third)
    return math.nan


def _sign(rebuild: Callable[[FloatArray], Node], sign: float) -> float:
    at = np.array([math.copysign(1.3 * 2.0**e, sign) for e in _SIGN_EXPONENTS])
    found = (exact.sign_at(rebuild(at), place, _PRECISION) for place in range(at.size))
    return next((s for s in found if s), 1.0)
