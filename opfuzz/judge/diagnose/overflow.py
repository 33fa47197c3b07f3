"""Causes of NaN and infinities where a number is right: an intermediate that overflows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import count
from math import log

import numpy as np

from opfuzz.core.cause import Cause, Figure
from opfuzz.core.floats import FLOAT16, FloatArray, Format, round_to
from opfuzz.judge.diagnose.evidence import Evidence, Mask, ordinary
from opfuzz.judge.diagnose.formulas import rewritten
from opfuzz.judge.diagnose.predictions import is_same_formula
from opfuzz.judge.diagnose.probing import Probe, one_input, probe, probes
from opfuzz.judge.diagnose.where import landmark
from opfuzz.judge.limits import (
    BELOW_FLOAT16,
    BEYOND_FLOAT16,
    FAR_BEYOND_FLOAT16,
    LANDMARK_NEAR,
    LEAST_MET,
    MOST_ELEMENTS,
    MOST_IDLE,
    PROBES,
    WELL_BEYOND,
)
from opfuzz.oracle.graph import Node, topological
from opfuzz.oracle.meaning import FAILURES
from opfuzz.oracle.models import wide_format
from opfuzz.oracle.primitive import Primitive
from opfuzz.oracle.reference import Reference
from opfuzz.oracle.working import NEARLY, Counting, emulate

VECTORS = 64  # elements, a multiple of what one instruction takes
BESIDE = 2.0**-12  # of where exp(x), 2 x and x^2 begin to overflow: a bound is tried from either side
# Powers of two, times the inputs: the smallest first, where nothing overflows, as that refutes most; and near where it
# begins, for what hardly overflows.
WIDE, NEAR = (-16.0, *np.arange(2.0, -16.0, -1.0)), tuple(np.arange(0.4375, -0.5, -1 / 16))
Formula = str | int  # name of a variant, '' for the usual one; or the place of one with powers
EARLY = 0.75  # of the largest x of which exp(x) is a number
BACK = 2  # such powers, one after another, without what was lost


def step(evidence: Evidence) -> Cause | None:
    """The step that overflows: for just those values, of a sign, for which it does, a number that is right is lost."""
    tried = _tried(evidence)
    found = None if tried is None else landmark(tried.x[_lost(tried, evidence.fmt)], evidence.fmt)
    return None if tried is None or found is None else _from(tried, evidence.fmt, *found)


def exponential(evidence: Evidence) -> Cause | None:
    """That exp overflows; or the function inside that is written otherwise, which says why it is there."""
    if (tried := _tried(evidence)) is None:
        return None
    largest = log(evidence.fmt.largest)
    steps = (("exp(x)", largest), ("exp(2 x)", largest / 2))  # the latter in tanh
    found = next(filter(None, (_from(tried, evidence.fmt, *each) for each in steps)), None)
    return None if found is None else rewritten(evidence) or found


def own_exponential(evidence: Evidence) -> Cause | None:
    """That the subject's own exp is infinite too early, where just from there on a function of x loses numbers."""
    tried = _tried(evidence)
    if tried is None or not _lost(tried, evidence.fmt).any():
        return None
    for primitive in (each for each in evidence.primitives if each.operation == "exp" and each.spec != evidence.spec):
        for fmt in dict.fromkeys((evidence.fmt, wide_format(evidence.fmt))):
            ends = _infinite_from(primitive, fmt, evidence)
            if ends is None or (beside := probe(evidence, _around(*ends, evidence.fmt))) is None:
                continue
            lost, beyond = _lost(beside, evidence.fmt), _counted(beside, evidence.fmt) & (np.abs(beside.x) > ends[0])
            sides = [side for side in (beside.x > 0, beside.x < 0) if lost[side].any()]
            if sides and all(np.array_equal(lost & side, beyond & side) for side in sides):
                count = int(np.count_nonzero(lost))
                figures: dict[str, Figure] = {"elements": count, "met": count, "before": 0.0, "after": 0.0}
                return Cause("inherits", primitive.spec.op, figures=figures)
    return None


def _infinite_from(primitive: Primitive, fmt: Format, evidence: Evidence) -> tuple[float, float] | None:
    """The last number of which the subject has an exp, and the first of which it has an infinity for a number."""
    low, high = EARLY * log(fmt.largest), log(fmt.largest)
    for _ in range(2):
        x = np.unique(round_to(np.linspace(low, high, PROBES), fmt))
        with np.errstate(over="ignore"):
            x = x[np.isfinite(round_to(np.exp(x.astype(np.float64)), fmt))]
        made = evidence.ask(primitive, primitive.call_of_row(x, fmt))
        if made is None or made.size != len(x):
            return None
        is_lost = np.isinf(made.astype(np.float64).ravel())
        if is_lost.all() or not is_lost.any() or is_lost.argmax() + np.count_nonzero(is_lost) < len(x):
            return None
        low, high = (float(x[at]) for at in (is_lost.argmax() - 1, is_lost.argmax()))
    return low, high


