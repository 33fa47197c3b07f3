"""The first module whose gradients are others: each of b is given what its counterpart received, and what came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from opfuzz.core.errors import OpfuzzError
from opfuzz.core.files.user_module import place, said
from opfuzz.core.floats import FORMATS
from opfuzz.network.rearrange import Rearrangement
from opfuzz.network.trace.blame import without_wrong_pairs
from opfuzz.network.trace.causes import Knowledge
from opfuzz.network.trace.gradient_causes import name_difference
from opfuzz.network.trace.gradient_error import (
    BackwardCall,
    BackwardComparison,
    compare_backward,
    longest_back,
    without_ties,
)
from opfuzz.network.trace.layouts import Broadcast, Habits, assign, layouts_of
from opfuzz.network.trace.local_error import CallComparison, Sides
from opfuzz.network.trace.modes import evaluated
from opfuzz.network.trace.modules import CLEAN, CONTAINS, GUILTY, UNCALLED, UNCOMPARED, Module, ModulePair, judge
from opfuzz.network.trace.names import is_inside
from opfuzz.network.trace.pair import Models
from opfuzz.network.trace.recording import Cotangents, ModuleCall, TracedModel, TracedPart
from opfuzz.network.trace.trace import Captured, Trace, longest_sum, trace

NOTHING_BACK = "no gradient comes back to it, or it has nothing to differentiate by"
AT_KINK = "a gradient inside is another at a tie, where both are right"

Ways = Mapping[str, tuple[str, Rearrangement | Broadcast]]  # of a's parameters b's, by full names, and a's axes in b


@dataclass(frozen=True, slots=True)
class _Side:
    """One model with its calls, what comes back to their outputs, and its submodules."""

    model: TracedModel
    calls: Mapping[str, Sequence[tuple[ModuleCall, Cotangents]]]
    parts: Mapping[str, TracedPart]
    tied: Mapping[str, frozenset[str]]  # of a parameter all its names


def trace_gradients(models: Models, knowledge: Knowledge | None = None) -> Trace:
    """Runs both models and differentiates them, compares the gradients of all modules, and names the guilty ones.

    Modules are paired as `trace` pairs them, and those that it cannot compare are not compared. They come in the order
    in which gradients reach them, the first guilty one first. What comes back to the model's outputs is drawn.
    Raises OpfuzzError if a model raises, or has no gradients.
    """
    forward = trace(models, knowledge)
    with evaluated(models.a.module), evaluated(models.b.module):
        return _traced(models, forward, knowledge)


def _traced(models: Models, forward: Trace, knowledge: Knowledge | None) -> Trace:
    recorded = models.record()
    given_a, given_b = _drawn(*(next(call for call in calls if not call.name) for calls in recorded))
    a = _side(models, models.a, "a", recorded[0], models.inputs_a, given_a)
    b = _side(models, models.b, "b", recorded[1], models.inputs_b, given_b)
    weights = _weights(forward, a, b)
    names = {m.name_a: m.name_b for m in forward.modules}
    habits = Habits((a.calls[n][0][0], b.calls[m][0][0]) for n, m in names.items() if n in a.calls and m in b.calls)
    pairs: dict[str, ModulePair] = {}
    found: list[Module] = []
    compared: dict[str, list[tuple[BackwardCall, BackwardComparison]]] = {}
    kinked: set[str] = set()
    for m in sorted(forward.modules, key=lambda m: _backward(m.name_a, a)):
        if m.verdict in (UNCALLED, UNCOMPARED):
            found.append(m)
            continue
        inside = [part for name, part in a.parts.items() if is_inside(name, m.name_a)]
        longest = longest_sum(inside, {n: [call for call, _ in calls] for n, calls in a.calls.items()})
        summed = (longest_back(back) for part in inside for _, back in a.calls.get(part.name, ()))
        root = max(longest, *summed) ** 0.5
        sides = Sides(models.a, models.b, (a.parts[m.name_a].accepts, b.parts[m.name_b].accepts), root, habits)
        is_innermost = not any(x != m.name_a and is_inside(x, m.name_a) and x in a.calls for x in names)
        pair, results = _compared(m, sides, a, b, _own(m, weights, a, b), is_innermost)
        pairs[m.name_a] = pair
        compared[m.name_a] = results
        if any(result.is_kinked for _, result in results):
            kinked.add(m.name_a)
        judged = judge(pair)
        found.append(judged if pair.compared else replace(judged, verdict=UNCOMPARED, what=pair.failed or NOTHING_BACK))
    modules = _blamed(found, pairs, compared, kinked, forward, knowledge)
    guilty = tuple(m.name_a for m in modules if m.verdict == GUILTY)
    captured = _captured(pairs[guilty[0]], *compared[guilty[0]][pairs[guilty[0]].worst]) if guilty else None
    return replace(forward, modules=tuple(modules), guilty=guilty, captured=captured, values_differ=forward.guilty)


def _drawn(a: ModuleCall, b: ModuleCall) -> tuple[Cotangents, Cotangents]:
    """Normal numbers for each output of a, and the same for those of b. Raises OpfuzzError where there are none."""
    draw = np.random.default_rng(0)
    given = [draw.standard_normal(x.shape).astype(x.dtype) if x.dtype.name in FORMATS else None for x in a.outputs]
    ways = assign(a.outputs, b.outputs)
    theirs = [None if way is None else given[way.index] for way in ways]
    back = [None if c is None or way is None else way.way.apply(c) for way, c in zip(ways, theirs, strict=True)]
    if all(c is None for c in back):
        raise OpfuzzError("the models give no numbers of one shape, so that nothing can be differentiated")
    return given, back


def _side(
    models: Models, model: TracedModel, side: str, calls: Sequence[ModuleCall], inputs: object, given: Cotangents
) -> _Side:
    try:
        back = model.cotangents(inputs, calls, given)
    except Exception as error:  # the user's model
        words = f"{side} cannot be differentiated: {said(error)}"
        raise OpfuzzError(
            f"{place(models.path, error)}: {words}; opfuzz trace without --gradients needs none"
        ) from error
    found: dict[str, list[tuple[ModuleCall, Cotangents]]] = {}
    for call, own in zip(calls, back, strict=True):
        found.setdefault(call.name, []).append((call, own))
    return _Side(model, found, {part.name: part for part in model.parts()}, model.tied())


def _weights(forward: Trace, a: _Side, b: _Side) -> Ways:
    """The parameters of a that have a counterpart, by full names, with that and how a's axes lie in it."""
    found: dict[str, tuple[str, Rearrangement | Broadcast]] = {}
    held_a, held_b = ({_full(p.name, n): x for p in s.parts.values() for n, x in p.parameters.items()} for s in (a, b))
    for m in forward.modules:
        for w in m.weights:
            full_a, full_b = _full(m.name_a, w.name_a), _full(m.name_b, w.name_b)
            if not (w.name_a and w.name_b and full_a in held_a and full_b in held_b):
                continue
            x, y = held_a[full_a], held_b[full_b]
            ways = layouts_of(x, y)
            same = [way for way in ways if np.array_equal(way.apply(x), y)]
            if same or (ways and not w.relation):
                found[full_a] = full_b, (same or ways)[0]
            elif x.shape == y.shape:
                found[full_a] = full_b, Broadcast(y.shape)
    return found


