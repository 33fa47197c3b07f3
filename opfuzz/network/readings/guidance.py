"""What runs a model many times, read otherwise: the mix of two predictions with a weight, the grid of times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from opfuzz.network.observe.records import CallResult, ObservedCall, Operand, Plant, PlantedCall
from opfuzz.network.readings.reading import Array, Reading, SeenModule, argument, is_float, one

CLOSE = 1e-6
BENDS: Mapping[str, Callable[[Array], Array]] = {
    "t": lambda t: t,
    "sin(t pi / 2)": lambda t: np.sin(t * math.pi / 2),
    "(1 - cos(t pi)) / 2": lambda t: (1 - np.cos(t * math.pi)) / 2,
}


def mixed(seen: SeenModule) -> Iterator[Reading]:
    """(1 + w) c - w u as u + w (c - u), or the other way round, with the two exchanged, and c alone."""
    for call in seen.of("sub", "add"):
        if len(call.args) != 2:
            continue
        first, second = (_scaled(seen, x) for x in call.args)
        sign = 1.0 if call.family == "sub" else -1.0
        if first and second and abs(first[0] - sign * second[0] - 1) <= CLOSE:
            yield from _of_difference(call, sign * second[0], first[1], second[1])
        elif call.family == "add":
            for start, step in ((call.args[0], second), (call.args[1], first)):
                way = seen.whole.source(step[1]) if step else None
                if step and way is not None and way.family == "sub" and way.args[1:2] == (start,):
                    yield from _of_step(call, step[0], way.args[0], start)


def _of_difference(call: ObservedCall, w: float, c: Operand, u: Operand) -> Iterator[Reading]:
    own = f"for (1 + w) c - w u, w = {w:.6g}"
    for words, (one_part, other) in {
        f"u + w (c - u) {own}": (w, 1 - w),
        f"u + (1 + w) (c - u) {own}": (1 + w, -w),
        f"the two predictions are exchanged in (1 + w) c - w u, w = {w:.6g}": (-w, 1 + w),
        f"c alone {own}": (1.0, 0.0),
        f"(1 + w) c + w u {own}": (1 + w, w),
        f"c + u {own}": (1.0, 1.0),
    }.items():
        yield one(call, f"guidance: {words}", _mixing(c, u, one_part, other))


def _of_step(call: ObservedCall, w: float, c: Operand, u: Operand) -> Iterator[Reading]:
    own = f"for u + w (c - u), w = {w:.6g}"
    for words, (one_part, other) in {
        f"(1 + w) c - w u {own}": (1 + w, -w),
        f"the two predictions are exchanged in u + w (c - u), w = {w:.6g}": (1 - w, w),
        f"c alone {own}": (1.0, 0.0),
    }.items():
        yield one(call, f"guidance: {words}", _mixing(c, u, one_part, other))


def _mixing(c: Operand, u: Operand, first: float, second: float) -> Plant:
    return lambda call: np.asarray(call.now(c) * first + call.now(u) * second).reshape(call.observed.output.shape)


def _scaled(seen: SeenModule, operand: object) -> tuple[float, Operand] | None:
    """The number by which a product multiplies, and what."""
    made = seen.whole.source(operand) if isinstance(operand, CallResult) else None
    if made is None or made.family != "mul" or len(made.args) != 2:
        return None
    for number, other in (made.args, made.args[::-1]):
        known = seen.value(number)
        value = float(known) if known is not None and known.ndim == 0 else number
        if isinstance(value, int | float) and not isinstance(value, bool) and value and seen.value(other) is not None:
            return float(value), other
    return None


def grids(seen: SeenModule) -> Iterator[Reading]:
    """A grid of times that is bent otherwise, or not, or that stops before its end."""
    for call in seen.calls:
        if call.output.ndim != 1 or call.output.size < 3 or not is_float(call.output):
            continue
        cosine = seen.whole.source(call.operands[0]) if call.family == "rsub" and call.operands else None
        if cosine is not None and cosine.family == "cos" and argument(call, "other") == 1:
            for words, bend in BENDS.items():
                plant = partial(_bent, bend=bend, operand=cosine.args[0])
                yield one(call, f"the grid of times is {words}, not 1 - cos(t pi / 2)", plant)
        if call.family == "linspace":
            low, high, count = float(call.output[0]), float(call.output[-1]), call.output.size
            is_bent = any(u.family in ("mul", "div", "cos") for u in seen.whole.users.get(call.index, ()))
            if (low, high) == (0, 1) and not is_bent:
                bent = 1 - np.cos(call.output.astype(np.float64) * np.pi / 2)
                yield one(call, "the grid of times is 1 - cos(t pi / 2), not t", partial(_given, grid=bent))
            stopped = low + (high - low) * np.arange(count) / count
            yield one(call, "the grid of times stops one step before its end", partial(_given, grid=stopped))


def _bent(call: PlantedCall, bend: Callable[[Array], Array], operand: Operand) -> Array:
    return bend(np.asarray(call.now(operand), np.float64) * (2 / math.pi))


def _given(call: PlantedCall, grid: Array) -> Array:
    return grid
