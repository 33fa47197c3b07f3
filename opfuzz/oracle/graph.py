"""The reference as a graph of exact operations: what the evaluators walk.

Four evaluators read the same graph: float64 balls (`balls`), Arb on chosen elements (`exact`), a working format
(`working`), and limits at infinity (`limits`). A node says *what* is computed, exactly; how, and how well, is theirs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import Format

Shape = tuple[int, ...]
Scalar = int | float | Fraction

MOST_ELEMENTS = 2**25  # far more than any case has; what is beyond was not meant


class Node:
    """One exact operation. `op` selects the rule in each evaluator, `detail` is what that rule needs beside `args`.

    input, leaf   detail: float64 array of exact values (`input`: drawn for the case; `leaf`: a mask or counter)
    number        detail: Fraction, or None for pi
    where         detail: bool array, args: (if true, if false); or '<', '<=' or '==', args: (a, b, if so, if not)
    sum, max, min detail: axes, kept with size 1
    cumsum, cumprod, cummax, logcumsumexp   detail: axis
    floor, rint   to whole numbers                        rounded  detail: format to which it is rounded
    dft           args: (..., n, 2) real and imaginary parts; detail: whether with e^(+2 pi i jk/n)
    softmax       detail: axis, and the same result written out
    dot           args: (..., m, k) and (..., k, n)
    gather        detail: index into the concatenation of the flattened args
    reshape, neg, add, sub, mul, div, maximum, minimum, abs, square, sqrt, every name in `elementary.ELEMENTARY`,
    and with two args every name in `functions.pairs.PAIRS`

    Of gradients alone, see `gradients`:
    scaled        args: (adjoint, slope): their product, exactly zero where the adjoint is, whatever the slope
    step          args: (a, b, below, above): `below` where a < b, `above` where a > b; at a tie anything between both
    tied          args: (x, adjoint), detail: ('max' or 'min', axes): the adjoint at the extreme element of each row, 0
                  at the others; at several that tie anything between both
    saved         the same, as it was kept for the way back: in the format of the storage
    unknown       anything at all
    """

    __slots__ = ("args", "before", "detail", "format", "meant", "op", "shape")
    __array_ufunc__ = None  # an array beside a node leaves the arithmetic to it

    def __init__(self, op: str, args: tuple[Node, ...], shape: Shape, detail: Any = None) -> None:
        self.op, self.args, self.shape, self.detail = op, args, shape, detail
        self.format: Format | None = None  # of an input that has another than the one under test
        self.before: tuple[Node, ...] | None = None  # see `topological`
        # What a node that is made of others is called as a whole, of which node, and along which axes: its derivative
        # is that of the whole.
        self.meant: tuple[str, Node, tuple[int, ...]] | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    def __repr__(self) -> str:
        return f"{self.op}{list(self.shape)}"

    def __neg__(self) -> Node:
        return fold(lambda a: -a, self) or Node("neg", (self,), self.shape)

    def __pos__(self) -> Self:
        return self

    def __add__(self, other: object) -> Node:
        return binary("add", self, other)

    def __radd__(self, other: object) -> Node:
        return binary("add", other, self)

    def __sub__(self, other: object) -> Node:
        return binary("sub", self, other)

    def __rsub__(self, other: object) -> Node:
        return binary("sub", other, self)

    def __mul__(self, other: object) -> Node:
        return binary("mul", self, other)

    def __rmul__(self, other: object) -> Node:
        return binary("mul", other, self)

    def __truediv__(self, other: object) -> Node:
        return binary("div", self, other)

    def __rtruediv__(self, other: object) -> Node:
        return binary("div", other, self)

    def __matmul__(self, other: object) -> Node:
        return dot(self, as_node(other))

    def __rmatmul__(self, other: object) -> Node:
        return dot(as_node(other), self)

    def __floordiv__(self, other: object) -> Node:
        raise TypeError("// and % are for whole numbers: sizes, params and indices; write remainder(a, b)")

    __rfloordiv__ = __mod__ = __rmod__ = __floordiv__

    def __rpow__(self, other: object) -> Node:
        raise TypeError("a power in a reference is a whole number from 1 to 64; write others as pow(a, b)")

    def __pow__(self, exponent: object) -> Node:
        """Whole powers, by squaring. Raises ValueError for any other exponent."""
        if isinstance(exponent, Node) and exponent.op == "number" and exponent.detail is not None:
            exponent = exponent.detail
        if not isinstance(exponent, int | Fraction) or exponent != int(exponent) or not 1 <= exponent <= 64:
            raise ValueError("a power in a reference is a whole number from 1 to 64; write others as pow(a, b)")
        result, base, left = None, self, int(exponent)
        while left:
            if left & 1:
                result = base if result is None else result * base
            left >>= 1
            if left:
                base = fold(lambda a: a * a, base) or Node("square", (base,), base.shape)
        assert result is not None
        return result

    def __lt__(self, other: object) -> Compared:
        return Compared(self, "<", as_node(other))

    def __gt__(self, other: object) -> Compared:
        return Compared(as_node(other), "<", self)

    def __le__(self, other: object) -> Compared:
        return Compared(self, "<=", as_node(other))

    def __ge__(self, other: object) -> Compared:
        return Compared(as_node(other), "<=", self)


class Compared:
    """Whether `left < right`, `left <= right` or `left == right`, or not, element by element; only `where` can use it.

    With NaN none of the three is so, as in IEEE arithmetic.
    """

    __slots__ = ("is_inverted", "left", "relation", "right")

    def __init__(self, left: Node, relation: str, right: Node, is_inverted: bool = False) -> None:
        self.left, self.relation, self.right, self.is_inverted = left, relation, right, is_inverted

    def __bool__(self) -> bool:
        # A chain asks its links, and any two of them would be true.
        raise TypeError(
            "a chain compares sizes and params, not values; write where(a < x, where(x < b, ..., ...), ...)"
        )


def equal(first: object, second: object, is_inverted: bool = False) -> Compared:
    """`first == second`, or with `is_inverted` `first != second`, element by element."""
    return Compared(as_node(first), "==", as_node(second), is_inverted)


RELATIONS: dict[str, Callable[[Any, Any], Any]] = {"<": operator.lt, "<=": operator.le, "==": operator.eq}


def number(value: Scalar) -> Node:
    """An exact constant. Infinity and NaN become leaves."""
    if isinstance(value, float) and not np.isfinite(value):
        return leaf(np.asarray(value))
    return Node("number", (), (), Fraction(value))


PI = Node("number", (), (), None)
UNKNOWN = Node("unknown", (), ())
STATISTIC = "statistic"  # detail of what is saved, where what it loses grows with its size


class Whole(np.ndarray[Any, Any]):
    """Indices, or a mask as 0 and 1: whole numbers, which can choose elements.

    `+ - * // % **` with others give whole numbers; all else makes nodes, which are exact as well.
    """

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> object:
        plain = [value.view(np.ndarray).astype(np.int64) if isinstance(value, Whole) else value for value in inputs]
        is_whole = all(isinstance(value, int | np.integer | np.ndarray) for value in plain)
        if method == "__call__" and (ufunc is np.true_divide or not is_whole):
            if ufunc not in _OF_NODES:
                return NotImplemented
            return _OF_NODES[ufunc](*map(as_node, plain))
        made = getattr(ufunc, method)(*plain, **settings)
        return made.view(Whole) if isinstance(made, np.ndarray) and made.dtype.kind == "i" else made


_OF_NODES: dict[np.ufunc, Callable[..., object]] = {
    np.add: lambda a, b: a + b,
    np.subtract: lambda a, b: a - b,
    np.multiply: lambda a, b: a * b,
    np.true_divide: lambda a, b: a / b,
    np.less: lambda a, b: a < b,
    np.less_equal: lambda a, b: a <= b,
    np.greater: lambda a, b: a > b,
    np.greater_equal: lambda a, b: a >= b,
    np.equal: equal,
    np.not_equal: lambda a, b: equal(a, b, is_inverted=True),
}


def leaf(values: NDArray[Any], op: str = "leaf", format: Format | None = None) -> Node:
    """Exact values; any shape, any float, integer or bool dtype that float64 holds exactly."""
    node = Node(op, (), values.shape, np.ascontiguousarray(values, np.float64).reshape(values.shape))
    node.format = format
    return node


def as_node(value: object) -> Node:
    """Numbers and arrays become nodes. Raises TypeError for anything else."""
    if isinstance(value, Node):
        return value
    if isinstance(value, bool | np.bool_):
        raise TypeError("true and false have no place in arithmetic")
    if isinstance(value, int | float | Fraction):
        return number(value)
    if isinstance(value, np.ndarray):
        return leaf(value)
    raise TypeError(f"{type(value).__name__} cannot be used as a tensor")


def fold(function: Callable[..., Fraction], *args: Node) -> Node | None:
    """The exact result where all args are rational numbers, else None."""
    if all(a.op == "number" and a.detail is not None for a in args):
        return number(function(*(a.detail for a in args)))
    return None


def broadcast(*shapes: Shape) -> Shape:
    """NumPy's broadcast shape. Raises ValueError, with the shapes, where there is none."""
    first = shapes[0]
    if shapes.count(first) + shapes.count(()) * (first != ()) == len(shapes):  # nearly always
        return first
    return np.broadcast_shapes(*shapes)


