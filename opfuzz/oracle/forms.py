"""The ways in which a formula may be written: functions made of others, as libraries compute them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice, product

from opfuzz.oracle import graph
from opfuzz.oracle.graph import Node, topological
from opfuzz.oracle.operations import max_, where

MOST_FORMS = 48  # of one formula: what nests several functions has a form for each choice
Form = Callable[[Node], Node]


def _of(op: str, x: object) -> Node:
    return graph.unary(op, x)


def _one_sided_sigmoid(x: Node) -> Node:
    raised = _of("exp", -_of("abs", x))
    return where(x < 0, raised / (1 + raised), 1 / (1 + raised))


def _one_sided_tanh(x: Node) -> Node:
    raised = _of("exp", _of("abs", x) * -2)
    size = (1 - raised) / (1 + raised)
    return where(x < 0, -size, size)


def _tanh_by_both(x: Node) -> Node:
    up, down = _of("exp", x), _of("exp", -x)
    return (up - down) / (up + down)


def _tanh_by_expm1(x: Node) -> Node:
    raised = _of("expm1", 2 * x)
    return raised / (raised + 2)


# Each function made of others, of its argument. All mean the same; which of them loses what is no matter here.
FORMS: Mapping[str, tuple[Form, ...]] = {
    "sigmoid": (
        lambda x: 1 / (1 + _of("exp", -x)),
        lambda x: _of("exp", x) / (1 + _of("exp", x)),
        _one_sided_sigmoid,
        lambda x: (1 + _of("tanh", x / 2)) / 2,
    ),
    "softplus": (
        lambda x: _of("log1p", _of("exp", x)),
        lambda x: graph.binary("maximum", x, 0) + _of("log1p", _of("exp", -_of("abs", x))),
        lambda x: x + _of("log1p", _of("exp", -x)),
    ),
    "tanh": (
        lambda x: 1 - 2 / (1 + _of("exp", 2 * x)),
        lambda x: 2 / (1 + _of("exp", -2 * x)) - 1,
        _one_sided_tanh,
        _tanh_by_both,
        _tanh_by_expm1,
        lambda x: 2 * _of("sigmoid", 2 * x) - 1,
    ),
    "erfc": (lambda x: 1 - _of("erf", x),),
    "erf": (lambda x: 1 - _of("erfc", x),),
    "expm1": (lambda x: _of("exp", x) - 1,),
    "log1p": (lambda x: _of("log", 1 + x),),
    # Of the node itself, which has its own formula written out.
    "softmax": (
        lambda node: node.detail[1],
        lambda node: _of("exp", node.detail[1].args[0].args[0] - _of("log", node.detail[1].args[1])),
    ),
}


def _by_logsumexp(node: Node) -> Node:
    raised, total = node.detail[1].args
    x, largest = raised.args[0].args
    return _of("exp", x - (_of("log", total) + largest))


def _by_cumsum(node: Node) -> Node:
    """log(cumsum(exp(x))), which overflows and vanishes where x is large."""
    (x,) = node.args
    return _of("log", Node("cumsum", (_of("exp", x),), node.shape, node.detail))


def _by_shifted_cumsum(node: Node) -> Node:
    """The same of x less its maximum, which loses what lies far below that."""
    (x,) = node.args
    largest = max_(x, node.detail)
    return _of("log", Node("cumsum", (_of("exp", x - largest),), node.shape, node.detail)) + largest


# Those of them that lose more than they must, as people write them.
LOSSY: Mapping[str, Mapping[str, Form]] = {
    "softmax": {"exp(x - logsumexp(x))": _by_logsumexp},
    "logcumsumexp": {
        "log(cumsum(exp(x)))": _by_cumsum,
        "log(cumsum(exp(x - max(x)))) + max(x)": _by_shifted_cumsum,
    },
    "sigmoid": {"exp(x) / (1 + exp(x))": FORMS["sigmoid"][1], "(1 + tanh(x / 2)) / 2": FORMS["sigmoid"][3]},
    "softplus": {"log1p(exp(x))": FORMS["softplus"][0], "log(1 + exp(x))": lambda x: _of("log", 1 + _of("exp", x))},
    "tanh": {
        "1 - 2 / (1 + exp(2 x))": FORMS["tanh"][0],
        "2 / (1 + exp(-2 x)) - 1": FORMS["tanh"][1],
        "(exp(x) - exp(-x)) / (exp(x) + exp(-x))": _tanh_by_both,
    },
    "erfc": {"1 - erf(x)": FORMS["erfc"][0]},
    "erf": {"1 - erfc(x)": FORMS["erf"][0]},
    "expm1": {"exp(x) - 1": FORMS["expm1"][0]},
    "log1p": {"log(1 + x)": FORMS["log1p"][0]},
}


_OF_THE_NODE = frozenset({"softmax", "logcumsumexp"})  # whose forms take the node, for its axis


def lossy_forms(root: Node) -> Iterator[tuple[str, str, Node]]:
    """A function in a formula, how it may be written with a loss, and the formula with it written so."""
    kinds = {node.op for node in topological(root)}
    for kind, written in LOSSY.items():
        if kind in kinds:
            yield from ((kind, text, _rewritten(root, {kind: form})) for text, form in written.items())


def forms(root: Node) -> Iterator[Node]:
    """The formula as it stands, then with some of its functions made of others, the plainest first."""
    kinds = sorted({node.op for node in topological(root)} & FORMS.keys())
    places = product(*(range(1 + len(FORMS[kind])) for kind in kinds))
    for chosen in islice(sorted(places, key=sum), MOST_FORMS):
        yield _rewritten(
            root, {kind: FORMS[kind][place - 1] for kind, place in zip(kinds, chosen, strict=True) if place}
        )


# Kernels keep 1 / sqrt(v) of a row, and multiply by it wherever a formula divides by the root.


def by_reciprocals(root: Node) -> Node | None:
    """The formula with one 1 / sqrt(v) for each root in the place of all quotients by it; None: there are none."""
    done: dict[int, Node] = {}
    kept: dict[int, Node] = {}
    for node in topological(root):
        args = tuple(done[id(arg)] for arg in node.args)
        made = node if all(new is old for new, old in zip(args, node.args, strict=True)) else None
        made = made or Node(node.op, args, node.shape, node.detail)
        if node.op == "div" and (found := _root_in(args[1])) is not None:
            below, factor = found
            inverse = kept.setdefault(id(below), 1 / below)
            made = args[0] * inverse if factor is None else args[0] / factor * inverse
        done[id(node)] = made
    return done[id(root)] if kept else None


def _root_in(node: Node) -> tuple[Node, Node | None] | None:
    """The root in a denominator, and the number that it is multiplied by, if any."""
    if node.op == "sqrt":
        return node, None
    if node.op == "mul":
        for factor, below in (node.args, node.args[::-1]):
            if factor.op == "number" and below.op == "sqrt":
                return below, factor
    return None


def _rewritten(root: Node, picked: Mapping[str, Form]) -> Node:
    """The graph with the functions in `picked` made of others; values alone may be asked of it."""
    done: dict[int, Node] = {}
    for node in topological(root):
        if node.op in _OF_THE_NODE and node.op in picked:
            done[id(node)] = _rewritten(picked[node.op](node), picked)
            continue
        args = tuple(done[id(arg)] for arg in node.args)
        if node.op in picked:
            done[id(node)] = picked[node.op](args[0])
        elif args == node.args:
            done[id(node)] = node
        else:
            done[id(node)] = Node(node.op, args, node.shape, node.detail)
    return done[id(root)]
