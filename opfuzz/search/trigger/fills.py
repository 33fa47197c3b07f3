"""Values for an input of another shape or format: the minimal call's own, repeated, or ordinary ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Array, Call
from opfuzz.core.floats import FORMATS, FloatArray, Format, round_to
from opfuzz.core.layout import applicable, constant_along_broadcast
from opfuzz.spec import Input, OpSpec, Value
from opfuzz.spec.expression.program import evaluate

Shape = tuple[int, ...]
Ordinary = Callable[[Shape, int], FloatArray]  # of a shape, and of the place of the input among the inputs


# Each input has other values: of a query that is its own key, the score grows with the width until nothing else counts.
def _sevenths(shape: Shape, place: int) -> FloatArray:
    counted = np.arange(prod(shape)).reshape(shape) + 3 * place
    return np.asarray(counted % 7 + 1, np.float64)  # 7 shares no factor with the lengths of vectors


def _integers(shape: Shape, place: int) -> FloatArray:
    values = _sevenths(shape, place)
    return np.where(values % 2 == 0, -values, values)


def _normal(shape: Shape, place: int) -> FloatArray:
    return np.random.Generator(np.random.PCG64([1, place])).standard_normal(shape)


def _uniform(shape: Shape, place: int) -> FloatArray:
    return np.random.Generator(np.random.PCG64([2, place])).random(shape)


def _thirds(shape: Shape, place: int) -> FloatArray:
    """4/3 and 8/3, row by row: errors add up where those of random numbers fade, and no row is like the next."""
    rows = 2.0 ** (np.arange(shape[0]) % 2) if shape else np.ones(())
    return np.broadcast_to(4 / 3 * rows.reshape(-1, *(1,) * (len(shape) - 1)) if shape else rows, shape).copy()


# Most faults of arithmetic show with digits that go on; those of places and signs show with small integers, too.
ORDINARY: Mapping[str, Ordinary] = {
    "normal": _normal,
    "negated": lambda shape, place: -_normal(shape, place),
    "uniform": _uniform,
    "integers": _integers,
    "counts": _sevenths,
    "ones": lambda shape, _: np.ones(shape),
    "thirds": _thirds,
    "zeros": lambda shape, _: np.zeros(shape),
}


def _alike(array: FloatArray, shape: Shape, place: int) -> FloatArray:
    finite = array[np.isfinite(array)]
    mean, spread = (float(finite.mean()), float(finite.std())) if finite.size else (0.0, 1.0)
    return mean + (spread or abs(mean) / 2 or 1.0) * _normal(shape, place)


def _peaked(array: FloatArray, shape: Shape, place: int) -> FloatArray:
    values = np.zeros(shape)
    if shape:
        values[..., -1:] = 8.0
    return values


def _padded(array: FloatArray, shape: Shape, place: int) -> FloatArray:
    values = np.zeros(shape)
    common = tuple(slice(min(old, new)) for old, new in zip(array.shape, shape, strict=True))
    values[common] = array[common]
    return values


# Made for faults that few values show: with mean and spread of the minimal call's, and with one element that outweighs
# all others where a kernel may leave it out, at the end; the very values of the minimal call, with zeros behind them.
MADE: Mapping[str, Callable[[FloatArray, Shape, int], FloatArray]] = {
    "alike": _alike,
    "peaked": _peaked,
    "padded": _padded,
}
CYCLE, LAST = "cycle", "last"  # the minimal call's values from the first or from the last on


def remade(
    spec: OpSpec,
    call: Call,
    fill: str,
    *,
    dims: Mapping[str, int],
    params: Mapping[str, Value],
    format: str,
    layouts: Mapping[str, str],
) -> Call:
    """`call` with other settings; its inputs are filled as `fill` says, of ORDINARY or MADE, or CYCLE or LAST."""
    shapes = spec.shapes(dims, params)
    arrays, fitting = {}, {}
    for place, given in enumerate(spec.inputs):
        shape = shapes[given.name]
        array = _filled(given, place, call.arrays[given.name], shape, fill, FORMATS[given.format_in(format)])
        if given.below is not None:
            limit = evaluate(given.below, {**dims, **params}, {})
            assert isinstance(limit, int)
            array = (limit - 1 - np.arange(array.size).reshape(shape)) if fill in (*ORDINARY, *MADE) else array
            array = (array % max(limit, 1)).astype(np.int64)
        elif given.kind in ("mask", "additive_mask"):
            array = _with_one_left(array, call.arrays[given.name])
        if given.is_never_negative:
            array = np.abs(array)
        layout = layouts[given.name] if applicable(layouts[given.name], shape) else "contiguous"
        arrays[given.name], fitting[given.name] = constant_along_broadcast(array, layout), layout
    return Call(format, dict(dims), dict(params), arrays, fitting)


def _filled(given: Input, place: int, minimal: Array, shape: Shape, fill: str, fmt: Format) -> Array:
    if given.kind == "float" and fill in ORDINARY:
        return round_to(ORDINARY[fill](shape, place), fmt)
    if given.kind == "float" and fill in MADE:
        with np.errstate(over="ignore", invalid="ignore"):
            return round_to(MADE[fill](minimal.astype(np.float64), shape, place), fmt)
    values = stretched(minimal, shape, fill)
    return converted(values, fmt) if given.kind in ("float", "additive_mask") else values


def converted(array: Array, fmt: Format) -> Array:
    """The same values, rounded once to a format; bits are kept where it is the array's own."""
    return array if array.dtype == fmt.dtype else round_to(array.astype(np.float64), fmt)


def stretched(array: Array, shape: Shape, fill: str) -> Array:
    """`array` repeated and cut along each axis; with LAST so that its last elements stay the last ones.

    An empty axis has nothing to repeat: ones stand there.
    """
    if array.shape == shape:
        return array
    if not array.size:
        return np.ones(shape, array.dtype)
    axes = sorted(range(array.ndim), key=lambda axis: shape[axis] - array.shape[axis])  # cut before anything grows
    for axis in axes:
        old, new = array.shape[axis], shape[axis]
        if old != new:
            copies = -(-new // old)
            array = np.concatenate([array] * copies, axis=axis) if copies > 1 else array
            start = copies * old - new if fill == LAST else 0
            array = array[(slice(None),) * axis + (slice(start, start + new),)]
    return array


def _with_one_left(mask: Array, minimal: Array) -> Array:
    """The mask with the first element of each empty row put back, if no row of the minimal one is empty."""

    def takes_part(array: Array) -> NDArray[Any]:
        return array if array.dtype == np.bool_ else array == 0

    if not mask.shape or not mask.size or not takes_part(minimal).any(axis=-1).all():
        return mask
    mask = mask.copy()
    empty = ~takes_part(mask).any(axis=-1)
    mask[empty, 0] = True if mask.dtype == np.bool_ else 0
    return mask