_FRACTIONS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
}


def binary(op: str, first: object, second: object) -> Node:
    """add, sub, mul, div, maximum or minimum, broadcast."""
    a, b = as_node(first), as_node(second)
    if a.op == b.op == "number" and op in _FRACTIONS and not (op == "div" and b.detail == 0):
        folded = fold(_FRACTIONS[op], a, b)
        if folded is not None:
            return folded
    return Node(op, (a, b), broadcast(a.shape, b.shape))


def unary(op: str, x: object) -> Node:
    """An elementwise function of one argument."""
    node = as_node(x)
    return Node(op, (node,), node.shape)


def refuse_more_than_most(count: int) -> None:
    """Raises ValueError for more elements than a reference may have."""
    if count > MOST_ELEMENTS:
        raise ValueError(f"{count} elements are more than a reference may have")


def gather(args: Sequence[Node], index: NDArray[np.int64]) -> Node:
    """Elements of the concatenated, flattened args; shape of `index`. Raises ValueError for too many."""
    refuse_more_than_most(index.size)
    return Node("gather", tuple(args), index.shape, index)


def reshape(x: Node, shape: Shape) -> Node:
    """The same elements, in order, in another shape. Raises ValueError if the sizes differ."""
    if -1 in shape:
        known = prod(n for n in shape if n != -1)
        shape = tuple(x.size // max(known, 1) if n == -1 else n for n in shape)
    if prod(shape) != x.size:
        raise ValueError(f"cannot reshape {list(x.shape)} to {list(shape)}")
    return Node("reshape", (x,), shape)


def dot(a: Node, b: Node) -> Node:
    """Matrix product over the last axis of `a` and the last but one of `b`, broadcast over the others.

    Raises ValueError if the inner sizes differ or either has fewer than two axes.
    """
    if len(a.shape) < 2 or len(b.shape) < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"cannot multiply matrices of shapes {list(a.shape)} and {list(b.shape)}")
    return Node("dot", (a, b), (*broadcast(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]))


