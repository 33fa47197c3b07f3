"""Rules of balls for constants, arithmetic, choices and elementary functions."""

from __future__ import annotations

from math import log2

import numpy as np
from numpy.typing import NDArray

from opfuzz.floats import FloatArray
from opfuzz.oracle.elementary import ELEMENTARY, FLOOR
from opfuzz.oracle.graph import Node
from opfuzz.oracle.models import U64, Model, Radius, RadiusOf, added, full, rounding_of, times


def constant(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    if node.op in ("input", "leaf"):
        return node.detail, lambda radii, m: _input_radius(node, m), None
    mid = np.asarray(np.pi if node.detail is None else float(node.detail))
    exact = node.detail is not None and node.detail == float(mid)

    def radius(radii: list[Radius], model: Model) -> Radius:
        u = model.roundoff
        # u = 2^-p: the constant has p bits or fewer exactly if scaling its odd part by 2^-p leaves a fraction.
        fits = exact and (u == 0.0 or u == U64 or node.detail.numerator.bit_length() - _trailing(node) <= -log2(u))
        return None if u == 0.0 or fits else np.asarray(np.abs(mid) * u)

    return mid, radius, None


def _input_radius(node: Node, model: Model) -> Radius:
    if node.op != "input" or not (model.inputs or model.flush):
        return None
    size = np.abs(node.detail)
    return np.asarray(np.where(size < model.flush, size, size * model.inputs))


def _trailing(node: Node) -> int:
    numerator = abs(node.detail.numerator)
    return (numerator & -numerator).bit_length() - 1 if numerator else 0


def neg(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    return -args[0], lambda radii, m: radii[0], None


def absolute(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    return np.abs(args[0]), lambda radii, m: radii[0], None


def add(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    mid = args[0] + args[1] if node.op == "add" else args[0] - args[1]
    # Sums of floats do not underflow.
    return mid, lambda radii, m: full(added(*radii, rounding_of(mid, m, underflows=False)), mid), None


def mul(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    a, b = args if node.op == "mul" else (args[0], args[0])
    mid = np.asarray(a * b)
    exact = any(_is_power_of_two(arg) for arg in node.args)

    def radius(radii: list[Radius], model: Model) -> Radius:
        ra, rb = radii if node.op == "mul" else (radii[0], radii[0])
        both = ra * rb if ra is not None and rb is not None else None
        rounding = _underflow(mid, model) if exact else rounding_of(mid, model)
        return full(added(times(b, ra), times(a, rb), both, rounding), mid)

    return mid, radius, None


def _underflow(mid: FloatArray, model: Model) -> Radius:
    """The rounding of a product that only moves the exponent: none above four times the smallest normal number."""
    if model.roundoff == 0.0:
        return None
    return np.asarray(np.where(np.abs(mid) < 4 * model.underflow / model.roundoff, model.underflow, 0.0) * (mid != 0))


def _is_power_of_two(node: Node) -> bool:
    if node.op != "number" or not node.detail:
        return False
    n, d = abs(node.detail.numerator), node.detail.denominator
    return bool(n & (n - 1) == 0 and d & (d - 1) == 0)


def div(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, NDArray[np.bool_]]:
    a, b = args
    mid = np.asarray(a / b)
    exact = _is_power_of_two(node.args[1])

    def radius(radii: list[Radius], model: Model) -> Radius:
        ra, rb = radii
        if rb is None:
            inherited = None if ra is None else ra / np.abs(b)
        else:
            room = np.abs(b) - rb
            spread = (0.0 if ra is None else ra) + np.abs(mid) * rb
            inherited = np.where(room > 0, spread / np.where(room > 0, room, 1.0), np.where(spread == 0, 0.0, np.inf))
        rounding = _underflow(mid, model) if exact and model.is_truth else rounding_of(mid, model)
        if rounding is not None:
            rounding = np.where(np.isinf(b), 0.0, rounding)
        return full(added(inherited, rounding), mid)

    return mid, radius, np.broadcast_to(b == 0, mid.shape)


def square_root(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, NDArray[np.bool_]]:
    m = args[0]
    mid = np.sqrt(m)

    def radius(radii: list[Radius], model: Model) -> Radius:
        r = radii[0]
        inherited = None if r is None else np.where(r == 0, 0.0, np.minimum(r / mid, np.sqrt(np.maximum(m, 0) + r)))
        # A root does not underflow: that of a zero is exact, and keeps its sign.
        return added(inherited, rounding_of(mid, model, underflows=False))

    return mid, radius, m < 0


def pick(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    mid = np.maximum(args[0], args[1]) if node.op == "maximum" else np.minimum(args[0], args[1])

    def radius(radii: list[Radius], model: Model) -> Radius:
        if radii[0] is None and radii[1] is None:
            return None
        a, b = (np.zeros(()) if r is None else r for r in radii)
        return np.broadcast_to(np.maximum(a, b), mid.shape)

    return mid, radius, None


def where(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    chosen = node.detail if node.detail is not None else args[0] < args[1]
    yes, no = args[-2:]
    mid = np.where(chosen, yes, no)

    def radius(radii: list[Radius], model: Model) -> Radius:
        ry, rn = (0.0 if r is None else r for r in radii[-2:])
        result = np.where(chosen, ry, rn)
        if node.detail is None and (radii[0] is not None or radii[1] is not None):
            slack = (0.0 if radii[0] is None else radii[0]) + (0.0 if radii[1] is None else radii[1])
            undecided = np.abs(args[0] - args[1]) <= slack
            result = np.where(undecided, np.maximum(result, np.abs(yes - no) + np.maximum(ry, rn)), result)
        return np.broadcast_to(result, mid.shape)

    return mid, radius, None


def elementary(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, NDArray[np.bool_] | None]:
    function = ELEMENTARY[node.op]
    m = args[0]
    mid = np.asarray(function.value(m))

    def radius(radii: list[Radius], model: Model) -> Radius:
        r = radii[0]
        relative = 2 * U64 * function.tested if model.is_truth else model.elementary or 0.0
        rounding = rounding_of(mid, model, relative)
        if rounding is not None:
            if model.is_truth:
                rounding = rounding + np.where((np.abs(mid) < 2 * FLOOR) & (m != 0), FLOOR, 0.0)
            rounding = np.where(np.isfinite(m), rounding, 0.0)  # exp(-inf) is 0, and nothing else
        return added(None if r is None else function.spread(m, mid, r), rounding)

    pole = np.zeros(m.shape, np.bool_)
    for place in function.poles:
        pole |= m <= place  # the pole itself, and NaN beyond it
    return mid, radius, pole if function.poles else None
