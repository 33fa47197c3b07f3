"""A wrong reading of one place of a model: what other results it gives for which calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opfuzz.network.observe.families import named_arguments
from opfuzz.network.observe.records import Observation, ObservedCall, Operand, Plant, PlantedCall


@dataclass(frozen=True, slots=True)
class WiringReading:
    """One wrong reading at one place. The name is that of its kind, the same at every place."""

    name: str
    note: str
    call: ObservedCall = field(repr=False)  # where it is
    plants: Mapping[int, Plant] = field(repr=False)  # by the index of the call


Kind = Callable[[Observation, ObservedCall], Iterable[WiringReading]]


def at(call: ObservedCall, name: str, note: str, plant: Plant) -> WiringReading:
    """The reading of one call."""
    return WiringReading(name, note, call, {call.index: plant})


def arguments_of(call: ObservedCall) -> dict[str, Any]:
    """The arguments by name, an Operand in the place of each tensor; nothing where they are not those of the family."""
    return named_arguments(call.family, call.args, call.kwargs) or {}


def given_to(call: PlantedCall) -> dict[str, Any]:
    """The arguments of now by name, as NumPy arrays."""
    return named_arguments(call.function.family, call.function.args, call.function.kwargs) or {}


def made_by(observation: Observation, operand: Operand | Any, *families: str) -> ObservedCall | None:
    """The call that gave an operand, if it is of one of these families; what only passes it on is looked through."""
    found = observation.source(operand)
    while found is not None and found.family in PASSING and found.family not in families:
        operands = found.operands
        found = observation.source(operands[0]) if operands else None
    return found if found is not None and found.family in families else None


PASSING = (
    "to",
    "contiguous",
    "clone",
    "float",
    "detach",
    "type_as",
    "dropout",
    "view",
    "reshape",
    "unsqueeze",
    "squeeze",
)
