"""Causes of gradients: a factor too many or too few, elements at other places, one mistake on the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from math import prod

import numpy as np

from opfuzz.core.cause import Cause, Figure
from opfuzz.core.floats import FloatArray
from opfuzz.judge.diagnose.evidence import Array, Evidence
from opfuzz.judge.diagnose.predictions import Prediction, compare, confirm
from opfuzz.judge.limits import LEAST_MET, MET_SHARE, MOST_MISTAKEN, MOST_MISTAKES
from opfuzz.oracle import balls
from opfuzz.oracle.gradients.mistakes import FACTOR, WHOLE, Mistake, mistakes
from opfuzz.oracle.meaning import FAILURES

Predict = Callable[[Evidence], Prediction | None]
# Powers of a size that a gradient may be too large by: a mean for a sum, and a score that is divided by a root.
POWERS = (-1.0, 1.0, -0.5, 0.5)
POWER_WORDS = {-1.0: "1/{}", 1.0: "{}", -0.5: "1/sqrt({})", 0.5: "sqrt({})"}
ENDS = {"first": 0, "last": -1}  # of an axis
How = tuple[Figure, ...]
PLAIN = {"1/2": 0.5, "2": 2.0, "-1": -1.0}


def kinked(evidence: Evidence) -> Cause | None:
    """What lies outside all that is right at a kink, and nothing else that is wrong."""
    if evidence.spec.gradient is None or not evidence.reference.has_kinks:
        return None
    seen = [each for each in (evidence, *evidence.others, *evidence.telling) if each.is_wrong.any()]
    at_kinks = [each.judged.truth.ranges for each in seen]
    for each, ranges in zip(seen, at_kinks, strict=True):
        if ranges is None or (each.is_wrong & ~ranges).any():
            return None
    return Cause("outside-kink", figures={"elements": sum(int(each.is_wrong.sum()) for each in seen)})


def scaled(evidence: Evidence) -> Cause | None:
    """A gradient that is the right one times a factor: a number, or a size or its root, or one over that."""
    if (telling := _asked(evidence)) is None:
        return None
    for name in _factors(telling):

        def predict(each: Evidence, name: str = name) -> Prediction | None:
            factor = _factors(each).get(name)
            return None if factor is None else _compared(each, lambda values: values * factor)

        if (total := _confirmed(evidence, predict)) is not None:
            return Cause("scales-gradient", name, figures=total.figures)
    return None


def _factors(evidence: Evidence) -> dict[str, float]:
    """Factors by name, those of which nothing is known of sizes first."""
    found = dict(PLAIN)
    sizes: dict[str, float] = {name: float(size) for name, size in evidence.call.dims.items()}
    sizes |= {name: float(value) for name, value in evidence.call.params.items() if type(value) is int}
    for group in (*combinations(sizes, 1), *combinations(sizes, 2), *([tuple(sizes)] if len(sizes) > 2 else [])):
        size = prod(sizes[name] for name in group)
        if size > 0:
            words = " * ".join(group)
            for power in POWERS:
                inside = f"({words})" if len(group) > 1 and power == -1.0 else words
                found[POWER_WORDS[power].format(inside)] = size**power
    return found


def arranged(evidence: Evidence) -> Cause | None:
    """A gradient whose elements stand at other places: reversed, shifted or transposed, or not written at one end."""
    if _asked(evidence) is None:
        return None
    for how in _arrangements(evidence.output.ndim):

        def predict(each: Evidence, how: How = how) -> Prediction | None:
            return _compared(each, lambda values: _moved(values, how))

        if (total := _confirmed(evidence, predict)) is not None:
            return Cause("arranges-gradient", figures={"how": how, **total.figures})
    return None


def _arrangements(count: int) -> Iterator[How]:
    for axis in range(count):
        yield from (("zero", end, axis) for end in ENDS)
        yield "reversed", axis
        yield "shifted", 1, axis
        yield "shifted", -1, axis
    for first, second in combinations(range(count), 2):
        yield "transposed", first, second


def _moved(values: FloatArray, how: How) -> FloatArray | None:
    match how:
        case ("zero", str(end), int(axis)):
            return _without(values, end, axis) if values.shape[axis] else None
        case ("reversed", int(axis)):
            return np.flip(values, axis)
        case ("shifted", int(by), int(axis)):
            return np.roll(values, by, axis)
        case ("transposed", int(first), int(second)):
            made = np.swapaxes(values, first, second)
            return made if made.shape == values.shape else None
    return None


def _without(values: Array, end: str, axis: int) -> Array:
    made = np.array(values)
    np.moveaxis(made, axis, 0)[ENDS[end]] = 0
    return made


def unheeded(evidence: Evidence) -> Cause | None:
    """Elements of a cotangent at one end of an axis, as the last row, that have no part in the gradient."""
    if _asked(evidence) is None or evidence.spec.gradient is None:
        return None
    for name in evidence.spec.gradient.cotangents:
        for axis in range(evidence.call.arrays[name].ndim):
            for end in ENDS:

                def predict(each: Evidence, name: str = name, end: str = end, axis: int = axis) -> Prediction | None:
                    own = each.call.arrays[name]
                    if not own.size:
                        return None
                    other = each.refer(each.call.with_arrays({name: _without(own, end, axis)}))
                    return compare(each, other.truth.hi, each.allowance_of(other))

                if (total := _confirmed(evidence, predict)) is not None:
                    how = ("unheeded", end, axis)
                    fit: dict[str, Figure] = {"fit": total.after, "elements": total.met, "own": total.before}
                    return Cause("is-setting", name, figures={"how": how, **fit})
    return None


# The slope of a line through 0 that is nearest to the output, in units of the last place of the exact gradient.


def _slope(evidence: Evidence) -> float | None:
    judged = evidence.judged
    counted = judged.is_judged & np.isfinite(judged.computed) & (judged.truth.hi != 0)
    if np.count_nonzero(counted) < LEAST_MET:
        return None
    factor = float(np.median(judged.computed[counted] / judged.truth.hi[counted]))
    return factor if np.isfinite(factor) else None


def scaled_anyhow(evidence: Evidence) -> Cause | None:
    """A gradient that is right but for one factor, which nothing of the sizes explains."""
    if _asked(evidence) is None:
        return None

    def predict(each: Evidence) -> Prediction | None:
        factor = _slope(each)
        return None if factor is None else _compared(each, lambda values: values * factor)

    seen = [each for each in (*evidence.telling, *evidence.others) if each.is_at_fault]
    if len(seen) < LEAST_MET:
        return None
    found = [predict(each) for each in seen]
    met = [each for each in found if each is not None and each.is_met and each.met >= LEAST_MET]
    if len(met) < len(seen):
        return None
    total, factors = sum(met[1:], start=met[0]), tuple(_slope(each) or 0.0 for each in seen)
    if len({f"{factor:.2g}" for factor in factors}) < 2:
        return None  # of one factor it is known that it does not hold everywhere
    return Cause("scales-gradient", figures={"factors": factors, **total.figures})


def _compared(evidence: Evidence, change: Callable[[FloatArray], FloatArray | None]) -> Prediction | None:
    """The output against the exact gradient with a change, which is also made to what honest arithmetic may be off."""
    with np.errstate(all="ignore"):
        values, allowance = (change(each) for each in (evidence.reference.truth.hi, evidence.reference.wide))
    if values is None or allowance is None or np.array_equal(values, evidence.reference.truth.hi):
        return None
    return compare(evidence, values, np.abs(allowance))


def mistaken(evidence: Evidence) -> Cause | None:
    """One step of the way back that is left out, or another one: a term, a factor, a sign, a sum."""
    telling = _asked(evidence)
    if telling is None or sum(array.size for array in telling.call.arrays.values()) > MOST_MISTAKEN:
        return None
    tried = 0
    for formula, root in enumerate(telling.reference.usual):
        for mistake in mistakes(root):
            tried += 1
            if tried > MOST_MISTAKES:
                return None
            if not _is_near(telling, mistake):
                continue
            predict = partial(_predict, formula=formula, told=(mistake.what, mistake.about.op, mistake.place))
            if (total := _confirmed(evidence, predict)) is not None:
                return Cause("mistakes-gradient", mistake.what, figures=_figures(telling, mistake, total))
    return None


def _is_near(evidence: Evidence, mistake: Mistake) -> bool:
    """Whether most wrong elements come near, without any allowance: much is tried, and little of it is near."""
    try:
        values = balls.evaluate(mistake.make(), []).mid
    except FAILURES:
        return False
    wrong = evidence.is_wrong & np.isfinite(evidence.judged.computed)
    if values.shape != wrong.shape or not wrong.any():
        return False
    computed, spread = evidence.judged.computed[wrong], 2.0 ** (-evidence.fmt.precision / 2)
    with np.errstate(all="ignore"):
        near = np.abs(values[wrong] - computed) <= spread * np.abs(computed) + evidence.reference.wide[wrong]
    return bool(near.mean() >= MET_SHARE)


def _predict(evidence: Evidence, formula: int, told: tuple[str, str, int]) -> Prediction | None:
    """What a mistake comes to; where the formula has other steps, as for sizes of 1, at that of them that fits best."""
    what, about, place = told
    usual = evidence.reference.usual
    if formula >= len(usual):
        return None
    # One over 2 may be any factor, one over 7 is that of a mean.
    alike = {FACTOR, WHOLE} if what in (FACTOR, WHOLE) else {what}
    same = [each for each in mistakes(usual[formula]) if each.what in alike and each.about.op == about]
    best: Prediction | None = None
    for mistake in [each for each in same if each.place == place] or same:
        try:
            meant = evidence.reference.meant(mistake.make())
        except FAILURES:
            continue
        found = None if meant is None else compare(evidence, *meant)
        if found is not None and (best is None or found.met > best.met):
            best = found
    return best


def _figures(evidence: Evidence, mistake: Mistake, total: Prediction) -> dict[str, Figure]:
    named = {id(node): name for name, node in evidence.reference.tensors.items()}
    about = named.get(id(mistake.about), mistake.about.op)
    if mistake.about.op == "number" and mistake.about.detail is not None:
        about = f"{float(mistake.about.detail):g}"
    return {"about": about, **total.figures}


def _confirmed(evidence: Evidence, predict: Predict) -> Prediction | None:
    """What is met on all calls together, on that which tells sizes apart as well."""
    found = [predict(each) for each in (*evidence.telling, evidence)]
    met = [each for each in found if each is not None and each.is_met]
    if len(met) < len(found):
        return None
    return confirm(evidence, sum(met[1:], start=met[0]), predict, is_elsewhere=True)


def _asked(evidence: Evidence) -> Evidence | None:
    """The first call that tells sizes apart; None where there is none, or it is no gradient."""
    return None if evidence.spec.gradient is None else next(iter(evidence.telling), None)
