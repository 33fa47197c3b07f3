"""Numbers of a call, and numbers that it might have: an epsilon, a scale, a base, which are solved for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from opfuzz.network.observe.records import MOVE, OP, ObservedCall, Plant, PlantedCall
from opfuzz.network.readings.attention import FUSED, read_parts
from opfuzz.network.readings.reading import (
    Array,
    Reading,
    SeenModule,
    argument,
    float_outputs,
    one,
    with_argument,
    with_place,
)
from opfuzz.network.readings.rotation import base_of, rotations, with_base, with_positions_times

ARITHMETIC = ("add", "sub", "rsub", "mul", "div", "rdiv", "pow", "clamp", "clamp_min", "clamp_max", "leaky_relu", "elu")
NAMED = ("eps", "negative_slope", "threshold")
NORMS = ("layer_norm", "group_norm", "rms_norm", "batch_norm")

# What is usual: the epsilons of norms, the slopes of leaky ReLU, the bases of RoPE.
EPSILONS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-12, 0.0)
SLOPES = (0.01, 0.1, 0.2, 0.3)
BASES = (1e4, 1e5, 5e5, 1e6)
SMALL = 1e-2  # below, a number that is added is an epsilon
NEAR = 1e-3

Change = Callable[[float], Plant]


@dataclass(frozen=True, slots=True)
class FreeNumber:
    """A number in some calls of a module, which other results come of."""

    words: str  # what it is: `eps of layer_norm`
    value: float  # that the module has
    plants: Callable[[float], dict[int, Plant]]
    path: str = ""
    is_made_up: bool = False  # the module has no such number: `words` say what is done with it

    def reading(self, value: float, origin: str = "") -> Reading:
        """The calls with another value, which has its `origin` in a setting."""
        words = f"{self.words} {value:.6g}{origin}" if self.is_made_up else ""
        words = words or f"{self.words} is {value:.6g}{origin}, not {self.value:.6g}"
        return Reading(words, self.plants(value), path=self.path)


def scalars(seen: SeenModule) -> Iterator[FreeNumber]:
    """Those that are there; the same in several calls of a function is one."""
    groups: dict[tuple[str, float], list[tuple[ObservedCall, Change]]] = {}
    for call in seen.calls:
        for words, value, plant in _numbers(call):
            groups.setdefault((words, value), []).append((call, plant))
    for (words, value), found in groups.items():
        paths = {call.path for call, _ in found}
        plants = [(call.index, plant) for call, plant in found]
        yield FreeNumber(words, value, _together(plants), paths.pop() if len(paths) == 1 else "")
    bases: dict[float, list[tuple[int, Change]]] = {}
    for r in rotations(seen):
        base = base_of(r)
        if base is not None:
            bases.setdefault(float(f"{base:.3g}"), []).append((r.call.index, partial(with_base, r)))
    turns: list[tuple[int, Change]] = [(r.call.index, partial(with_positions_times, r)) for r in rotations(seen)]
    if turns:
        yield FreeNumber("RoPE's positions are multiplied by", 1.0, _together(turns), is_made_up=True)
    for base, turned in bases.items():
        yield FreeNumber("RoPE's base", base, _together(turned))


def usual_numbers(seen: SeenModule) -> Iterator[Reading]:
    """Other values that are usual for a number, or made of it: another epsilon, its root, its reciprocal."""
    for call in seen.calls:
        for words, value, change in _numbers(call):
            if not (call.kind == OP and call.family in NORMS):  # whose epsilon the variants of specs say
                for other in _usual(words, value):
                    yield one(call, f"{words} is {other:.6g}, not {value:.6g}", change(other))
    for r in rotations(seen):
        base = base_of(r)
        for other in BASES if base else ():
            if base and abs(other / base - 1) > NEAR:
                yield one(r.call, f"RoPE's base is {other:.6g}, not {base:.4g}", with_base(r, other))


def _usual(words: str, value: float) -> list[float]:
    if words.startswith("eps") or (words == "the number of add" and 0 < value < SMALL):
        found = [*EPSILONS]
    elif words.startswith("negative_slope"):
        found = [*SLOPES]
    elif words in ("the number of mul", "the number of div", "the scale of attention") and value > 0:
        found = [value**0.5, value**2, 1 / value, value / 2, value * 2]
    else:
        found = [-value] if value else []
    return [x for x in dict.fromkeys(found) if abs(x - value) > NEAR * abs(value)]


def factors(seen: SeenModule) -> Iterator[FreeNumber]:
    """A factor of what a call gives."""
    for call in float_outputs(seen.calls):
        if call.kind != MOVE or call.family in ("embedding", "setitem"):
            words = f"what {call.family} gives is multiplied by"
            yield FreeNumber(words, 1.0, _together([(call.index, _times)]), call.path, is_made_up=True)
    for path, call in seen.given_by_modules():
        words = f"what {path} gives is multiplied by"
        yield FreeNumber(words, 1.0, _together([(call.index, _times)]), is_made_up=True)
    for call in seen.of(FUSED):
        words = "attention: scores are bounded by tanh at"
        yield FreeNumber(words, 1e4, _together([(call.index, _capped)]), call.path, is_made_up=True)


def _together(changes: Sequence[tuple[int, Change]]) -> Callable[[float], dict[int, Plant]]:
    return lambda value: {index: change(value) for index, change in changes}


def _numbers(call: ObservedCall) -> Iterator[tuple[str, float, Change]]:
    if call.family in ARITHMETIC:
        for place, value in enumerate(call.args):
            if _is_number(value) and (place or call.family != "clamp"):
                yield f"the number of {call.family}", float(value), partial(_placed, place)
    for name in NAMED:
        value = argument(call, name)
        if _is_number(value):
            yield f"{name} of {call.family}", float(value), partial(_named, name)
    if call.family in NORMS and argument(call, "eps") is None:
        yield f"eps of {call.family}", 1e-5, partial(_named, "eps")
    if call.family == FUSED:
        own = argument(call, "scale")
        width = call.output.shape[-1]
        yield "the scale of attention", float(own if own is not None else width**-0.5), _scaled


def _placed(place: int, value: float) -> Plant:
    return lambda call: call.perform(with_place(call.function, place, value))


def _named(name: str, value: float) -> Plant:
    return lambda call: call.perform(with_argument(call.function, name, value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scaled(scale: float) -> Plant:
    return lambda call: replace(read_parts(call.function), scale=scale).compute()


def _capped(bound: float) -> Plant:
    def plant(call: PlantedCall) -> Array:
        parts = read_parts(call.function)
        return np.asarray(parts.weights(parts.masked(np.tanh(parts.scores() / bound) * bound), -1) @ parts.v)

    return plant


def _times(factor: float) -> Plant:
    return lambda call: np.asarray(call.unchanged(), np.float64) * factor
