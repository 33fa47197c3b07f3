"""What was seen of one run of a model: every function that it called on tensors, in order, as frozen records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.network.pipeline.dispatch import OpCall, with_lead
from opfuzz.spec import OpSpec, Value

Array = NDArray[Any]

# What a call is to us. Only what computes counts towards coverage: what moves elements, makes constants or is rounded
# once, as IEEE 754 says, gives the same bits wherever it runs.
OP = "op"  # an op with a spec
EXACT = "exact"  # rounded once: + - * / sqrt, or not at all: integers, comparisons, maxima
MOVE = "move"  # of elements, or a constant
OTHER = "other"  # computes, and has no spec


@dataclass(frozen=True, slots=True)
class CallResult:
    """An operand that an earlier call gave: all of it, or one part of a tuple."""

    call: int
    part: int | None = None


@dataclass(frozen=True, slots=True)
class WeightOperand:
    """An operand that is a parameter or a buffer of the model."""

    name: str


@dataclass(frozen=True, slots=True)
class InputOperand:
    """An operand that is an input of the run."""

    place: str


@dataclass(frozen=True, slots=True, eq=False)
class ConstantOperand:
    """An operand that was there before the run, or was made where no call was seen."""

    value: Array = field(repr=False)


Operand = CallResult | WeightOperand | InputOperand | ConstantOperand
OPERANDS = (CallResult, WeightOperand, InputOperand, ConstantOperand)


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function with its arguments: NumPy arrays in the place of tensors, all else as it was given."""

    family: str  # one name for all that compute the same: `softmax` of torch, of its tensors and of nn.functional
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def with_args(self, *args: Any, **kwargs: Any) -> FunctionCall:
        """The same function of other arguments; keywords that are not given stay."""
        return FunctionCall(self.family, args, {**self.kwargs, **kwargs})


@dataclass(frozen=True, slots=True)
class Bound:
    """A call as an op of a spec, and what is left to do with its result, `finish`.

    `finish` moves elements, and adds what the spec leaves out, such as the bias of a convolution.
    """

    spec: OpSpec = field(repr=False)
    call: OpCall = field(repr=False)  # with its arrays in the shapes of the spec
    lead: tuple[int, ...] | None = field(repr=False)  # the axes that the batch of the spec stands for
    finish: Callable[[Array], Array] = field(repr=False)

    @property
    def op(self) -> str:
        """Name of the spec."""
        return self.spec.op

    def finished(self, output: Array) -> Array:
        """What the function gives, where the op gives `output` in the shape of the spec."""
        return self.finish(with_lead(self.spec, output, self.lead))


