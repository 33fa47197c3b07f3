"""Wrong readings of weights and of modules: transposed, strides lost, rounded, quantised, lost, exchanged, left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from typing import Final

import numpy as np

from opfuzz.core.floats import FORMATS, round_to
from opfuzz.network.localize.precision import quantised
from opfuzz.network.observe.records import MOVE, Array, Observation, ObservedCall, WeightOperand
from opfuzz.spec import OpSpec

Weights = Mapping[str, Array]
GROUP: Final = 64
BITS: Final = (8, 4)
# What the variants of a spec say already of the weight that its op takes.
SAID: Final = {"transposed": "transposed-weight", "strides lost": "scrambled-weight", "lost": "no-bias"}


@dataclass(frozen=True, slots=True)
class WeightReading:
    """Other values for some weights, or modules that give what they get."""

    name: str
    place: str
    note: str
    weights: Weights = field(default_factory=dict, repr=False)
    skipped: frozenset[str] = frozenset()


def weight_readings(seen: Observation, weights: Weights, specs: Mapping[str, OpSpec]) -> Iterator[WeightReading]:
    """All readings of single weights that the variants of the ops which take them do not say."""
    users = users_of(seen)
    for name, weight in weights.items():
        if weight.dtype != np.float32 or weight.size < 2 or name not in users:
            continue
        said = {variant for call in users[name] if call.op for variant in specs[call.op].variants}
        for reading, (note, change) in _changes(name, weight).items():
            if SAID.get(reading) not in said:
                yield WeightReading(f"weight {reading}", name, f"{name} {note}", {name: change(weight)})


def users_of(seen: Observation) -> dict[str, list[ObservedCall]]:
    """The calls that take each weight."""
    found: dict[str, list[ObservedCall]] = {}
    for call in seen.calls:
        for operand in call.operands:
            if isinstance(operand, WeightOperand):
                found.setdefault(operand.name, []).append(call)
    return found


def _changes(name: str, weight: Array) -> dict[str, tuple[str, Callable[[Array], Array]]]:
    found: dict[str, tuple[str, Callable[[Array], Array]]] = {}
    if weight.ndim == 1:
        is_gain = name.endswith("weight")
        found["lost"] = ("is lost", lambda w: np.full_like(w, float(is_gain)))
    if weight.ndim == 2 and weight.shape[0] == weight.shape[1]:
        found["transposed"] = ("is transposed", lambda w: np.ascontiguousarray(w.T))
    if weight.ndim == 2 and min(weight.shape) > 1:
        found["strides lost"] = (
            "is a transposed array that was saved without its strides",
            lambda w: np.ascontiguousarray(w.T).reshape(w.shape),
        )
    if weight.ndim == 3 and weight.shape[2] > 1:
        found["strides lost"] = (
            "of [out, in, k] is read as [out, k, in]",
            lambda w: np.ascontiguousarray(np.swapaxes(w.reshape(w.shape[0], w.shape[2], w.shape[1]), 1, 2)),
        )
    for format in ("bfloat16", "float16") if weight.ndim > 1 else ():
        found[f"in {format}"] = (f"is rounded to {format}", partial(_rounded, format=format))
    if weight.ndim == 2 and weight.shape[1] % GROUP == 0:
        for bits in BITS:
            note = f"has {bits} bits in groups of {GROUP}"
            found[f"of {bits} bits"] = (note, partial(quantised, bits=bits, group=GROUP))
    return found


def _rounded(weight: Array, format: str) -> Array:
    return np.asarray(round_to(weight.astype(np.float64), FORMATS[format]), np.float32)


def module_readings(seen: Observation, weights: Weights, seed: int = 0) -> Iterator[WeightReading]:
    """Modules that are left out, exchanged with another of their class, or left at a random start."""
    kinds = {run.path: run.kind for run in seen.modules}
    runs: dict[str, list[bool]] = {}
    for run in seen.modules:
        inside = seen.calls[run.first : run.end]
        changes = any(call.kind != MOVE for call in inside) and bool(run.gives) and run.gives[0] in run.takes
        runs.setdefault(run.path, []).append(changes)
    for path, fits in runs.items():
        if path and all(fits):
            yield WeightReading(
                "left out", path, f"{path} ({kinds[path]}) gives what it gets", skipped=frozenset({path})
            )
    own = {path: _own(path, weights) for path in sorted(kinds) if path}
    for one, other in combinations([path for path in own if own[path]], 2):
        if kinds[one] == kinds[other] and _are_near(one, other) and _are_alike(own[one], own[other]):
            changed = {f"{one}.{n}": w for n, w in own[other].items()} | {
                f"{other}.{n}": w for n, w in own[one].items()
            }
            if any(not np.array_equal(w, weights[name]) for name, w in changed.items()):
                yield WeightReading(
                    "exchanged", f"{one}, {other}", f"{one} has the weights of {other}, and it those", changed
                )
    counts = list(kinds.values())
    for path, held in own.items():
        if held and counts.count(kinds[path]) > 1 and any("." in name for name in held):
            changed = {f"{path}.{name}": _started(name, weight, held, seed) for name, weight in held.items()}
            yield WeightReading("left at random start", path, f"{path} was left at a random start", changed)


def _own(path: str, weights: Weights) -> dict[str, Array]:
    inside = f"{path}."
    return {name.removeprefix(inside): weight for name, weight in weights.items() if name.startswith(inside)}


def _are_near(one: str, other: str) -> bool:
    """Whether two modules are siblings, neighbours where they are numbered."""
    (above, last), (beside, end) = one.rpartition(".")[::2], other.rpartition(".")[::2]
    if last.isdecimal() and end.isdecimal():
        return above == beside and abs(int(last) - int(end)) == 1
    return above == beside


def _are_alike(one: Weights, other: Weights) -> bool:
    return {n: w.shape for n, w in one.items()} == {n: w.shape for n, w in other.items()}


def _started(name: str, weight: Array, held: Weights, seed: int) -> Array:
    """PyTorch's start of a layer: uniform within 1 / sqrt(fan in), norms one and zero."""
    matrix = held.get(f"{name.removesuffix('bias')}weight", weight)
    if weight.dtype.kind != "f" or matrix.ndim == 1:
        return np.full_like(weight, float(name.endswith("weight")))
    limit = 1 / np.sqrt(np.prod(matrix.shape[1:]))
    random = np.random.default_rng([seed, 3, weight.size])
    return np.asarray(random.uniform(-limit, limit, weight.shape), weight.dtype)
