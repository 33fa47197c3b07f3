"""Arithmetic on single elements: Arb's on balls, IEEE's where an element is NaN or infinite."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb

from opfuzz.oracle.elementary import ELEMENTARY, Elementary

Value = Any  # an arb, or a Python float where the value is NaN or infinite


def largest(terms: list[Value]) -> Value:
    """The largest of some elements, which are not none; NaN if one is."""
    result = terms[0]
    for term in terms[1:]:
        result = _maximum(result, term)
    return result


def smallest(terms: list[Value]) -> Value:
    """The smallest of some elements, which are not none; NaN if one is."""
    return _negated(largest([_negated(t) for t in terms]))


def _negated(x: Value) -> Value:
    return -x


def _maximum(a: Value, b: Value) -> Value:
    if isinstance(a, float) or isinstance(b, float):
        if any(isinstance(v, float) and math.isnan(v) for v in (a, b)):
            return math.nan
        first, second = (v if isinstance(v, float) else 0.0 for v in (a, b))
        return a if first > second or second == -math.inf else b
    return a.max(b)


def _where_less(smaller: Value, larger: Value, if_less: Value, if_not: Value) -> Value:
    if isinstance(smaller, float) or isinstance(larger, float):
        return if_less if float(smaller) < float(larger) else if_not
    if smaller < larger:
        return if_less
    if smaller >= larger:
        return if_not
    if isinstance(if_less, float) or isinstance(if_not, float):
        return arb.nan()
    return if_less.union(if_not)


def _special(name: str, function: Callable[..., Any]) -> Callable[..., Value]:
    """`function` on balls; IEEE arithmetic of float64 where an argument is special or a pole."""

    def wrapped(*args: Value) -> Value:
        if any(isinstance(a, float) for a in args):
            with np.errstate(all="ignore"):
                result = float(
                    _IEEE[name](*(np.float64(float(a) if isinstance(a, float) else _nonzero(a)) for a in args))
                )
            return arb(result) if math.isfinite(result) else result
        return function(*args)

    return wrapped


def _nonzero(value: arb) -> float:
    """float64 with the sign and the zeroness of a ball, for arithmetic with infinities."""
    near = float(value.mid())
    if near == 0.0 and value.mid() != 0:
        return math.copysign(2.0**-1074, 1.0 if value.mid() > 0 else -1.0)
    return min(max(near, -1.7e308), 1.7e308)


def _divide(a: arb, b: arb) -> Value:
    if b == 0:  # exactly
        return math.nan if a == 0 else math.copysign(math.inf, float(a.mid()))
    return a / b


def _on_ball(function: Elementary) -> Callable[[arb], Value]:
    """The function of any arb: NaN outside its domain, an infinity at its poles."""
    if math.isinf(function.domain[0]) and math.isinf(function.domain[1]) and not function.poles:
        return function.ball
    low, high = map(arb, function.domain)
    with np.errstate(divide="ignore"):
        poles = [(arb(place), float(function.value(np.array(place)))) for place in function.poles]

    def wrapped(x: arb) -> Value:
        if x < low or x > high:
            return math.nan
        for place, infinity in poles:
            if x == place:
                return infinity
        return function.ball(x)

    return wrapped


def _sqrt(x: arb) -> Value:
    return math.nan if x < 0 else x.sqrt()


_IEEE: dict[str, Callable[..., Any]] = {name: function.value for name, function in ELEMENTARY.items()} | {
    "neg": np.negative, "abs": np.abs, "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
    "square": np.square, "sqrt": np.sqrt,
}  # fmt: skip
# Of balls only, which most elements are, and of any elements.
ON_BALLS: dict[str, Callable[..., Any]] = {
    "neg": lambda a: -a,
    "abs": lambda a: abs(a),
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": _divide,
    "square": lambda a: a * a,
    "sqrt": _sqrt,
}
ON_BALLS |= {name: _on_ball(function) for name, function in ELEMENTARY.items()}
FUNCTIONS: dict[str, Callable[..., Value]] = {name: _special(name, function) for name, function in ON_BALLS.items()} | {
    "maximum": _maximum,
    "minimum": lambda a, b: _negated(_maximum(_negated(a), _negated(b))),
    "where": _where_less,
}
