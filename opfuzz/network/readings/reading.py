"""One reading of some calls of a module, and how readings of single calls become readings of all that are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.network.observe.families import SIGNATURES
from opfuzz.network.observe.records import (
    OPERANDS,
    CallResult,
    FunctionCall,
    InputOperand,
    ModuleRun,
    Observation,
    ObservedCall,
    Operand,
    Plant,
    WeightOperand,
)

Array = NDArray[Any]

# How much a reading takes for granted: nothing; that another array was taken, whichever fits; a number that was solved
# for; a rounding, which leaves a residual.
PLAIN, INSTEAD, FITTED, ROUNDED = 0, 1, 2, 3
SAME = ("to", "contiguous", "clone", "type_as", "float", "dropout", "identity", "detach", "view_as", "expand_as")
MOST_ALONE = 6  # calls of one kind that are read otherwise one by one, too


@dataclass(frozen=True, slots=True)
class Reading:
    """What another program might do: in words, and as results in the place of those of some calls."""

    words: str
    plants: Mapping[int, Plant] = field(repr=False)
    rank: int = PLAIN
    path: str = ""  # of the module whose calls these are, from the observed one on
    skipped: frozenset[str] = frozenset()  # modules that give what they get
    weights: Mapping[str, Array] = field(default_factory=dict, repr=False)  # in place of the module's own

    @property
    def place(self) -> tuple[Any, ...]:
        """What it changes; two readings of one place exclude each other."""
        return tuple(sorted(self.plants)), self.skipped, tuple(sorted(self.weights))


@dataclass(frozen=True, slots=True)
class SeenModule:
    """What was observed of a module, and the calls that may be read otherwise: not those of modules that are right."""

    whole: Observation
    calls: tuple[ObservedCall, ...]
    given: Mapping[InputOperand | WeightOperand, Array] = field(default_factory=dict)
    cleared: tuple[str, ...] = ()  # modules inside that are right
    arguments: Mapping[str, str] = field(default_factory=dict)  # names of those that were given by their place
    is_whole: bool = False  # a model of many layers: what is alike in them is said in the same words

    def value(self, operand: Any) -> Array | None:
        """What an operand was; None for a number, and where it is not known."""
        if not isinstance(operand, OPERANDS):
            return None
        if isinstance(operand, InputOperand | WeightOperand):
            return self.given.get(operand)
        return self.whole.value(operand)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The places of the inputs that are one array."""
        return tuple(operand.place for operand in self.given if isinstance(operand, InputOperand))

    def weights_of(self, path: str) -> dict[str, Array]:
        """The weights of an inner module, by their names in it."""
        named = {o.name: x for o, x in self.given.items() if isinstance(o, WeightOperand)}
        return {name.removeprefix(f"{path}."): x for name, x in named.items() if name.startswith(f"{path}.")}

    def of(self, *families: str) -> Iterator[ObservedCall]:
        """The calls of these functions."""
        return (call for call in self.calls if call.family in families)

    def given_by_modules(self) -> Iterator[tuple[str, ObservedCall]]:
        """The inner modules that are right, with the call that gives what each run of them gives, where one does."""
        for run in self.right_runs():
            last = self.whole.calls[run.end - 1] if run.end > run.first else None
            if last is not None and [x.shape for x in last.outputs] == [*run.gives]:
                yield run.path, last

    def right_runs(self) -> Iterator[ModuleRun]:
        """The runs of inner modules that are right, but not of those inside them."""
        for run in self.whole.modules:
            parts = run.path.split(".")
            above = {".".join(parts[:i]) for i in range(1, len(parts))}
            if run.path in self.cleared and above.isdisjoint(self.cleared):
                yield run

    def name(self, operand: Operand | float) -> str:
        """An operand in words: an input, a weight, what an inner module or a function gives."""
        match operand:
            case InputOperand(place):
                return f"the input '{self.arguments.get(place, place)}'"
            case WeightOperand(name):
                return f"'{name.rpartition('.')[2] if self.is_whole else name}'"
            case CallResult(index):
                made = self.whole.calls[index]
                if made.family in SAME and len(made.operands) == 1:
                    return self.name(made.operands[0])
                inner = next((run for run in self.whole.modules if run.path and run.end == index + 1), None)
                if inner is None:
                    return f"what {made.family} gives"
                return f"what {inner.kind if self.is_whole else inner.path} gives"
            case bool() | int() | float():
                return f"{operand:.6g}"
        return "a constant"

    def name_in(self, call: ObservedCall, place: int) -> str:
        """An operand of a call in words; that of a model of many layers by its place, as layers have unlike names."""
        operand = call.args[place]
        is_known = not self.is_whole or not isinstance(operand, OPERANDS) or isinstance(operand, WeightOperand)
        return self.name(operand) if is_known else f"operand {place + 1}"


Generator = Callable[[SeenModule], Iterable[Reading]]


def one(call: ObservedCall, words: str, plant: Plant, rank: int = PLAIN) -> Reading:
    """A reading of one call."""
    return Reading(words, {call.index: plant}, rank, call.path)


def gathered(found: Iterable[Reading]) -> Iterator[Reading]:
    """Readings of the same words as one of all their calls; where they are few, one by one and all but one, too."""
    groups: dict[tuple[str, int], list[Reading]] = {}
    for reading in found:
        groups.setdefault((reading.words, reading.rank), []).append(reading)
    for (words, _), group in groups.items():
        yield _joined(words, group)
        if not 1 < len(group) <= MOST_ALONE:
            continue
        for number, reading in enumerate(group, 1):
            yield replace(reading, words=f"{words}, in call {number} of {len(group)}")
        for number in range(1, len(group) + 1) if len(group) > 2 else ():
            rest = group[: number - 1] + group[number:]
            yield _joined(f"{words}, in all calls but number {number} of {len(group)}", rest)


def _joined(words: str, group: Sequence[Reading]) -> Reading:
    paths = {reading.path for reading in group}
    together = {index: plant for reading in group for index, plant in reading.plants.items()}
    return replace(group[0], words=words, plants=together, path=paths.pop() if len(paths) == 1 else "")


def argument(call: ObservedCall | FunctionCall, name: str, default: Any = None) -> Any:
    """An argument of a call by its name."""
    place = list(SIGNATURES.get(call.family, ())).index(name) if name in SIGNATURES.get(call.family, ()) else None
    if name in call.kwargs:
        return call.kwargs[name]
    if place is not None and place < len(call.args):
        return call.args[place]
    return default


def with_argument(function: FunctionCall, name: str, value: Any) -> FunctionCall:
    """The call with another value for an argument, which stays where it is."""
    names = list(SIGNATURES.get(function.family, ()))
    place = names.index(name) if name in names else len(function.args)
    if name not in function.kwargs and place < len(function.args):
        return with_place(function, place, value)
    return FunctionCall(function.family, function.args, {**function.kwargs, name: value})


def with_place(function: FunctionCall, place: int, value: Any) -> FunctionCall:
    """The call with another value for one of the arguments that are given by their place."""
    return FunctionCall(function.family, (*function.args[:place], value, *function.args[place + 1 :]), function.kwargs)


def is_float(value: Any) -> bool:
    """Whether this is an array of real numbers."""
    return isinstance(value, np.ndarray) and (value.dtype.kind == "f" or value.dtype.name == "bfloat16")


def float_outputs(calls: Sequence[ObservedCall]) -> Iterator[ObservedCall]:
    """The calls that give one array of real numbers."""
    return (call for call in calls if len(call.outputs) == 1 and is_float(call.output))
