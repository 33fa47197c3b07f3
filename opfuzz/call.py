"""A call with its values: what is judged again, made smaller, and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.case import size_key
from opfuzz.spec_records import Value

if TYPE_CHECKING:
    from opfuzz.spec import OpSpec

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of an op, whoever makes it. `arrays` and `layouts` are by input, in storage dtypes."""

    format: str
    dims: Mapping[str, int]
    params: Mapping[str, Value]
    arrays: Mapping[str, Array]
    layouts: Mapping[str, str]

    def id(self, op: str) -> str:
        """16 hex digits that name the call of an op: equal ones have equal values, to the bit."""
        settings = [
            op,
            self.format,
            *(sorted(map(repr, each.items())) for each in (self.dims, self.params, self.layouts)),
        ]
        name = blake2b(repr(settings).encode(), digest_size=8)
        for key, array in sorted(self.arrays.items()):
            name.update(f"{key} {array.dtype} {array.shape} ".encode() + array.tobytes())
        return name.hexdigest()

    def with_arrays(self, arrays: Mapping[str, Array]) -> Call:
        """The same with some inputs replaced."""
        return replace(self, arrays={**self.arrays, **arrays})

    def sort_key(self, spec: OpSpec) -> tuple[Any, ...]:
        """Place in the order from simple to complicated, as `Case.sort_key` has it, with the values themselves last."""
        values = float(sum(complexity(array).sum() for array in self.arrays.values()))
        return *size_key(spec, self.dims, self.params, self.layouts), values


# A finite number other than 0 is +- m 2^e with an odd integer m; its complexity is 1 + 2 (bits of m - 1) + |e|, and one
# more if it is negative: 0, 1, -1 and 2, 4, 3 are the simplest, in this order.
_SPECIAL = 4.0


def complexity(array: Array) -> NDArray[np.float64]:
    """How much there is to read in each element: 0 for 0, more for more digits; of the shape of `array`."""
    x = array.astype(np.float64)
    finite = np.isfinite(x)
    mantissa, exponent = np.frexp(np.where(finite, np.abs(x), 0.0))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    lowest = whole & -whole  # the last bit that is set
    zeros = np.frexp(lowest.astype(np.float64))[1] - 1
    bits = 53 - zeros
    size = 1.0 + 2 * (bits - 1) + np.abs(exponent - bits) + (x < 0)
    return np.asarray(np.where(finite, np.where(x == 0, np.signbit(x) * 1.0, size), _SPECIAL))
