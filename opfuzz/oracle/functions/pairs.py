"""Rows of the functions of two numbers that cannot be made of functions of one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.oracle.functions.record import Binary

Mask = NDArray[np.bool_]


def _atan2_spread(a: FloatArray, b: FloatArray, y: FloatArray, ra: FloatArray, rb: FloatArray) -> FloatArray:
    """The gradient is (b, -a) / (a^2 + b^2); where the range holds the origin or the cut, a whole turn."""
    tall, wide = np.abs(a), np.abs(b)
    near = np.hypot(np.maximum(tall - ra, 0.0), np.maximum(wide - rb, 0.0))
    steep = (wide + rb) / near * (ra / near) + (tall + ra) / near * (rb / near)
    is_cut = (ra > 0) & (tall <= ra) & (b - rb <= 0)
    turn = np.where(is_cut | ~(steep < 2 * np.pi), 2 * np.pi, steep)
    return np.asarray(np.where((ra == 0) & (rb == 0), 0.0, turn))


def _atan2_ball(a: Any, b: Any) -> Any:
    if a == 0 and b == 0:
        return type(a).nan()  # by the signs of the zeros 0, -0, pi or -pi; Arb has one zero
    return type(a).atan2(a, b)


def _pow(a: FloatArray, b: FloatArray) -> FloatArray:
    """NumPy's power; for one exponent of 1/2 it takes the square root, which differs from pow at -0 and -infinity."""
    half = b == 0.5
    return np.where(half & (a == 0), 0.0, np.where(half & (a == -np.inf), np.inf, np.power(a, b)))


def _pow_spread(a: FloatArray, b: FloatArray, y: FloatArray, ra: FloatArray, rb: FloatArray) -> FloatArray:
    """abs(y) (e^t - 1), where b log(a) moves by t at most; nothing is known of an uncertain power of a negative."""
    size = np.abs(a)
    ratio = np.where(ra == 0, 0.0, ra / size)
    moved = np.where(ratio < 1, -np.log1p(-np.minimum(ratio, 1.0)), np.inf)
    along = np.where(rb == 0, 0.0, np.where(a > 0, rb * np.abs(np.log(size)), np.inf))
    power = np.where(moved == 0, 0.0, (np.abs(b) + rb) * moved) + along
    spread = np.maximum(np.abs(y), 2.0**-1074) * np.expm1(power)
    return np.asarray(np.where(power == 0, 0.0, np.where(np.isnan(spread), np.inf, spread)))


def _pow_ball(a: Any, b: Any) -> Any:
    if b == 0 or a == 1:
        return type(a)(1)
    if a > 0:
        return a**b
    is_whole = b.is_exact() and b.is_integer()
    if a == 0 and b != 0:
        if b > 0:
            return type(a)(0)
        return math.inf if b < 0 else type(a).nan()
    if a < 0 and is_whole:
        half = b / 2
        return (-a) ** b if half.is_integer() else -((-a) ** b)
    return math.nan if a < 0 and b.is_exact() else type(a).nan()


def _pow_special(a: FloatArray, b: FloatArray) -> Mask:
    return np.asarray(((a == 0) & (b < 0)) | ((a < 0) & (b != np.floor(b))))


def _remainder_spread(a: FloatArray, b: FloatArray, y: FloatArray, ra: FloatArray, rb: FloatArray) -> FloatArray:
    """Of a - b floor(a/b): the floor stays the same, or the result is anywhere between 0 and b."""
    size = np.abs(b)
    slope = ra + (np.abs(np.floor(a / b)) + 1) * rb
    inside = np.minimum(np.abs(y), size - np.abs(y))
    spread = np.where(slope < inside, slope, np.where(rb < size, size + rb, np.inf))
    return np.asarray(np.where((ra == 0) & (rb == 0), 0.0, spread))


def _remainder_ball(a: Any, b: Any) -> Any:
    return math.nan if b == 0 else a - b * (a / b).floor()


PAIRS: Mapping[str, Binary] = MappingProxyType(
    {
        "atan2": Binary(
            value=np.arctan2, tested=8.0, spread=_atan2_spread, ball=_atan2_ball,
            special=lambda a, b: np.zeros(np.broadcast_shapes(a.shape, b.shape), np.bool_),
        ),
        "pow": Binary(value=_pow, tested=8.0, spread=_pow_spread, ball=_pow_ball, special=_pow_special),
        # fmod is exact, and the divisor is added to it with one rounding.
        "remainder": Binary(
            value=np.remainder, tested=1.0, spread=_remainder_spread, ball=_remainder_ball,
            special=lambda a, b: np.broadcast_to(b == 0, np.broadcast_shapes(a.shape, b.shape)),
        ),
    }
)  # fmt: skip