@dataclass(frozen=True, slots=True)
class ObservedCall:
    """One call of a function on tensors."""

    index: int  # in order of execution, from 0
    path: str  # of the module whose `forward` made the call; '' is the whole model, or what runs it
    module: str  # class of that module
    owner: str  # nearest class around it that is not of torch itself, and the path inside: `Block.ff.*`
    family: str
    kind: str  # OP, EXACT, MOVE or OTHER
    args: tuple[Any, ...] = field(repr=False)  # with an Operand in the place of each tensor
    kwargs: Mapping[str, Any] = field(repr=False)
    op: str  # name of the spec; '' without
    params: Mapping[str, Value]
    dims: Mapping[str, int]
    arrays: Mapping[str, Array] = field(repr=False)  # inputs of the op, in the shapes of the spec
    outputs: tuple[Array, ...] = field(repr=False)  # one, or the parts of a tuple
    format: str  # of the first output: float32

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Every operand that is a tensor, in the order of the arguments."""
        return tuple(_operands((self.args, dict(self.kwargs))))

    @property
    def output(self) -> Array:
        """What the call gave, the first part of it."""
        return self.outputs[0]

    @property
    def role(self) -> str:
        """Path without numbers: `layers.*.self_attn`."""
        return role_of(self.path)


@dataclass(frozen=True)
class Observation:
    """One run: its calls, what it gave, and the modules that ran."""

    calls: tuple[ObservedCall, ...]
    outputs: tuple[Array, ...]  # the tensors of what the run returned
    modules: tuple[ModuleRun, ...]  # every call of a module, in the order in which they ended
    given: Mapping[InputOperand | WeightOperand, Array]  # what inputs, parameters and buffers were

    @cached_property
    def users(self) -> Mapping[int, tuple[ObservedCall, ...]]:
        """The calls that take what a call gave, by its index."""
        found: dict[int, list[ObservedCall]] = {}
        for call in self.calls:
            for operand in dict.fromkeys(o for o in call.operands if isinstance(o, CallResult)):
                users = found.setdefault(operand.call, [])
                if call not in users[-1:]:
                    users.append(call)
        return {index: tuple(users) for index, users in found.items()}

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """How many ops with a spec come before each call: the number of the call, or of the next op."""
        before = np.cumsum([0, *(call.kind == OP for call in self.calls)])
        return tuple(int(count) for count in before)

    def source(self, operand: Operand) -> ObservedCall | None:
        """The call that gave an operand."""
        return self.calls[operand.call] if isinstance(operand, CallResult) else None

    def value(self, operand: Operand) -> Array | None:
        """What an operand was; None for what is none."""
        if isinstance(operand, CallResult):
            return self.calls[operand.call].outputs[operand.part or 0]
        return operand.value if isinstance(operand, ConstantOperand) else self.given.get(operand)

    @property
    def coverage(self) -> Coverage:
        """How much of what is computed is an op with a spec."""
        computing = [call for call in self.calls if call.kind in (OP, OTHER)]
        without = Counter(
            call.family if call.format == "float32" else f"{call.family} ({call.format})"
            for call in computing
            if call.kind == OTHER
        )
        exact = sum(call.kind == EXACT for call in self.calls)
        return Coverage(len(computing), len(computing) - without.total(), dict(without.most_common()), exact)


@dataclass(frozen=True, slots=True)
class ModuleRun:
    """One call of a module: which calls of functions it made, and the shapes that it took and gave."""

    path: str
    kind: str  # its class
    first: int  # index of the first call inside, and of the first after it
    end: int
    takes: tuple[tuple[int, ...], ...]
    gives: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of all calls that compute more than one rounding: how many are ops with a spec, and what the others are."""

    calls: int
    with_spec: int
    without: Mapping[str, int]  # by function, the most frequent first
    exact: int = 0  # calls beside these, that round once or not at all

    @property
    def share(self) -> float:
        """1 where nothing computes."""
        return self.with_spec / self.calls if self.calls else 1.0


def role_of(path: str) -> str:
    """The path without numbers."""
    return ".".join("*" if part.isdecimal() else part for part in path.split("."))


def _operands(node: Any) -> Iterator[Operand]:
    if isinstance(node, OPERANDS):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _operands(value)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for value in node:
            yield from _operands(value)
    elif isinstance(node, slice):
        yield from _operands((node.start, node.stop, node.step))


@dataclass(frozen=True, slots=True)
class PlantedCall:
    """A call that is about to be made in a replay, for what is planted there."""

    observed: ObservedCall
    function: FunctionCall  # with the operands of now, which other plants may have changed
    perform: Callable[[FunctionCall], Any] = field(repr=False)  # what the model's own function gives for other operands
    bound: Bound | None = field(repr=False)  # as an op
    now: Callable[[Operand], Array] = field(repr=False)  # what an operand of any earlier call is in this replay

    def again(self, *args: Any, **kwargs: Any) -> Any:
        """The function of other arguments; keywords that are not given stay."""
        return self.perform(self.function.with_args(*args, **kwargs))

    def unchanged(self) -> Any:
        """What the function gives."""
        return self.perform(self.function)


Plant = Callable[[PlantedCall], Any]  # an array, or a tuple of them, in the place of what the call gives
Route = Callable[[Bound, ObservedCall], Array]  # who computes the ops of a replay, with the axes of `lead`


@dataclass(frozen=True, slots=True)
class Routing:
    """Who computes the ops of a replay: `route` those that are asked for, the model itself all others."""

    route: Route
    asked: frozenset[int] | None = None  # indices of calls; None: all
    known: Mapping[int, Array] = field(default_factory=dict)  # what calls give that need not be made
    kept: dict[int, Array] | None = None  # where to keep what ops give


class PathLostError(Exception):
    """A replay took another way through the model than was observed, so that nothing could be planted there."""
