"""What a reference may call beside elementary functions: arithmetic, reductions, products, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import wraps
from inspect import signature
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import NAMED_FORMATS, Format
from opfuzz.oracle import graph, movement
from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.functions.pairs import PAIRS
from opfuzz.oracle.graph import Compared, Node, as_node
from opfuzz.oracle.movement import axes_of, moved_axis
from opfuzz.oracle.rows import windows
from opfuzz.oracle.rows.equations import einsum

Axis = int | Sequence[int] | None


def _elementwise(name: str) -> Callable[[object], Node]:
    def function(x: object) -> Node:
        return graph.unary(name, x)

    function.__name__ = name
    return function


def _of_two(name: str) -> Callable[[object, object], Node]:
    def function(a: object, b: object) -> Node:
        return graph.binary(name, a, b)

    function.__name__ = name
    return function


def maximum(a: object, b: object) -> Node:
    """The larger of two, element by element."""
    return graph.binary("maximum", a, b)


def minimum(a: object, b: object) -> Node:
    """The smaller of two, element by element."""
    return graph.binary("minimum", a, b)


def where(condition: object, if_true: object, if_false: object) -> Node:
    """Chooses element by element, by a mask or by a comparison of two tensors."""
    yes, no = as_node(if_true), as_node(if_false)
    if isinstance(condition, Compared):
        so, not_so = (no, yes) if condition.is_inverted else (yes, no)
        shape = graph.broadcast(condition.left.shape, condition.right.shape, yes.shape, no.shape)
        return Node("where", (condition.left, condition.right, so, not_so), shape, condition.relation)
    if isinstance(condition, np.ndarray) and condition.dtype == bool:
        shape = graph.broadcast(condition.shape, yes.shape, no.shape)
        return Node("where", (yes, no), shape, condition)
    raise TypeError("where needs a mask or a comparison as its first argument")


def _reduction(op: str) -> Callable[..., Node]:
    def function(x: object, axis: Axis = None, keepdims: bool = True) -> Node:
        node = as_node(x)
        axes = axes_of(node.shape, axis)
        kept = tuple(1 if i in axes else n for i, n in enumerate(node.shape))
        if op != "sum" and any(node.shape[i] == 0 for i in axes):
            raise ValueError(f"{op} over no elements")
        reduced = Node(op, (node,), kept, axes)
        return reduced if keepdims else movement.squeeze(reduced, axes)

    function.__name__ = op
    return function


sum_, max_, min_ = _reduction("sum"), _reduction("max"), _reduction("min")


def mean(x: object, axis: Axis = None, keepdims: bool = True) -> Node:
    """Sum divided by the number of elements; NaN over none, as IEEE has 0/0."""
    node = as_node(x)
    count = 1
    for i in axes_of(node.shape, axis):
        count *= node.shape[i]
    return sum_(node, axis, keepdims) / count


def cumsum(x: object, axis: int = -1) -> Node:
    """Sums of the first 1, 2, 3, ... elements along an axis."""
    node = as_node(x)
    return Node("cumsum", (node,), node.shape, moved_axis(node.shape, axis))


def cumprod(x: object, axis: int = -1) -> Node:
    """Products of the first 1, 2, 3, ... elements along an axis.

    A node of its own: a product on the way may be far beyond float64, and a later one inside it again.
    """
    node = as_node(x)
    return Node("cumprod", (node,), node.shape, moved_axis(node.shape, axis))


def cummax(x: object, axis: int = -1) -> Node:
    """The largest of the first 1, 2, 3, ... elements along an axis."""
    node = as_node(x)
    return Node("cummax", (node,), node.shape, moved_axis(node.shape, axis))


def cummin(x: object, axis: int = -1) -> Node:
    """The smallest of the first 1, 2, 3, ... elements along an axis."""
    return -cummax(-as_node(x), axis)


def logcumsumexp(x: object, axis: int = -1) -> Node:
    """Logarithms of the sums of the first 1, 2, 3, ... elements of exp(x) along an axis.

    A node of its own: exp(x) alone leaves every format where x is large, and the sum then says nothing of x.
    """
    node = as_node(x)
    return Node("logcumsumexp", (node,), node.shape, moved_axis(node.shape, axis))


def floor(x: object) -> Node:
    """The largest whole number that is not above."""
    return graph.unary("floor", x)


def ceil(x: object) -> Node:
    """The smallest whole number that is not below."""
    return -floor(-as_node(x))


def round_(x: object) -> Node:
    """The nearest whole number, the even one of two."""
    return graph.unary("rint", x)


def sign(x: object) -> Node:
    """-1, 0 or 1, as x is below, at or above zero."""
    node = as_node(x)
    return where(node > 0, 1, where(node < 0, -1, node))


def clip(x: object, low: object = None, high: object = None) -> Node:
    """x, or the limit that it is beyond; a limit of None is none. Where the limits cross it is the upper one."""
    node = as_node(x) if low is None else maximum(x, low)
    return node if high is None else minimum(node, high)


def clamp_min(x: object, low: object) -> Node:
    """x, or a limit below which it is not, through which frameworks may hand a gradient on or not."""
    node = as_node(x)
    result = maximum(node, low)
    result.meant = ("clamp_min", node, ())
    return result


def _rounding(fmt: Format) -> Callable[[object], Node]:
    def function(x: object) -> Node:
        node = as_node(x)
        return Node("rounded", (node,), node.shape, fmt)

    function.__name__ = fmt.name
    return function


def scatter_add(x: object, indices: object, source: object, axis: int = 0) -> Node:
    """x, with each element of `source` added at the place that `indices` gives along an axis; all else stays in place.

    Each place is the sum of its terms. Those with about as many terms, up to the next power of two, are added up
    together, padded with zeros: less than twice as many as there are.
    """
    node, terms = as_node(x), as_node(source)
    chosen = movement.along(node.shape, indices, axis)
    if any(have < need for have, need in zip(terms.shape, chosen.shape, strict=True)):
        raise ValueError(f"{list(terms.shape)} elements are too few for indices of the shape {list(chosen.shape)}")
    places = np.arange(terms.size).reshape(terms.shape)[tuple(map(slice, chosen.shape))].ravel()
    order = np.argsort(chosen.ravel(), kind="stable")
    counts = np.bincount(chosen.ravel(), minlength=node.size)
    starts = np.cumsum(counts) - counts
    widths = np.frexp(counts.astype(np.float64))[1]  # of c terms and x itself: c is below 2^width
    parts: list[Node] = []
    found = np.empty(node.size, np.int64)
    for width in np.unique(widths).tolist():
        targets = np.flatnonzero(widths == width)
        found[targets] = sum(part.size for part in parts) + np.arange(len(targets))
        turns = np.arange(2**width - 1)[None, :]
        is_term = turns < counts[targets, None]
        taken = places[order[np.where(is_term, starts[targets, None] + turns, 0)]] if order.size else 0 * turns
        # The zero stands behind x and the source.
        index = np.where(is_term, node.size + taken, node.size + terms.size)
        gathered = graph.gather((node, terms, graph.number(0)), np.concatenate([targets[:, None], index], 1))
        parts.append(sum_(gathered, 1, keepdims=False))
    return graph.gather(parts, found.reshape(node.shape)) if parts else node


# Complex numbers are pairs, real and imaginary part along a last axis of size 2; `axis` is counted without it.


def _dft(x: Node, axis: int, is_inverse: bool) -> Node:
    if len(x.shape) < 2 or x.shape[-1] != 2:
        raise ValueError(f"complex numbers have a last axis of size 2, real and imaginary part, not {list(x.shape)}")
    place = moved_axis(x.shape[:-1], axis)
    if x.shape[place] == 0:
        raise ValueError("a Fourier transform of no elements")
    last = len(x.shape) - 2
    rows = movement.swapaxes(x, place, last)
    made = Node("dft", (rows,), rows.shape, is_inverse)
    return movement.swapaxes(made, place, last)


def fft(x: object, axis: int = -1) -> Node:
    """Discrete Fourier transform of pairs: the sum of x_j e^(-2 pi i jk/n)."""
    return _dft(as_node(x), axis, is_inverse=False)


def ifft(x: object, axis: int = -1) -> Node:
    """Its inverse: the sum of x_j e^(2 pi i jk/n), divided by n."""
    node = as_node(x)
    return _dft(node, axis, is_inverse=True) / node.shape[moved_axis(node.shape[:-1], axis)]


def rfft(x: object, axis: int = -1) -> Node:
    """The first n // 2 + 1 pairs of the transform of real numbers."""
    node = as_node(x)
    place = moved_axis(node.shape, axis)
    pairs = movement.pad(movement.expand_dims(node, -1), 0, 1, -1)
    return movement.narrow(fft(pairs, place), place, 0, node.shape[place] // 2 + 1)


def irfft(x: object, n: int, axis: int = -1) -> Node:
    """The n real numbers of which the pairs are the transform; parts that must be zero for that do not count."""
    node = as_node(x)
    place = moved_axis(node.shape[:-1], axis)
    half = n // 2 + 1
    if n < 1 or node.shape[place] < half:
        raise ValueError(f"{n} real numbers have a transform of {half} pairs, not of {node.shape[place]}")
    kept = _with_real_ends(movement.narrow(node, place, 0, half), place, n)
    rest = movement.flip(movement.narrow(kept, place, 1, n - half), place)
    turned = movement.concatenate((movement.narrow(rest, -1, 0, 1), -movement.narrow(rest, -1, 1, 1)), -1)
    whole = ifft(movement.concatenate((kept, turned), place), place)
    return movement.squeeze(movement.narrow(whole, -1, 0, 1), -1)


def _with_real_ends(x: Node, place: int, n: int) -> Node:
    """Pairs with an imaginary part of exactly zero at frequency 0, and at half of an even n."""
    index = np.arange(x.size).reshape(x.shape)
    ends = np.moveaxis(index, place, 0)[[0, n // 2] if n % 2 == 0 else [0], ..., 1]
    index[np.isin(index, ends)] = x.size
    return graph.gather((x, graph.number(0)), index)


def matmul(a: object, b: object) -> Node:
    """Matrix product over the last two axes, broadcast over the others."""
    return graph.dot(as_node(a), as_node(b))


# softmax(x)_i = exp(x_i - max x) / sum_j exp(x_j - max x): the shift is exact mathematics and keeps float64 in range.


def softmax(x: object, axis: int = -1) -> Node:
    """exp(x) divided by its sum along an axis.

    A node of its own: where it saturates, x and its maximum err alike, which balls of the parts cannot know.
    """
    node = as_node(x)
    place = moved_axis(node.shape, axis)
    if node.shape[place] == 0:
        raise ValueError("softmax over no elements")
    raised = graph.unary("exp", node - max_(node, axis))
    return Node("softmax", (node,), node.shape, (place, raised / sum_(raised, axis)))


def logsumexp(x: object, axis: Axis = -1, keepdims: bool = True) -> Node:
    """Logarithm of the sum of exp(x) along an axis."""
    node = as_node(x)
    largest = max_(node, axis)
    # A row of -inf has the sum 0 and the logarithm -inf; shifting it by its maximum would make NaN of it.
    shift = where(np.isfinite(largest_of(node, axis)), largest, 0) if _has_infinity(node) else largest
    result = graph.unary("log", sum_(graph.unary("exp", node - shift), axis)) + shift
    result.meant = ("logsumexp", node, axes_of(node.shape, axis))
    return result if keepdims else movement.squeeze(result, axes_of(node.shape, axis))


def log_softmax(x: object, axis: int = -1) -> Node:
    """x minus logsumexp(x) along an axis."""
    node = as_node(x)
    shifted = node - max_(node, axis)
    result = shifted - graph.unary("log", sum_(graph.unary("exp", shifted), axis))
    result.meant = ("log_softmax", node, (moved_axis(node.shape, axis),))
    return result


def _has_infinity(node: Node) -> bool:
    return node.op in ("input", "leaf") and not np.isfinite(node.detail).all()


def largest_of(node: Node, axis: Axis) -> NDArray[Any]:
    """Maximum of the values of an input along an axis, kept with size 1."""
    values: NDArray[Any] = node.detail.max(axis=axes_of(node.shape, axis), keepdims=True)
    return values


def _refusing(name: str, function: Callable[..., object]) -> Callable[..., object]:
    """The function, which raises TypeError for a size, an axis, or such, that is no whole number."""
    signed = signature(function)
    whole = [parameter for parameter, given in signed.parameters.items() if given.annotation == "int"]
    if not whole:
        return function
    places = {place: parameter for place, parameter in enumerate(signed.parameters) if parameter in whole}

    @wraps(function)
    def checked(*args: object, **given: object) -> object:
        # Binding takes as long as making ten nodes.
        by_place = (args[place] for place in places if place < len(args))
        if all(isinstance(value, int) for value in (*by_place, *(given[name] for name in whole if name in given))):
            return function(*args, **given)
        known = signed.bind(*args, **given).arguments
        for parameter in whole:
            if not isinstance(value := known.get(parameter, 0), int):
                shown = float(value) if isinstance(value, Fraction) else repr(value)
                raise TypeError(f"{name} takes a whole number for '{parameter}', not {shown}")
        return function(*args, **given)

    return checked


_UNCHECKED: MappingProxyType[str, Callable[..., object]] = MappingProxyType(
    {name: _elementwise(name) for name in (*ELEMENTARY, "sqrt", "abs")}
    | {name: _of_two(name) for name in PAIRS}
    | {name: _rounding(fmt) for name, fmt in NAMED_FORMATS.items()}
    | {"sum": sum_, "max": max_, "min": min_, "round": round_}
    | {
        function.__name__: function
        for function in (
            maximum, minimum, clamp_min, where, mean, cumsum, cumprod, einsum, matmul, softmax, logsumexp, log_softmax,
            floor, ceil, sign, clip, cummax, cummin, logcumsumexp, scatter_add, fft, ifft, rfft, irfft,
        )
    }
    | movement.FUNCTIONS
    | windows.FUNCTIONS
)  # fmt: skip
REFERENCE_FUNCTIONS: MappingProxyType[str, Callable[..., object]] = MappingProxyType(
    {name: _refusing(name, function) for name, function in _UNCHECKED.items()}
)
