"""The first module that computes something else: every module of b is run on what its counterpart in a received."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from opfuzz.network.trace.blame import blame
from opfuzz.network.trace.causes import Knowledge
from opfuzz.network.trace.layouts import Habits
from opfuzz.network.trace.likeness import Resemblance
from opfuzz.network.trace.local_error import CallComparison, Sides
from opfuzz.network.trace.match import Signature, match
from opfuzz.network.trace.modes import InTraining, evaluated, in_training
from opfuzz.network.trace.modules import GUILTY, UNCOMPARED, Module, compare_modules, judge
from opfuzz.network.trace.names import ancestor, members
from opfuzz.network.trace.pair import Models
from opfuzz.network.trace.partners import pair_weights
from opfuzz.network.trace.recording import Array, ModuleCall, TracedPart
from opfuzz.network.trace.weights import Held, Origins, compare, values_of_b

Parts = Mapping[str, TracedPart]
Calls = Mapping[str, Sequence[ModuleCall]]


@dataclass(frozen=True, slots=True)
class Captured:
    """One call of a guilty module: what it received in a, what both sides and the float64 run made of it."""

    call: int  # from 1
    inputs: Mapping[str, Array]  # 0
    outputs: Mapping[str, Array]  # a.0, b.0, exact.0
    weights: Mapping[str, Array]  # a.weight, b.weight


@dataclass(frozen=True, slots=True)
class Trace:
    """All pairs in the order in which a runs them, and what has no counterpart."""

    frameworks: tuple[str, str]
    modules: tuple[Module, ...]
    guilty: tuple[str, ...]  # names in a, the first to run first
    unmatched_a: tuple[str, ...]
    unmatched_b: tuple[str, ...]
    captured: Captured | None  # of the first guilty module
    in_training: tuple[InTraining, ...] = ()  # modules that one side alone has in training mode, as it was given
    values_differ: tuple[str, ...] | None = None  # names in a; of a trace of gradients, those whose values differ

    @property
    def is_of_gradients(self) -> bool:
        """Whether gradients were compared, and not values."""
        return self.values_differ is not None

    @property
    def names(self) -> dict[str, str | None]:
        """The map that was found, as a user may write it; None for what has no counterpart."""
        pairs = {m.name_a: m.name_b for m in self.modules if m.name_a}
        return {**pairs, **dict.fromkeys(self.unmatched_a)}

    @property
    def not_compared(self) -> tuple[tuple[str, str], ...]:
        """Names in a, or in b for what is there only, and why."""
        return (
            *((m.name_a, m.what) for m in self.modules if m.verdict == UNCOMPARED),
            *((name, "has no counterpart in b") for name in self.unmatched_a),
            *((name, "is in b only") for name in self.unmatched_b),
        )


def trace(models: Models, knowledge: Knowledge | None = None) -> Trace:
    """Runs both models, compares all their modules, and names the guilty ones.

    A module is guilty if its local error is no rounding and none of the modules inside it is guilty. With `knowledge`,
    what its calls compute instead is looked for where nothing else tells. Both run in evaluation mode, and are left in
    the mode in which they were given.
    Raises OpfuzzError if a model raises, or the names map what is not there.
    """
    with evaluated(models.a.module), evaluated(models.b.module):
        found = _traced(models, knowledge)
    pairs = {m.name_a: m.name_b for m in found.modules}
    return replace(found, in_training=in_training(models.a, models.b, pairs))


def _traced(models: Models, knowledge: Knowledge | None) -> Trace:
    recorded_a, recorded_b = models.record()
    parts = tuple({part.name: part for part in side.parts()} for side in (models.a, models.b))
    parts_a, parts_b = parts
    inside_a, inside_b = map(members, parts)
    calls_a, calls_b = _by_name(recorded_a), _by_name(recorded_b)
    weights_a, weights_b = (
        {f"{p.name}.{n}": x for p in side.values() for n, x in p.parameters.items()} for side in parts
    )
    partners = pair_weights(weights_a, weights_b)
    origins = Origins(weights_a, partners, (models.a.framework, models.b.framework))
    names = match(
        _signatures(parts_a, inside_a, calls_a, {name: name for name in partners}),
        _signatures(parts_b, inside_b, calls_b, {other: name for name, other in partners.items()}),
        models.names,
        Resemblance(models.b, (parts_a, parts_b), (calls_a, calls_b)),
    )
    pairs, partnered = {}, set(names.values())
    habits = Habits((calls_a[n][0], calls_b[m][0]) for n, m in names.items() if n in calls_a and m in calls_b)
    for name in sorted(names, key=lambda name: calls_a[name][0].order if name in calls_a else len(recorded_a)):
        a, b = parts_a[name], parts_b[names[name]]
        own_a, own_b = [parts_a[n] for n in inside_a[a.name]], [parts_b[n] for n in inside_b[b.name]]
        sides = Sides(models.a, models.b, (a.accepts, b.accepts), longest_sum(own_a, calls_a) ** 0.5, habits)
        held = _held(name, own_a, names), _held(b.name, own_b, partnered)
        weights = compare(*held, origins)
        called = calls_a.get(name, []), calls_b.get(b.name, [])
        pairs[name] = compare_modules((a, b), called, sides, weights, values_of_b(*held, weights, origins))
    modules = blame([judge(pair) for pair in pairs.values()], pairs, knowledge)
    guilty = tuple(m.name_a for m in modules if m.verdict == GUILTY)
    captured = None
    if guilty:
        first = pairs[guilty[0]]
        captured = _capture(first.worst, first.ours[first.worst], first.compared[first.worst], first.a, first.b)
    return Trace(
        origins.frameworks,
        tuple(modules),
        guilty,
        _unmatched(parts_a, calls_a, set(names)),
        _unmatched(parts_b, calls_b, partnered),
        captured,
    )


def _by_name(calls: Sequence[ModuleCall]) -> dict[str, list[ModuleCall]]:
    found: dict[str, list[ModuleCall]] = {}
    for call in calls:
        found.setdefault(call.name, []).append(call)
    return found


def _unmatched(parts: Parts, calls: Calls, matched: Collection[str]) -> tuple[str, ...]:
    """A list of modules, which neither runs nor holds anything, needs no counterpart."""
    return tuple(n for n, part in parts.items() if n not in matched and (n in calls or part.parameters))


def _signatures(
    parts: Parts, inside: Mapping[str, Sequence[str]], calls: Calls, partners: Mapping[str, str]
) -> list[Signature]:
    """`partners`: full names of weights here, to names under which both sides know them."""
    held = {part.name: [_dims(array) for array in part.parameters.values()] for part in parts.values()}
    known = {
        part.name: [partners[full] for n in part.parameters if (full := f"{part.name}.{n}") in partners]
        for part in parts.values()
    }
    found = []
    for name, part in parts.items():
        first = calls[name][0] if name in calls else None
        below = sorted(dims for other in inside[name] for dims in held[other])
        output = _dims(first.outputs[0]) if first and first.outputs else ()
        weights = frozenset(weight for other in inside[name] for weight in known[other])
        found.append(Signature(name, tuple(below), output, first.order if first else None, part.kind, weights))
    return found


def _held(name: str, inside: Sequence[TracedPart], paired: Collection[str]) -> list[Held]:
    """What a module holds itself, or in modules `inside` it that have no counterpart of their own."""
    return [
        Held(
            n if not (inner := part.name[len(name) :].lstrip(".")) else f"{inner}.{n}", f"{part.name}.{n}", part.kind, x
        )
        for part in inside
        if part.name == name or (part.name not in paired and ancestor(part.name, paired) == name)
        for n, x in part.parameters.items()
    ]


def _dims(array: Array) -> tuple[int, ...]:
    return tuple(sorted(length for length in array.shape if length != 1))


def longest_sum(inside: Sequence[TracedPart], calls: Calls) -> int:
    """Most terms that one of these layers adds up: of a product with a parameter, of a group that is normalised."""
    longest = 1
    for part in inside:
        for array in part.parameters.values():
            if array.ndim > 1 and array.size:
                longest = max(longest, array.size // array.shape[0])
        groups = part.settings.get("num_groups")
        first = next((call.inputs[0] for call in calls.get(part.name, ()) if call.inputs), None)
        if isinstance(groups, int) and groups > 0 and first is not None and first.ndim:
            longest = max(longest, first.size // max(first.shape[0], 1) // groups)
    return longest


def _capture(number: int, call: ModuleCall, found: CallComparison, a: TracedPart, b: TracedPart) -> Captured:
    outputs = {"a": call.outputs, "b": found.outputs_b, "exact": found.exact or ()}
    return Captured(
        number + 1,
        {str(i): array for i, array in enumerate(call.inputs)},
        {f"{side}.{i}": array for side, arrays in outputs.items() for i, array in enumerate(arrays)},
        {f"{side}.{n}": array for side, part in (("a", a), ("b", b)) for n, array in part.parameters.items()},
    )
