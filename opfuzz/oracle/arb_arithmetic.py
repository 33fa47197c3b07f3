"""Arithmetic on single elements: Arb's on balls, IEEE's where an element is NaN or infinite."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from flint import acb, arb

from opfuzz.core.floats import Format, round_to
from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.functions.pairs import PAIRS
from opfuzz.oracle.functions.record import Elementary
from opfuzz.oracle.graph import RELATIONS

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


def running_logarithms(terms: list[Value]) -> list[Value]:
    """log(exp(x_0) + ... + exp(x_i)) for each i; NaN and infinities as IEEE arithmetic has them."""
    results: list[Value] = []
    total, shift = arb(0), arb(0)  # the sum is total * exp(shift), since exp(10^30) alone is not known at any precision
    for term in terms:
        last = results[-1] if results else -math.inf
        if isinstance(last, float) and last != -math.inf:  # NaN stays, and infinity unless NaN comes
            results.append(last if not (isinstance(term, float) and math.isnan(term)) else math.nan)
            continue
        if isinstance(term, float):
            results.append(last if term == -math.inf else term)
            continue
        if total == 0 or term > shift + 1000:
            total, shift = total * (shift - term).exp() + 1, term
        else:
            total += (term - shift).exp()
        results.append(total.log() + shift)
    return results


def transform(row: list[Value], is_forward: bool) -> list[Value]:
    """The discrete Fourier transform of pairs, real and imaginary part in turn; NaN where one is NaN or infinite."""
    if any(isinstance(value, float) for value in row):
        return [math.nan] * len(row)
    # conj(dft(conj(z))) has the other sign in its exponents, and is not divided by the length.
    sign = 1 if is_forward else -1
    made = acb.dft([acb(re, sign * im) for re, im in zip(row[::2], row[1::2], strict=True)])
    return [part for number in made for part in (number.real, sign * number.imag)]


def _negated(x: Value) -> Value:
    return -x


def _maximum(a: Value, b: Value) -> Value:
    if isinstance(a, float) or isinstance(b, float):
        if any(isinstance(v, float) and math.isnan(v) for v in (a, b)):
            return math.nan
        first, second = (v if isinstance(v, float) else 0.0 for v in (a, b))
        return a if first > second or second == -math.inf else b
    return a.max(b)


OPPOSITES: dict[str, Callable[[Any, Any], Any]] = {"<": operator.ge, "<=": operator.gt, "==": operator.ne}


def where(relation: str, left: Value, right: Value, if_so: Value, if_not: Value) -> Value:
    """One of two elements, by whether two others are in the relation; both in one ball where that is not certain."""
    if isinstance(left, float) or isinstance(right, float):
        first, second = (v if isinstance(v, float) else _nonzero(v) for v in (left, right))
        return if_so if RELATIONS[relation](first, second) else if_not
    if RELATIONS[relation](left, right):
        return if_so
    if OPPOSITES[relation](left, right):
        return if_not
    if isinstance(if_so, float) or isinstance(if_not, float):
        return arb.nan()
    return if_so.union(if_not)


def order(left: Value, right: Value) -> int | None:
    """-1 or 1 as the first of two is certainly below or above the other, else 0; None where one is NaN."""
    if isinstance(left, float) or isinstance(right, float):
        left, right = (v if isinstance(v, float) else _nonzero(v) for v in (left, right))
        if math.isnan(left) or math.isnan(right):
            return None
    return -1 if left < right else 1 if left > right else 0


def joined(first: Value, second: Value) -> Value:
    """All between two elements as one ball; nothing known where one is NaN or infinite."""
    if isinstance(first, float) or isinstance(second, float):
        return arb.nan()
    return first.union(second)


def candidates(terms: list[Value], kind: str) -> list[int]:
    """Places of the elements of which each may be the largest, or for `min` the smallest; all of them beside NaN."""
    near = [t if isinstance(t, float) else _nonzero(t) for t in terms]
    if any(map(math.isnan, near)):
        return list(range(len(terms)))
    sign = 1 if kind == "max" else -1
    best = terms[max(range(len(terms)), key=lambda place: sign * near[place])]
    return [place for place, term in enumerate(terms) if order(term, best) != -sign]


def is_zero(value: Value) -> bool:
    """Whether an element is exactly zero."""
    return not isinstance(value, float) and bool(value == 0)


def product(a: Value, b: Value) -> Value:
    """An adjoint times a slope: nothing is known where one may be zero and the other is no number.

    A zero that a slope makes is not exact: it does not stay one beside an infinite slope.
    """
    if any(isinstance(x, float) and not isinstance(y, float) and y.contains(0) for x, y in ((a, b), (b, a))):
        return arb.nan()
    return _NEARLY_ZERO if is_zero(b) else FUNCTIONS["mul"](a, b)


_NEARLY_ZERO = arb(0, arb(2) ** -100_000)


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
    if math.isinf(function.domain[0]) and math.isinf(function.domain[1]) and not function.poles and not function.holes:
        return function.ball
    low, high = map(arb, function.domain)
    poles = [*map(arb, function.poles)]

    def wrapped(x: arb) -> Value:
        if x < low or x > high:
            return math.nan
        is_pole = any(x == place for place in poles)
        if is_pole or (function.holes and x <= 0 and x.is_exact() and x.is_integer()):
            with np.errstate(all="ignore"):
                return float(function.value(np.array(float(x))))
        return function.ball(x)

    return wrapped


def _sqrt(x: arb) -> Value:
    return math.nan if x < 0 else x.sqrt()


# Steps are taken of both ends of a ball, in whole numbers, so that a tie is one exactly where the ball is a number.


def _nearest(x: arb, step_of: Callable[[int], int]) -> tuple[int, int]:
    """The whole number n and the exponent e of the n 2^e nearest to an exact x, ties to even; `step_of` floor(log2 |x|)
    is e."""
    mantissa, exponent = map(int, x.man_exp())
    step = step_of(mantissa.bit_length() + exponent - 1)
    if step <= exponent or not mantissa:
        return mantissa << max(exponent - step, 0), step
    if mantissa.bit_length() + exponent < step - 1:  # below a quarter of a step, by whatever it is
        return 0, step
    whole, rest = divmod(abs(mantissa), 1 << (step - exponent))
    half = 1 << (step - exponent - 1)
    whole += rest > half or (rest == half and whole % 2 == 1)
    return (whole if mantissa > 0 else -whole), step


def _of_both_ends(x: arb, step: Callable[[arb], Value]) -> Value:
    if not x.is_finite():
        return arb.nan()
    low, high = step(x.lower()), step(x.upper())
    if isinstance(low, float) or isinstance(high, float):
        is_same = low == high or (_is_nan(low) and _is_nan(high))
        return low if is_same else arb.nan()
    return low if low == high else low.union(high)


def _is_nan(value: Value) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _exactly(whole: int, exponent: int) -> arb:
    # Wider than any mantissa of a result, and exact whatever the precision is.
    return arb((whole, exponent))


def _floor(x: arb) -> Value:
    return _of_both_ends(x, lambda end: end.floor())


def _rint(x: arb) -> Value:
    return _of_both_ends(x, lambda end: _exactly(*_nearest(end, lambda exponent: 0)))


def rounded(fmt: Format, x: Value) -> Value:
    """An element rounded to a format, to nearest, ties to even; one ball of both neighbours where it may be either."""

    def step(end: arb) -> Value:
        whole, exponent = _nearest(end, lambda power: max(power, fmt.emin) - fmt.precision + 1)
        nearest = _exactly(whole, exponent)
        if abs(nearest) <= fmt.largest:
            return nearest
        return arb(math.copysign(fmt.largest, whole)) if fmt.beyond is None else math.copysign(fmt.beyond, whole)

    if isinstance(x, float):
        found = float(round_to(np.asarray(x), fmt))
        return arb(found) if math.isfinite(found) else found
    return _of_both_ends(x, step)


_IEEE: dict[str, Callable[..., Any]] = {name: function.value for name, function in ELEMENTARY.items()} | {
    "neg": np.negative, "abs": np.abs, "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
    "square": np.square, "sqrt": np.sqrt, "floor": np.floor, "rint": np.rint,
    "saved": np.positive,
    **{name: pair.value for name, pair in PAIRS.items()},
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
    "floor": _floor,
    "rint": _rint,
    "saved": lambda a: a,
    **{name: pair.ball for name, pair in PAIRS.items()},
}
ON_BALLS |= {name: _on_ball(function) for name, function in ELEMENTARY.items()}
FUNCTIONS: dict[str, Callable[..., Value]] = {name: _special(name, function) for name, function in ON_BALLS.items()} | {
    "maximum": _maximum,
    "minimum": lambda a, b: _negated(_maximum(_negated(a), _negated(b))),
}
# Those that depend on the detail of their node, which comes first.
OF_DETAIL: dict[str, Callable[..., Value]] = {"where": where, "rounded": rounded}
