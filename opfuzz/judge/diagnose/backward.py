"""Causes of gradients alone: a step of the formula through which nothing is handed back."""

from __future__ import annotations

from functools import partial

from opfuzz.core.cause import Cause
from opfuzz.judge.diagnose.evidence import Evidence
from opfuzz.judge.diagnose.predictions import Prediction, compare, confirm
from opfuzz.judge.limits import MOST_CUTS
from opfuzz.oracle.gradients.cuts import cut_at, steps_of
from opfuzz.oracle.meaning import FAILURES


def cut(evidence: Evidence) -> Cause | None:
    """A step that is taken for a constant, as where a kernel forgets that a mean depends on what it is of."""
    if evidence.spec.gradient is None or evidence.score.verdict == "special":
        return None
    steps = _steps(evidence)
    for number, (_, kind) in enumerate(steps[:MOST_CUTS]):
        predict = partial(_predict, number=number, kind=kind, count=len(steps))
        first = predict(evidence)
        if first is None or not first.is_met:
            continue
        if not all(told is not None and told.is_met for told in map(predict, evidence.telling)):
            continue  # as where all of a short axis is at its end
        if (total := confirm(evidence, first, predict, is_elsewhere=True)) is not None:
            return Cause("cuts-gradient", kind, figures={"step": number + 1, "steps": len(steps), **total.figures})
    return None


def _steps(evidence: Evidence) -> list[tuple[int, str]]:
    reference = evidence.reference
    return steps_of(reference.spec, reference.dims, reference.params, reference.tensors)


def _predict(evidence: Evidence, number: int, kind: str, count: int) -> Prediction | None:
    """What the output would be without the gradient through a step; None where the formula has other steps."""
    reference, steps = evidence.reference, _steps(evidence)
    if len(steps) != count or steps[number][1] != kind:
        return None
    try:
        made = cut_at(reference.spec, reference.dims, reference.params, reference.tensors, steps[number][0])
    except FAILURES:
        return None
    meant = reference.meant(made[reference.place])
    return None if meant is None else compare(evidence, *meant)
