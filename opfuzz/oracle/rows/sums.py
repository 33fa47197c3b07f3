"""Rules of balls for what adds up or compares many elements."""

from __future__ import annotations

from math import prod, sqrt

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.core.metrics.ulp import flat
from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.functions.record import FLOOR
from opfuzz.oracle.graph import Node
from opfuzz.oracle.models import U64, Arithmetic, Radius, RadiusOf, added, full, kernels

DOT_BLOCK = 256  # a longer product is cut, so that the bound grows with the block and not with k


def tree_sum(x: FloatArray) -> tuple[FloatArray, int]:
    """Sum over the last axis by halves, and the depth of the tree: the error is below depth * u * sum(abs(x))."""
    width, length, depth = x.shape[-1], x.shape[-1], 0
    if width < 2:
        return (x[..., 0] if width else np.zeros(x.shape[:-1])), 0
    while length > 1:
        length, depth = length // 2, depth + 1 + length % 2
    total = np.empty(x.shape[:-1])
    kernels().halves(flat(x), width, total.reshape(-1))
    return total, depth


def _bound(x: FloatArray, is_squared: bool = False) -> FloatArray:
    """Sum over the last axis of absolute values, or of squares: part of a radius, and inflated with it."""
    total = np.empty(x.shape[:-1])
    kernels().sizes(flat(x), x.shape[-1], is_squared, total.reshape(-1))
    return total


