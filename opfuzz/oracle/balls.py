"""Midpoint-radius balls over float64 arrays: truth, conditioning and allowance from one walk of the graph.

A ball is one midpoint and one radius per model. Every operation propagates the radii of its arguments and adds what one
rounding of it may do, with the unit roundoff as a setting of the model:

    truth         2^-53, inputs exact: the midpoint is the exact value, the radius proves how exact
    conditioning  no rounding, inputs off by u |x|: what one rounding of the inputs may do
    allowance     the roundoff of a working format: what an honest, straightforward implementation may do

A radius of 0 with a midpoint of NaN or infinity is an IEEE special value; an infinite radius is "not known here".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.core.metrics.ulp import flat
from opfuzz.oracle.arithmetic import elementwise
from opfuzz.oracle.arithmetic.blocks import Blocks, blocks_of
from opfuzz.oracle.dependencies import touched
from opfuzz.oracle.functions.pairs import PAIRS
from opfuzz.oracle.graph import STEPS, Node, Tables, is_whole, tables_of, topological
from opfuzz.oracle.models import U64, Arithmetic, PoleOf, Radius, RadiusOf, Rule, added, kernels, row
from opfuzz.oracle.rows import adjoint, fourier, products, scans, sums


@dataclass(frozen=True, slots=True)
class Ball:
    """`mid` and, in the order of the models, `radii` of the same shape."""

    mid: FloatArray
    radii: tuple[Radius, ...]


def evaluate(root: Node, models: Sequence[Arithmetic]) -> Ball:
    """The ball of `root` under each model. Every radius is an array or None."""
    if (blocks := blocks_of(root)) is not None:
        return _in_blocks(blocks, models)
    return _whole(root, models)


def _whole(root: Node, models: Sequence[Arithmetic]) -> Ball:
    tables = tables_of(root)
    with np.errstate(all="ignore"):
        return _numbers(root, models, tables) or _walked(root, models, tables)


def _in_blocks(blocks: Blocks, models: Sequence[Arithmetic]) -> Ball:
    """The same, a part at a time; whether a radius is None lies in the graph and not in the values."""
    mid, shape = np.empty(blocks.shape), blocks.root.shape
    radii: list[Radius] = [None] * len(models)
    for part, block in blocks:
        ball = _whole(block, models)
        mid[part] = ball.mid
        for i, radius in enumerate(ball.radii):
            if radius is not None:
                whole = radii[i]
                if whole is None:
                    radii[i] = whole = np.empty(blocks.shape)
                whole[part] = radius
    return Ball(mid.reshape(shape), tuple(r if r is None else r.reshape(shape) for r in radii))


def evaluate_together(roots: Sequence[Node], models: Sequence[Arithmetic]) -> tuple[Ball, ...]:
    """The balls of several nodes, of which each that they share is walked once."""
    whole = Node("roots", tuple(roots), ())
    tables = tables_of(whole)
    with np.errstate(all="ignore"):
        found = _of_all(topological(whole)[:-1], models, tables)
    return tuple(found[id(root)] for root in roots)


def midpoint(node: Node, args: list[FloatArray]) -> FloatArray:
    """What float64 makes of one node, from the values of its arguments."""
    rule = _RULES.get(node.op) or elementwise.elementary
    return rule(node, args)[0]


def _numbers(root: Node, models: Sequence[Arithmetic], tables: Tables) -> Ball | None:
    """The ball of a graph in which every midpoint is a number; None if one is not, or a radius is not known."""
    balls, asked = dict[int, Ball](), tuple(models)
    for node in topological(root):
        if node.op == "number":
            balls[id(node)] = _number_ball(_parts_of(node), asked)
            continue
        args = [balls[id(arg)] for arg in node.args]
        # A radius that is not known stays so in whatever is made of it, unless it is compared.
        if node.op in ("where", "step", "tied") and not all(map(_is_known, args)):
            return None
        mid, radii, _ = _step(node, args, models, tables)
        if node.op not in _MOVES and not _is_finite(mid):
            return None
        balls[id(node)] = Ball(mid, radii)
    whole = balls[id(root)]
    return whole if _is_known(whole) else None


def _is_known(ball: Ball) -> bool:
    return all(radius is None or _is_finite(radius) for radius in ball.radii)


def _is_finite(values: FloatArray) -> bool:
    """False also where the sum passes float64's range."""
    return isfinite(np.add.reduce(values, axis=None))


