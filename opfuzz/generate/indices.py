"""Regimes of indices: integers from 0 to below a limit, int64. The limit is at least 1, or the shape is empty."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.generate.choices import Words
from opfuzz.generate.numbers import Shape

Indices = NDArray[np.int64]


def equal_index(words: Words, shape: Shape, below: int) -> Indices:
    """One index everywhere."""
    return np.full(shape, words.below(max(below, 1)), np.int64)


def boundary_index(words: Words, shape: Shape, below: int) -> Indices:
    """Only the first and the last."""
    last = (words.array(prod(shape)) & np.uint64(1)).astype(np.int64).reshape(shape)
    return last * (below - 1)


def random_index(words: Words, shape: Shape, below: int) -> Indices:
    """All equally likely."""
    return (words.array(prod(shape)) % np.uint64(max(below, 1))).astype(np.int64).reshape(shape)


def sorted_index(words: Words, shape: Shape, below: int) -> Indices:
    """Ascending along the last axis, with repetitions."""
    indices: NDArray[Any] = random_index(words, shape, below)
    return np.sort(indices, axis=-1) if shape else indices


def alternating_index(words: Words, shape: Shape, below: int) -> Indices:
    """The first and the last in turn along the last axis: of packed codes, every bit is another than beside it."""
    start = words.below(2)
    turns = (np.arange(shape[-1]) + start) % 2 if shape else np.asarray(start)
    return np.array(np.broadcast_to(turns * (below - 1), shape), np.int64)


def middle_index(words: Words, shape: Shape, below: int) -> Indices:
    """Within 8 of the middle: an exponent that is stored with a bias, of numbers around 1."""
    low, high = max(below // 2 - 8, 0), min(below // 2 + 8, below)
    return low + random_index(words, shape, high - low)