def _around(low: float, high: float, fmt: Format) -> FloatArray:
    """Numbers of either sign on both sides of where something begins, as many as vectors hold, and of all sizes."""
    sizes = np.concatenate([low * (1 - BESIDE * np.arange(4)), high * (1 + BESIDE * np.arange(4))])
    return np.concatenate([np.resize(np.outer((-1, 1), sizes), VECTORS), probes(fmt)])


@lru_cache(maxsize=2)  # two stages look at the same
def _tried(evidence: Evidence) -> Probe | None:
    if evidence.score.verdict != "special" or one_input(evidence) is None:
        return None
    if not (evidence.is_special & ~np.isfinite(evidence.judged.computed)).any():
        return None
    largest = evidence.fmt.largest
    begins = log(largest), log(largest) / 2, largest / 2, largest**0.5
    beside = np.outer((-1, 1), np.outer((1 - BESIDE, 1 + BESIDE), begins)).ravel()
    # As many of them as vectors hold: the rest, which other code computes, is the largest values, as before.
    return probe(evidence, np.concatenate([np.resize(beside, VECTORS), probes(evidence.fmt)]))


def _counted(tried: Probe, fmt: Format) -> Mask:
    """Not of an infinity, nor next to the largest number, where the result may round to one, nor what is excused."""
    is_number = np.isfinite(tried.x) & (np.abs(tried.exact) < (1 - LANDMARK_NEAR) * fmt.largest)
    return np.asarray(is_number & ~tried.reference.overflows.ravel())


def _lost(tried: Probe, fmt: Format) -> Mask:
    return np.asarray(_counted(tried, fmt) & tried.is_special & ~np.isfinite(tried.computed))


def _from(tried: Probe, fmt: Format, what: str, first: float) -> Cause | None:
    """The step `what`, where on a side that has lost numbers these are all that is beyond its first value."""
    lost, beyond = _lost(tried, fmt), _counted(tried, fmt) & (np.abs(tried.x) > first)
    sides = [side for side in (tried.x > 0, tried.x < 0) if np.isfinite(tried.x[lost & side]).any()]
    if not sides or any(not np.array_equal(lost & side, beyond & side) for side in sides):
        return None
    return Cause("overflows-inside", fmt.name, figures={"step": what, "from": first})


def inside(evidence: Evidence) -> Cause | None:
    """The half format that a number of the usual formula is beyond, or of another formula for the same values.

    As the inputs become smaller, or the cotangents of a gradient, nothing is lost that nothing overflows for, and what
    was lost is there again.
    """
    if evidence.fmt.bits != 16 or not evidence.is_special.any():
        return None
    gradient = evidence.spec.gradient
    together = [evidence.floats] if gradient is None else [evidence.floats, gradient.cotangents]
    is_met = any(_is_inside(evidence, each) for each in together)
    return Cause("overflows-inside", evidence.fmt.name) if is_met else None


def _is_inside(evidence: Evidence, names: Collection[str]) -> bool:
    made, more = [evidence], _scaled(evidence, names)

    def calls() -> Iterator[Evidence]:
        """Those that were made, then others: the first formula often needs few of them."""
        for place in count():
            if place == len(made):
                if (another := next(more, None)) is None:
                    return
                made.append(another)
            yield made[place]

    return any(_is_met(calls(), evidence, each) and _begins(made, each, names) for each in _formulas(evidence))


def _formulas(evidence: Evidence) -> Iterator[Formula]:
    """The usual formula; of a gradient also with powers of what divides; then those of variants with its values."""
    reference = evidence.reference
    yield ""
    usual = [each.op for each in topological(reference.natural)]
    for place, formula in enumerate(reference.by_powers):
        if [each.op for each in topological(formula)] != usual:
            yield place
    for name in reference.variants:
        if evidence.spec.variants[name].reference is not None and is_same_formula(evidence, name):
            yield name


def _scaled(evidence: Evidence, names: Collection[str]) -> Iterator[Evidence]:
    """The subject on the inputs of the call, some times the same power of two.

    Beyond those powers for which all is back that was lost, only the first is asked.
    """
    lost, back = _lost_numbers(evidence), 0
    for power in WIDE:
        if back < BACK and (made := _times(evidence, names, power)) is not None:
            yield made
            back = 0 if power == WIDE[0] or (lost & made.is_special).any() else back + 1
    yield from filter(None, (_times(evidence, names, power) for power in NEAR))


def _times(evidence: Evidence, names: Collection[str], power: float) -> Evidence | None:
    arrays = {name: evidence.call.arrays[name].astype(np.float64) * 2.0**power for name in names}
    call = evidence.call.with_arrays({name: round_to(array, evidence.fmt) for name, array in arrays.items()})
    output = evidence.run(call)
    return None if output is None else replace(evidence, call=call, output=output, wider=None)


