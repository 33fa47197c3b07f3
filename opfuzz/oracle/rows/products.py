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


def largest_so_far(x: FloatArray, axis: int) -> FloatArray:
    """The largest size that a running product has had at each place; infinite beyond float64."""
    mantissas, exponents = running_product(x, axis)
    sizes = np.abs(np.ldexp(mantissas, np.clip(exponents, -_FAR, _FAR).astype(np.int32)))
    return np.asarray(np.maximum.accumulate(sizes, axis))


# Each of the products rounds by u of itself, and each factor is off by its share d: together by expm1 of what they add
# up to. What is lost where a product on the way, p_j, is near the subnormals comes into p_i with the factor p_i / p_j.


def cumprod(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    axis, x = node.detail, args[0]
    mantissas, exponents = running_product(x, axis)
    mid = np.ldexp(mantissas, np.clip(exponents, -_FAR, _FAR).astype(np.int32))
    is_product = mantissas != 0
    logs = np.log2(np.abs(mantissas)) + exponents  # of the sizes
    places = np.arange(node.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])

    def underflown(model: Arithmetic) -> FloatArray:
        """What all the products on the way lose near the subnormals."""
        least = max(model.flush, model.underflow / max(model.roundoff, U64))
        is_low = is_product & (logs < np.log2(least) + 2) & (places > 0)
        raised = np.logaddexp2.accumulate(np.where(is_low, -logs, -np.inf), axis)
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
