"""One output that somebody has at hand, judged: its call is found from its arrays, as a spec says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Call
from opfuzz.core.case import Value
from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.core.floats import FORMATS, NAMED_FORMATS, format_of
from opfuzz.core.results import Outcome, Score
from opfuzz.judge.outputs import score_outputs
from opfuzz.network.pipeline.dispatch import folded, misfit, sizes_of
from opfuzz.oracle.reference import Reference, references_of
from opfuzz.spec import Input, OpSpec

Array = NDArray[Any]


def judge_arrays(
    spec: OpSpec, inputs: Mapping[str, Array], outputs: Sequence[Array], params: Mapping[str, Value], place: str
) -> tuple[Score, tuple[Reference, ...]]:
    """The score of what an op made of these inputs, and the exact results.

    `inputs` and `outputs` have the shapes of the spec, with any number of axes for its batch; `params` may hold sizes
    that no input tells. The format is that of the first output. Raises OpfuzzError, with `place` in words, for what
    does not fit the spec.
    """
    fmt = _format(outputs[0], f"{place}: the output")
    call = _call(spec, inputs, params, fmt, place)
    shapes = spec.output_shapes(call.dims, call.params)
    if len(outputs) != len(shapes):
        raise OpfuzzError(
            f"{place}: '{spec.op}' returns {len(shapes)} arrays ({', '.join(shapes)}), not {len(outputs)}"
        )
    given = tuple(
        _fitting(array, shape, fmt, f"{place}: {f'the output {name}' if name else 'the output'}")
        for array, (name, shape) in zip(outputs, shapes.items(), strict=True)
    )
    references = references_of(spec, call)
    return score_outputs(Outcome("given", "ok", given), references), references


def _format(array: Array, what: str) -> str:
    try:
        name = format_of(array).name
    except ValueError:
        name = ""
    if name not in FORMATS:  # ml_dtypes has more
        raise OpfuzzError(f"{what} is of {array.dtype}, which is none of the formats {', '.join(FORMATS)}")
    return name


def _call(spec: OpSpec, inputs: Mapping[str, Array], params: Mapping[str, Value], fmt: str, place: str) -> Call:
    sizes = {dim.name for dim in spec.dims}
    known = {item.name for item in spec.inputs} | sizes | {param.name for param in spec.params}
    for name in (*inputs, *params):
        if name not in known:
            raise OpfuzzError(f"{place}: '{spec.op}' has no input or parameter '{name}'{did_you_mean(name, known)}")
    for item in spec.inputs:
        if item.name not in inputs:
            raise OpfuzzError(f"{place}: the input '{item.name}' of '{spec.op}' is missing")
    arrays = {item.name: _stored(spec, item, inputs[item.name], fmt, place) for item in spec.inputs}
    values = {param.name: params.get(param.name, param.default) for param in spec.params}
    for param in spec.params:
        if not param.is_like(values[param.name]):
            raise OpfuzzError(f"{place}: '{param.name}' is {values[param.name]!r}, and is like {param.default!r}")
    own: dict[str, int] = {}
    for name in sorted(sizes.intersection(params)):
        value = params[name]
        if type(value) is not int or value < 0:
            raise OpfuzzError(f"{place}: '{name}' is {value!r:.60}; it is a size: give a whole number from 0")
        own[name] = value
    dims = sizes_of(spec, arrays, own, place)
    shapes = {name: array.shape for name, array in arrays.items()}
    if not spec.allows(dims, values) or spec.shapes(dims, values) != shapes:
        raise OpfuzzError(f"{place}: {misfit(spec, arrays, dims, values)}")
    return Call(fmt, dims, values, arrays, {})


def _stored(spec: OpSpec, item: Input, array: Array, fmt: str, place: str) -> Array:
    """An input in the dtype in which calls hold it, in as many axes as the spec says."""
    if item.kind in ("float", "additive_mask"):
        wanted = NAMED_FORMATS[item.format_in(fmt)]
        if array.dtype != wanted.dtype:
            raise OpfuzzError(
                f"{place}: '{item.name}' is {array.dtype} where the output is {fmt}; give {wanted.name}, as the op got"
            )
    else:
        kind, dtype = ("b", np.bool_) if item.kind == "mask" else ("iu", np.int64)
        if array.dtype.kind not in kind:
            raise OpfuzzError(f"{place}: '{item.name}' is {array.dtype}; it is {item.kind}: give {np.dtype(dtype)}")
        array = array.astype(dtype)
    return folded(spec, item, array, place)[0]


def _fitting(array: Array, shape: tuple[int, ...], fmt: str, what: str) -> Array:
    if array.dtype != FORMATS[fmt].dtype:
        raise OpfuzzError(f"{what} is {array.dtype}, and the first one {fmt}; all outputs have one format")
    # More axes may stand for the batch, or none.
    is_folded = bool(shape) and array.size == np.prod(shape) and array.shape[array.ndim - len(shape) + 1 :] == shape[1:]
    if array.shape != shape and not is_folded:
        raise OpfuzzError(f"{what} has the shape {list(array.shape)}, the spec says {list(shape)}")
    return np.ascontiguousarray(array.reshape(shape))
