"""The worst input of a function of one number: the worst of each cell of floats is looked around."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray, Format, from_bits, ordinals, round_to
from opfuzz.search.climb.seeds import seeds

Array = NDArray[Any]
Ordinals = NDArray[np.int64]

_CELL_BITS = 6  # 2^6 cells a binade; with 2^3, MLX's tanh came to 0.98 of its worst, with these to 0.99
_FRESH = 8  # one in so many tries is anywhere
_FLIPPED = 0.1  # of the others have a bit flipped
_LOOKED_INTO = 256  # cells at most
_HALVING = 8.0  # cells, from the worst down, after which one is half as likely to be looked into


def zoom(fmt: Format, size: int, random: np.random.Generator) -> Generator[Array, FloatArray, None]:
    """Yields `size` numbers of a format at a time and is sent the error of each: higher is worse, 0 is of no interest.

    A half format is tried whole, and then the search ends; else it goes on for ever. It begins with `seeds`.
    """
    if fmt.bits == 16:
        for first in range(0, 1 << fmt.bits, size):
            yield from_bits(np.arange(first, first + size) % (1 << fmt.bits), fmt)
        return
    cells = _Cells(fmt)
    start = round_to(seeds(fmt), fmt)
    for first in range(0, len(start), size):
        cells.take(values := np.resize(start[first : first + size], size), (yield values))
    while True:
        cells.take(values := cells.propose(size, random), (yield values))


class _Cells:
    """The worst number of each cell, a run of neighbouring floats: so that one peak does not hide the others."""

    def __init__(self, fmt: Format) -> None:
        self.fmt = fmt
        self.last = int(ordinals(np.array(fmt.largest, fmt.dtype)))
        self.shift = fmt.precision - 1 - _CELL_BITS
        self.half = (self.last >> self.shift) + 1
        self.error = np.zeros(2 * self.half)
        self.place = np.zeros(2 * self.half, np.int64)

    def take(self, values: Array, errors: FloatArray) -> None:
        """Keep what is worse than all before it in its cell."""
        known = np.isfinite(values) & (errors > 0)
        places, errors = ordinals(values[known]), errors[known]
        cells = (places >> self.shift) + self.half
        order = np.argsort(errors, kind="stable")  # of several in one cell, the last that is written stays
        order = order[errors[order] > self.error[cells[order]]]
        self.error[cells[order]], self.place[cells[order]] = errors[order], places[order]

    def propose(self, size: int, random: np.random.Generator) -> Array:
        """Mostly near the worst numbers, at every distance up to a binade; a few with a bit flipped, a few anywhere."""
        fresh = self._anywhere(size // _FRESH, random)
        near = self._near(size - len(fresh), random)
        places = np.concatenate([fresh, near])
        return _numbers(np.clip(places, -self.last, self.last), self.fmt)

    def _anywhere(self, count: int, random: np.random.Generator) -> Ordinals:
        """Any bit pattern, or in a range that ends at any power of two."""
        bits = random.integers(-self.last, self.last, count // 2, endpoint=True)
        powers = np.ldexp(random.uniform(-1, 1, count - count // 2), random.integers(-8, 12, count - count // 2))
        return np.concatenate([bits, ordinals(round_to(powers, self.fmt))])

    def _near(self, count: int, random: np.random.Generator) -> Ordinals:
        worst = np.argpartition(self.error, -_LOOKED_INTO)[-_LOOKED_INTO:]
        worst = worst[np.argsort(-self.error[worst], kind="stable")]
        worst = worst[: max(1, np.count_nonzero(self.error[worst]))]
        rank = np.minimum(random.exponential(_HALVING / np.log(2), count).astype(np.int64), len(worst) - 1)
        place = self.place[worst[rank]]
        # The larger of two: there are many numbers far away, and the few near by would be tried again and again.
        width = np.ldexp(1.0, random.integers(0, self.fmt.precision - 1, (2, count)).max(axis=0))
        step = (random.uniform(-1, 1, count) * width).astype(np.int64)
        flip = np.left_shift(1, random.integers(0, self.fmt.precision - 1, count))
        flipped = np.sign(place) * (np.abs(place) ^ flip)
        return np.where(random.random(count) < _FLIPPED, flipped, place + step + np.sign(step))


def _numbers(places: Ordinals, fmt: Format) -> Array:
    """The floats at these places in the order of their format, as `ordinals` counts them."""
    sign = np.uint64(1 << (fmt.bits - 1))
    return from_bits(np.abs(places).astype(np.uint64) | np.where(places < 0, sign, np.uint64(0)), fmt)
