"""The derivatives of elementary functions, as formulas of graph nodes; one row a function.

Each has one without needless cancellation, for the exact value, and the usual one where libraries compute another, as
1 - tanh(x)^2 from the result that they keep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from types import MappingProxyType

from opfuzz.oracle import graph
from opfuzz.oracle.graph import PI, UNKNOWN, Node
from opfuzz.oracle.operations import where

Slope = Callable[[Node, Node], Node]  # of x and y = f(x): f'(x)


def of(name: str, x: object) -> Node:
    """An elementary function of a node or number."""
    return graph.unary(name, x)


def _root(x: Node) -> Node:
    return graph.unary("sqrt", x)


def _log(base: int) -> Node:
    return of("log", base)


def _of_log(base: int, x: Node, y: Node) -> Node:
    return 1 / (x * _log(base))


def _sign(x: Node) -> Node:
    """-1 or 1; anything between both at zero."""
    return stepped(x, graph.number(0), graph.number(-1), graph.number(1))


def stepped(a: Node, b: Node, below: Node, above: Node) -> Node:
    """`below` where a < b, `above` where a > b, anything between both at a tie."""
    return Node("step", (a, b, below, above), graph.broadcast(a.shape, b.shape, below.shape, above.shape))


def _sinc_like(x: Node, at_zero: Fraction, elsewhere: Node) -> Node:
    """A formula that divides by x, and its limit at 0."""
    return where(graph.equal(x, 0), graph.number(at_zero), elsewhere)


def _beside_poles(x: Node, elsewhere: Node) -> Node:
    """A formula of what has poles at whole numbers, and is symmetric about none of them."""
    return where(graph.equal(of("floor", x), x), UNKNOWN, elsewhere)


@dataclass(frozen=True, slots=True)
class Derivative:
    """f'(x) of one function; `usual` is how libraries compute it where that is another formula."""

    exact: Slope
    usual: Slope | None = None


_TWO_OVER_ROOT_PI = 2 / _root(PI)
_HALF_ROOT_PI = _root(PI) / 2

LOGARITHMS: Mapping[str, int] = MappingProxyType({"log2": 2, "log10": 10})
SLOPES: Mapping[str, Derivative] = MappingProxyType(
    {
        "sqrt": Derivative(lambda x, y: 1 / (2 * y)),
        "exp": Derivative(lambda x, y: y),
        "exp2": Derivative(lambda x, y: y * _log(2)),
        "expm1": Derivative(lambda x, y: of("exp", x), lambda x, y: y + 1),
        "log": Derivative(lambda x, y: 1 / x),
        **{name: Derivative(partial(_of_log, base)) for name, base in LOGARITHMS.items()},
        "log1p": Derivative(lambda x, y: 1 / (1 + x)),
        "cbrt": Derivative(lambda x, y: 1 / (3 * y**2)),
        "sin": Derivative(lambda x, y: of("cos", x)),
        "cos": Derivative(lambda x, y: -of("sin", x)),
        "tan": Derivative(lambda x, y: 1 / of("cos", x) ** 2, lambda x, y: 1 + y**2),
        "asin": Derivative(lambda x, y: 1 / _root((1 - x) * (1 + x)), lambda x, y: 1 / _root(1 - x**2)),
        "acos": Derivative(lambda x, y: -1 / _root((1 - x) * (1 + x)), lambda x, y: -1 / _root(1 - x**2)),
        "atan": Derivative(lambda x, y: 1 / (1 + x**2)),
        "sinh": Derivative(lambda x, y: of("cosh", x)),
        "cosh": Derivative(lambda x, y: of("sinh", x)),
        "tanh": Derivative(lambda x, y: 4 * of("sigmoid", 2 * x) * of("sigmoid", -2 * x), lambda x, y: 1 - y**2),
        "asinh": Derivative(lambda x, y: 1 / _root(1 + x**2)),
        "acosh": Derivative(lambda x, y: 1 / (_root(x - 1) * _root(x + 1)), lambda x, y: 1 / _root(x**2 - 1)),
        "atanh": Derivative(lambda x, y: 1 / ((1 - x) * (1 + x)), lambda x, y: 1 / (1 - x**2)),
        "sigmoid": Derivative(lambda x, y: y * of("sigmoid", -x), lambda x, y: y * (1 - y)),
        "softplus": Derivative(lambda x, y: of("sigmoid", x)),
        "erf": Derivative(lambda x, y: _TWO_OVER_ROOT_PI * of("exp", -(x**2))),
        "erfc": Derivative(lambda x, y: -_TWO_OVER_ROOT_PI * of("exp", -(x**2))),
        "erfcx": Derivative(lambda x, y: 2 * x * y - _TWO_OVER_ROOT_PI),
        "erfinv": Derivative(lambda x, y: _HALF_ROOT_PI * of("exp", y**2)),
        "lgamma": Derivative(lambda x, y: where(x > 0, of("digamma", x), _beside_poles(x, of("digamma", x)))),
        "i0": Derivative(lambda x, y: of("i1", x)),
        "i0e": Derivative(lambda x, y: of("i1e", x) - _sign(x) * y),
        "i1": Derivative(lambda x, y: _sinc_like(x, Fraction(1, 2), of("i0", x) - y / x)),
        "i1e": Derivative(lambda x, y: _sinc_like(x, Fraction(1, 2), of("i0e", x) - y * (_sign(x) + 1 / x))),
        "sinpi": Derivative(lambda x, y: PI * of("sinpi", x + Fraction(1, 2))),
    }
)
# Functions whose derivative is none of those that a formula may call.
WITHOUT: Mapping[str, str] = MappingProxyType({"digamma": "the trigamma function"})


# Where a function of two is not defined, or jumps, or has a corner, nothing is known of its derivatives.


def atan2_slopes(a: Node, b: Node, y: Node) -> tuple[Node, Node]:
    squares = a**2 + b**2
    is_origin = graph.equal(graph.binary("maximum", graph.unary("abs", a), graph.unary("abs", b)), 0)
    return where(is_origin, UNKNOWN, b / squares), where(is_origin, UNKNOWN, -a / squares)


def pow_slopes(a: Node, b: Node, y: Node) -> tuple[Node, Node]:
    # Of a negative number only whole powers have a value; b - 1 is one as well where b is tiny.
    has_value = graph.equal(of("floor", b), b)
    along = where(graph.equal(b, 0), 0, b * graph.binary("pow", a, b - 1))
    along = where(a < 0, where(has_value, along, UNKNOWN), along)
    at_zero = where(b > 0, 0, UNKNOWN)  # of zeros there is no logarithm, and 0^b is 0
    return along, where(a < 0, UNKNOWN, where(graph.equal(a, 0), at_zero, y * of("log", a)))


def remainder_slopes(a: Node, b: Node, y: Node) -> tuple[Node, Node]:
    is_jump = graph.equal(y, 0)
    return where(is_jump, UNKNOWN, 1), where(is_jump, UNKNOWN, -of("floor", a / b))


PAIR_SLOPES: Mapping[str, Callable[[Node, Node, Node], tuple[Node, Node]]] = MappingProxyType(
    {"atan2": atan2_slopes, "pow": pow_slopes, "remainder": remainder_slopes}
)