def topological(root: Node) -> list[Node]:
    """Every node once, arguments first."""
    # All but the root are remembered in it: with itself it would keep its arrays until cycles are looked for.
    if root.before is None:
        root.before = tuple(_ordered(root)[:-1])
    return [*root.before, root]


def _ordered(root: Node) -> list[Node]:
    order: list[Node] = []
    seen: set[int] = set()
    stack: list[Node | None] = [root]  # None before a node whose arguments are all there
    while stack:
        node = stack.pop()
        if node is None:
            done = stack.pop()
            assert done is not None
            order.append(done)
        elif id(node) not in seen:
            seen.add(id(node))
            if node.args:
                stack += (node, None, *node.args[::-1])
            else:
                order.append(node)
    return order


Tables = frozenset[int]


def tables_of(root: Node) -> Tables:
    """Ids of the nodes that no input has a part in: constants, counters, and what is made of those alone."""
    found: set[int] = set()
    for node in topological(root):
        if node.op != "input" and (not node.args or found.issuperset(map(id, node.args))):
            found.add(id(node))
    return frozenset(found)


def is_whole(node: Node) -> bool:
    """Whether a node is a whole number, such as the count of a mean."""
    return node.op == "number" and node.detail is not None and node.detail.denominator == 1


ARITHMETIC = ("neg", "add", "sub", "mul", "div", "maximum", "minimum", "abs", "square", "sqrt", "where")
SCANS = frozenset({"cumsum", "cumprod", "cummax", "logcumsumexp"})  # along the axis that is their detail
STEPS = frozenset({"floor", "rint", "rounded"})  # constant but for jumps
KINKS = frozenset({"step", "tied", "unknown"})  # of which more precision does not tell one value
ELEMENTWISE = STEPS.union(ARITHMETIC, ("scaled", "step", "saved"))


def is_unary(root: Node, elementary: frozenset[str] | set[str]) -> bool:
    """Whether each element of the result depends on one element of one input, at the same place."""
    return is_elementwise(root, elementary) and sum(node.op == "input" for node in topological(root)) == 1


def is_elementwise(root: Node, elementary: frozenset[str] | set[str], *, of_call: bool = False) -> bool:
    """Whether each element of the result depends on those of the inputs that are at the same place, and no others.

    With `of_call` it need be so for these sizes alone: a table of one number is then a parameter.
    """
    tables = tables_of(root) if of_call else frozenset()
    return all(
        (
            (
                n.op in ELEMENTWISE
                or n.op in elementary
                or n.op in ("input", "number", "unknown")
                or (n.op == "leaf" and n.size == 1)
            )
            and (n.shape == root.shape or (n.shape == () and n.op != "input"))
        )
        or (n.size == 1 and id(n) in tables)
        for n in topological(root)
    )
