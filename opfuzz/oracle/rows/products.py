"""Rules of balls for running products, which leave every range of exponents on the way and may come back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.oracle.graph import Node
from opfuzz.oracle.models import TINY, U64, Arithmetic, Radius, RadiusOf

_BLOCK = 512  # mantissas are at least 1/2, so that their product stays a normal number
_FAR = 5000  # beyond every exponent of float64
_ZERO = -(2.0**36)  # for the logarithm of zero: less than that of any product of a million numbers


def running_product(x: FloatArray, axis: int) -> tuple[FloatArray, NDArray[Any]]:
    """Products of the first 1, 2, 3, ... elements as mantissas and exponents of two, whatever the size of both."""
    mantissas, exponents = (np.moveaxis(part, axis, -1) for part in np.frexp(x))
    made, total = np.empty(mantissas.shape), np.cumsum(exponents, -1, np.int64)
    carried = np.ones((*mantissas.shape[:-1], 1))
    shift = np.zeros((*mantissas.shape[:-1], 1), np.int64)
    for start in range(0, mantissas.shape[-1], _BLOCK):
        block = slice(start, start + _BLOCK)
        made[..., block] = np.multiply.accumulate(mantissas[..., block], -1) * carried
        total[..., block] += shift
        carried, moved = np.frexp(made[..., block][..., -1:])
        shift = shift + moved
    return np.moveaxis(made, -1, axis), np.moveaxis(total, -1, axis)


def _log_products(x: FloatArray, axis: int) -> FloatArray:
    """Logarithms of the sizes of running products, from that of none on; zeros lie below all that is no zero."""
    with np.errstate(divide="ignore"):
        logs = np.log2(np.abs(np.moveaxis(x, axis, -1)))
    logs = np.where(np.isneginf(logs), _ZERO, logs)
    return np.concatenate([np.zeros((*logs.shape[:-1], 1)), np.cumsum(logs, -1)], -1)


def largest_so_far(x: FloatArray, axis: int) -> FloatArray:
    """The largest size that the product of any neighbours among the first 1, 2, 3, ... elements has.

    Whoever scans by doubling or in blocks multiplies these before what stands ahead of them. Infinite beyond float64.
    """
    logs = _log_products(x, axis)
    risen = logs[..., 1:] - np.minimum.accumulate(logs, -1)[..., :-1]
    with np.errstate(over="ignore"):
        return np.moveaxis(np.exp2(np.maximum.accumulate(risen, -1)), -1, axis)


def _fallen(x: FloatArray, axis: int) -> FloatArray:
    """At each element, the logarithm of the least product of two neighbours or more that ends there."""
    logs = _log_products(x, axis)
    before = np.maximum.accumulate(logs, -1)[..., :-2]  # of none, of the first, ... up to two before it
    fallen = np.concatenate([np.full((*logs.shape[:-1], 1), np.inf), logs[..., 2:] - before], -1)
    return np.moveaxis(fallen[..., : x.shape[axis]], -1, axis)


# Each of the products rounds by u of itself, and each factor is off by its share d: together by expm1 of what they add
# up to. Products may be grouped in any way, as by doubling: what is lost where one of neighbours, q, is near the
# subnormals comes into p_i with the factor p_i / q; at each place the least that ends there stands for all.


def cumprod(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    axis, x = node.detail, args[0]
    mantissas, exponents = running_product(x, axis)
    mid = np.ldexp(mantissas, np.clip(exponents, -_FAR, _FAR).astype(np.int32))
    is_product = mantissas != 0
    logs = np.log2(np.abs(mantissas)) + exponents  # of the sizes
    places = np.arange(node.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])

    def underflown(model: Arithmetic) -> FloatArray:
        """What all the products on the way lose near the subnormals, however they are grouped."""
        least = max(model.flush, model.underflow / max(model.roundoff, U64))
        fallen = _fallen(x, axis)
        raised = np.logaddexp2.accumulate(np.where(fallen < np.log2(least) + 2, -fallen, -np.inf), axis)
        return np.where(is_product, model.underflow * np.exp2(np.minimum(logs + raised, 2 * 1074)), 0.0)

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        r = None if radii[0] is None else np.broadcast_to(radii[0], x.shape)
        if r is None and not model.roundoff:
            return None
        steps = np.where(places == 0, 0.0, np.sqrt(places) + 2) if model.independent else places
        shares = steps * model.in_sums + (0.0 if model.sums is None else model.roundoff)
        size = np.abs(mid)
        if r is not None:
            own = np.log1p(np.where((x == 0) | (r == 0), 0.0, r / np.abs(x)))
            shares = shares + (np.sqrt(np.cumsum(own * own, axis)) if model.quadrature else np.cumsum(own, axis))
        radius = np.where(is_product, size * np.expm1(shares), 0.0)
        if r is not None and ((x == 0) & (r > 0)).any():  # a factor that may be something else than zero
            most, power = running_product(np.where(x == 0, r, np.abs(x)), axis)
            most = np.ldexp(most, np.clip(power, -_FAR, _FAR).astype(np.int32))
            radius = np.where(is_product, radius, most * np.exp(shares))
        if model.is_truth:  # exponents are whole numbers here: nothing is lost on the way
            return np.where(is_product, radius + TINY, radius)
        return radius + underflown(model) if model.roundoff else radius

    return mid, radius, None
