"""The dispatcher: a pipeline writes each operation as a call of a spec, and whoever it is given to computes it.

    y = run("linear", role="query", at="blocks.0.attn.to_q", x=x, weight=w["blocks.0.attn.to_q.weight"], bias=zeros)

Arrays between calls are NumPy's, so that each call can go to another subject. Sums and products of two arrays, and
what only moves elements, a pipeline does in NumPy: they are correctly rounded, and so equal everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.core.errors import OpfuzzError, did_you_mean
from opfuzz.spec import Input, OpSpec, Value

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class OpCall:
    """One operation of a pipeline, ready to be computed."""

    number: int  # in order of execution, from 0
    spec: OpSpec = field(repr=False)
    role: str  # what the operation is for, in words: `conv block`; its calls share it
    at: str  # which one it is: the name of the module, `mid_blocks.0.1.0.norm1`
    dims: Mapping[str, int]
    params: Mapping[str, Value]
    arrays: Mapping[str, Array] = field(repr=False)  # in the shapes of the spec
    shape: tuple[int, ...]  # of the output, as the spec has it

    @property
    def op(self) -> str:
        """Name of the spec."""
        return self.spec.op


Compute = Callable[[OpCall], Array]
# Whether calls of an op, of a role, at a place have to be computed by `Compute`. The others a pipeline may compute by
# itself, if it can: a model of torch is what side A computes.
Asks = Callable[[str, str, str], bool]


def asks_always(op: str, role: str, at: str) -> bool:
    """Nothing is left to the pipeline."""
    return True


@dataclass(frozen=True, slots=True)
class Reuse:
    """What of a pass need not be computed by the dispatcher."""

    begin: int = 0  # number of the first call that may give something else than in the pass that was kept
    asks: Asks = asks_always
    keeps: bool = False  # whether later passes may take their results from this one


class Dispatcher:
    """Runs the calls of one pass through a pipeline by `compute`, and keeps what the pipeline records."""

    def __init__(self, specs: Mapping[str, OpSpec], compute: Compute, reuse: Reuse | None = None) -> None:
        self._specs, self._compute = specs, compute
        self.reuse = reuse or Reuse()
        self._count = 0
        self.recorded: dict[str, Array] = {}

    def __call__(self, op: str, *, role: str = "", at: str = "", **given: Any) -> Array:
        """Result of an op: `given` are its inputs as arrays, its params, and the dims that no input has.

        An input whose first axis is a batch of the spec may have more axes before the others, or none; the output
        then has them too. A param that is not given has its default. Raises OpfuzzError for what does not fit the spec.
        """
        place = f"op '{op}'" + (f" at {at}" if at else "")
        if op not in self._specs:
            raise OpfuzzError(f"{place}: no spec of this name{did_you_mean(op, self._specs)}")
        spec = self._specs[op]
        if (names := ", ".join(output.name for output in spec.outputs)) != "":
            raise OpfuzzError(f"{place}: it returns a tuple ({names}); a pipeline takes ops of one `output`")
        call, lead = bind(spec, given, place, self._count, role or op, at or f"call {self._count}")
        self._count += 1
        return self.compute(call, lead)

    def compute(self, call: OpCall, lead: tuple[int, ...] | None) -> Array:
        """Result of a call that is bound already, with the axes that its batch stands for."""
        return with_lead(call.spec, self._compute(call), lead)

    def record(self, name: str, array: Array) -> None:
        """Keep a tensor on the way, such as the state after a step, under a name of its own."""
        if name in self.recorded:
            raise OpfuzzError(f"run.record: there is a tensor '{name}' already; give each a name of its own")
        if np.asarray(array).dtype.kind not in "fiub":
            raise OpfuzzError(f"run.record: '{name}' is a {type(array).__name__}, not an array of numbers")
        self.recorded[name] = np.array(array)  # a copy: what a pipeline does to it afterwards is no part of it


def with_lead(spec: OpSpec, output: Array, lead: tuple[int, ...] | None) -> Array:
    """The output of an op with the axes that stand for the batch of its spec, where it has one."""
    axes = spec.output_axes
    if lead is None or not _batch_of(spec, axes[0].text if axes else ""):
        return output
    return output.reshape(*lead, *output.shape[1:])


def bind(
    spec: OpSpec, given: Mapping[str, Any], place: str, number: int, role: str, at: str
) -> tuple[OpCall, tuple[int, ...] | None]:
    """The call of a spec with these inputs, params and dims, and the axes that its batch stands for.

    `place` is where, in words of an error. Raises OpfuzzError for what does not fit the spec.
    """
    if not given.keys() <= (names := _names_of(spec)):
        name = next(name for name in given if name not in names)
        raise OpfuzzError(f"{place}: it has no input, dim or param '{name}'{did_you_mean(name, names)}")
    arrays: dict[str, Array] = {}
    lead: tuple[int, ...] | None = None
    for item in spec.inputs:
        if item.name not in given:
            raise OpfuzzError(f"{place}: the input '{item.name}' is missing")
        arrays[item.name], own = folded(spec, item, np.asarray(given[item.name]), place)
        if item.kind == "float" and arrays[item.name].dtype != np.float32:
            raise OpfuzzError(f"{place}: '{item.name}' is {arrays[item.name].dtype}; a pipeline computes in float32")
        lead = own if lead is None else lead
        if own is not None and own != lead:
            raise OpfuzzError(f"{place}: its inputs have batches {list(lead or ())} and {list(own)}")
    params = {param.name: _plain(given.get(param.name, param.default)) for param in spec.params}
    said = {d.name: _plain(given[d.name]) for d in spec.dims if d.name in given}
    shapes = tuple([(name, array.shape) for name, array in arrays.items()])
    sizes = _sizes(spec, shapes, tuple(said.items()), tuple(params.items()))
    if sizes is None:
        dims = sizes_of(spec, dict(shapes), said, place)
        raise OpfuzzError(f"{place}: {misfit(spec, arrays, dims, params)}")
    return OpCall(number, spec, role, at, sizes.dims, params, arrays, sizes.output), lead


@lru_cache(maxsize=1024)
def _names_of(spec: OpSpec) -> frozenset[str]:
    """What a call may be given by name."""
    return frozenset({i.name for i in spec.inputs} | {d.name for d in spec.dims} | {p.name for p in spec.params})


def misfit(spec: OpSpec, arrays: Mapping[str, Array], dims: Mapping[str, int], params: Mapping[str, Value]) -> str:
    """That inputs do not fit a spec, in words."""
    numbers = ", ".join(f"{name} = {value}" for name, value in {**dims, **params}.items())
    found = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
    return f"inputs {found} do not fit the spec {spec.path} with {numbers}"


def sizes_of(
    spec: OpSpec, shapes: Mapping[str, tuple[int, ...]], given: Mapping[str, int], place: str
) -> dict[str, int]:
    """Every dim of a call: those that are given, and those that an axis of an input of these shapes is.

    Raises OpfuzzError, with the place in words, where inputs contradict each other, or nothing tells a size.
    """
    sizes, dims = {dim.name for dim in spec.dims}, dict(given)
    for item in spec.inputs:
        for axis, size in zip(item.shape, shapes[item.name], strict=True):
            if axis.text in sizes and dims.setdefault(axis.text, size) != size:
                raise OpfuzzError(f"{place}: {axis.text} is {dims[axis.text]}, but {size} in '{item.name}'")
    for dim in spec.dims:
        if dim.name not in dims:
            raise OpfuzzError(f"{place}: no input tells the size {dim.name}; give it by name")
    return dims


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Every dim of a call, and the shape of its output."""

    dims: Mapping[str, int]
    output: tuple[int, ...]


