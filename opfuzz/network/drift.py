"""How far one tensor is from another: correlation, mean, median and largest difference, shift and spread."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

# With d = b - a over all elements: mae = mean |d|, median = median |d|, max = max |d|, rms = sqrt(mean d^2),
# shift = mean b - mean a. The correlation is Pearson's. For unit vectors u, v along the centred tensors it is
# 1 - |u - v|^2 / 2, and that half square, `decorrelation`, keeps its digits where 1 - corr has lost them all.


@dataclass(frozen=True, slots=True)
class Drift:
    """Tensor b against tensor a, in the unit of the tensors; NaN wherever either holds one."""

    decorrelation: float  # 1 - corr
    mae: float
    median: float
    max: float
    rms: float
    shift: float
    std_a: float
    std_b: float
    elements: int

    @property
    def corr(self) -> float:
        """Pearson's correlation."""
        return 1.0 - self.decorrelation


UNKNOWN = Drift(nan, nan, nan, nan, nan, nan, nan, nan, 0)  # between tensors that cannot be compared


def drift(a: NDArray[Any], b: NDArray[Any]) -> Drift:
    """The figures for two tensors of one shape.

    Two equal tensors have correlation 1 and a constant one against another has 0. Raises ValueError if shapes differ
    or nothing is in them.
    """
    if a.shape != b.shape or not a.size:
        raise ValueError(f"drift is undefined between shapes {list(a.shape)} and {list(b.shape)}")
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    with np.errstate(all="ignore"):
        size = np.abs(y - x)
        return Drift(
            decorrelation=_decorrelation(x, y),
            mae=float(size.mean()),
            median=float(np.median(size)),
            max=float(size.max()),
            rms=float(np.sqrt(np.mean(size**2))),
            shift=float(y.mean() - x.mean()),
            std_a=float(x.std()),
            std_b=float(y.std()),
            elements=x.size,
        )


def _decorrelation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    if np.array_equal(x, y):
        return 0.0
    u, v = x - x.mean(), y - y.mean()
    long, other = float(np.linalg.norm(u)), float(np.linalg.norm(v))
    if long == 0 or other == 0:
        return 1.0
    # Opposite vectors: |u - v|^2 / 2 is 2 at most, but for rounding.
    return float(min(np.sum((u / long - v / other) ** 2) / 2, 2.0))
