"""Rules of balls for constants, arithmetic, choices and elementary functions."""

from __future__ import annotations

from fractions import Fraction
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray, round_to
from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.functions.pairs import PAIRS
from opfuzz.oracle.functions.record import FLOOR, is_hole
from opfuzz.oracle.graph import RELATIONS, Node
from opfuzz.oracle.models import U64, Arithmetic, PoleOf, Radius, RadiusOf, Rounding, added, full, kernels, row


def constant(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    if node.op in ("input", "leaf"):
        return node.detail, lambda radii, m: _input_radius(node, m), None
    mid = np.asarray(np.pi if node.detail is None else float(node.detail))
    return mid, lambda radii, m: _number_radius(mid, node.detail, m.roundoff), None


def _input_radius(node: Node, model: Arithmetic) -> Radius:
    if node.op != "input" or not (model.inputs or model.flush):
        return None
    size, inputs = np.abs(node.detail), model.inputs
    if node.format is not None and inputs:
        inputs = node.format.unit_roundoff
    if not model.flush:
        return np.asarray(size * inputs)
    return np.asarray(np.where(size < model.flush, size, size * inputs))


def _number_radius(mid: FloatArray, exact: Fraction | None, u: float) -> Radius:
    if u == 0.0:
        return None
    if exact is not None and exact == float(mid):
        numerator = abs(exact.numerator)
        trailing = (numerator & -numerator).bit_length() - 1 if numerator else 0
        # u = 2^-p: the constant has p bits or fewer exactly if scaling its odd part by 2^-p leaves a fraction.
        if u == U64 or numerator.bit_length() - trailing <= -log2(u):
            return None
    return np.asarray(np.abs(mid) * u)


def neg(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    return -args[0], lambda radii, m: radii[0], None


def absolute(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    return np.abs(args[0]), lambda radii, m: radii[0], None


def add(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    mid = np.asarray(args[0] + args[1] if node.op == "add" else args[0] - args[1])
    values = [row(each, mid.shape) for each in (mid, *args)]

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        if not model.roundoff and radii[0] is None and radii[1] is None:
            return None
        made = np.empty(mid.shape)
        rows = (row(each, mid.shape) for each in radii)
        # Sums of floats do not underflow.
        kernels().total(*values, *rows, model.roundoff, model.is_truth, made.reshape(-1))
        return made

    return mid, radius, None


def mul(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    factors = args if node.op == "mul" else [args[0], args[0]]
    mid = np.asarray(factors[0] * factors[1])
    only_scales = any(_is_power_of_two(arg) or _is_zero(arg) for arg in node.args)
    values = [row(each, mid.shape) for each in (mid, *factors)]

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        both = radii if node.op == "mul" else [radii[0], radii[0]]
        if not model.roundoff and both[0] is None and both[1] is None:
            return None
        made = np.empty(mid.shape)
        own = model.roundoff, model.underflow, model.flush, only_scales
        kernels().product(*values, *(row(each, mid.shape) for each in both), *own, made.reshape(-1))
        return made

    return mid, radius, None


def _is_power_of_two(node: Node) -> bool:
    if node.op != "number" or not node.detail:
        return False
    n, d = abs(node.detail.numerator), node.detail.denominator
    return bool(n & (n - 1) == 0 and d & (d - 1) == 0)


def _is_zero(node: Node) -> bool:
    return node.op == "number" and node.detail == 0


def div(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, PoleOf]:
    a, b = args
    mid = np.asarray(a / b)
    only_scales = _is_power_of_two(node.args[1])
    values = [row(each, mid.shape) for each in (mid, a, b)]

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        if not model.roundoff and radii[0] is None and radii[1] is None:
            return None
        made = np.empty(mid.shape)
        own = model.roundoff, model.underflow, model.flush, only_scales and model.is_truth
        kernels().quotient(*values, *(row(each, mid.shape) for each in radii), *own, made.reshape(-1))
        return made

    return mid, radius, lambda: np.broadcast_to(b == 0, mid.shape)


def square_root(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, PoleOf]:
    m = args[0]
    mid = np.sqrt(m)
    result = Rounding(mid)

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        r = radii[0]
        inherited = None if r is None else np.where(r == 0, 0.0, np.minimum(r / mid, np.sqrt(np.maximum(m, 0) + r)))
        # A root does not underflow: that of a zero is exact, and keeps its sign.
        return added(inherited, result.of(model, underflows=False))

    return mid, radius, lambda: m < 0


# Between max(a, b) and max(a', b') there is no more than the larger of |a - a'| and |b - b'|; and only the one of the
# larger argument where it surely is the larger, as of a number far beyond the limit that it is cut to.


def pick(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    first, second = args if node.op == "maximum" else (-args[0], -args[1])
    mid = np.maximum(args[0], args[1]) if node.op == "maximum" else np.minimum(args[0], args[1])

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        if radii[0] is None and radii[1] is None:
            return None
        made = np.empty(mid.shape)
        rows = (row(each, mid.shape) for each in (first, second, *radii))
        kernels().larger(*rows, made.reshape(-1))
        return made

    return mid, radius, None


def where(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    is_mask = len(args) == 2
    chosen = node.detail if is_mask else RELATIONS[node.detail](args[0], args[1])
    yes, no = args[-2:]
    mid = np.where(chosen, yes, no)

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        ry, rn = (0.0 if r is None else r for r in radii[-2:])
        result = np.where(chosen, ry, rn)
        if not is_mask and (radii[0] is not None or radii[1] is not None):
            slack = (0.0 if radii[0] is None else radii[0]) + (0.0 if radii[1] is None else radii[1])
            undecided = (np.abs(args[0] - args[1]) <= slack) & (slack > 0)
            result = np.where(undecided, np.maximum(result, np.abs(yes - no) + np.maximum(ry, rn)), result)
        return np.broadcast_to(result, mid.shape)

    return mid, radius, None


def step_value(node: Node, x: NDArray[Any]) -> NDArray[Any]:
    """What a step makes of values, in their own dtype: the next whole number below, or the nearest number."""
    if node.op == "rounded":
        return round_to(x.astype(np.float64), node.detail).astype(x.dtype)
    return np.asarray(np.floor(x) if node.op == "floor" else np.rint(x))


# Steps never fall: of all between m - r and m + r they lie between what they are at the two ends, rounded outwards.


def step(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, PoleOf]:
    m = args[0]
    mid = step_value(node, m)

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        r = radii[0]
        if r is None:
            return None
        low, high = (step_value(node, np.where(r == 0, m, np.nextafter(m + s * r, s * np.inf))) for s in (-1, 1))
        # Certain to be nothing where both ends agree; else wider by more than the subtraction rounds.
        return np.asarray(np.where(high == low, 0.0, np.maximum(high - mid, mid - low) * (1 + 2.0**-50)))

    return mid, radius, lambda: ~np.isfinite(mid)


def elementary(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, PoleOf]:
    function = ELEMENTARY[node.op]
    m = args[0]
    mid = np.asarray(function.value(m))
    result = Rounding(mid)

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        r = radii[0]
        relative = 2 * U64 * function.tested if model.is_truth else model.elementary or 0.0
        rounding = result.of(model, relative)
        if rounding is not None:
            if model.is_truth:
                if function.scale is not None:
                    rounding = np.where(m == 0, 0.0, function.scale(m, mid)) * relative
                is_low = result.size < 2 * FLOOR
                if is_low.any():
                    rounding = rounding + np.where(is_low & (m != 0), FLOOR, 0.0)
            is_number = np.isfinite(m)
            if not is_number.all():
                rounding = np.where(is_number, rounding, 0.0)  # exp(-inf) is 0, and nothing else
        return added(None if r is None else function.spread(m, mid, r), rounding)

    def pole() -> NDArray[np.bool_]:
        low, high = function.domain
        found = np.asarray((m < low) | (m > high))  # NaN, and no less certain
        for place in function.poles:
            found |= m == place
        return found | is_hole(m) if function.holes else found

    is_everywhere = np.isinf(function.domain).all() and not function.poles and not function.holes
    return mid, radius, None if is_everywhere else pole


def pair(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, PoleOf]:
    function = PAIRS[node.op]
    a, b = args
    mid = np.asarray(function.value(a, b))
    result = Rounding(mid)

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        rounding = result.of(model, 2 * U64 * function.tested if model.is_truth else model.elementary or 0.0)
        if rounding is not None and model.is_truth:
            is_low = result.size < 2 * FLOOR
            rounding = np.where(is_low, np.where(a == 0, 0.0, rounding + FLOOR), rounding)  # of 0 all give exact zeros
        if radii[0] is None and radii[1] is None:
            return added(rounding)
        ra, rb = (np.zeros(()) if r is None else r for r in radii)
        return full(added(function.spread(a, b, mid, ra, rb), rounding), mid)

    return mid, radius, lambda: function.special(a, b)
