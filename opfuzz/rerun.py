"""Calls made again: one subject on given values, judged as a run judges it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from opfuzz.backends import Backend, Subject, perform, same_bits
from opfuzz.bench import witness_of
from opfuzz.call import Call
from opfuzz.execute import note
from opfuzz.floats import FORMATS
from opfuzz.layout import LAYOUTS, constant_along_broadcast
from opfuzz.oracle.reference import Reference
from opfuzz.records import Judged, Outcome, Score
from opfuzz.relations import AFTER_OTHER_WORK, REPEATED, is_switch
from opfuzz.score import score
from opfuzz.spec import OpSpec


@dataclass(frozen=True, slots=True)
class Asked:
    """A call to make again. `relation` is how it is looked at, `switch` the layouts it is compared with, if any."""

    call: Call
    relation: str = ""
    switch: Mapping[str, str] | None = None
    is_detailed: bool = False  # with the witness, which costs more than the score


def outcome_of(spec: OpSpec, subject: Subject, backend: Backend, call: Call, repeat: bool = False) -> Outcome:
    """What the subject makes of a call."""
    program = spec.calls.get(backend.dialect, {}).get(subject.implementation)
    if program is None:
        return Outcome(str(subject), "unsupported", message=f"the spec has no call for the dialect {backend.dialect}")
    # Other values may not be constant where the view repeats them.
    layouts = {
        name: layout
        if constant_along_broadcast(call.arrays[name], layout).tobytes() == call.arrays[name].tobytes()
        else LAYOUTS[0]
        for name, layout in call.layouts.items()
    }
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
        largest, deciding = (None if m is None else witness_of(m, "", call.arrays, exact) for m in marks)
        return Judged(str(subject), found, largest, deciding)


def _all_nan(call: Call) -> Call:
    return call.with_arrays({n: np.full_like(a, np.nan) for n, a in call.arrays.items() if a.dtype.kind not in "biu"})


def symptom(found: Score) -> tuple[str, str]:
    """What a smaller call must show as well: the verdict, and which class stands for which, or how it died."""
    mark = found.deciding
    if found.verdict == "special" and mark is not None:
        return found.verdict, f"{_class(mark.computed)} for {_class(mark.exact)}"
    if found.verdict == "crash":
        return found.verdict, " ".join(found.reason.split()[:2])
    return found.verdict, ""


def _class(value: float) -> str:
    if math.isnan(value):
        return "nan"
    return "inf" if math.isinf(value) else "zero" if value == 0 else "number"
