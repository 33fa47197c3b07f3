"""Calls made again: one subject on given values, judged as a run judges it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opfuzz.backends import Backend, Subject, perform, same_bits
from opfuzz.bench import witness_of
from opfuzz.call import Call
from opfuzz.case import Case
from opfuzz.execute import note
from opfuzz.floats import FORMATS
from opfuzz.generate import inputs
from opfuzz.layout import LAYOUTS, fits, layout_class
from opfuzz.oracle.reference import Reference
from opfuzz.plan import Plan
from opfuzz.rank import Finding
from opfuzz.records import REPEATED, Index, Judged, Outcome, Result, Score
from opfuzz.relations import AFTER_OTHER_WORK, is_switch, relations
from opfuzz.score import score
from opfuzz.spec import OpSpec

NOT_DRAWN = -1  # in place of the number of a case


@dataclass(frozen=True, slots=True)
class Asked:
    """A call to make again. `relation` is how it is looked at, `switch` the layouts it is compared with, if any."""

    call: Call
    relation: str = ""
    switch: Mapping[str, str] | None = None
    is_detailed: bool = False  # with the witness, which costs more than the score


def shown(
    relation_name: str, reason: str, index: Index | None, spec: OpSpec, case: Case, arrays: Mapping[str, NDArray[Any]]
) -> tuple[Call, Index | None]:
    """The call that shows a fault, the case's own or one of its relation's, and where the element at `index` is in it.

    Of a relation's calls it is the one that made the element.
    """
    shape = spec.output_shape(case.dims, case.params)
    for relation in relations(spec, case, arrays, is_elementwise=spec.single_input):
        is_own = relation.is_repeat or f"but not {relation.words}" in reason  # a fault of the case's own call
        if relation.name == relation_name and not is_own:
            for piece in relation.pieces:
                own = spec.output_shape(piece.dims, case.params)
                call = Call(case.format, piece.dims, case.params, piece.arrays, piece.layouts)
                if index is None:  # it raised
                    return call, None
                if (place := piece.locate(index, shape, own)) is not None:
                    return call, place
    return Call(case.format, case.dims, case.params, arrays, case.layouts), index


def asked_of(finding: Finding, spec: OpSpec, plan: Plan) -> tuple[Asked, Index | None]:
    """How to look at a finding again as it was found, and where its element is in that call's output."""
    mark = finding.witness.mark if finding.witness else None
    index = mark.index if mark else None
    if finding.call is not None:
        return Asked(finding.call, finding.relation), index
    case = plan.case(finding.op, finding.format, finding.number)
    arrays = inputs(spec, case)
    call, place = shown(finding.relation, finding.reason, index, spec, case, arrays)
    switch = None
    for relation in relations(spec, case, arrays, is_elementwise=spec.single_input):
        ways = [way for way in (case.layouts, relation.pieces[0].layouts) if way != call.layouts]
        is_told = any(f" {word} {relation.words}" in finding.reason for word in ("only", "but not"))
        if relation.name == finding.relation and is_told and ways and relation.pieces[0].dims == case.dims:
            switch = ways[0]
    return Asked(call, finding.relation, switch), place


def outcome_of(spec: OpSpec, subject: Subject, backend: Backend, call: Call, repeat: bool = False) -> Outcome:
    """What the subject makes of a call."""
    program = spec.calls.get(backend.dialect, {}).get(subject.implementation)
    if program is None:
        return Outcome(str(subject), "unsupported", message=f"the spec has no call for the dialect {backend.dialect}")
    # Other values may not be constant where the view repeats them.
    layouts = {name: layout if fits(call.arrays[name], layout) else LAYOUTS[0] for name, layout in call.layouts.items()}
    shape = spec.output_shape(call.dims, call.params)
    names = {**call.dims, **call.params}
    note(str(subject))
    made = perform(backend, subject, program, call.arrays, layouts, names, call.format, shape, repeat=repeat)
    note("")
    return made


def exact_of(spec: OpSpec, call: Call) -> Reference:
    """The exact result of a call."""
    return Reference(spec, FORMATS[call.format], call.dims, call.params, call.arrays)


def judge(spec: OpSpec, subject: Subject, backend: Backend, asked: Asked) -> Judged:
    """The score of a call, in this process: a call that may harm it is made."""
    call = asked.call
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = outcome_of(spec, subject, backend, call, repeat=asked.relation == REPEATED)
        if asked.relation == AFTER_OTHER_WORK and outcome.output is not None:
            outcome_of(spec, subject, backend, _all_nan(call))
            again = outcome_of(spec, subject, backend, call)
            same = again.output is not None and same_bits(outcome.output, again.output)
            outcome = replace(outcome, repeated=same)
        exact = exact_of(spec, call)
        found = score(outcome, exact)
        if asked.switch is not None and found.verdict == "narrow":
            other = score(outcome_of(spec, subject, backend, replace(call, layouts=asked.switch)), exact)
            if other.verdict != "narrow" and is_switch(found, other.excess):
                found = replace(found, verdict="imprecise")
        if not asked.is_detailed:
            return Judged(str(subject), found, None, None)
        marks = (found.largest, found.deciding)
        largest, deciding = (None if m is None else witness_of(m, "", exact) for m in marks)
        return Judged(str(subject), found, largest, deciding)


def _all_nan(call: Call) -> Call:
    return call.with_arrays({n: np.full_like(a, np.nan) for n, a in call.arrays.items() if a.dtype.kind not in "biu"})


def result_of(spec: OpSpec, call: Call, judged: Judged) -> Result:
    """A call with values of its own, as a ranking takes it in."""
    name = call.id(spec.op)
    shown = (w and replace(w, case=name) for w in (judged.largest, judged.deciding))
    judged = Judged(judged.subject, judged.score, *shown)
    place = layout_class(call.layouts)
    return Result(spec.op, call.format, NOT_DRAWN, name, call.sort_key(spec), (judged,), {}, call, layout=place)


def symptom(found: Score) -> tuple[str, str]:
    """What a smaller call must show as well: the verdict, and which class stands for which, or how it died.

    Whether a lower precision explains an error is no part of it: on fewer elements more explanations fit.
    """
    mark = found.deciding
    if found.verdict in ("wrong", "imprecise"):
        return "error", ""
    if found.verdict == "special" and mark is not None:
        return found.verdict, _confusion(mark.computed, mark.exact)
    if found.verdict == "crash":
        return found.verdict, " ".join(found.reason.split()[:2])
    return found.verdict, ""


def _confusion(computed: float, exact: float) -> str:
    """What stands for what; an overflow on the way makes NaN of one call and infinity of another."""
    if math.isfinite(exact):
        return "a number for another" if math.isfinite(computed) else "no number for a number"
    return "a number for none" if math.isfinite(computed) else "NaN or infinity for the other"
