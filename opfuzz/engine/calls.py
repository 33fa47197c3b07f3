"""Calls made again: one subject on given values, judged as a run judges it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.backends import Backend, Subject, not_spoken, perform, same_outputs
from opfuzz.core.call import Call, Recipe
from opfuzz.core.cause import NOTHING, WORDED
from opfuzz.core.findings import Apart
from opfuzz.core.layout import LAYOUTS, fits, layout_class
from opfuzz.core.relation import DISTURBED, Relation
from opfuzz.core.results import Judged, Outcome, Result, Score
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.engine.evaluate import looked_at, without, witness_of
from opfuzz.engine.executors import note
from opfuzz.engine.plan import calls_of
from opfuzz.generate import inputs
from opfuzz.judge.diagnose.granted import Inside, shows_second
from opfuzz.judge.limits import REPETITIONS
from opfuzz.judge.metamorphic import fill_with_nan, find_way, is_switch
from opfuzz.judge.outputs import score_outputs
from opfuzz.judge.score import mark_at
from opfuzz.oracle.primitive import Primitive
from opfuzz.oracle.reference import Reference, references_of
from opfuzz.spec import OpSpec
from opfuzz.spec.order import call_key

NOT_DRAWN = -1  # in place of the number of a case


@dataclass(frozen=True, slots=True)
class Asked:
    """A call to make again. `relation` is how it is looked at, `switch` the layouts it is compared with, if any."""

    call: Call
    relation: Relation | None = None
    switch: Mapping[str, str] | None = None
    is_detailed: bool = False  # with the witness, which costs more than the score
    apart: Apart | None = None  # of a second cause: what does not show that is no fault
    lacking: tuple[str, ...] = ()  # inputs by which a gradient is not asked for


def follow(recipe: Recipe, spec: OpSpec) -> Call:
    """The call that a recipe says."""
    if recipe.call is not None:
        return recipe.call
    case = recipe.case
    assert case is not None
    arrays = inputs(spec, case)
    if recipe.relation is None or recipe.piece is None:
        return Call.of(case, arrays)
    way = find_way(recipe.relation, spec, case, arrays, is_elementwise=spec.single_input)
    return way.pieces[recipe.piece].call(case)


def ask_again(recipe: Recipe, spec: OpSpec) -> Asked:
    """How to look at something again as it was found."""
    return Asked(follow(recipe, spec), recipe.relation, recipe.switch, lacking=recipe.lacking)


def outcome_of(spec: OpSpec, subject: Subject, backend: Backend, call: Call) -> Outcome:
    """What the subject makes of a call."""
    program = calls_of(spec, subject, backend).get(subject.implementation)
    if program is None:
        return Outcome(str(subject), "unsupported", cause=not_spoken(backend))
    # Other values may not be constant where the view repeats them.
    layouts = {name: layout if fits(call.arrays[name], layout) else LAYOUTS[0] for name, layout in call.layouts.items()}
    shapes = spec.output_shapes(call.dims, call.params)
    note(str(subject))
    made = perform(backend, subject, program, replace(call, layouts=layouts), shapes)
    note("")
    return made


def judge(
    spec: OpSpec, subject: Subject, backend: Backend, asked: Asked, primitives: tuple[Primitive, ...] = ()
) -> Judged:
    """The score of a call, in this process: a call that may harm it is made.

    `primitives`: those that the subject may have inside, where one of two causes is about one.
    """
    call, relation = asked.call, asked.relation
    spec = looked_at(without(spec, asked.lacking), relation)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = outcome_of(spec, subject, backend, call)
        if relation is not None and relation.is_repeat:
            outcome = repeated(outcome, spec, subject, backend, call, relation.kind == DISTURBED)
        exact = references_of(spec, call)
        found = score_outputs(outcome, exact)
        if relation is not None and relation.is_repeat and found.verdict == "unstable":
            found = replace(found, cause=replace(found.cause, relation=relation))
        if asked.switch is not None and found.verdict == "narrow":
            other = score_outputs(outcome_of(spec, subject, backend, replace(call, layouts=asked.switch)), exact)
            if other.verdict != "narrow" and is_switch(found, other.excess):
                found = replace(found, verdict="imprecise")
        if asked.apart is not None and outcome.outputs is not None and SEVERITY[found.verdict] == FAULT:
            found = _second(found, asked, exact, outcome.outputs, asker(subject, backend, primitives))
        if not asked.is_detailed:
            return Judged(str(subject), found, None, None, lacking=asked.lacking)
        marks = (found.largest, found.deciding)
        largest, deciding = (None if m is None else witness_of(m, "", exact) for m in marks)
        return Judged(str(subject), found, largest, deciding, lacking=asked.lacking)


def repeated(
    outcome: Outcome, spec: OpSpec, subject: Subject, backend: Backend, call: Call, is_disturbed: bool
) -> Outcome:
    """The outcome of a call after which equal ones were made, until one gives other bits; after other work, or not.

    Sums in another order are now and then the same.
    """
    if outcome.outputs is None:
        return outcome
    same = (True,) * len(outcome.outputs)
    for _ in range(REPETITIONS):
        if is_disturbed:
            outcome_of(spec, subject, backend, call.with_arrays(fill_with_nan(call.arrays)))
        again = outcome_of(spec, subject, backend, call).outputs
        same = (False,) * len(outcome.outputs) if again is None else same_outputs(outcome.outputs, again)
        if not all(same):
            break
    return replace(outcome, repeated=same)


def asker(subject: Subject, backend: Backend, primitives: tuple[Primitive, ...]) -> Inside:
    """What a subject has inside, and how it is asked for that."""

    def ask(primitive: Primitive, call: Call) -> NDArray[Any] | None:
        own = Subject(subject.backend, subject.device)
        outputs = outcome_of(primitive.spec, own, backend, call).outputs
        return None if outputs is None else outputs[0]

    return Inside(primitives, ask)


def _second(
    found: Score, asked: Asked, exact: Sequence[Reference], outputs: Sequence[NDArray[Any]], inside: Inside
) -> Score:
    """The score, about the element that shows a second cause; no fault where none does."""
    assert asked.apart is not None
    for output, reference in zip(outputs, exact, strict=True):
        place = shows_second(output, reference, asked.call, asked.apart, inside)
        if place is not None:
            return replace(found, deciding=mark_at(output, reference, place))
    return replace(found, verdict="stable", cause=NOTHING)


def make_call_result(spec: OpSpec, call: Call, judged: Judged) -> Result:
    """A call with values of its own, as a ranking takes it in."""
    name = call.id(spec.op)
    largest, deciding = (w and replace(w, case=name) for w in (judged.largest, judged.deciding))
    recipe = Recipe(call=call, relation=judged.score.cause.relation, lacking=judged.lacking)
    recipe = recipe.about(deciding.mark.element if deciding else None)
    kept = Judged(judged.subject, judged.score, largest, deciding, recipe, judged.lacking)
    place = layout_class(call.layouts)
    return Result(spec.op, call.format, NOT_DRAWN, name, call_key(spec, call), (kept,), {}, layout=place)


def symptom(found: Score) -> tuple[str, str]:
    """What a smaller call must show as well: the verdict, and which class stands for which, or how it died, and where.

    Whether a lower precision explains an error is no part of it: on fewer elements more explanations fit.
    """
    mark = found.deciding
    output = str(found.cause.figures.get("output", "")) if mark is None else mark.output
    where = f" in {output}" if output else ""  # of several outputs, another one has another fault
    if found.verdict in ("wrong", "imprecise"):
        return "error", where
    if found.verdict == "special" and mark is not None:
        return found.verdict, _confusion(mark.computed, mark.exact) + where
    if found.cause.kind in WORDED:
        return found.verdict, f"{found.cause.identity}{where}"
    return found.verdict, where


def _confusion(computed: float, exact: float) -> str:
    """What stands for what; an overflow on the way makes NaN of one call and infinity of another."""
    if math.isfinite(exact):
        return "a number for another" if math.isfinite(computed) else "no number for a number"
    return "a number for none" if math.isfinite(computed) else "NaN or infinity for the other"