def _last(x: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """The axes moved behind the others and joined to one."""
    if axes == (x.ndim - 1,):
        return x
    kept = [i for i in range(x.ndim) if i not in axes]
    count = prod(x.shape[i] for i in axes)
    return np.transpose(x, (*kept, *axes)).reshape([x.shape[i] for i in kept] + [count])


def _once(inside: FloatArray, mid: FloatArray, model: Arithmetic) -> FloatArray:
    """What partial sums lose, and the rounding of the whole where they have more bits than it."""
    return inside if model.sums is None else inside + model.roundoff * np.abs(mid)


# Of the smallest normal number: what a partial sum loses that is subnormal, of either sign, where few of many are.
PARTIAL = 0.125


def _flushed(x: FloatArray, model: Arithmetic) -> tuple[FloatArray, NDArray[np.bool_]]:
    """The terms that may be taken for zero, and which have digits below the smallest normal number.

    Without one of these no partial sum, in any order, is subnormal.
    """
    size = np.abs(x)
    return np.where(size < model.flush, x, 0.0), np.asarray((x != 0) & (size * model.roundoff < model.flush))


def sum_of(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    x = _last(args[0], node.detail)
    count = x.shape[-1]
    total, depth = tree_sum(x)
    mid = total.reshape(node.shape)
    magnitude: FloatArray | None = None

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        nonlocal magnitude
        growth = (model.grown(count) if model.independent else depth) if count > 1 else 0
        rounding: Radius = None
        if growth * model.roundoff:
            if magnitude is None:
                magnitude = _bound(x).reshape(node.shape)
            rounding = _once(growth * model.in_sums * magnitude, mid, model)
            if model.flush:
                lost, is_small = _flushed(x, model)
                partial = PARTIAL * sqrt(count) * model.flush * is_small.any(-1)
                rounding = rounding + (np.abs(lost.sum(-1)) + partial).reshape(node.shape)
        if radii[0] is None:
            return rounding
        r = _last(np.asarray(full(radii[0], args[0])), node.detail)
        joined = model.joined(_bound(r, is_squared=True), count) if model.quadrature else _bound(r)
        return added(joined.reshape(node.shape), rounding)

    return mid, radius, None


def cumsum(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    axis = node.detail
    mid = np.cumsum(args[0], axis)
    places = np.arange(node.shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(node.shape))])

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        growth = np.where(places == 0, 0.0, np.sqrt(places + 1) + 2) if model.independent else places
        rounding: Radius = None
        if model.roundoff:
            rounding = _once(growth * model.in_sums * np.cumsum(np.abs(args[0]), axis), mid, model)
            if model.flush:
                lost, is_small = _flushed(args[0], model)
                partial = PARTIAL * np.sqrt(places) * model.flush * np.logical_or.accumulate(is_small, axis)
                rounding = rounding + np.abs(np.cumsum(lost, axis)) + partial
        if radii[0] is None:
            return rounding
        r = np.broadcast_to(radii[0], mid.shape)
        return added(np.sqrt(np.cumsum(r * r, axis)) if model.quadrature else np.cumsum(r, axis), rounding)

    return mid, radius, None


def extreme(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    reduce = np.maximum.reduce if node.op == "max" else np.minimum.reduce
    mid = reduce(args[0], axis=node.detail, keepdims=True)

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        r = radii[0]
        return None if r is None else np.maximum.reduce(r, axis=node.detail, keepdims=True)

    return mid, radius, None


# p_i = 1 / (1 + o), o the sum of exp(x_j - x_i) over the other j. If every difference moves by at most d, o moves by
# a factor of at most e^d, and p_i by at most p_i (1 - p_i) (e^d - 1): next to nothing where the softmax saturates.


def softmax(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    axis = node.detail[0]
    below = args[0] - args[0].max(axis=axis, keepdims=True)
    raised = np.exp(below)
    total, depth = tree_sum(np.moveaxis(raised, axis, -1))
    total = np.expand_dims(total, axis)
    mid = raised / total
    count = node.shape[axis]

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        parts: list[Radius] = []
        if model.roundoff:
            elementary = 2 * U64 * ELEMENTARY["exp"].tested if model.is_truth else model.elementary or 0.0
            relative = elementary + model.roundoff * np.where(np.isfinite(below), np.abs(below), 0.0)
            growth = (model.grown(count) if model.independent else depth) + 1
            shared = (mid * relative).sum(axis=axis, keepdims=True) + growth * model.in_sums
            shared += 0.0 if model.sums is None else 2 * model.roundoff  # the sum, and the quotient
            floor = np.where((below < -600) & np.isfinite(below), FLOOR, 0.0) if model.is_truth else 0.0
            parts.append(mid * (relative + shared) + 2 * model.underflow + floor)
        r = radii[0]
        if r is not None:
            moved = r + r.max(axis=axis, keepdims=True)
            rest = (total - raised) / total + U64 * (depth + 2)
            near = np.minimum(mid * rest * np.expm1(np.minimum(moved, 600.0)), np.maximum(mid, rest))
            is_near = (moved < 600) & (below > -600)
            if not is_near.all():  # far away, or where p underflows: p stays below e^(difference + d), and within 1
                near = np.where(is_near, near, np.minimum(np.exp(below + moved), 1.0))
            parts.append(near)
        return added(*parts)

    return mid, radius, None


def _blocked_product(a: FloatArray, b: FloatArray) -> tuple[FloatArray, int]:
    """a @ b in blocks of the inner axis, and n: the error is below n * u * (abs(a) @ abs(b))."""
    k = a.shape[-1]
    if k <= DOT_BLOCK:
        return np.matmul(a, b), k
    cuts = range(0, k, DOT_BLOCK)
    blocks = [np.matmul(a[..., i : i + DOT_BLOCK], b[..., i : i + DOT_BLOCK, :]) for i in cuts]
    total, depth = tree_sum(np.stack(blocks, -1))
    return total, DOT_BLOCK + depth


def _is_moved_input(node: Node) -> bool:
    """Whether the values are inputs, or zeros, that were only moved."""
    if node.op in ("gather", "reshape"):
        return all(map(_is_moved_input, node.args))
    return node.op == "input" or (node.op == "number" and node.detail == 0)


def dot(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    a, b = args
    mid, depth = _blocked_product(a, b)
    k = a.shape[-1]
    are_inputs = all(map(_is_moved_input, node.args))
    known: FloatArray | None = None

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        nonlocal known
        ra, rb = radii
        magnitude = known = np.matmul(np.abs(a), np.abs(b)) if known is None else known
        growth = (model.grown(k) if model.independent else depth) if k else 0
        inside = growth * (model.in_sums * magnitude + model.underflow)
        parts: list[Radius] = [_once(inside, mid, model) if model.roundoff else None]
        if model.quadrature:
            spread = [np.matmul(a * a, rb * rb)] if rb is not None else []
            spread += [np.matmul(ra * ra, b * b)] if ra is not None else []
            if model.factors:
                spread.append(2 * model.factors**2 * np.matmul(a * a, b * b))
            parts.append(model.joined(sum(spread[1:], spread[0]), k) if spread else None)
        elif are_inputs and model.inputs > U64 and not model.flush:
            # Each radius is model.inputs * abs(x), and a power of two can be taken out of a sum of products: the same
            # bits for what is narrower than float64, whose own products may overflow or vanish.
            parts += [model.inputs * magnitude, model.inputs * magnitude, model.inputs**2 * magnitude]
            return added(*parts)
        else:
            parts.append(None if rb is None else np.matmul(np.abs(a), rb))
            parts.append(None if ra is None else np.matmul(ra, np.abs(b)))
        parts.append(np.matmul(ra, rb) if ra is not None and rb is not None else None)
        return added(*parts)

    return mid, radius, None
