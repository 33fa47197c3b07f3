"""Results that are rounded to a half format on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from opfuzz.core.floats import HALVES
from opfuzz.network.observe.records import MOVE, Plant, PlantedCall
from opfuzz.network.readings.reading import ROUNDED, Reading, SeenModule, float_outputs, is_float, with_place


def rounded(seen: SeenModule) -> Iterator[Reading]:
    """The result of one call, what it is given as well, or all results."""
    calls = [call for call in float_outputs(seen.calls) if call.kind != MOVE and call.output.dtype == np.float32]
    for name, kind in ((fmt.name, fmt.dtype) for fmt in HALVES):
        for call in calls:
            yield Reading(f"what {call.family} gives is {name}", {call.index: _result(kind)}, ROUNDED, call.path)
            yield Reading(f"{call.family} is given {name}", {call.index: _given(kind)}, ROUNDED, call.path)
            yield Reading(f"{call.family} is computed in {name}", {call.index: _both(kind)}, ROUNDED, call.path)
            for place, operand in enumerate(call.args) if len(call.operands) > 1 else ():
                if is_float(seen.value(operand)):
                    words = f"{call.family} is given {seen.name(operand)} in {name}"
                    yield Reading(words, {call.index: _operand(place, kind)}, ROUNDED, call.path)
        if len(calls) > 1:
            yield Reading(f"all that it computes is {name}", {c.index: _result(kind) for c in calls}, ROUNDED)


def _round(x: Any, kind: Any) -> Any:
    if not is_float(x):
        return x
    with np.errstate(over="ignore"):
        return x.astype(kind).astype(np.float32)


def _result(kind: Any) -> Plant:
    return lambda call: _round(np.asarray(call.unchanged()), kind)


def _given(kind: Any) -> Plant:
    def plant(call: PlantedCall) -> Any:
        args = (_round(x, kind) for x in call.function.args)
        return call.again(*args, **{name: _round(x, kind) for name, x in call.function.kwargs.items()})

    return plant


def _operand(place: int, kind: Any) -> Plant:
    return lambda call: call.perform(with_place(call.function, place, _round(call.function.args[place], kind)))


def _both(kind: Any) -> Plant:
    return lambda call: _round(np.asarray(_given(kind)(call)), kind)
