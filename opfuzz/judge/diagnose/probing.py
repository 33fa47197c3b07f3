"""Elementwise functions of one input, and their gradients, tried on values of all sizes at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.floats import FloatArray, Format, round_to
from opfuzz.core.layout import LAYOUTS
from opfuzz.judge.diagnose.evidence import Evidence
from opfuzz.judge.limits import PROBES
from opfuzz.judge.settle import examine
from opfuzz.oracle import graph
from opfuzz.oracle.elementary import ELEMENTARY
from opfuzz.oracle.reference import Reference
from opfuzz.spec import Input


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """What an elementwise function gives for many values."""

    x: FloatArray
    computed: FloatArray
    exact: FloatArray
    excess: FloatArray  # 0 where an intermediate of the usual formula overflows
    is_special: NDArray[np.bool_]  # of the wrong class
    reference: Reference


def one_input(evidence: Evidence) -> Input | None:
    """The one input of an elementwise function, also of the gradient of one; None: it is no such function."""
    spec, reference = evidence.spec, evidence.reference
    if reference.is_unary:
        return spec.inputs[0]
    if spec.gradient is None or len(spec.inputs) != 2 or len(spec.gradient.inputs) != 1:
        return None
    first, cotangent = spec.inputs
    is_same = cotangent.name in spec.gradient.cotangents and first.shape == cotangent.shape == evidence.axes
    return first if is_same and graph.is_elementwise(reference.natural, set(ELEMENTARY), of_call=True) else None


def any_input(evidence: Evidence) -> list[Input]:
    """The inputs of an elementwise function, also of a gradient, but for cotangents; none: it is no such function."""
    if (item := one_input(evidence)) is not None:
        return [item]
    spec = evidence.spec
    cotangents = () if spec.gradient is None else spec.gradient.cotangents
    if any(item.shape != evidence.axes or item.kind != "float" for item in spec.inputs):
        return []
    is_elementwise = graph.is_elementwise(evidence.reference.natural, set(ELEMENTARY), of_call=True)
    return [item for item in spec.inputs if item.name not in cotangents] if is_elementwise else []


def probes(fmt: Format) -> FloatArray:
    """Values of both signs and all sizes, zeros and infinities."""
    small, large = np.log2(fmt.smallest_normal), np.log2(fmt.largest)
    with np.errstate(over="ignore"):  # the logarithm of the largest may be rounded upwards
        powers = np.exp2(np.linspace(small, large, PROBES))
    sizes = np.concatenate([powers, np.linspace(0, 128, PROBES)[1:], [np.inf]])
    return np.concatenate([-sizes[::-1], [-0.0, 0.0], sizes])


def probe(evidence: Evidence, x: FloatArray, item: Input | None = None) -> Probe | None:
    """A call on values that stand in a single row; None where there is no such call.

    With `item` they are those of this input, the others are what they are where the call is furthest off.
    """
    spec, call, item = evidence.spec, evidence.call, item or one_input(evidence)
    if item is None:
        return None
    with np.errstate(over="ignore"):
        rounded = x.astype(evidence.fmt.dtype)
    names = [size.text for size in item.shape]
    if not names or len(set(names)) < len(names) or set(names) - call.dims.keys():
        return None
    *others, last = names
    dims = {**call.dims, **dict.fromkeys(others, 1), last: len(x)}
    if not spec.allows(dims, call.params):
        return None
    # The cotangent of a gradient is 1.
    arrays = {name: np.ones(shape, evidence.fmt.dtype) for name, shape in spec.shapes(dims, call.params).items()}
    for other in any_input(evidence):
        arrays[other.name][:] = call.arrays[other.name].flat[int(np.argmax(evidence.excess))]
    arrays[item.name] = rounded.reshape(arrays[item.name].shape)
    probed = replace(call, dims=dims, arrays=arrays, layouts=dict.fromkeys(arrays, LAYOUTS[0]))
    made = evidence.run(probed)
    if made is None:
        return None
    reference = evidence.refer(probed)
    judged = examine(made, reference)
    parts = (rounded, judged.computed, judged.truth.hi, judged.wide_excess)
    x, computed, exact, excess = (np.asarray(part.astype(np.float64)).ravel() for part in parts)
    # Where the usual formula overflows as well, nobody is accused.
    overflows = reference.overflows.ravel()
    is_special = judged.is_special_wrong.ravel() & ~overflows
    return Probe(x, computed, exact, np.where(overflows, 0.0, excess), is_special, reference)


def end_alike(run: FloatArray, computed: FloatArray) -> NDArray[np.bool_]:
    """Where both are numbers, or neither is, and no infinity has the other sign."""
    is_turned = np.isinf(run) & np.isinf(computed) & (run != computed)
    return np.asarray((np.isfinite(run) == np.isfinite(computed)) & ~is_turned)


def ends_as(evidence: Evidence, predict: Callable[[Reference], FloatArray | None]) -> bool:
    """Whether a function of one input is no number from just that value on, from which a prediction is none.

    First that value is found to about three digits, then to six. What stands next to it is not asked, as a rounding
    decides there; where there is no such call, or no prediction, it is not known.
    """
    x = probes(evidence.fmt)
    for _ in range(2):
        tried = probe(evidence, np.unique(round_to(x, evidence.fmt)))
        predicted = None if tried is None else predict(tried.reference)
        if tried is None or predicted is None:
            return True
        run = round_to(predicted.astype(np.float64), evidence.fmt).astype(np.float64).ravel()
        ends = np.flatnonzero(np.isfinite(run[1:]) != np.isfinite(run[:-1]))
        asked = np.isfinite(tried.exact) & ~tried.reference.overflows.ravel()
        asked[ends] = asked[ends + 1] = False
        if not end_alike(run, tried.computed)[asked].all():
            return False
        ends = ends[np.isfinite(tried.x[ends]) & np.isfinite(tried.x[ends + 1])]
        x = np.concatenate([np.linspace(tried.x[at], tried.x[at + 1], PROBES) for at in ends] or [tried.x[:1]])
    return True
