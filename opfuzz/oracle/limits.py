"""Limits of an elementwise function at infinity, and its value at zeros of either sign."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.oracle import balls, exact
from opfuzz.oracle.graph import STEPS, Node, topological

_EXPONENTS = (40, 50, 60)
_FURTHEST = 900  # where what still grows at 2^60 but is small there, as a logarithm, is asked for once more
_LARGE = 20
FAR = 2.0**900  # stands for an infinity, where a product with 0 is to be 0
_SIGN_EXPONENTS = (60, 20, 10, 7)  # far out, Arb may know that a value is tiny but not its sign
_PRECISION = 256
_KNOWN: dict[tuple[Hashable, float], float] = {}


def has_limits(root: Node) -> bool:
    """Whether a limit is the right answer at infinity: of what jumps for ever, and of what asks whether `x == inf`,
    IEEE arithmetic is right there."""
    return not any(
        node.op in STEPS or (node.op == "leaf" and not np.isfinite(node.detail).all()) for node in topological(root)
    )


def far_out(values: FloatArray) -> FloatArray:
    """Numbers far out in place of infinities."""
    return np.where(np.isinf(values), np.copysign(FAR, values), values)


def back(values: FloatArray) -> FloatArray:
    """Infinities in place of what came of numbers far out."""
    return np.where(np.abs(values) > FAR**0.5, np.copysign(np.inf, values), values)


def remembered(key: Hashable, rebuild: Callable[[FloatArray], Node], sign: float) -> float:
    """`limit`, asked once for each `key`, which tells the function, and sign."""
    if (key, sign) not in _KNOWN:
        _KNOWN[key, sign] = limit(rebuild, sign)
    return _KNOWN[key, sign]


def put_in(
    key: Hashable, rebuild: Callable[[FloatArray], Node], x: FloatArray, hi: FloatArray, radius: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Values and radii of a function with its limits, where there are any, at the infinities of its argument."""
    for sign in (1.0, -1.0) if np.isinf(x).any() else ():
        at = x == sign * np.inf
        if at.any() and not np.isnan(found := remembered(key, rebuild, sign)):
            hi, radius = np.where(at, found, hi), np.where(at, 0.0, radius)
    return hi, radius


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
    if abs(third) > abs(second) > abs(first) and is_one_sided and (abs(third) > _LARGE or _far(rebuild, sign) > _LARGE):
        return math.copysign(math.inf, third)
    return math.nan


def _far(rebuild: Callable[[FloatArray], Node], sign: float) -> float:
    """The size of the function at its furthest place; NaN where it is not known there."""
    at = np.array([math.copysign(1.3 * 2.0**_FURTHEST, sign)])
    return float(abs(exact.settle(rebuild(at), np.arange(1), lambda hi: np.abs(hi) * 2.0**-40).hi[0]))


def _sign(rebuild: Callable[[FloatArray], Node], sign: float) -> float:
    """1 or -1; of what is exactly zero far out the sign that IEEE arithmetic gives it there."""
    at = np.array([math.copysign(1.3 * 2.0**e, sign) for e in _SIGN_EXPONENTS])
    found = (exact.sign_at(rebuild(at), place, _PRECISION) for place in range(at.size))
    return next((s for s in found if s), math.copysign(1.0, balls.evaluate(rebuild(at), []).mid[0]))


def has_certain_sign(root: Node, x: FloatArray) -> NDArray[np.bool_]:
    """Where a zero of an elementwise function of x has a sign that is part of the answer: not that of max(-0, 0)."""
    chooses = any(node.op in ("maximum", "minimum", "where") for node in topological(root))
    return np.asarray((x != 0) | (not chooses))


def with_signs(said: FloatArray, hi: FloatArray, radius: FloatArray) -> FloatArray:
    """What Arb said of some places, hi, lo and radius, with the signs that zeros of the inputs have given to `hi`.

    Arb has one zero. An exact zero, and the angle that atan2 gives to -0, have the sign that IEEE arithmetic made;
    where Arb knows nothing, `hi` and its radius stand.
    """
    taken = np.where(np.isnan(said[0]) & np.isinf(said[2]), np.stack([hi, np.zeros(len(hi)), radius]), said)
    with np.errstate(invalid="ignore", over="ignore"):
        is_turned = (np.abs(hi + said[0]) <= radius) & (np.abs(hi) > radius)
    taken[:2, is_turned] *= -1
    taken[0] = np.where((said[0] == 0) & (hi == 0), hi, taken[0])
    return taken
