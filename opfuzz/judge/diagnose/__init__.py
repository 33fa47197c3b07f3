"""Diagnosis: what causes a fault, and the figures it rests on; and that nothing explains it, if so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import isfinite

import numpy as np

from opfuzz.core.cause import UNEXPLAINED, Cause, Figure
from opfuzz.core.floats import FLOAT64, FloatArray, round_to
from opfuzz.core.metrics.conditioned import effective_bits
from opfuzz.core.results import Score
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.judge.diagnose import (
    absolute,
    adjoints,
    backward,
    formulas,
    granted,
    inherited,
    meanings,
    overflow,
    precisions,
    saturation,
    solved,
    steps,
    sums,
    tails,
    where,
)
from opfuzz.judge.diagnose.evidence import Evidence
from opfuzz.judge.diagnose.unlike import unlike
from opfuzz.judge.explain import errs_as
from opfuzz.judge.limits import EXCESS_LIMIT, ROUNDINGS
from opfuzz.judge.score import score
from opfuzz.oracle.models import Arithmetic
from opfuzz.oracle.reference import Reference
from opfuzz.oracle.working import Counting, emulate

__all__ = ["Evidence", "diagnose", "of_record"]

Diagnosis = tuple[Cause, ...]  # the cause first, then what is said beside
Stage = Callable[[Evidence], Cause | None]

STAGES: tuple[Stage, ...] = (  # the first that is certain is told
    adjoints.kinked,
    precisions.parts,
    precisions.lower_call,
    overflow.step,
    overflow.exponential,
    overflow.own_exponential,
    inherited.inherits,
    overflow.inside,
    absolute.accuracy,
    meanings.variant,
    backward.cut,
    adjoints.scaled,
    adjoints.arranged,
    adjoints.unheeded,
    adjoints.mistaken,
    meanings.misread,
    meanings.setting,
    saturation.saturates,
    sums.stops,  # makes calls that take seconds
    sums.accumulates,
    precisions.inputs,
    precisions.inputs_solved,
    precisions.outputs,
    precisions.through,
    steps.rounded,
    steps.summed,
    formulas.formula,
    formulas.rewritten,
    formulas.in_half,
    formulas.usual_in_half,
    sums.carries,
    meanings.leak,
    solved.parameter,
    precisions.quantised,
    overflow.beyond_float16,
    tails.tail,
    adjoints.scaled_anyhow,
)


# Of these a stage makes sure itself that they hold on other values, or in the layout that they are about.
SURE = frozenset(
    (
        adjoints.kinked,
        precisions.parts,
        inherited.inherits,
        absolute.accuracy,
        meanings.variant,
        backward.cut,
        adjoints.scaled,
        adjoints.arranged,
        adjoints.unheeded,
        adjoints.mistaken,
        adjoints.scaled_anyhow,
        sums.stops,
        sums.accumulates,
        precisions.inputs_solved,
        precisions.through,
        steps.rounded,
        steps.summed,
        formulas.formula,
        formulas.rewritten,
        formulas.in_half,
        formulas.usual_in_half,
        sums.carries,
        meanings.misread,
        meanings.setting,
        solved.parameter,
        precisions.quantised,
        overflow.step,
        overflow.exponential,
        overflow.own_exponential,
        overflow.inside,
        overflow.beyond_float16,
        saturation.saturates,
        tails.tail,
    )
)
# These are asked again with a half format, or float32 in float64, taken for granted: it hides what they predict.
LENIENT: tuple[Stage, ...] = (precisions.parts, meanings.variant, meanings.setting, solved.parameter)


def diagnose(evidence: Evidence) -> Diagnosis:
    """The cause, the condition, the effective bits. The first carries the relation that showed the fault."""
    score, told = evidence.score, evidence.score.cause
    if SEVERITY[score.verdict] != FAULT:
        return _keep_found([_note(evidence), _bits(evidence)])
    if score.verdict == "unstable":
        return told, where.broken(evidence)
    if not evidence.is_wrong.any():
        is_right = SEVERITY[evidence.verdict_on(evidence.output, evidence.call)] != FAULT
        if is_right and (unsteady := where.unsteady(evidence)) is not None:
            return (unsteady,)
        return _keep_found([told, Cause("depends-on", "chance") if is_right else None, _bits(evidence)])
    # A fault of another call than the case's own: what that has to do with views or rows is told with the relation.
    relation = told.relation if told.relation is not None and "only" not in told.figures else None
    cause = _first(evidence) or _leniently(evidence) or _on_ordinary(evidence) or _on_more(evidence)
    if cause is None and (unsteady := where.unsteady(evidence)) is not None:
        return _keep_found([unsteady, _bits(evidence)])
    if cause is None:
        at_values = where.values(evidence)
        elements = None if at_values else where.elements(evidence)
        found = [*_restate(evidence, at_values, elements), where.holders(evidence), where.history(evidence)]
        if relation is None:
            found += [where.sizes(evidence), where.single(evidence), where.params(evidence)]
        found.append(elements)
    else:
        found = [told, cause] if score.verdict == "special" else [cause]
    if relation is None:
        found.append(meanings.layout(evidence))
    first, *rest = _keep_found([*found, _bits(evidence)])
    return replace(first, relation=relation or first.relation), *rest


def of_record(score: Score, sizes: tuple[tuple[str, Figure], ...], views: tuple[tuple[str, str], ...]) -> Diagnosis:
    """What is known of a call that is not made again, because it died or hung: its sizes, params and views."""
    if not sizes and not views:
        return (score.cause,)
    return score.cause, Cause("at-call", figures={"sizes": sizes, "views": views})


def _keep_found(parts: list[Cause | None]) -> Diagnosis:
    return tuple(part for part in parts if part is not None)


def _first(evidence: Evidence) -> Cause | None:
    for stage in STAGES:
        if (found := stage(evidence)) is not None and (stage in SURE or _stands(evidence, stage, found)):
            return found
    return None


def _leniently(evidence: Evidence) -> Cause | None:
    """The cause of what is wrong beyond what the next lower precision inside does, which would hide it."""
    lenient = evidence.lenient()
    if evidence.fmt.bits == 32 or not lenient.is_wrong.any():
        return None
    return next((found for stage in LENIENT if (found := stage(lenient)) is not None), None)


def _stands(evidence: Evidence, stage: Stage, cause: Cause) -> bool:
    """Whether a cause is found again on half of the other values that are at fault.

    Indices and masks that are drawn anew may hide it, but show no other; not one that holds for numbers at any place.
    """
    again = [stage(other) for other in evidence.others if other.is_at_fault]
    if not evidence.takes_numbers and stage is not precisions.inputs:
        again = [found for found in again if found is not None]
    same = [found is not None and (found.kind, found.name) == (cause.kind, cause.name) for found in again]
    return 2 * sum(same) >= len(same)


def _note(evidence: Evidence) -> Cause:
    told = evidence.score.cause
    return (sums.growth(evidence) if told.kind == "sums" else None) or told


def _on_ordinary(evidence: Evidence) -> Cause | None:
    """The cause that shows on ordinary values, where those at fault hide it."""
    plain = None if evidence.is_rest else evidence.on_ordinary()
    if plain is None:
        return None
    stages = (meanings.variant, precisions.lower_call, precisions.inputs, precisions.outputs)
    found = next((cause for stage in stages if (cause := stage(plain)) is not None), None)
    if found is not None and found.kind == "is-variant" and not _gives(evidence, found.name):
        found = None  # what is wrong here is something else
    if found is None and plain.fmt.bits == 64 and not evidence.is_special.any():
        found = _behaves(plain, next(m for m in plain.reference.lower_precisions() if m.name == "float32 inside"))
    return found and replace(found, figures={**found.figures, "ordinary": True})


def _gives(evidence: Evidence, name: str) -> bool:
    """Whether a variant gives what is of the wrong class, such as an infinity."""
    meant = evidence.variant(name)
    return meant is not None and bool((evidence.excess_against(*meant)[evidence.is_special] <= EXCESS_LIMIT).all())


def _on_more(evidence: Evidence) -> Cause | None:
    """The cause that shows on the larger call which the smallest was made of, if that is wrong as well.

    Few elements may hide it, but not show what it does not explain.
    """
    wider = evidence.wider
    found = _first(wider) if wider is not None and wider.is_wrong.any() else None
    right = None if found is None else granted.granted(found, granted.world_of(evidence))
    if right is not None and granted.leaves_some(evidence.output, evidence.reference, right(evidence.call)):
        return None
    return found and replace(found, figures={**found.figures, "wider": True})


def _behaves(evidence: Evidence, model: Arithmetic) -> Cause | None:
    """That the errors are those of a lower precision, where its allowance covers them."""
    judged, reference = evidence.judged, evidence.reference
    own, lower = judged.largest_excess, float(judged.excess(reference.allowance(model)).max(initial=0.0))
    if lower > EXCESS_LIMIT or not errs_as(judged, reference, model, evidence.is_wrong | judged.is_judged):
        return None
    return Cause("behaves-like", model.name, figures={"own": own, "lower": lower})


def _restate(evidence: Evidence, at_values: Cause | None, elements: Cause | None) -> list[Cause | None]:
    """What the verdict alone says, where no stage is certain of more, and for which values of a function it holds."""
    told, reference = _told(evidence), evidence.reference
    if evidence.score.verdict == "special":
        wrong = evidence.is_special
        is_nan = wrong.any() and np.isnan(evidence.judged.computed[wrong]).all()
        is_natural = is_nan and any(np.isnan(values[wrong]).all() for values in _natural(reference))
        return [told, at_values, Cause("natural-nan") if is_natural else None]
    largest = evidence.judged.largest_conditioned
    # A tie that goes the other way is no rounded argument: where nothing is rounded before it, nobody rounds there.
    is_small = largest <= ROUNDINGS and (reference.wide > 0)[evidence.is_wrong].all()
    if reference.is_unary and is_small and _comes_of_argument(evidence):
        return [Cause("rounds-argument", figures={"roundings": largest}), at_values]
    is_part = elements is not None and not elements.figures.keys() <= {"wrong", "elements"}
    # No precision stops at an index; a stage that looked for what the judge saw first did not find it; and on the long
    # way back of a gradient the coarsest one covers nearly anything. Nor does one round factors whose product is right.
    is_covered = told.kind == "behaves-like" and (evidence.spec.gradient is not None or _has_right_product(evidence))
    if (
        is_part
        or is_covered
        or told.kind in ("unexplained", "is-variant", "formula", "rounds-counts", "rounds-tables", "keeps-in")
    ):
        return [_unexplained(evidence), at_values]
    if told.kind == "behaves-like":
        model = next(model for model in reference.lower_precisions() if model.name == told.name)
        if (found := _behaves(evidence, model)) is None or not _behaves_again(evidence, model):
            return [_unexplained(evidence), at_values]
        return [found, Cause("unconfirmed"), at_values]
    return [told if _told_again(evidence, told) else _unexplained(evidence), at_values]


def _has_right_product(evidence: Evidence) -> bool:
    """Whether rounded factors are what the judge saw, and the subject rounds none where it is asked for the product."""
    coarse = [model.name for model in evidence.reference.lower_precisions() if model.factors]
    return _told(evidence).name in coarse and inherited.is_right_alone(evidence, "dot")


def _comes_of_argument(evidence: Evidence) -> bool:
    """Whether what is wrong lies among the exact results next to its argument: a slope alone says little far off."""
    name, fmt = evidence.spec.inputs[0].name, evidence.fmt
    x, made = evidence.call.arrays[name].astype(np.float64), []
    for step in np.linspace(-ROUNDINGS, ROUNDINGS, 9):
        moved = round_to(x * (1 + step * fmt.unit_roundoff), fmt)
        made.append(evidence.refer(evidence.call.with_arrays({name: moved})).truth.hi)
    slack, computed = EXCESS_LIMIT * evidence.reference.wide, evidence.judged.computed
    is_among = (computed >= np.fmin.reduce(made) - slack) & (computed <= np.fmax.reduce(made) + slack)
    return bool(is_among[evidence.is_wrong].all())


def _natural(reference: Reference) -> Iterator[FloatArray]:
    """What IEEE arithmetic makes of the usual formula, of a gradient of all, where zero times a slope is a product."""
    if reference.spec.gradient is None:
        yield reference.natural_values
        return
    for formula in (*reference.usual, *reference.by_powers):
        yield emulate(formula, FLOAT64, 1, counting=Counting(is_plain=True)).values


def _told(evidence: Evidence) -> Cause:
    """What the judge says of what scored; of the call itself where it has nothing to say of a larger one."""
    told = evidence.score.cause
    return score(evidence.output, evidence.reference).cause if told == UNEXPLAINED else told


def _told_again(evidence: Evidence, told: Cause) -> bool:
    """Whether the judge says the same of half of the other values that are at fault, and of all unlike calls."""

    def is_same(other: Evidence) -> bool:
        cause = score(other.output, other.reference).cause
        return (cause.kind, cause.name) == (told.kind, told.name)

    same = [is_same(other) for other in evidence.others if other.is_at_fault]
    return 2 * sum(same) >= len(same) and all(map(is_same, unlike(evidence)))


def _behaves_again(evidence: Evidence, model: Arithmetic) -> bool:
    """Whether half of the other values, and all unlike calls, err as with a lower precision as well."""
    again = [_behaves(other, model) is not None for other in evidence.others if other.is_at_fault]
    return 2 * sum(again) >= len(again) and all(_behaves(other, model) is not None for other in unlike(evidence))


def _unexplained(evidence: Evidence) -> Cause:
    bits = effective_bits(evidence.judged.largest_conditioned, evidence.fmt)
    if bits == evidence.fmt.precision:  # another count of what nearly ties is no loss of bits
        return UNEXPLAINED
    return Cause("unexplained", figures={"bits": bits, "of": evidence.fmt.precision})


def _bits(evidence: Evidence) -> Cause | None:
    """Effective bits, where an error has a size."""
    largest = evidence.judged.largest_conditioned
    is_special = evidence.score.verdict == "special"
    if not isfinite(largest) or largest <= 1 or (evidence.excess.max(initial=0.0) <= EXCESS_LIMIT and is_special):
        return None
    return Cause("bits", figures={"bits": effective_bits(largest, evidence.fmt), "of": evidence.fmt.precision})
