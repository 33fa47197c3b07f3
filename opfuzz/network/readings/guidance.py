"""A mix of two predictions with a weight, as guidance without a classifier has it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from opfuzz.network.observe.records import CallResult, ObservedCall, Plant
from opfuzz.network.readings.reading import Reading, SeenModule

CLOSE = 1e-6


def mixed(seen: SeenModule) -> Iterator[Reading]:
    """(1 + w) c - w u as u + w (c - u), with the two exchanged, and c alone."""
    for call in seen.of("sub", "add"):
        first, second = (_scaled(seen, x) for x in call.args[:2]) if len(call.args) == 2 else (None, None)
        if first is None or second is None:
            continue
        w = second[0] if call.family == "sub" else -second[0]
        if abs(first[0] - w - 1) > CLOSE:
            continue
        shown = f"w = {w:.6g}"
        for words, (one, other) in {
            f"u + w (c - u) for (1 + w) c - w u, {shown}": (w, 1 - w),
            f"the two predictions are exchanged in (1 + w) c - w u, {shown}": (-w, 1 + w),
            f"c alone for (1 + w) c - w u, {shown}": (1.0, 0.0),
            f"(1 + w) c + w u for (1 + w) c - w u, {shown}": (1 + w, w),
            f"c + u for (1 + w) c - w u, {shown}": (1.0, 1.0),
        }.items():
            yield Reading(
                f"guidance: {words}",
                {call.index: _mixing(one / first[0], other / second[0])},
                path=call.path,
            )


def _mixing(first: float, second: float) -> Plant:
    return lambda call: np.asarray(call.function.args[0] * first + call.function.args[1] * second)


def _scaled(seen: SeenModule, operand: object) -> tuple[float, ObservedCall] | None:
    if not isinstance(operand, CallResult):
        return None
    made = seen.whole.calls[operand.call]
    number = next((x for x in made.args if isinstance(x, int | float) and not isinstance(x, bool)), None)
    return (float(number), made) if made.family == "mul" and number else None
