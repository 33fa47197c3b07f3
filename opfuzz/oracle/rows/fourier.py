"""Rules of balls for discrete Fourier transforms: real and imaginary parts lie along a last axis of size 2."""

from __future__ import annotations

from collections.abc import Callable
from math import log2, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray
from opfuzz.oracle.graph import Node
from opfuzz.oracle.models import Arithmetic, Radius, RadiusOf, Rounding, added

# A fast transform errs by at most c u log2(n) of the whole, in the Euclidean norm (Higham, Accuracy and Stability of
# Numerical Algorithms, theorem 24.2); the whole is sqrt(n) times the norm of what is transformed, and no element is off
# by more than the whole is. c is 8 there for exact powers of two; lengths with large prime factors are convolutions,
# three transforms of up to four times the length with products between: 32 log2(4 n) bounds those too.
WORST = 32.0
# Errors of single elements are as large as if each were sqrt(log2 n) independent roundings of the norm, and one of the
# largest result: where one frequency has nearly all, as 0 of positive numbers, partial sums of the others are as large.
# Against twice both, MKL and pocketfft in float32 reach 2 at lengths up to 2^16, prime ones among them.
USUAL = 2.0


def transformed(node: Node, x: NDArray[Any]) -> NDArray[Any]:
    """The transform in the precision of x, which is float64 or float32; not divided by its length either way."""
    pairs = np.ascontiguousarray(x)
    numbers = pairs.view(np.complex64 if x.dtype == np.float32 else np.complex128)[..., 0]
    if numbers.shape[-1] == 0:
        return pairs
    both = np.fft.ifft(numbers, norm="forward") if node.detail else np.fft.fft(numbers)
    made = np.stack([both.real, both.imag], -1).astype(x.dtype)
    # Every algorithm makes something else of an infinity: what any of them does is right, and NaN stands for that.
    made[~np.isfinite(x).all((-2, -1))] = np.nan
    return made


def summed(node: Node, x: NDArray[Any], dot: Callable[..., NDArray[Any]]) -> NDArray[Any]:
    """The transform as products with a table, as where it is exported as a convolution; `dot` adds up."""
    n = node.shape[-2]
    angles = (2 * np.pi / n) * (np.outer(np.arange(n), np.arange(n)) % n)
    cos, sin = np.cos(angles), np.sin(angles) * (1 if node.detail else -1)
    table = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], 1)  # from (j, part) to (k, part)
    rows = x.reshape(-1, 1, 2 * n)
    made = dot(rows, table.reshape(1, 2 * n, 2 * n).astype(x.dtype)).reshape(node.shape)
    made[~np.isfinite(x).all((-2, -1))] = np.nan
    return made


def _real_ends(x: FloatArray) -> NDArray[np.bool_]:
    """Imaginary parts, at frequency 0 and half of an even n, of what has none before."""
    n = x.shape[-2]
    ends = np.zeros(x.shape, np.bool_)
    if n:
        ends[..., [0, n // 2] if n % 2 == 0 else [0], 1] = (x[..., 1] == 0).all(-1)[..., None]
    return ends


def dft(node: Node, args: list[FloatArray]) -> tuple[FloatArray, RadiusOf, None]:
    x = args[0]
    n = node.shape[-2]
    ends = _real_ends(x)
    mid = np.where(ends, 0.0, transformed(node, x))
    rounding = Rounding(mid)
    peak = np.abs(mid).max(axis=(-2, -1), keepdims=True, initial=0.0)
    largest = np.abs(x).max(axis=(-2, -1), keepdims=True, initial=2.0**-1000)
    norm = largest * np.sqrt(np.square(x / largest).sum(axis=(-2, -1), keepdims=True))

    def radius(radii: list[Radius], model: Arithmetic) -> Radius:
        parts: list[Radius] = []
        if model.roundoff and n > 1:
            if model.independent:
                inside = USUAL * ((sqrt(log2(n)) + 2) * norm + peak)
            else:
                inside = WORST * log2(4 * n) * sqrt(n) * norm
            parts.append(model.in_sums * inside + n * model.underflow + np.zeros(mid.shape))
            parts.append(rounding.of(model))
        r = radii[0]
        if r is not None and model.quadrature:
            parts.append(np.sqrt(np.square(r).sum(axis=(-2, -1), keepdims=True)) + np.zeros(mid.shape))
        elif r is not None:
            parts.append(r.sum(axis=(-2, -1), keepdims=True) + np.zeros(mid.shape))
        whole = added(*parts)
        if model.is_truth and whole is not None and (r is None or not np.broadcast_to(r, x.shape)[..., 1].any()):
            whole = np.where(ends, 0.0, whole)  # where x alone is added up, times a sine of zero
        return whole

    return mid, radius, None