def _own(m: Module, weights: Ways, a: _Side, b: _Side) -> Ways:
    """Those at or inside a module, by names from the module on.

    Without one that is used twice there on one side, and is two on the other: its gradient is the sum of theirs.
    """
    inside = {x: (y, way) for x, (y, way) in weights.items() if is_inside(x, m.name_a) and is_inside(y, m.name_b)}

    def is_alike(name: str, other: str) -> bool:
        ours = {inside[x][0] for x in a.tied.get(name, ()) if x in inside}
        theirs = {y for y in b.tied.get(other, ()) if is_inside(y, m.name_b)}
        return (len(ours) < 2 and len(theirs) < 2) or ours == theirs

    return {
        name[len(m.name_a) :].lstrip("."): (other[len(m.name_b) :].lstrip("."), way)
        for name, (other, way) in inside.items()
        if is_alike(name, other)
    }


def _full(module: str, name: str) -> str:
    return f"{module}.{name}".lstrip(".")


def _backward(name: str, a: _Side) -> tuple[int, ...]:
    """By what gradients reach first: a module before those inside it, and of these the last to run."""
    pieces = name.split(".") if name else []
    above = [".".join(pieces[:count]) for count in range(len(pieces) + 1)]
    return tuple(-max(call.order for call, _ in a.calls[own]) for own in above if own in a.calls)


