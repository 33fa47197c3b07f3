"""One op as a frozen record: what a spec file says, parsed and checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from opfuzz.core.case import Value
from opfuzz.core.errors import OpfuzzError
from opfuzz.spec.expression.program import ExpressionError, Gradient, Program, evaluate

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that specs may use besides their own.

    `dialects` has the published functions of each dialect by dotted name; None stands for a framework that is not
    installed, whose calls are checked for syntax only.
    """

    regimes: Collection[str]
    reference_functions: Mapping[str, Callable[..., object]]
    dialects: Mapping[str, Mapping[str, Callable[..., object]] | None]


@dataclass(frozen=True, slots=True)
class Dim:
    """A size: between `low` and `high`, both included, and one of `choices` where there are any."""

    name: str
    low: int
    high: int | None
    choices: tuple[int, ...] | None

    def allows(self, size: int) -> bool:
        """Whether the op is defined for this size."""
        if self.choices is not None:
            return size in self.choices
        return self.low <= size and (self.high is None or size <= self.high)


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter: one of `values`, or an integer from `low` to `high`. The first value is the default."""

    name: str
    values: tuple[Value, ...] | None
    low: int | None = None
    high: int | None = None

    @property
    def default(self) -> Value:
        """The value that a shrunk case has."""
        return self.low if self.values is None else self.values[0]

    def allows(self, value: Value) -> bool:
        """Whether the spec lists this value. A variant may have another."""
        if self.values is not None:
            return any(type(known) is type(value) and known == value for known in self.values)
        return type(value) is int and (self.low or 0) <= value <= (self.high or 0)

    def is_like(self, value: Value) -> bool:
        """Whether the value is of the kind that the listed ones are."""
        return all(is_like(known, value) for known in (self.values or (0,)))


def is_like(a: Value, b: Value) -> bool:
    """Whether two values are of one kind: numbers, truth values or text. None is like all."""
    return a is None or b is None or _kind(a) == _kind(b)


def _kind(value: Value) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


# Regimes that make no negative number: an input that names no others, such as a variance, is not meant to be one.
NEVER_NEGATIVE = frozenset({"zeros", "ones", "unit", "positive", "powers_of_two", "one_hot"})


@dataclass(frozen=True, slots=True)
class Input:
    """One array. `regimes` of None leaves the choice to the generator; an index is an integer in [0, `below`)."""

    name: str
    shape: tuple[Program, ...]
    regimes: tuple[str, ...] | None
    kind: str  # float, index, mask (booleans), additive_mask (0 or -inf)
    below: Program | None
    dtype: str | None = None  # the format that it always has; None: the one under test

    def format_in(self, format: str) -> str:
        """The format in which its floats are stored while another one, or the same, is tested."""
        return self.dtype or format

    @property
    def is_never_negative(self) -> bool:
        """Whether it has regimes of its own none of which makes a negative number."""
        return self.kind == "float" and self.regimes is not None and NEVER_NEGATIVE.issuperset(self.regimes)


@dataclass(frozen=True, slots=True)
class Output:
    """One array that the op returns. The name is '' where it returns this one alone, and no tuple."""

    name: str
    shape: tuple[Program, ...]


@dataclass(frozen=True, slots=True)
class OpVariant:
    """Another meaning of the op: another reference, other params, or both."""

    name: str
    reference: Program | None
    params: Mapping[str, Value]
    note: str


@dataclass(frozen=True, slots=True)
class OpSpec:
    """One op. `digest` is 16 hex digits of its meaning: comments, summary, notes and path leave it as it is."""

    op: str
    summary: str
    path: str
    formats: tuple[str, ...]
    dims: tuple[Dim, ...]
    batch: tuple[str, ...]
    params: tuple[Param, ...]
    require: tuple[Program, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]  # in the order in which calls and formulas give them
    calls: Mapping[str, Mapping[str, Program]]  # dialect -> implementation -> program; a lone call is implementation ''
    reference: Program
    natural: Program | None
    variants: Mapping[str, OpVariant]
    digest: str
    also: Program | None = None  # another formula as it is usually computed

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def single_input(self) -> bool:
        """Whether it takes one float array of the tested format and nothing else, and returns arrays of its shape."""
        if len(self.inputs) != 1 or self.inputs[0].kind != "float" or self.inputs[0].dtype is not None:
            return False
        own = [axis.meaning for axis in self.inputs[0].shape]
        return all([axis.meaning for axis in output.shape] == own for output in self.outputs)

    @property
    def gradient(self) -> Gradient | None:
        """What it is the gradient of another op by; None: it is none."""
        return self.reference.gradient

    @property
    def output_axes(self) -> tuple[Program, ...]:
        """The sizes of all outputs, one after another."""
        return tuple(axis for output in self.outputs for axis in output.shape)

    def place_of(self, output: str) -> int:
        """Where the output of this name stands in the order. Raises KeyError where there is none."""
        for place, own in enumerate(self.outputs):
            if own.name == output:
                return place
        raise KeyError(output)

    def shapes(self, dims: Mapping[str, int], params: Mapping[str, Value]) -> dict[str, Shape]:
        """Shape of each input. Raises OpfuzzError for a size that is no integer, or ZeroDivisionError."""
        return {**_shapes_of(self, *_settings(dims, params))[0]}

    def output_shapes(self, dims: Mapping[str, int], params: Mapping[str, Value]) -> dict[str, Shape]:
        """Shape of each output, in their order; raises as `shapes` does."""
        return {**_shapes_of(self, *_settings(dims, params))[1]}

    def output_elements(self, dims: Mapping[str, int], params: Mapping[str, Value]) -> int:
        """Of all outputs together; raises as `shapes` does."""
        return sum(map(prod, self.output_shapes(dims, params).values()))

    def elements(self, dims: Mapping[str, int], params: Mapping[str, Value]) -> int:
        """Of all inputs and outputs together; raises as `shapes` does."""
        return sum(map(prod, self.shapes(dims, params).values())) + self.output_elements(dims, params)

    def allows(self, dims: Mapping[str, int], params: Mapping[str, Value]) -> bool:
        """Whether the op is defined here: every dim in its range, every `require` true, no size negative.

        Params are not held to their lists, since variants have other values. Where a formula is undefined (division by
        zero, a number beyond the limits), so is the op.
        """
        return _is_allowed(self, *_settings(dims, params))


# A case asks some twenty times for its shapes, and if it is allowed. The key is all that is given: names and values in
# their order, and the types of these, since 1, True and 1.0 are equal.

Settings = tuple[tuple[str, Any], ...]


def _settings(dims: Mapping[str, int], params: Mapping[str, Value]) -> tuple[Settings, Settings, tuple[type, ...]]:
    return tuple(dims.items()), tuple(params.items()), tuple(map(type, params.values()))


@lru_cache(maxsize=256)
def _shapes_of(
    spec: OpSpec, dims: Settings, params: Settings, types: tuple[type, ...]
) -> tuple[Mapping[str, Shape], Mapping[str, Shape]]:
    """The shapes of the inputs, and of the outputs."""
    names: dict[str, object] = {**dict(dims), **dict(params)}
    return (
        {given.name: _shape(spec, given.shape, names) for given in spec.inputs},
        {output.name: _shape(spec, output.shape, names) for output in spec.outputs},
    )


def _shape(spec: OpSpec, axes: tuple[Program, ...], names: Mapping[str, object]) -> Shape:
    sizes = []
    for axis in axes:
        size = names[axis.text] if axis.text in names else evaluate(axis, names, {})  # most are a dim and nothing else
        if type(size) is not int:
            raise OpfuzzError(f"{spec.path}: size '{axis.text}' of op '{spec.op}' is {size!r}, not an integer")
        sizes.append(size)
    return tuple(sizes)


@lru_cache(maxsize=256)
def _is_allowed(spec: OpSpec, dims: Settings, params: Settings, types: tuple[type, ...]) -> bool:
    sizes = dict(dims)
    names: dict[str, object] = {**sizes, **dict(params)}
    if not all(dim.allows(sizes[dim.name]) for dim in spec.dims):
        return False
    try:
        if not all(evaluate(condition, names, {}) for condition in spec.require):
            return False
        inputs, outputs = _shapes_of(spec, dims, params, types)
    except (ZeroDivisionError, ExpressionError):
        return False
    return all(size >= 0 for shape in (*inputs.values(), *outputs.values()) for size in shape)
