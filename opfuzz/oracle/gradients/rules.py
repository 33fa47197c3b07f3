"""Adjoints of the arguments of a node, from its own: the rules of reverse mode, one a kind of node.

A rule gives for each argument how its adjoint is made, which is asked for only where an input under question is behind
the argument. An adjoint may lack what broadcasting gives it; see `transposed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import accumulate
from types import MappingProxyType

import numpy as np

from opfuzz.oracle import graph, movement
from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.gradients.slopes import LOGARITHMS, PAIR_SLOPES, SLOPES, WITHOUT, of, stepped
from opfuzz.oracle.gradients.transposed import flipped, sent_back, shifted, spread
from opfuzz.oracle.graph import STATISTIC, UNKNOWN, Node
from opfuzz.oracle.operations import logcumsumexp, softmax, where

Part = Callable[[], Node]
ZERO = graph.number(0)
# Of a softmax that saturates, where 1 - p has lost what is left. Not 1/2, which two equal scores give: no precision
# decides on which side that is.
SATURATED = Fraction(45, 64)


class NoDerivativeError(ValueError):
    """A kind of node that has no derivative, and why."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind} has no derivative: {reason}")
        self.kind, self.reason = kind, reason


@dataclass(frozen=True, slots=True)
class Writing:
    """How gradients are written: exactly, or as usual; then results in `kept` are stored for the way back."""

    is_usual: bool
    active: Set[int]  # ids of the nodes that an input under question has a part in
    kept: frozenset[int] = frozenset()  # ids of nodes
    by_powers: bool = False  # of a quotient with the square of what divides, of a reciprocal root with its cube

    def result(self, node: Node, what: str | None = None) -> Node:
        """A result as the way back has it; `what` of `STATISTIC` is one that it must not have in a half format."""
        return Node("saved", (node,), node.shape, what) if id(node) in self.kept else node


Rule = Callable[[Node, Node, Writing], "tuple[Part, ...]"]


def scaled(g: Node, slope: object) -> Node:
    """An adjoint times a slope; where the adjoint is exactly zero so is this, whatever the slope."""
    factor = graph.as_node(slope)
    return Node("scaled", (g, factor), graph.broadcast(g.shape, factor.shape))