def _is_met(calls: Iterable[Evidence], own: Evidence, formula: Formula) -> bool:
    """Whether all that is lost may overflow, some is back where it may not, and not much is there where it may."""
    lost = kept = idle = 0
    first = _lost_numbers(own)
    for each in calls:
        try:
            may = _may_overflow(each.reference, formula)
        except FAILURES:
            return False
        if (each.is_special & ~may).any():
            return False
        is_number = _is_number(each)
        lost += int(np.count_nonzero(first & _lost_numbers(each)))
        kept += int(np.count_nonzero(first & is_number & ~may))
        idle += int(np.count_nonzero(first & is_number & may & ~each.is_special))
    most_idle = MOST_IDLE if own.reference.has_sums else 1  # next to the largest number
    return lost >= LEAST_MET and kept >= LEAST_MET and idle <= most_idle * int(np.count_nonzero(first))


def _begins(calls: Sequence[Evidence], formula: Formula, names: Collection[str]) -> bool:
    """Whether a step of a formula begins to overflow where a number of the first call begins to be lost."""
    place = int(np.argmax(_lost_numbers(calls[0])))
    numbers = sorted((each for each in calls if _is_number(each).flat[place]), key=partial(_size, names=names))
    lost = next((each for each in numbers if each.is_special.flat[place]), None)
    if lost is None or lost.output.size > MOST_ELEMENTS or (first := numbers.index(lost)) == 0:
        return False
    kept, steps = numbers[first - 1], len(topological(_graph(lost.reference, formula)))
    return any(
        _may_overflow(lost.reference, formula, at).flat[place]
        and not _overflows(kept.reference, formula, at).flat[place]
        for at in range(steps)
    )


def _size(evidence: Evidence, names: Collection[str]) -> float:
    return max(float(np.abs(evidence.call.arrays[name].astype(np.float64)).max(initial=0.0)) for name in names)


def _lost_numbers(evidence: Evidence) -> Mask:
    """Also those beyond the format: for these an infinity is right, and what overflows before may end as NaN."""
    is_number = np.isfinite(evidence.reference.truth.hi) & ~evidence.reference.overflows
    return np.asarray(evidence.is_special & is_number)


def _is_number(evidence: Evidence) -> Mask:
    """Where a number of the format is right, and the usual formula gives one."""
    with np.errstate(over="ignore"):
        is_number = np.isfinite(round_to(evidence.reference.truth.hi, evidence.fmt))
    return np.asarray(is_number & ~evidence.reference.overflows)


def _may_overflow(reference: Reference, formula: Formula, at: int | None = None) -> Mask:
    """Where a number of a formula, or of its step `at`, may be beyond the half format.

    In some order of summation, or next to the largest number, where what was rounded before decides. Raises one of
    FAILURES where the variant has no meaning for this call.
    """
    graph, fmt = _graph(reference, formula), reference.fmt
    counting = Counting(NEARLY * fmt.largest, at, is_plain=True)
    return emulate(graph, wide_format(fmt), 1, counting=counting).overflowed


def _overflows(reference: Reference, formula: Formula, at: int) -> Mask:
    """Where the number of a step is beyond the half format in any order, and by more than roundings take from a sum."""
    graph, fmt = _graph(reference, formula), reference.fmt
    counting = Counting(WELL_BEYOND * fmt.largest, at, in_any_order=False)
    return emulate(graph, wide_format(fmt), 1, counting=counting).overflowed


def _graph(reference: Reference, formula: Formula) -> Node:
    if isinstance(formula, int):
        return reference.by_powers[formula]
    return reference.variant_graph(formula) if formula else reference.natural


def beyond_float16(evidence: Evidence) -> Cause | None:
    """Numbers beyond 65504 that become infinite in a format that holds them, so float16 is inside."""
    if evidence.fmt.emax <= FLOAT16.emax or not evidence.is_special.any() or evidence.reference.is_unary:
        return None
    numbers, lost = [], []
    for scale in (BELOW_FLOAT16, BEYOND_FLOAT16, *FAR_BEYOND_FLOAT16):
        call = ordinary(evidence, scale)
        made = None if call is None else evidence.run(call)
        if call is None or made is None:
            return None
        numbers.append(np.isfinite(evidence.refer(call).truth.hi))
        lost.append(numbers[-1] & ~np.isfinite(made.astype(np.float64)))
    if not (numbers[0].any() and lost[1].any()) or lost[0].any():
        return None
    if any((lost[i] & numbers[i + 1] & ~lost[i + 1]).any() for i in (1, 2)):  # it is not the size that does it
        return None
    figures: dict[str, Figure] = {"beyond": FLOAT16.largest, "finite": BELOW_FLOAT16, "infinite": BEYOND_FLOAT16}
    return Cause("overflows-inside", "float16", figures=figures)
