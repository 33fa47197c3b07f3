"""Between which values an elementwise formula stays while its input lies between two numbers: a proof for whole ranges.

Each operation takes the ends of its arguments to ends of its result, in Arb, whose exponents do not overflow. What it
finds is wide where a variable occurs twice, and it is only asked where a wide answer decides: far beyond a format.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from flint import arb

from opfuzz.oracle.arb_arithmetic import OF_DETAIL, ON_BALLS, OPPOSITES, rounded
from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.functions.record import Elementary
from opfuzz.oracle.graph import RELATIONS, Node, topological

Ends = tuple[Any, Any]  # two arbs; None stands for what is not known
NAN: Ends = (None, None)  # NaN over the whole range
UNKNOWN = (-math.inf, math.inf)
CHOOSES = frozenset({"maximum", "minimum", "where"})


def between(root: Node, low: float, high: float) -> tuple[float, float]:
    """Bounds of the one element of `root` while each of its inputs runs from `low` to `high`, both finite.

    Rounded outwards to float64; minus and plus infinity where nothing is known, two NaN where there is no real value.
    """
    known: dict[int, Ends | None] = {}
    for node in topological(root):
        ends = [known[id(arg)] for arg in node.args]
        if node.op == "input":
            known[id(node)] = arb(low), arb(high)
        elif node.op == "number":
            value = arb.pi() if node.detail is None else arb(node.detail.numerator) / node.detail.denominator
            known[id(node)] = value, value
        else:
            known[id(node)] = _step(node, [e for e in ends if e is not None])
    found = known[id(root)]
    if found is NAN:
        return math.nan, math.nan
    if found is None or not (found[0].is_finite() and found[1].is_finite()):
        return UNKNOWN
    return _below(found[0]), -_below(-found[1])


def _below(value: Any) -> float:
    bound = value.lower()
    near = float(bound)
    if math.isinf(near):  # beyond float64: its largest number bounds it from one side, nothing from the other
        return math.nextafter(math.inf, 0) if near > 0 else near
    return math.nextafter(near, -math.inf)


def _step(node: Node, ends: list[Ends]) -> Ends | None:
    op = node.op
    if len(ends) < len(node.args) or op not in _RULES or (op == "where" and len(ends) != 4):
        return None
    if any(each is NAN for each in ends):
        return None if op in CHOOSES else NAN
    return _RULES[op](node.detail, *ends) if op in OF_DETAIL else _RULES[op](*ends)


def _hull(values: list[Any]) -> Ends | None:
    if not all(value.is_finite() for value in values):
        return None
    low, high = values[0], values[0]
    for value in values[1:]:
        low, high = low.min(value), high.max(value)
    return low, high


def _mul(a: Ends, b: Ends) -> Ends | None:
    return _hull([x * y for x in a for y in b])


def _div(a: Ends, b: Ends) -> Ends | None:
    if not (b[0] > 0 or b[1] < 0):
        return None
    return _hull([x / y for x in a for y in b])


def _absolute(a: Ends) -> Ends | None:
    if a[0] >= 0:
        return a
    if a[1] <= 0:
        return -a[1], -a[0]
    return arb(0), (-a[0]).max(a[1])


def _square(a: Ends) -> Ends | None:
    size = _absolute(a)
    return None if size is None else (size[0] * size[0], size[1] * size[1])


def _root(a: Ends) -> Ends | None:
    return NAN if a[1] < 0 else _hull([a[0].sqrt(), a[1].sqrt()])


def _elementary(function: Elementary, a: Ends) -> Ends | None:
    if a[1] < function.domain[0] or a[0] > function.domain[1]:
        return NAN
    least, greatest = map(arb, function.bounds(function.ball, *a))
    return (least, greatest) if least.is_finite() and greatest.is_finite() else None


def _where(relation: str, a: Ends, b: Ends, if_so: Ends, if_not: Ends) -> Ends | None:
    if relation == "==":
        if a[1] < b[0] or b[1] < a[0]:
            return if_not
        return if_so if a[0] == a[1] == b[0] == b[1] else _hull([*if_so, *if_not])
    if RELATIONS[relation](a[1], b[0]):
        return if_so
    if OPPOSITES[relation](a[0], b[1]):
        return if_not
    return _hull([*if_so, *if_not])


def _stepped(step: Callable[[Any], Any], a: Ends) -> Ends | None:
    """Of what never falls: its values at the ends."""
    low, high = step(a[0]), step(a[1])
    return None if isinstance(low, float) or isinstance(high, float) else _hull([low, high])


_RULES: dict[str, Callable[..., Ends | None]] = {
    "reshape": lambda a: a,
    "neg": lambda a: (-a[1], -a[0]),
    "abs": _absolute,
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": _mul,
    "div": _div,
    "square": _square,
    "maximum": lambda a, b: (a[0].max(b[0]), a[1].max(b[1])),
    "minimum": lambda a, b: (a[0].min(b[0]), a[1].min(b[1])),
    "where": _where,
    "floor": partial(_stepped, ON_BALLS["floor"]),
    "rint": partial(_stepped, ON_BALLS["rint"]),
    "rounded": lambda fmt, a: _stepped(partial(rounded, fmt), a),
    "sqrt": _root,
}
_RULES |= {name: partial(_elementary, function) for name, function in ELEMENTARY.items()}