def _dot(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
    a, b = node.args
    whole = spread(g, node.shape)
    return (
        lambda: graph.dot(whole, movement.swapaxes(b, -2, -1)),
        lambda: graph.dot(movement.swapaxes(a, -2, -1), whole),
    )


def _gather(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
    whole = spread(g, node.shape)

    def part(arg: Node, start: int) -> Node:
        is_own = (node.detail >= start) & (node.detail < start + arg.size)
        return graph.reshape(sent_back(whole, np.where(is_own, node.detail - start, -1), arg.size), arg.shape)

    starts = accumulate((arg.size for arg in node.args), initial=0)
    return tuple(partial(part, arg, start) for arg, start in zip(node.args, starts, strict=False))


def _where(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
    if len(node.args) == 2:
        return lambda: where(node.detail, g, ZERO), lambda: where(node.detail, ZERO, g)
    left, right = node.args[:2]

    def nothing() -> Node:
        return ZERO

    if node.detail == "==" or writing.active.isdisjoint((id(left), id(right))):

        def chosen(if_so: Node, if_not: Node) -> Node:
            shape = graph.broadcast(left.shape, right.shape, g.shape)
            return Node("where", (left, right, if_so, if_not), shape, node.detail)

        return nothing, nothing, lambda: chosen(g, ZERO), lambda: chosen(ZERO, g)
    # Where it is decided by a hair, as at 0 where x > 0 is asked, both sides are right.
    return nothing, nothing, lambda: stepped(left, right, g, ZERO), lambda: stepped(left, right, ZERO, g)


def _extreme(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
    (x,) = node.args
    whole = spread(g, node.shape)
    return (lambda: Node("tied", (x, whole), x.shape, (node.op, node.detail)),)


def _cumsum(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
    axis = node.detail

    def part() -> Node:
        turned = flipped(spread(g, node.shape), axis)
        return flipped(Node("cumsum", (turned,), node.shape, axis), axis)

    return (part,)


# y_i = x_0 ... x_i, so that x_j has y_{j-1} times s_j = g_j + x_{j+1} s_{j+1}. Such a recurrence is a composition of
# maps s -> b + a s, which are joined in pairs, in log2(n) steps and without a division (Hillis and Steele).


def _cumprod(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
    axis = node.detail
    (x,) = node.args
    one = graph.number(1)

    def part() -> Node:
        whole = spread(g, node.shape)
        size = node.shape[axis]
        before = movement.pad(movement.narrow(node, axis, 0, max(size - 1, 0)), min(size, 1), 0, axis, one)
        a, b, by = shifted(x, axis, 1, ZERO), whole, 1
        while by < size:
            b = b + a * shifted(b, axis, by, ZERO)
            a = a * shifted(a, axis, by, ZERO)
            by *= 2
        exact = before * b
        if not writing.is_usual:
            return exact
        # As libraries have it; they take another way where a factor is zero.
        turned = flipped(whole * node, axis)
        divided = flipped(Node("cumsum", (turned,), node.shape, axis), axis) / x
        return where(graph.equal(x, 0), exact, divided)

    return (part,)


# y_i = log of the sum of exp(x_j) over j <= i: x_j has the sum of g_i exp(x_j - y_i) over i >= j, that is the
# difference of exp(x_j + log of the sum of exp(log(g_i) - y_i)) for the positive and for the negative g.


def _logcumsumexp(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
    axis = node.detail
    (x,) = node.args
    least = graph.leaf(np.asarray(-np.inf))

    def part() -> Node:
        whole = spread(g, node.shape)
        sides = []
        for size in (whole, -whole):
            logs = where(size > 0, of("log", where(size > 0, size, 1)), least) - node
            sides.append(of("exp", x + flipped(logcumsumexp(flipped(logs, axis), axis), axis)))
        return sides[0] - sides[1]

    return (part,)


def _softmax(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
    axis = node.detail[0]
    return (lambda: _softmax_part(writing.result(node), spread(g, node.shape), axis, writing),)


def _softmax_part(y: Node, g: Node, axis: int, writing: Writing) -> Node:
    """y (g - sum(g y)); exactly zero for equal adjoints, and without cancellation where it saturates."""

    def total(x: Node) -> Node:
        return Node("sum", (x,), tuple(1 if i == axis else n for i, n in enumerate(x.shape)), (axis,))

    if writing.is_usual:
        return scaled(g - total(scaled(g, y)), y)
    first = movement.narrow(g, axis, 0, 1)
    centre = first + total(where(y > SATURATED, g - first, ZERO))
    left = g - centre
    return y * (left - total(y * left))


def _scaled_by(slope: Callable[[Node, Node, Writing], Node]) -> Rule:
    """Of a function of one argument, from x, y and the way."""
    return lambda node, g, writing: (lambda: scaled(g, slope(node.args[0], writing.result(node), writing)),)


def _elementary(name: str) -> Rule:
    base = LOGARITHMS.get(name)

    def slope(x: Node, y: Node, writing: Writing) -> Node:
        derivative = SLOPES[name]
        made = (derivative.usual if writing.is_usual and derivative.usual else derivative.exact)(x, y)
        low, high = ELEMENTARY[name].domain if name in ELEMENTARY else (-np.inf, np.inf)
        # A library may have a slope where its function has no value.
        made = where(x < low, UNKNOWN, made) if np.isfinite(low) else made
        return where(x > high, UNKNOWN, made) if np.isfinite(high) else made

    def rule(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
        if base is None or not writing.by_powers:
            return _scaled_by(slope)(node, g, writing)
        return (lambda: scaled(g, 1 / node.args[0]) / of("log", base),)  # MLX divides by x first

    return rule


def _pair(name: str) -> Rule:
    def rule(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
        a, b = node.args
        return (
            lambda: scaled(g, PAIR_SLOPES[name](a, b, writing.result(node))[0]),
            lambda: scaled(g, PAIR_SLOPES[name](a, b, writing.result(node))[1]),
        )

    return rule


def _square(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
    x = node.args[0]
    return (lambda: scaled(2 * g, x) if writing.by_powers else scaled(g, 2 * x),)


def _mul(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
    a, b = node.args
    return lambda: scaled(g, b), lambda: scaled(g, a)


def _div(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
    a, b = node.args
    shared = scaled(g, 1 / b)

    def below() -> Node:
        if not writing.by_powers or _is_raised(b):
            return -scaled(shared, writing.result(node))
        if b.op == "sqrt":  # whose own slope divides by it once more, and then the cube is left
            root = 1 / b
            return -scaled(scaled(g, a), root * root * root * b)
        return -(scaled(g, a) / b**2)

    return lambda: shared, below


def _is_raised(divisor: Node) -> bool:
    """Whether it is made of an exponential function, as in the logistic function and softmax.

    Of these every framework has the slope in closed form, and by powers the tail would be lost.
    """
    return any(node.op == "exp" for node in graph.topological(divisor))


def _maximum(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
    a, b = node.args if node.op == "maximum" else node.args[::-1]
    return lambda: stepped(b, a, g, ZERO), lambda: stepped(a, b, g, ZERO)


def _abs(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
    return (lambda: stepped(node.args[0], ZERO, -g, g),)


def _sum(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
    return (lambda: g,)


def _none(kind: str, reason: str) -> Rule:
    def rule(node: Node, g: Node, writing: Writing) -> tuple[Part, ...]:
        raise NoDerivativeError(kind, reason)

    return rule


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "neg": lambda node, g, writing: (lambda: -g,),
        "add": lambda node, g, writing: (lambda: g, lambda: g),
        "sub": lambda node, g, writing: (lambda: g, lambda: -g),
        "mul": _mul,
        "div": _div,
        "square": _square,
        "abs": _abs,
        "maximum": _maximum,
        "minimum": _maximum,
        "where": _where,
        "sum": _sum,
        "max": _extreme,
        "min": _extreme,
        "cumsum": _cumsum,
        "cumprod": _cumprod,
        "logcumsumexp": _logcumsumexp,
        "dot": _dot,
        "dft": lambda node, g, writing: (lambda: Node("dft", (spread(g, node.shape),), node.shape, not node.detail),),
        "gather": _gather,
        "reshape": lambda node, g, writing: (lambda: graph.reshape(spread(g, node.shape), node.args[0].shape),),
        "softmax": _softmax,
        "floor": _none("rounding to whole numbers", "it changes by jumps alone"),
        "rint": _none("rounding to whole numbers", "it changes by jumps alone"),
        "rounded": _none("rounding to a format", "frameworks hand its adjoint on as it is"),
        "cummax": _none("cummax", "which of equal elements a running maximum took is nowhere said"),
        **{name: _elementary(name) for name in SLOPES},
        **{name: _pair(name) for name in PAIR_SLOPES},
        **{name: _none(name, f"no formula may call {reason}, which it is") for name, reason in WITHOUT.items()},
    }
)


# What is made of others, but has a derivative of its own as a whole.


def _logsumexp(node: Node, g: Node, writing: Writing) -> Node:
    assert node.meant is not None
    _, x, axes = node.meant
    if writing.is_usual or len(axes) > 1:
        # exp(x - y) has all of what y lost, which for x of [1000, 1000] is more than bfloat16 leaves of 1/2.
        return scaled(g, of("exp", x - writing.result(node, STATISTIC)))
    return scaled(g, softmax(x, axes[0]))


def _log_softmax(node: Node, g: Node, writing: Writing) -> Node:
    assert node.meant is not None
    _, x, (axis,) = node.meant
    whole = spread(g, node.shape)
    total = Node("sum", (whole,), tuple(1 if i == axis else n for i, n in enumerate(x.shape)), (axis,))
    return whole - scaled(total, of("exp", writing.result(node)) if writing.is_usual else softmax(x, axis))


def _clamp_min(node: Node, g: Node, writing: Writing) -> Node:
    assert node.meant is not None
    _, x, _ = node.meant
    whole = spread(g, node.shape)
    return where(x > node.args[1], whole, stepped(ZERO, ZERO, ZERO, whole))


# Equal elements of a row may stand in any order: each has the adjoint of one of their places.


def _sort(node: Node, g: Node, writing: Writing) -> Node:
    assert node.meant is not None
    _, x, (axis,) = node.meant
    whole = graph.reshape(spread(g, node.shape), (node.size,))
    sources = np.moveaxis(node.detail, axis, -1)  # flat places in x, row by row in order
    places = np.moveaxis(np.arange(node.size).reshape(node.shape), axis, -1)
    own = np.empty(x.size, np.int64)
    own[sources.ravel()] = places.ravel()
    values = x.detail.ravel()[sources]
    is_new = np.concatenate([np.ones((*values.shape[:-1], 1), bool), values[..., 1:] != values[..., :-1]], -1)
    if is_new.all():
        return graph.reshape(graph.gather((whole,), own), x.shape)
    # Blocks of about as many equal elements, up to the next power of two, are looked at together in one table.
    order, block, starts = places.ravel(), np.cumsum(is_new.ravel()) - 1, np.flatnonzero(is_new.ravel())
    lengths = np.diff(np.append(starts, order.size))
    widths = np.frexp((lengths - 1).astype(np.float64))[1]
    parts: list[tuple[Node, Node]] = []
    found, count = np.empty(starts.size, np.int64), 0
    for width in np.unique(widths).tolist():
        chosen = np.flatnonzero(widths == width)
        found[chosen] = count + np.arange(chosen.size)
        count += chosen.size
        along = np.minimum(np.arange(2**width)[None, :], lengths[chosen, None] - 1)
        around = graph.gather((whole,), order[starts[chosen, None] + along])
        parts.append((_ends(around, "min"), _ends(around, "max")))
    at = np.empty(x.size, np.int64)
    at[sources.ravel()] = found[block]
    low, high = (graph.reshape(graph.gather(each, at), x.shape) for each in zip(*parts, strict=True))
    return stepped(ZERO, ZERO, low, high)


def _ends(rows: Node, kind: str) -> Node:
    return Node(kind, (rows,), (rows.shape[0], 1), (1,))


MEANT: Mapping[str, Callable[[Node, Node, Writing], Node]] = MappingProxyType(
    {"logsumexp": _logsumexp, "log_softmax": _log_softmax, "sort": _sort, "clamp_min": _clamp_min}
)