@lru_cache(maxsize=4096)  # a network makes the same few calls thousands of times
def _sizes(
    spec: OpSpec,
    shapes: tuple[tuple[str, tuple[int, ...]], ...],
    said: tuple[tuple[str, int], ...],
    params: tuple[tuple[str, Value], ...],
) -> _Sizes | None:
    """The sizes that inputs of these shapes have; None if they do not fit the spec."""
    try:
        dims = sizes_of(spec, dict(shapes), dict(said), "")
    except OpfuzzError:
        return None
    if not spec.allows(dims, dict(params)) or spec.shapes(dims, dict(params)) != dict(shapes):
        return None
    return _Sizes(dims, spec.output_shapes(dims, dict(params))[""])


def folded(spec: OpSpec, item: Input, array: Array, place: str) -> tuple[Array, tuple[int, ...] | None]:
    """The array in the number of axes that the spec says, and the axes that its batch axis stands for."""
    rank = len(item.shape)
    if rank == 0 or not _batch_of(spec, item.shape[0].text):
        lead = None
    else:
        inner = rank - 1
        lead = array.shape[: array.ndim - inner] if array.ndim >= inner else None
        if lead is not None:
            array = array.reshape(prod(lead), *array.shape[len(lead) :])
    if array.ndim != rank:
        raise OpfuzzError(f"{place}: '{item.name}' has the shape {list(array.shape)}, the spec says {rank} axes")
    return np.ascontiguousarray(array), lead


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _batch_of(spec: OpSpec, name: str) -> bool:
    return bool(spec.batch) and name == spec.batch[0]
