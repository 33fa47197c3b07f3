"""Wrong readings of what runs a model many times: the mix of guidance, the grid of times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from opfuzz.network.observe.readings.reading import WiringReading, arguments_of, at, given_to, made_by
from opfuzz.network.observe.records import OPERANDS, Array, Observation, ObservedCall, Plant, PlantedCall

CLOSE = 1e-6
Mix = Callable[[Array, Array], Array]


def other_guidance(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """(1 + w) c - w u as u + w (c - u) and the like."""
    if call.family == "sub":
        yield from _of_difference(seen, call)
    elif call.family == "add":
        yield from _of_step(seen, call)


def _of_difference(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """Of p c - q u with p - q = 1."""
    given = arguments_of(call)
    products = [made_by(seen, given.get(name), "mul") for name in ("input", "other")]
    first, second = products
    if first is None or second is None:
        return
    p, q = _factor(seen, first), _factor(seen, second)
    if p is None or q is None or abs(p - q - 1) > CLOSE or q == 0:
        return
    mixes: dict[str, tuple[str, Mix]] = {
        "guidance interpolated": (f"u + {q:g} (c - u)", lambda c, u: u + np.float32(q) * (c - u)),
        "guidance swapped": (f"{p:g} u - {q:g} c", lambda c, u: np.float32(p) * u - np.float32(q) * c),
        "guidance added": (f"{p:g} c + {q:g} u", lambda c, u: np.float32(p) * c + np.float32(q) * u),
        "guidance by the other factor": (f"u + {p:g} (c - u)", lambda c, u: u + np.float32(p) * (c - u)),
        "no guidance": ("c", lambda c, u: c),
    }
    for name, (formula, mix) in mixes.items():
        note = f"{formula} for {p:g} c - {q:g} u"
        yield WiringReading(name, note, call, _of_held(first, second, call, mix))


def _of_step(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """Of u + w (c - u)."""
    given = arguments_of(call)
    for start, step in (("input", "other"), ("other", "input")):
        product = made_by(seen, given.get(step), "mul")
        w = None if product is None else _factor(seen, product)
        if product is None or w is None or w == 0:
            continue
        way = next((s for o in product.operands if (s := made_by(seen, o, "sub")) is not None), None)
        if way is None or len(way.operands) != 2 or way.operands[1] != given.get(start):
            continue
        mixes: dict[str, tuple[str, Mix]] = {
            "guidance beyond": (f"{1 + w:g} c - {w:g} u", partial(_beyond, w=w)),
            "guidance swapped": (f"c + {w:g} (u - c)", partial(_swapped, w=w)),
            "no guidance": ("c", lambda c, u: c),
        }
        for name, (formula, mix) in mixes.items():
            yield WiringReading(name, f"{formula} for u + {w:g} (c - u)", call, _of_way(way, call, mix))


def _beyond(c: Array, u: Array, w: float) -> Array:
    return np.asarray(np.float32(1 + w) * c - np.float32(w) * u)


def _swapped(c: Array, u: Array, w: float) -> Array:
    return np.asarray(c + np.float32(w) * (u - c))


def _of_held(first: ObservedCall, second: ObservedCall, call: ObservedCall, mix: Mix) -> dict[int, Plant]:
    """The mix in place of the difference of two products, whose factors are kept as they pass."""
    held: dict[int, Array] = {}

    def keeping(index: int) -> Plant:
        def plant(planted: PlantedCall) -> Any:
            own = given_to(planted)
            held[index] = np.asarray(own["input"] if np.ndim(own["input"]) else own["other"])
            return planted.unchanged()

        return plant

    def mixed(planted: PlantedCall) -> Array:
        return mix(held[first.index], held[second.index]).reshape(planted.observed.output.shape)

    return {first.index: keeping(first.index), second.index: keeping(second.index), call.index: mixed}


def _of_way(way: ObservedCall, call: ObservedCall, mix: Mix) -> dict[int, Plant]:
    held: dict[str, Array] = {}

    def keeping(planted: PlantedCall) -> Any:
        own = given_to(planted)
        held["c"], held["u"] = np.asarray(own["input"]), np.asarray(own["other"])
        return planted.unchanged()

    return {way.index: keeping, call.index: lambda planted: mix(held["c"], held["u"])}


def _factor(seen: Observation, product: ObservedCall) -> float | None:
    """The number that a product multiplies by."""
    given = arguments_of(product)
    for value in (given.get("input"), given.get("other")):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        known = seen.value(value) if isinstance(value, OPERANDS) else None
        if known is not None and known.ndim == 0:
            return float(known)
    return None


def other_grids(seen: Observation, call: ObservedCall) -> Iterator[WiringReading]:
    """A grid of times that is bent otherwise: 1 - cos(t pi / 2), sin(t pi / 2), t."""
    if call.output.ndim != 1 or call.output.size < 3 or call.output.dtype.kind != "f":
        return
    if call.family == "rsub":  # 1 - cos
        cosine = made_by(seen, arguments_of(call).get("input"), "cos")
        if arguments_of(call).get("other") == 1 and cosine is not None:
            yield from _unbent(call, cosine)
    if call.family == "linspace" and not any(u.family in ("mul", "div", "cos") for u in seen.users.get(call.index, ())):
        ends = call.output[0], call.output[-1]
        if ends == (0, 1):
            yield at(call, "time grid bent", "1 - cos(t pi / 2) for t", lambda p: 1 - np.cos(_grid(p) * np.pi / 2))
    if call.family == "linspace":
        count = call.output.size
        low, high = float(call.output[0]), float(call.output[-1])
        yield at(call, "time grid without its end", "the grid stops one step before its end",
                 lambda p: low + (high - low) * np.arange(count) / count)  # fmt: skip


def _grid(planted: PlantedCall) -> Array:
    return np.asarray(planted.unchanged(), np.float64)


def _unbent(call: ObservedCall, cosine: ObservedCall) -> Iterator[WiringReading]:
    held: dict[str, Array] = {}

    def keeping(planted: PlantedCall) -> Any:
        held["t"] = np.asarray(planted.function.args[0], np.float64) * (2 / math.pi)
        return planted.unchanged()

    def bent(bend: Callable[[Array], Array]) -> Plant:
        return lambda planted: bend(held["t"])

    bends: dict[str, tuple[str, Callable[[Array], Array]]] = {
        "time grid linear": ("t for 1 - cos(t pi / 2)", lambda t: t),
        "time grid by sine": ("sin(t pi / 2) for 1 - cos(t pi / 2)", lambda t: np.sin(t * math.pi / 2)),
        "time grid of a half period": ("(1 - cos(t pi)) / 2", lambda t: (1 - np.cos(t * math.pi)) / 2),
    }
    for name, (note, bend) in bends.items():
        yield WiringReading(name, note, call, {cosine.index: keeping, call.index: bent(bend)})