def _walked(root: Node, models: Sequence[Arithmetic], tables: Tables) -> Ball:
    return _of_all(topological(root), models, tables)[id(root)]


def _of_all(nodes: Sequence[Node], models: Sequence[Arithmetic], tables: Tables) -> dict[int, Ball]:
    """The balls of nodes by their ids; arguments come first."""
    balls, asked = dict[int, Ball](), tuple(models)
    for node in nodes:
        if node.op == "number":
            balls[id(node)] = _number_ball(_parts_of(node), asked)
            continue
        args = [balls[id(arg)] for arg in node.args]
        mid, radii, pole_of = _step(node, args, models, tables)
        balls[id(node)] = _settle_specials(node, args, Ball(mid, radii), pole_of)
    return balls


# Every case of a spec has the same few numbers. None: pi; else numerator and denominator, sooner compared than a
# fraction.

Parts = tuple[int, int] | None


def _parts_of(node: Node) -> Parts:
    return None if node.detail is None else (node.detail.numerator, node.detail.denominator)


@lru_cache(maxsize=4096)
def _number_ball(parts: Parts, models: tuple[Arithmetic, ...]) -> Ball:
    node = Node("number", (), (), None if parts is None else Fraction(*parts))
    mid, radii, _ = _step(node, [], models, frozenset({id(node)}))
    for array in (mid, *radii):
        if array is not None:
            array.flags.writeable = False
    return Ball(mid, radii)


def _step(
    node: Node, args: list[Ball], models: Sequence[Arithmetic], tables: Tables
) -> tuple[FloatArray, tuple[Radius, ...], PoleOf]:
    rule = _RULES.get(node.op) or elementwise.elementary
    mid, radius_of, pole_of = rule(node, [a.mid for a in args])
    radii: list[Radius] = []
    for i, model in enumerate(models):
        inside = [a.radii[i] for a in args]
        if model.tables is not None:
            if id(node) in tables:
                model = model.tables
            else:
                inside = [_met(arg, ball, i, model, tables) for arg, ball in zip(node.args, args, strict=True)]
        radius = radius_of(inside, model)
        if radius is not None and node.op in _RING and id(node) in tables and not any(r is not None for r in inside):
            radius = None if _are_whole([mid, *(a.mid for a in args)], model) else radius
        if radius is not None and model.is_truth and node.op not in _EXACT:
            inflated = np.empty(mid.shape)
            kernels().inflate(flat(mid), row(radius, mid.shape), inflated.reshape(-1))
            radius = inflated
        radii.append(radius)
    return mid, tuple(radii), pole_of


def _are_whole(values: Sequence[FloatArray], model: Arithmetic) -> bool:
    """Whether numbers are whole and so small that sums and products of them are exact, as those of counters."""
    most = 1 / max(model.roundoff, U64)
    return all(bool((array == np.rint(array)).all()) and np.abs(array).max(initial=0.0) <= most for array in values)


def _met(arg: Node, ball: Ball, i: int, model: Arithmetic, tables: Tables) -> Radius:
    """The radius of an argument; a table is rounded where it meets an input, a whole number is not."""
    radius = ball.radii[i]
    if id(arg) not in tables or is_whole(arg):
        return radius
    return added(radius, model.roundoff * np.abs(ball.mid))


