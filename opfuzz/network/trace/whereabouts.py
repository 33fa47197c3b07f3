"""Between which of the modules inside it a guilty module goes wrong, where each of those is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from opfuzz.network.trace.feeds import feed
from opfuzz.network.trace.layouts import assign_inputs
from opfuzz.network.trace.local_error import furthest
from opfuzz.network.trace.modules import ModulePair
from opfuzz.network.trace.names import is_inside
from opfuzz.network.trace.recording import ModuleCall

# What comes in is wrong if it is off by so many of the allowances of the module that it comes into, and the same if it
# is so much less off than what was put out.
WRONG, LEAST = 10.0, 1e-6


def is_made_up_for(pair: ModulePair, outer: ModulePair, others: Sequence[ModulePair]) -> bool:
    """Whether what takes the output of this module in a gets the same in b, when the outer one runs on a's inputs.

    Then b does elsewhere what this module does in a, as a scale may be inside an embedding or behind it.
    """
    made = pair.ours[pair.worst].outputs
    takers = [
        (call, other)
        for other in others
        if not is_inside(other.a.name, pair.a.name)
        for call in other.ours[:1]
        if any(np.array_equal(x, y) for x in call.inputs for y in made)
    ]
    if not takers:
        return False
    given = feed(outer.ours[outer.worst], outer.theirs[outer.worst], outer.sides.habits)
    try:
        recorded = outer.sides.b.record_inside(outer.b.name, given.arguments, given.tensors)
    except Exception:  # the user's module
        return False
    for start, other in takers:
        call = next((call for call in recorded if call.name == other.b.name), None)
        sources = assign_inputs(start, call, outer.sides.habits) if call else ()
        if call and sources and all(sources):
            return WRONG * furthest(start.inputs, call.inputs, sources) <= pair.compared[pair.worst].local
    return False


def find_first_wrong(outer: ModulePair, inside: Sequence[ModulePair]) -> str:
    """In words, the first module inside that gets something else when the outer one runs on a's inputs; or none does.

    Empty where the modules inside run in another order or number, so that their calls cannot be told apart, and where
    nothing tells in which order of axes b wants a's inputs: in another, all that is inside gets something else.
    """
    ours, theirs = outer.ours[outer.worst], outer.theirs[outer.worst]
    habits = outer.sides.habits
    given = feed(ours, theirs, habits)
    if not all(
        s is None or habits.is_sure(s, ours.inputs, y) for s, y in zip(given.sources, theirs.inputs, strict=False)
    ):
        return ""
    try:
        recorded = outer.sides.b.record_inside(outer.b.name, given.arguments, given.tensors)
    except Exception:  # the user's module
        return ""

    def shown(pair: ModulePair) -> str:
        return pair.a.name[len(outer.a.name) :].lstrip(".")

    last: ModulePair | None = None
    for start, pair in sorted(((_first(pair, ours), pair) for pair in inside), key=lambda entry: entry[0].order):
        other = next((call for call in recorded if call.name == pair.b.name), None)
        if other is None:
            return ""
        sources = assign_inputs(start, other, outer.sides.habits)
        if all(sources) and furthest(start.inputs, other.inputs, sources) > WRONG * max(pair.allowance, LEAST):
            return f"between {shown(last)} and {shown(pair)}" if last else f"before {shown(pair)}"
        if last is None or not is_inside(pair.a.name, last.a.name):
            last = pair
    return f"after {shown(last)}" if last else ""


def _first(pair: ModulePair, outer: ModuleCall) -> ModuleCall:
    """The first call inside a call."""
    return next(call for call in pair.ours if call.order > outer.order)
