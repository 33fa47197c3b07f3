"""The one order from simple to complicated, which shrinking, ranking and deduplication share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Array, Call
from opfuzz.core.case import Case, Value
from opfuzz.core.layout import LAYOUTS
from opfuzz.spec.op import OpSpec, Param

# Values that a person reads without effort, simplest first; every other regime stands behind these.
SIMPLE_REGIMES = ("zeros", "ones", "constant", "integers", "unit", "uniform", "normal")


def case_key(spec: OpSpec, case: Case) -> tuple[Any, ...]:
    """Place of a case in the order; smaller is simpler, and no two cases share a place.

    Elements of inputs and output, params away from their defaults, dims, layouts away from contiguous, simplicity
    of the values, id.
    """
    regimes = [_simplicity(regime) for regime in case.regimes.values()]
    return *size_key(spec, case.dims, case.params, case.layouts), sum(regimes), case.id


def call_key(spec: OpSpec, call: Call) -> tuple[Any, ...]:
    """Place of a call in the order, with the values themselves last."""
    values = float(sum(complexity(array).sum() for array in call.arrays.values()))
    return *size_key(spec, call.dims, call.params, call.layouts), values


def size_key(
    spec: OpSpec, dims: Mapping[str, int], params: Mapping[str, Value], layouts: Mapping[str, str]
) -> tuple[Any, ...]:
    """Place of a call in the order from simple to complicated, by all but its values."""
    away = [_distance(param, params[param.name]) for param in spec.params]
    sizes = tuple(dims[dim.name] for dim in spec.dims)
    places = [LAYOUTS.index(layout) for layout in layouts.values()]
    return (
        spec.elements(dims, params),
        sum(map(bool, away)),
        sum(away),
        sum(sizes),
        sizes,
        sum(map(bool, places)),
        sum(places),
    )


def _distance(param: Param, value: Value) -> int:
    """0 at the default, more the further away: the place among the choices, or the offset from the low end."""
    if param.values is None:
        return abs(value - param.low) if isinstance(value, int) and param.low is not None else 1
    # 1 == True == 1.0 in Python, but they are different calls.
    same = [place for place, choice in enumerate(param.values) if choice == value and type(choice) is type(value)]
    return same[0] if same else len(param.values)


def _simplicity(regime: str) -> int:
    return SIMPLE_REGIMES.index(regime) if regime in SIMPLE_REGIMES else len(SIMPLE_REGIMES)


# A finite number other than 0 is +- m 2^e with an odd integer m; its complexity is 1 + 2 (bits of m - 1) + |e|, and one
# more if it is negative: 0, 1, -1 and 2, 4, 3 are the simplest, in this order.
_SPECIAL = 4.0


def complexity(array: Array) -> NDArray[np.float64]:
    """How much there is to read in each element: 0 for 0, more for more digits; of the shape of `array`."""
    with np.errstate(invalid="ignore"):  # a signalling NaN
        x = array.astype(np.float64)
    finite = np.isfinite(x)
    mantissa, exponent = np.frexp(np.where(finite, np.abs(x), 0.0))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    lowest = whole & -whole  # the last bit that is set
    zeros = np.frexp(lowest.astype(np.float64))[1] - 1
    bits = 53 - zeros
    size = 1.0 + 2 * (bits - 1) + np.abs(exponent - bits) + (x < 0)
    return np.asarray(np.where(finite, np.where(x == 0, np.signbit(x) * 1.0, size), _SPECIAL))
