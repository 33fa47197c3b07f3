"""Layers of a network, written out in NumPy's words: of NumPy itself, or of a module with the same functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

Array = Any  # of the module


def layers(np: Any) -> dict[str, Callable[..., Any]]:
    """The layers by the names that calls have for them; weights lie as in torch, `group_norm` is channels first."""
    made: dict[str, Callable[..., Any]] = {
        "linear": _linear,
        "layer_norm": _layer_norm,
        "rms_norm": _rms_norm,
        "group_norm": _group_norm,
        "softmax": _softmax,
        "attention": _attention,
    }
    return {name: partial(function, np) for name, function in made.items()}


def wide(np: Any, x: Array) -> Array:
    """Halves as float32, in which a layer computes before it rounds once; everything else as it is."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def like(np: Any, result: Array, x: Array) -> Array:
    """The result in the format of an input."""
    return np.asarray(result).astype(x.dtype, copy=False)


def _linear(np: Any, x: Array, weight: Array, bias: Array) -> Array:
    """x times the transposed weight, plus bias: (..., d_in), (d_out, d_in) and (d_out) to (..., d_out)."""
    return like(np, wide(np, x) @ np.swapaxes(wide(np, weight), 0, 1) + bias, x)


def _layer_norm(np: Any, x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """Normalise the last axis, then scale and shift."""
    return like(np, _standardise(np, wide(np, x), eps) * weight + bias, x)


def _rms_norm(np: Any, x: Array, weight: Array, eps: float) -> Array:
    """Divide by the root mean square of the last axis, then scale."""
    x_wide = wide(np, x)
    return like(np, x_wide / np.sqrt(np.mean(np.square(x_wide), axis=-1, keepdims=True) + eps) * weight, x)


def _group_norm(np: Any, x: Array, groups: int, weight: Array, bias: Array, eps: float) -> Array:
    """Normalise each group of channels of (n, channels, ...) with all its positions, then scale and shift channels."""
    n, channels = x.shape[:2]
    flat = _standardise(np, wide(np, x).reshape(n, groups, channels // groups * math.prod(x.shape[2:])), eps)
    per_channel = (channels,) + (1,) * (x.ndim - 2)
    return like(np, flat.reshape(x.shape) * weight.reshape(per_channel) + bias.reshape(per_channel), x)


def _standardise(np: Any, x: Array, eps: float) -> Array:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(np.mean(np.square(centred), axis=-1, keepdims=True) + eps))


def _softmax(np: Any, x: Array, axis: int = -1) -> Array:
    """exp(x - max) over its sum along the axis."""
    x_wide = wide(np, x)
    powers = np.exp(x_wide - np.max(x_wide, axis=axis, keepdims=True))
    return like(np, powers / np.sum(powers, axis=axis, keepdims=True), x)


def _attention(np: Any, q: Array, k: Array, v: Array, scale: float, mask: Array | None = None) -> Array:
    """softmax(q k^T scale + mask) v over the last two axes; a mask is true where allowed, or is added."""
    scores = wide(np, q) @ np.swapaxes(wide(np, k), -1, -2) * scale
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
    return like(np, _softmax(np, scores) @ wide(np, v), q)