def _compared(
    m: Module, sides: Sides, a: _Side, b: _Side, partners: Ways, is_innermost: bool
) -> tuple[ModulePair, list[tuple[BackwardCall, BackwardComparison]]]:
    """All calls of one number on both sides."""
    results: list[tuple[BackwardCall, BackwardComparison]] = []
    failed = ""
    ours, theirs = a.calls.get(m.name_a, []), b.calls.get(m.name_b, [])
    for (first, back_a), (second, back_b) in zip(ours, theirs, strict=False):
        call = BackwardCall(sides, first, second, back_a, back_b, partners, m.local or 0.0, is_innermost)
        try:
            result = compare_backward(call)
        except Exception as error:  # the user's module
            failed = f"it cannot be differentiated on a's input: {said(error)}"
            break
        if result is not None:
            results.append((call, result))
    found = [
        CallComparison(
            result.local,
            result.inherited,
            result.total,
            result.excess,
            tuple(d.b for d in result.differences),
            fickle=result.fickle,
        )
        for _, result in results
        if result.differences
    ]
    results = [(call, result) for call, result in results if result.differences]
    calls = [call for call, _ in ours], [call for call, _ in theirs]
    return ModulePair(a.parts[m.name_a], b.parts[m.name_b], *calls, sides, found, failed, m.weights, {}), results


def _blamed(
    modules: Sequence[Module],
    pairs: Mapping[str, ModulePair],
    compared: Mapping[str, Sequence[tuple[BackwardCall, BackwardComparison]]],
    kinked: set[str],
    forward: Trace,
    knowledge: Knowledge | None,
) -> list[Module]:
    """The innermost are guilty, and none inside a clean one, nor one around a tie, where both sides are right."""
    values = {m.name_a: m for m in forward.modules}
    named: dict[str, Module] = {}
    for m in modules:
        if m.verdict == GUILTY:
            pair = pairs[m.name_a]
            call, result = compared[m.name_a][pair.worst]
            cause, residual = name_difference(call, result, (pair.a, pair.b), knowledge)
            before = values[m.name_a]
            if before.verdict == GUILTY:
                cause, residual = f"its values differ already: {before.what}", None
            m = replace(m, what=cause, cause=cause, residual=residual)
        named[m.name_a] = m
    found = without_wrong_pairs([named[m.name_a] for m in modules], pairs)
    suspects = {m.name_a for m in found if m.verdict == GUILTY}
    blamed = []
    for m in found:
        inside = [x for x in suspects if x != m.name_a and is_inside(x, m.name_a)]
        if m.verdict == GUILTY and inside:
            m = replace(m, verdict=CONTAINS, what="", cause="", residual=None)
        elif m.verdict == GUILTY and (any(is_inside(x, m.name_a) for x in kinked) or _ties(compared[m.name_a])):
            m = replace(m, verdict=UNCOMPARED, what=AT_KINK, cause="", residual=None)
        elif m.verdict == CLEAN and m.name_a in kinked:
            m = replace(m, what="its gradient is another at a tie, where both are right")
        blamed.append(m)
    return blamed


def _ties(results: Sequence[tuple[BackwardCall, BackwardComparison]]) -> bool:
    """Whether ties may explain all that is off in a module around others; of the innermost it is known already."""
    beyond = [(call, result) for call, result in results if result.excess > 1]
    return all(not call.is_innermost and without_ties(call, result).is_kinked for call, result in beyond)


def _captured(pair: ModulePair, call: BackwardCall, result: BackwardComparison) -> Captured:
    back = {f"cotangent.{i}": c for i, c in enumerate(call.back_a) if c is not None}
    outputs = {f"{side}.{d.pair.name}": x for d in result.differences for side, x in (("a", d.a), ("b", d.b))}
    outputs |= {f"exact.{name}": x for name, x in result.exact.items()}
    return Captured(
        pair.worst + 1,
        {**{str(i): array for i, array in enumerate(call.ours.inputs)}, **back},
        outputs,
        {f"{side}.{n}": array for side, part in (("a", pair.a), ("b", pair.b)) for n, array in part.parameters.items()},
    )
