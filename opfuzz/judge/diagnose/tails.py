"""The elements behind the last whole vector, where a function of one number is another there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from opfuzz.core.call import Call
from opfuzz.core.cause import Cause, Figure
from opfuzz.core.layout import LAYOUTS
from opfuzz.judge.diagnose.evidence import Evidence
from opfuzz.judge.measure import place_of

VECTORS = (2, 4, 8, 16, 32, 64)
# Numbers of elements that leave another rest for each of the vectors.
SIZES = (131, 143, 152, 160, 176, 192, 203)


def tail(evidence: Evidence) -> Cause | None:
    """That just the elements behind the last whole vector are wrong, of as many equal numbers as tell its length."""
    if not evidence.reference.is_unary or not evidence.is_wrong.any():
        return None
    (item,) = evidence.spec.inputs
    place = place_of(np.where(evidence.is_special, np.inf, evidence.excess))
    assert place is not None
    guilty = evidence.call.arrays[item.name].reshape(evidence.output.shape)[place]
    lengths: tuple[int, ...] = VECTORS
    for size in SIZES:
        call = _equal_numbers(evidence, guilty, size)
        output = None if call is None else evidence.run(call)
        if call is None or output is None:
            return None
        wrong = replace(evidence, call=call, output=output, wider=None).is_wrong.ravel()
        count = int(np.count_nonzero(wrong))
        if not wrong[size - count :].all():
            return None
        lengths = tuple(length for length in lengths if size % length == count)
        if not lengths:
            return None
    if len(lengths) != 1:
        return None
    count, whole = int(np.count_nonzero(evidence.is_wrong)), evidence.is_wrong.size
    figures: dict[str, Figure] = {"wrong": count, "elements": whole, "vector": lengths[0]}
    return Cause("depends-on", "tail", figures=figures)


def _equal_numbers(evidence: Evidence, value: np.generic, size: int) -> Call | None:
    """A call on so many times one number, in the last dim that there is; None where the op has no such dim."""
    spec, call = evidence.spec, evidence.call
    (item,) = spec.inputs
    names = [axis.text for axis in item.shape if axis.text in call.dims]
    dims = {**dict.fromkeys(call.dims, 1), **({names[-1]: size} if names else {})}
    if not spec.allows(dims, call.params):
        return None
    shape = spec.shapes(dims, call.params)[item.name]
    array = np.full(shape, value, call.arrays[item.name].dtype)
    layouts = dict.fromkeys(call.layouts, LAYOUTS[0])
    return replace(call, dims=dims, arrays={item.name: array}, layouts=layouts) if array.size == size else None
