"""Changes of a call: its sizes, params, layouts and values. Each returns a valid call, or None where it cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.call import Call
from opfuzz.core.floats import FORMATS, from_bits, round_to, to_bits
from opfuzz.core.layout import LAYOUTS, applicable, constant_along_broadcast
from opfuzz.generate.sizes import budget_of, work
from opfuzz.spec.expression.program import evaluate

if TYPE_CHECKING:
    from opfuzz.spec import Input, OpSpec, Value

Array = NDArray[Any]
ELEMENTS = 2**16  # of a call, inputs and output together
_EDGES = (1, 2, 3, 4, 5, 8, 16, 32, 64, 128, 256, 1024, 4096, 32768)


@dataclass(frozen=True, slots=True)
class Resize:
    """A step of one size that can be made again."""

    dim: str
    factor: float
    offset: int

    def of(self, size: int) -> int:
        """The size after the step."""
        return max(1, int(size * self.factor) + self.offset)


_STEPS = ((2.0, 0), (0.5, 0), (1.0, 1), (1.0, -1), (4.0, 0), (0.25, 0))
Mutated = tuple[Call | None, Resize | None]


def resize(spec: OpSpec, call: Call, random: np.random.Generator) -> Mutated:
    """One size up or down, or to a power of two or a neighbour of one."""
    if not call.dims:
        return None, None
    dim = str(random.choice(list(call.dims)))
    if random.integers(3):
        step = Resize(dim, *_STEPS[random.integers(len(_STEPS))])
        return resized(spec, call, step), step
    edge = int(random.choice(_EDGES)) + int(random.integers(-1, 2))
    return resized(spec, call, Resize(dim, 0.0, edge)), None


def resized(spec: OpSpec, call: Call, step: Resize) -> Call | None:
    """The call after a step."""
    return _fitted(spec, call, {**call.dims, step.dim: step.of(call.dims[step.dim])}, call.params)


def other_param(spec: OpSpec, call: Call, random: np.random.Generator) -> Mutated:
    """Another value of one param."""
    if not spec.params:
        return None, None
    param = spec.params[random.integers(len(spec.params))]
    if param.values is not None:
        value: Value = param.values[random.integers(len(param.values))]
    else:
        value = int(random.integers(param.low or 0, param.high or 0, endpoint=True))
    return _fitted(spec, call, call.dims, {**call.params, param.name: value}), None


def other_layout(spec: OpSpec, call: Call, random: np.random.Generator) -> Mutated:
    """Another layout of one input; where it is broadcast, its first row is repeated."""
    if not spec.inputs:
        return None, None
    name = spec.inputs[random.integers(len(spec.inputs))].name
    layouts = [layout for layout in LAYOUTS if applicable(layout, call.arrays[name].shape)]
    layout = str(random.choice(layouts))
    return _settled(replace(call, layouts={**call.layouts, name: layout})), None


def other_values(spec: OpSpec, call: Call, random: np.random.Generator) -> Mutated:
    """Other values in one input; those that the spec restricts to regimes keep their magnitudes."""
    if not spec.inputs:
        return None, None
    given = spec.inputs[random.integers(len(spec.inputs))]
    array = call.arrays[given.name]
    if not array.size:
        return None, None
    changes: tuple[Change, ...] = (_rows_exchanged,)
    if given.kind == "float":
        changes = _RESTRICTED if given.regimes is not None else _FREE
    change = changes[random.integers(len(changes))]
    return _settled(call.with_arrays({given.name: change(array.copy(), random)})), None


MUTATIONS = (resize, resize, other_param, other_layout, other_values, other_values, other_values)


def cross(call: Call, other: Call, random: np.random.Generator) -> Call | None:
    """A call with one input of another call."""
    shared = [n for n, a in call.arrays.items() if a.shape == other.arrays[n].shape and a is not other.arrays[n]]
    if not shared or call.params != other.params or call.dims != other.dims:
        # Values of an index or a mask hold for their own sizes only.
        shared = [name for name in shared if call.arrays[name].dtype.name in FORMATS]
    if not shared:
        return None
    name = str(random.choice(shared))
    layouts = {**call.layouts, name: other.layouts[name]}
    return _settled(replace(call.with_arrays({name: other.arrays[name]}), layouts=layouts))


def _fitted(spec: OpSpec, call: Call, dims: Mapping[str, int], params: Mapping[str, Value]) -> Call | None:
    """The call at other sizes: arrays are cut, or repeated from their start. None if the spec does not allow it."""
    if not spec.allows(dims, params) or not is_small(spec, call.format, dims, params):
        return None
    shapes = spec.shapes(dims, params)
    arrays = {}
    for given in spec.inputs:
        array, shape = call.arrays[given.name], shapes[given.name]
        if 0 in array.shape or 0 in shape:
            return None
        if given.kind != "float" and given.regimes is not None and any(map(int.__lt__, shape, array.shape)):
            return None  # of a mask that keeps a key for each query, a part may keep none
        for axis, size in enumerate(shape):
            if size != array.shape[axis]:
                array = np.take(array, np.arange(size), axis, mode="wrap")
        arrays[given.name] = _below(given, array, {**dims, **params})
    return _settled(Call(call.format, dims, params, arrays, call.layouts))


def is_small(spec: OpSpec, format: str, dims: Mapping[str, int], params: Mapping[str, Value]) -> bool:
    """Whether calls of these sizes have elements, and few of them."""
    budget = budget_of(format)
    is_empty = 0 in dims.values() or not spec.output_elements(dims, params)
    size = spec.elements(dims, params)
    return not is_empty and size <= min(ELEMENTS, budget.elements) and work(dims) <= budget.work


def _below(given: Input, array: Array, names: Mapping[str, Value]) -> Array:
    if given.below is None:
        return array
    below = evaluate(given.below, names, {})
    assert isinstance(below, int)
    return np.asarray(array % max(below, 1))


def _settled(call: Call) -> Call:
    """The call with layouts that apply, and values that are constant where they are broadcast."""
    layouts = {
        n: layout if applicable(layout, call.arrays[n].shape) else LAYOUTS[0] for n, layout in call.layouts.items()
    }
    arrays = {n: np.asarray(constant_along_broadcast(a, layouts[n]), order="C") for n, a in call.arrays.items()}
    return replace(call, arrays=arrays, layouts=layouts)


# Changes of one array of floats, which they may overwrite.

Change = Callable[[Array, np.random.Generator], Array]


def _places(array: Array, random: np.random.Generator) -> NDArray[np.int64]:
    """A few elements, or a share of them."""
    count = min(array.size, 1 << int(random.integers(0, max(1, array.size.bit_length()))))
    return np.asarray(random.integers(0, array.size, count))


def _flipped(array: Array, random: np.random.Generator, highest: int) -> Array:
    bits, places = to_bits(array).ravel().copy(), _places(array, random)
    flips = np.left_shift(np.uint64(1), random.integers(0, highest, len(places), np.uint64)).astype(bits.dtype)
    bits[places] ^= flips
    changed = from_bits(bits, FORMATS[array.dtype.name]).reshape(array.shape)
    return np.where(np.isfinite(changed), changed, array)


def _bits_flipped(array: Array, random: np.random.Generator) -> Array:
    return _flipped(array, random, FORMATS[array.dtype.name].bits)


def _low_bits_flipped(array: Array, random: np.random.Generator) -> Array:
    return _flipped(array, random, FORMATS[array.dtype.name].precision - 1)


def _signs_flipped(array: Array, random: np.random.Generator) -> Array:
    places = _places(array, random)
    array.reshape(-1)[places] = -array.reshape(-1)[places]
    return array


def _scaled(array: Array, random: np.random.Generator) -> Array:
    """One row, one column or everything times a power of two."""
    fmt = FORMATS[array.dtype.name]
    power = np.ldexp(1.0, int(random.integers(-12, 13)))
    part: tuple[Any, ...] = ()
    if array.ndim and random.integers(3):
        axis = int(random.integers(array.ndim))
        part = (slice(None),) * axis + (int(random.integers(array.shape[axis])),)
    scaled = array[part].astype(np.float64) * power
    array[part] = round_to(np.clip(scaled, -fmt.largest, fmt.largest), fmt)
    return array


def _offset(array: Array, random: np.random.Generator) -> Array:
    """Everything plus one number: what a mean or a maximum must take away again."""
    fmt = FORMATS[array.dtype.name]
    offset = np.ldexp(random.uniform(-1, 1), int(random.integers(-4, 14)))
    return round_to(np.clip(array.astype(np.float64) + offset, -fmt.largest, fmt.largest), fmt)


def _cancelling(array: Array, random: np.random.Generator) -> Array:
    """Elements that become the negative of another one, or nearly."""
    flat, places = array.reshape(-1), _places(array, random)
    partners = random.integers(0, array.size, len(places))
    few = 1 + FORMATS[array.dtype.name].unit_roundoff * 2 * random.integers(-4, 5, len(places))
    flat[places] = round_to(-flat[partners].astype(np.float64) * few, FORMATS[array.dtype.name])
    return np.where(np.isfinite(array), array, np.zeros_like(array))


def _rows_exchanged(array: Array, random: np.random.Generator) -> Array:
    """One row, along any axis, copied over another."""
    if array.ndim:
        axis = int(random.integers(array.ndim))
        first, second = random.integers(0, array.shape[axis], 2)
        rows = np.moveaxis(array, axis, 0)
        rows[first] = rows[second].copy()
    return array


def _extremes(array: Array, random: np.random.Generator) -> Array:
    """A few elements at an end of the format, or at a power of two."""
    fmt = FORMATS[array.dtype.name]
    ends = [0.0, 1.0, fmt.smallest_normal, fmt.smallest_subnormal, fmt.largest, fmt.largest**0.5]
    ends.append(float(np.ldexp(1.0, int(random.integers(-fmt.precision, fmt.precision)))))
    places = _places(array, random)
    array.reshape(-1)[places] = round_to(np.asarray(random.choice(ends) * random.choice([-1.0, 1.0])), fmt)
    return array


_RESTRICTED: tuple[Change, ...] = (_low_bits_flipped, _rows_exchanged)
_FREE: tuple[Change, ...] = (
    *_RESTRICTED, _bits_flipped, _signs_flipped, _scaled, _offset, _cancelling, _extremes,
)  # fmt: skip
