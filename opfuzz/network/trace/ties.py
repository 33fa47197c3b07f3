"""Ties: where two inputs are equal, as at the corner of a ReLU, all between the gradients of either side is right."""

from __future__ import annotations

import numpy as np

from opfuzz.core.floats import FORMATS, format_of
from opfuzz.network.rearrange import Rearrangement
from opfuzz.network.trace.layouts import Broadcast, wide
from opfuzz.network.trace.recording import Array

# The ties are broken in some ways, and what comes of that is no difference.
DRAWS = 8  # at first
MOST_DRAWS = 512  # as long as another one still explains more
STALE = 64  # that explain nothing more, after which that was all
TINY, SMALL = 2.0**-60, 2.0**-20  # what breaks a tie at zero, of the largest input: by turns, as sums absorb the first
SHAKEN = 1e-3  # relative change of a gradient that is more than a rounding of smooth inputs makes
SHAKEN_UNITS = 64  # the same in unit roundoffs of the inputs


class Band:
    """All between the gradients that a has when ties are broken, in the layout of b."""

    def __init__(self, a: Array, b: Array, way: Rearrangement | Broadcast) -> None:
        self._b, self._way, self._roundoff = wide(b), way, format_of(b).unit_roundoff
        self._low = self._high = wide(a)

    def take(self, other: Array) -> int:
        """Takes another gradient in, in the layout of a; how many more of b's elements are inside than before."""
        taken, before = wide(self._way.apply(other)), np.count_nonzero(self.inside)
        self._low, self._high = np.minimum(self._low, taken), np.maximum(self._high, taken)
        return int(np.count_nonzero(self.inside) - before)

    @property
    def is_tie(self) -> Array:
        """Where they differ by more than a rounding of smooth inputs makes."""
        largest = np.maximum(np.abs(self._low), np.abs(self._high))
        return np.asarray(self._high - self._low > max(SHAKEN, SHAKEN_UNITS * self._roundoff) * largest)

    def excused(self, is_innermost: bool) -> Array:
        """Where b's element is no fault: inside, or at any tie, of which a module around others may make many."""
        return self.inside if is_innermost else self.is_tie

    @property
    def inside(self) -> Array:
        """Where b's element is right by one side of a tie."""
        # Of max(x, 0) + c min(x, 0) both may hand on what they get at 0, or neither.
        ends = np.stack([self._low, self._high, self._low + self._high, np.zeros(self._low.shape)])
        slack = 4 * self._roundoff * np.abs(ends).max(0)
        return np.asarray(self.is_tie & (ends.min(0) - slack <= self._b) & (self._b <= ends.max(0) + slack))

    def places(self, shape: tuple[int, ...]) -> Array:
        """Where in the layout of a, of that shape, b's element is another and no tie is known that explains it."""
        is_off = ~self.inside & (np.abs(self._b - self._low) > SHAKEN * np.abs(self._b).max(initial=0.0))
        found = np.zeros(shape, bool)
        found.ravel()[self._way.apply(np.arange(found.size).reshape(shape))[is_off]] = True
        return found


def untied(x: Array, draw: int, favoured: Array | None) -> Array:
    """Each element up or down by one unit roundoff, and zeros by next to nothing, no two by as much.

    Every second draw the other way. With `favoured` those go one way, and all others the other.
    """
    if x.dtype.name not in FORMATS or not x.size:
        return x
    fmt, drawn = format_of(x), np.random.default_rng(draw // 2)
    signs = (-1) ** draw * drawn.choice((-1.0, 1.0), x.shape)
    if favoured is not None:
        signs = (-1) ** (draw // 2) * np.where(favoured, 1.0, -1.0)
    largest = float(np.abs(wide(x)).max(initial=0.0))
    least = max(fmt.unit_roundoff, SMALL) * largest if draw // 2 % 2 else TINY * largest
    zeros = max(least, fmt.smallest_normal) * signs * (1 + drawn.random(x.shape))
    return np.asarray(np.where(x == 0, zeros, wide(x) * (1 + fmt.unit_roundoff * signs))).astype(x.dtype)
