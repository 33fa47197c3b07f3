"""The regime `quantiles(...)`: a recorded distribution, written out, so that a case needs no profile to be repeated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FloatArray, Format
from opfuzz.generate import numbers
from opfuzz.generate.choices import Words
from opfuzz.generate.numbers import Shape
from opfuzz.spec.profile import PROBABILITIES

_BEGIN, _END = "quantiles(", ")"
_AT: Final = np.array(PROBABILITIES)


def regime_of(quantiles: Sequence[float], factor: float = 1.0) -> str:
    """The regime of values with these quantiles, times a positive `factor`; six significant digits."""
    return _BEGIN + ",".join(f"{quantile * factor:.6g}" for quantile in quantiles) + _END


def is_quantiles(regime: str) -> bool:
    """Whether this is such a regime, right or wrong."""
    return regime.startswith(_BEGIN)


def quantiles_of(regime: str, name: str) -> FloatArray:
    """The quantiles in a regime; raises OpfuzzError with the input's `name` if they are none."""
    try:
        found = [float(word) for word in regime.removeprefix(_BEGIN).removesuffix(_END).split(",")]
    except ValueError:
        found = []
    ascend = all(a <= b for a, b in pairwise(found))
    if (
        not regime.endswith(_END)
        or len(found) != len(PROBABILITIES)
        or not ascend
        or not math.isfinite(found[-1] - found[0])
    ):
        raise OpfuzzError(
            f"input {name}: regime '{regime:.60}' is not {_BEGIN}...{_END} of {len(PROBABILITIES)} ascending numbers"
        )
    return np.array(found)


# The inverse of a distribution function F that is linear between the quantiles q_i at p_i: for u uniform on [0, 1)
# with p_i <= u < p_(i+1), x = q_i + (q_(i+1) - q_i) (u - p_i) / (p_(i+1) - p_i).


def values(words: Words, shape: Shape, fmt: Format, quantiles: FloatArray) -> FloatArray:
    """Independent values with these quantiles at PROBABILITIES; what is beyond the format is its largest number."""
    u = numbers.uniform(words, shape)
    below = np.searchsorted(_AT[1:-1], u, side="right")
    low, high = quantiles[below], quantiles[below + 1]
    share = (u - _AT[below]) / (_AT[below + 1] - _AT[below])
    found = np.minimum(low + (high - low) * share, high)
    return np.asarray(np.clip(found, -fmt.largest, fmt.largest))
