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
from opfuzz.spec.op import Param

Array = NDArray[Any]
WHOLE = "biu"  # kinds of dtypes: truth values and whole numbers
NO_FORMAT = f"which is none of the formats {', '.join(FORMATS)}"


def judge_arrays(
    spec: OpSpec, inputs: Mapping[str, Array], outputs: Sequence[Array], params: Mapping[str, Value], place: str
) -> tuple[Score, tuple[Reference, ...]]:
    """The score of what an op made of these inputs, and the exact results.

    `inputs` and `outputs` have the shapes of the spec, with any number of axes for its batch; `params` may hold sizes
    that no input tells. The format is that of the first output of floats; where all are whole numbers or truth values,
    which are taken if all that is right is whole, that of the inputs. Raises OpfuzzError, with `place` in words, for
    what does not fit the spec.
    """
    fmt = _format(spec, inputs, outputs, place)
    call = _call(spec, inputs, params, fmt, place)
    shapes = spec.output_shapes(call.dims, call.params)
    if len(outputs) != len(shapes):
        raise OpfuzzError(
            f"{place}: '{spec.op}' returns {len(shapes)} arrays ({', '.join(shapes)}), not {len(outputs)}: "
            f"{spec.summary}"
        )
    given = tuple(
        _fitting(array, shape, fmt, f"{place}: {f'the output {name}' if name else 'the output'}")
        for array, (name, shape) in zip(outputs, shapes.items(), strict=True)
    )
    references = references_of(spec, call)
    for array, reference in zip(outputs, references, strict=True):
        if array.dtype.kind in WHOLE and not _is_whole(reference.truth.hi):
            raise OpfuzzError(f"{place}: the output is of {array.dtype}, {NO_FORMAT}")
    _check_defined(spec, call, references, place)
    return score_outputs(Outcome("given", "ok", given), references), references


def _format(spec: OpSpec, inputs: Mapping[str, Array], outputs: Sequence[Array], place: str) -> str:
    """The format of a call: of its first output of floats, else of its inputs, else the first that the spec has."""
    tested = [inputs[item.name] for item in spec.inputs if item.dtype is None and item.name in inputs]
    for array in (*outputs, *tested):
        if array.dtype.kind not in WHOLE:
            return _name_of(array, f"{place}: the output")
    return spec.formats[0]


def _name_of(array: Array, what: str) -> str:
    try:
        name = format_of(array).name
    except ValueError:
        name = ""
    if name not in FORMATS:  # ml_dtypes has more
        raise OpfuzzError(f"{what} is of {array.dtype}, {NO_FORMAT}")
    return name


def _is_whole(exact: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(exact).all() and (exact == np.trunc(exact)).all())


def _check_defined(spec: OpSpec, call: Call, references: Sequence[Reference], place: str) -> None:
    """Raises OpfuzzError where a negative parameter, which the spec never has, leaves the op without a result."""
    exact = np.concatenate([reference.truth.hi.ravel() for reference in references])
    undefined = np.count_nonzero(np.isnan(exact))
    floats = [array for array in call.arrays.values() if array.dtype.kind not in WHOLE]
    if not undefined or not all(np.isfinite(array.astype(np.float64)).all() for array in floats):
        return
    for param in spec.params:
        value = call.params[param.name]
        known = [each for each in param.values or () if isinstance(each, int | float)]
        if isinstance(value, int | float) and not value >= 0 and known and min(known) >= 0:
            raise OpfuzzError(
                f"{place}: '{param.name}' is {value!r}, with which {undefined} of {exact.size} exact results are not a "
                f"number; give a number from 0, such as {param.default!r}"
            )


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
    values = {param.name: _value(param, params.get(param.name, param.default), place) for param in spec.params}
    own: dict[str, int] = {}
    for name in sorted(sizes.intersection(params)):
        value = params[name]
        if type(value) is not int or not 0 <= value < 2**63:
            words = f"{value!r:.60}" if type(value) is not int or value < 0 else f"of {value.bit_length()} bits"
            raise OpfuzzError(f"{place}: '{name}' is {words}; it is a size: give a whole number from 0")
        own[name] = value
    shapes = {name: array.shape for name, array in arrays.items()}
    dims = sizes_of(spec, shapes, own, place)
    if not spec.allows(dims, values) or spec.shapes(dims, values) != shapes:
        raise OpfuzzError(f"{place}: {misfit(spec, arrays, dims, values)}")
    return Call(fmt, dims, values, arrays, {})


def _value(param: Param, given: object, place: str) -> Value:
    """A parameter as a call has it. Raises OpfuzzError for what is of another kind than the values of the spec."""
    value: Any = given.item() if isinstance(given, np.generic) else given
    what = f"{place}: '{param.name}' is"
    # Their words may be too long for Python.
    if type(value) is int and abs(value) >= 2**63:
        raise OpfuzzError(f"{what} a whole number of {value.bit_length()} bits; give one below 2^63")
    if not param.is_like(value) or (value is None and None not in (param.values or ())):
        raise OpfuzzError(f"{what} {value!r:.60}; give what is like {param.default!r}")
    if param.low is not None and value < param.low:
        raise OpfuzzError(f"{what} {value}; give a whole number from {param.low}")
    return value  # type: ignore[no-any-return]


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
    dtype = FORMATS[fmt].dtype
    if array.dtype.kind in WHOLE:
        with np.errstate(over="ignore"):  # told as what no number of the format is
            held = array.astype(dtype)
        lost = held.astype(np.float64) != array.astype(np.float64)
        if lost.any():
            raise OpfuzzError(f"{what} holds {array[lost].flat[0]}, which no number of {fmt} is")
        array = held
    elif array.dtype != dtype:
        raise OpfuzzError(f"{what} is {array.dtype}, and the first one {fmt}; all outputs have one format")
    # More axes may stand for the batch, or none.
    is_folded = bool(shape) and array.size == np.prod(shape) and array.shape[array.ndim - len(shape) + 1 :] == shape[1:]
    if array.shape != shape and not is_folded:
        raise OpfuzzError(f"{what} has the shape {list(array.shape)}, the spec says {list(shape)}")
    return np.ascontiguousarray(array.reshape(shape))
