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
