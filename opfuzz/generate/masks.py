"""Regimes of masks: True where an element takes part. Rows lie along the last axis."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from opfuzz.generate.choices import Words
from opfuzz.generate.numbers import Shape

Mask = NDArray[np.bool_]


def full_mask(words: Words, shape: Shape) -> Mask:
    """Everything takes part."""
    return np.ones(shape, np.bool_)


def causal_mask(words: Words, shape: Shape) -> Mask:
    """Row i sees the elements 0 to i."""
    if not shape:
        return full_mask(words, shape)
    rows = shape[-2] if len(shape) >= 2 else 1
    triangle = np.tri(rows, shape[-1], dtype=np.bool_).reshape(shape[-2:])
    return np.array(np.broadcast_to(triangle, shape))


def random_mask(words: Words, shape: Shape) -> Mask:
    """Each element by itself, with a chance of 1/2, 3/4 or 1/8."""
    eighths = words.pick((4, 6, 1))
    return ((words.array(prod(shape)) >> np.uint64(61)) < np.uint64(eighths)).reshape(shape)


def empty_row(words: Words, shape: Shape) -> Mask:
    """A random mask in which nothing takes part in one row: softmax of all -inf."""
    chosen = words.below(1 << 32)
    mask = random_mask(words, shape)
    if shape and mask.size:
        mask.reshape(-1, shape[-1])[chosen % prod(shape[:-1])] = False
    return mask


def some_left(words: Words, shape: Shape) -> Mask:
    """A random mask in which at least one element takes part in every row."""
    return one_left(words, shape) | random_mask(words, shape)


def one_left(words: Words, shape: Shape) -> Mask:
    """One element takes part in every row."""
    if not shape or not prod(shape):
        return full_mask(words, shape)
    place = words.array(prod(shape[:-1])) % np.uint64(shape[-1])
    return np.asarray(np.arange(shape[-1], dtype=np.uint64) == place.reshape(*shape[:-1], 1))
