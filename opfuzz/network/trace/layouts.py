"""Which tensor of one side is which of the other, and in what order of axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from opfuzz.core.floats import FloatArray
from opfuzz.network.rearrange import Rearrangement, rearrangements
from opfuzz.network.trace.recording import Array

# Tensors in one layout correlate, until something has gone wrong. Only a clear gain is believed over the same position
# and the same order of axes: after a fault all correlations are small, and the largest of them means nothing.
CLEAR, GAIN = 0.9, 0.1


@dataclass(frozen=True, slots=True)
class TensorSource:
    """Where a tensor of b comes from: a's tensor of that number, its axes rearranged."""

    index: int
    way: Rearrangement

    def take(self, tensors: Sequence[Array]) -> Array:
        """The tensor of a in the layout of b."""
        return self.way.apply(tensors[self.index])


def assign(a: Sequence[Array], b: Sequence[Array]) -> tuple[TensorSource | None, ...]:
    """For each tensor of b its source in a; None where no unused tensor of a fits.

    By position, unless another tensor of a correlates clearly better; by correlation alone where numbers differ.
    """
    found: list[TensorSource | None] = []
    for position, target in enumerate(b):
        used = {source.index for source in found if source}
        options = {i: ways for i, x in enumerate(a) if i not in used and (ways := _ways(x, target))}
        preferred = position if position in options and len(a) == len(b) else min(options, default=None)
        if preferred is None:
            found.append(None)
            continue
        straight = TensorSource(preferred, options[preferred][0])
        if sum(map(len, options.values())) == 1:
            found.append(straight)
            continue
        score = {
            TensorSource(i, way): correlation(way.apply(a[i]), target) for i, ways in options.items() for way in ways
        }
        best = max(score, key=lambda source: score[source])
        is_clear = score[best] >= CLEAR and score[best] > score[straight] + GAIN
        found.append(best if is_clear else straight)
    return tuple(found)


def _ways(a: Array, b: Array) -> list[Rearrangement]:
    """How a may be read in the shape of b, the order of its own axes first."""
    if _class(a) != _class(b):
        return []
    return [way for way in rearrangements(a.shape, b.shape) if not way.is_scrambled]


def _class(array: Array) -> str:
    return (
        "float"
        if array.dtype == ml_dtypes.bfloat16
        else {"f": "float", "i": "int", "u": "int"}.get(array.dtype.kind, array.dtype.kind)
    )


def correlation(a: Array, b: Array) -> float:
    """Pearson's over the elements finite in both; 1 for equal tensors, 0 where one of them is constant."""
    x, y = wide(a).ravel(), wide(b).ravel()
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    if np.array_equal(x, y):
        return 1.0
    x, y = x - x.mean(), y - y.mean()
    lengths = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(np.vdot(x, y)) / lengths if lengths else 0.0


def wide(array: Array) -> FloatArray:
    """As float64; a complex tensor has an axis of two more."""
    if array.dtype.kind == "c":
        array = np.stack((array.real, array.imag), axis=-1)
    return np.asarray(array, np.float64)
