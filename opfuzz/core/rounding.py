"""Fewer bits in the same array: floats with a shorter significand, and uniform quantisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def round_to_bits(array: Array, bits: int) -> Array:
    """Nearest values with so many significant bits, halves to even; the exponent is as free as in the array."""
    return _with_bits(array, bits, np.rint)


def cut_to_bits(array: Array, bits: int) -> Array:
    """The values without what lies beyond so many significant bits."""
    return _with_bits(array, bits, np.trunc)


def jittered(array: Array, bits: int, rounding: Callable[[Array, int], Array], seed: int) -> Array:
    """Other values that `rounding` takes to the same ones; the rounded themselves where there are none."""
    rounded = rounding(array, bits)
    _, exponent = np.frexp(rounded.astype(np.float64))
    share = np.random.default_rng(seed).uniform(-0.49, 0.49, array.shape)
    moved = (rounded.astype(np.float64) + np.ldexp(share, exponent - bits)).astype(array.dtype)
    return np.where(rounding(moved, bits) == rounded, moved, rounded)


def _with_bits(array: Array, bits: int, whole: Callable[[Array], Array]) -> Array:
    mantissa, exponent = np.frexp(array.astype(np.float64))
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.ldexp(whole(np.ldexp(mantissa, bits)), exponent - bits)).astype(array.dtype)


# Symmetric: round(x / s) s with s = max |x| / (2^(k-1) - 1). Affine: low + round((x - low) / s) s with
# s = (high - low) / (2^k - 1). One s for each group of neighbours.


def _symmetric(groups: Array, bits: int) -> Array:
    top = 2 ** (bits - 1) - 1
    step = np.abs(groups).max(axis=-1, keepdims=True) / top
    step = np.where(step > 0, step, 1)
    return np.asarray(np.rint(groups / step) * step)


def _affine(groups: Array, bits: int) -> Array:
    low, high = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
    step = np.where(high > low, (high - low) / (2**bits - 1), 1)
    return np.asarray(low + np.rint((groups - low) / step) * step)


def _whole(array: Array) -> tuple[int, ...]:
    return (1, array.size)


def _rows(array: Array) -> tuple[int, ...]:
    return (-1, array.shape[-1] if array.ndim else 1)


def _slices(array: Array) -> tuple[int, ...]:
    return (array.shape[0] if array.ndim else 1, -1)


def _grouped(length: int) -> Callable[[Array], tuple[int, ...] | None]:
    return lambda array: (-1, length) if array.ndim and array.shape[-1] % length == 0 else None


Quantiser = Callable[[Array, int], Array | None]


def _quantiser(method: Callable[[Array, int], Array], shape_of: Callable[[Array], tuple[int, ...] | None]) -> Quantiser:
    def quantise(array: Array, bits: int) -> Array | None:
        shape = shape_of(array) if array.size else None
        if shape is None or not np.isfinite(array.astype(np.float64)).all():
            return None
        return method(array.astype(np.float64).reshape(shape), bits).reshape(array.shape).astype(array.dtype)

    return quantise


# In words, and how: None where the array has no such groups, or holds no numbers.
QUANTISERS: tuple[tuple[str, Quantiser], ...] = (
    ("steps of the whole array", _quantiser(_symmetric, _whole)),
    ("steps of each row", _quantiser(_symmetric, _rows)),
    ("steps of each slice of the first axis", _quantiser(_symmetric, _slices)),
    ("steps of the whole array, from its smallest to its largest", _quantiser(_affine, _whole)),
    ("steps of each row, from its smallest to its largest", _quantiser(_affine, _rows)),
    *((f"steps of each group of {length}", _quantiser(_symmetric, _grouped(length))) for length in (128, 64, 32)),
    *(
        (f"steps of each group of {length}, from its smallest to its largest", _quantiser(_affine, _grouped(length)))
        for length in (128, 64, 32)
    ),
)