def _settle_specials(node: Node, args: list[Ball], ball: Ball, pole_of: PoleOf) -> Ball:
    """IEEE specials have radius 0; an overflow of float64 from finite arguments is not known here."""
    finite = np.isfinite(ball.mid)
    all_finite = bool(finite.all())
    if all_finite and all(r is None or bool(np.isfinite(r).all()) for r in ball.radii):
        return ball
    if node.op in _CHOOSES or not args:  # radii were moved or given, not computed
        return ball
    radii: list[Radius] = []
    from_special = touched(node, [~np.isfinite(a.mid) for a in args])
    inherited = ~finite & from_special
    is_pole = None if pole_of is None else pole_of()
    for i, radius in enumerate(ball.radii):
        unknown = touched(node, [_nonfinite_radius(a, i) for a in args])
        if node.op == "scaled":
            mids, inside = [a.mid for a in args], [a.radii[i] for a in args]
            unknown = (unknown | adjoint.is_undecided(mids, inside)) & ~adjoint.is_certain_zero(mids[0], inside[0])
        special = inherited
        if is_pole is not None:
            is_certain = is_pole  # by the divisor alone, or by both of a pair
            for r in (arg.radii[i] for arg in args[-1 if node.op not in PAIRS else 0 :]):
                is_certain = is_certain if r is None else is_certain & (r == 0)
            special = special | is_certain
        settled = np.zeros(ball.mid.shape) if radius is None else radius
        # NaN radii come from infinity * 0: exact where an argument is an exact infinity, else nothing is known.
        settled = np.where(np.isnan(settled), np.where(from_special & ~unknown, 0.0, np.inf), settled)
        settled = np.where(special & ~unknown, 0.0, settled)
        radii.append(np.where(unknown | (~finite & ~special), np.inf, settled))
    return Ball(ball.mid, tuple(radii))


def _nonfinite_radius(ball: Ball, i: int) -> NDArray[np.bool_]:
    radius = ball.radii[i]
    return np.zeros(ball.mid.shape, np.bool_) if radius is None else ~np.isfinite(radius)


def _gather(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    def move(parts: Sequence[FloatArray]) -> FloatArray:
        flat = parts[0].ravel() if len(parts) == 1 else np.concatenate([p.ravel() for p in parts])
        return np.asarray(flat[node.detail])

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        if all(r is None for r in radii):
            return None
        return move(
            [np.zeros(x.shape) if r is None else np.broadcast_to(r, x.shape) for r, x in zip(radii, args, strict=True)]
        )

    return move(args), radius, None


def _reshape(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    return (
        args[0].reshape(node.shape),
        lambda radii, m: None if radii[0] is None else radii[0].reshape(node.shape),
        None,
    )


_EXACT = STEPS | {
    "where",
    "gather",
    "reshape",
    "neg",
    "abs",
    "saved",
}  # radii are handed on, with no arithmetic of their own
_RING = frozenset({"add", "sub", "mul", "square"})
_CHOOSES = frozenset({"where", "gather", "reshape", "step", "tied", "saved"})
# Numbers stay numbers.
_MOVES = frozenset({"number", "gather", "reshape", "neg", "abs", "maximum", "minimum", "max", "min", "floor", "rint"})
_RULES: dict[str, Rule] = {
    "input": elementwise.constant,
    "leaf": elementwise.constant,
    "number": elementwise.constant,
    "neg": elementwise.neg,
    "abs": elementwise.absolute,
    "add": elementwise.add,
    "sub": elementwise.add,
    "mul": elementwise.mul,
    "square": elementwise.mul,
    "div": elementwise.div,
    "sqrt": elementwise.square_root,
    "maximum": elementwise.pick,
    "minimum": elementwise.pick,
    "where": elementwise.where,
    "floor": elementwise.step,
    "rint": elementwise.step,
    "rounded": elementwise.step,
    "sum": sums.sum_of,
    "cumsum": sums.cumsum,
    "cumprod": products.cumprod,
    "cummax": scans.cummax,
    "logcumsumexp": scans.logcumsumexp,
    "dft": fourier.dft,
    "softmax": sums.softmax,
    "max": sums.extreme,
    "min": sums.extreme,
    "dot": sums.dot,
    "scaled": adjoint.scaled,
    "step": adjoint.step,
    "tied": adjoint.tied,
    "saved": adjoint.saved,
    "unknown": adjoint.unknown,
    "gather": _gather,
    "reshape": _reshape,
    **dict.fromkeys(PAIRS, elementwise.pair),
}
