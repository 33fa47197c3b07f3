"""The inputs of a case: arrays that are a pure function of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.case import Case
from opfuzz.core.errors import OpfuzzError
from opfuzz.core.floats import FORMATS, Format, round_to
from opfuzz.core.layout import constant_along_broadcast
from opfuzz.generate.choices import Words
from opfuzz.generate.numbers import Shape
from opfuzz.generate.regimes import INDEX_REGIMES, MASK_REGIMES, check_regime, float_regime
from opfuzz.spec.expression.program import evaluate

if TYPE_CHECKING:
    from opfuzz.spec import Input, OpSpec


def inputs(spec: OpSpec, case: Case) -> dict[str, NDArray[Any]]:
    """The array of each input: floats in the case's format or their own, indices int64, masks bool.

    All are C-contiguous, in logical order.
    The words of an input are keyed by the case's seed and the input's name alone, so that a case keeps its values while
    another layout, param or format is tried; under most regimes a smaller array has the first values of the larger one.
    Raises OpfuzzError if the case does not fit the spec.
    """
    _check_fits(spec, case)
    shapes = spec.shapes(case.dims, case.params)
    arrays = {}
    for given in spec.inputs:
        array = _fill(given, shapes[given.name], case, FORMATS[given.format_in(case.format)])
        # Not ascontiguousarray, which makes one dimension of none.
        arrays[given.name] = np.asarray(constant_along_broadcast(array, case.layouts[given.name]), order="C")
    return arrays


def _fill(given: Input, shape: Shape, case: Case, fmt: Format) -> NDArray[Any]:
    regime = case.regimes[given.name]
    check_regime(regime, given.kind, given.name)
    words = Words("input", case.seed, given.name)
    if given.kind == "index":
        assert given.below is not None  # the loader gives every index a limit
        below = evaluate(given.below, {**case.dims, **case.params}, {})
        if not isinstance(below, int) or (below < 1 and 0 not in shape):
            raise OpfuzzError(f"{case.op}: input {given.name} has no index below {below!r} to point at")
        return INDEX_REGIMES[regime](words, shape, below)
    if given.kind == "float":
        values = float_regime(regime, given.name)(words, shape, fmt)
        return values if values.dtype == fmt.dtype else round_to(values, fmt)
    mask = MASK_REGIMES[regime](words, shape)
    return round_to(np.where(mask, 0.0, -np.inf), fmt) if given.kind == "additive_mask" else mask


def _check_fits(spec: OpSpec, case: Case) -> None:
    """Raises OpfuzzError unless the case has the op, dims, params and inputs of the spec, and sizes it allows."""
    if case.op != spec.op:
        raise OpfuzzError(f"case {case.id} is of op '{case.op}', not '{spec.op}'")
    _check_same("dims", case.dims, [dim.name for dim in spec.dims], case)
    _check_same("params", case.params, [param.name for param in spec.params], case)
    _check_same("inputs", case.regimes, [given.name for given in spec.inputs], case)
    if not spec.allows(case.dims, case.params):
        raise OpfuzzError(f"case {case.id}: the spec of {spec.op} does not allow {case}")


def _check_same(what: str, given: Collection[str], known: Collection[str], case: Case) -> None:
    if set(given) != set(known):
        listed = [", ".join(names) or "none" for names in (given, known)]
        raise OpfuzzError(f"case {case.id}: {what} are {listed[0]}, but those of {case.op} are {listed[1]}")
