"""The value that a parameter has in effect, solved for: an eps that is another, is rounded, or grows with an input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from opfuzz.core.call import Call
from opfuzz.core.cause import Cause, Figure
from opfuzz.core.floats import BFLOAT16, FLOAT16, FLOAT32, FloatArray, round_to
from opfuzz.core.layout import LAYOUTS
from opfuzz.judge.diagnose.evidence import Evidence, ordinary
from opfuzz.judge.diagnose.predictions import Prediction, compare, confirm, differs_elsewhere
from opfuzz.judge.diagnose.unlike import other_params
from opfuzz.judge.limits import ALIKE, EXCESS_LIMIT, MOST_SOLVED, SAME_QUOTIENT
from opfuzz.spec import OpSpec

DECADES = range(-14, 4)  # in which an effective value is looked for
STEPS, NUDGE = 8, 1e-5  # of the search from there, as near as float64 tells, and how far its slopes reach
NEAR_STEPS, MUCH_NEARER = 10, 2.0  # after so many the place is known to 4 %: the output must be so many times nearer
DIGITS = (1, 2, 3, 5)  # of a value that somebody wrote
MOST_FAILED = 1  # of single rows that are wrong, for which no value is found
SCALES = (0.25, 1.0, 4.0)  # of values whose squares are as large as the parameter
TELLING = 2.0**-4  # a parameter of at least this size is told from what it should be in every format

# What an effective eps may grow with, of one row of values.
GROWTHS: Mapping[str, Callable[[FloatArray], float]] = {
    "the largest square of {}": lambda x: float(np.max(x * x)),
    "the mean square of {}": lambda x: float(np.mean(x * x)),
    "the sum of squares of {}": lambda x: float(np.sum(x * x)),
    "the variance of {}": lambda x: float(np.var(x)),
    "the largest {}": lambda x: float(np.max(np.abs(x))),
    "the number of elements": lambda x: float(x.size),
    "one over the number of elements": lambda x: 1 / x.size,
}


def parameter(evidence: Evidence) -> Cause | None:
    """A parameter that counts as another value, solved for, and confirmed on other values."""
    call = evidence.call
    if sum(array.size for array in call.arrays.values()) + evidence.output.size > MOST_SOLVED:
        return None
    for name, own in call.params.items():
        if type(own) is not float:
            continue
        cause = _rounded(evidence, name, own) or _growing(evidence, name, own) or _another(evidence, name)
        if cause is not None:
            return cause
    return None


def _rounded(evidence: Evidence, name: str, own: float) -> Cause | None:
    """As if the parameter were rounded to fewer bits: as an attribute of a model's file is, or a number on a GPU."""
    for fmt in (FLOAT32, FLOAT16, BFLOAT16):
        value = float(round_to(np.asarray(own), fmt))
        if fmt.precision < evidence.fmt.precision and value != own:
            cause = _confirmed(evidence, name, value, ("rounded to", fmt.name))
            if cause is not None:
                return cause
    return None


def _another(evidence: Evidence, name: str) -> Cause | None:
    value = _solve(evidence, name)
    if value is None:
        return None
    if _predict(evidence, name, 0.0).is_met:  # what counts for next to nothing cannot be told from 0
        least = max((10.0**k for k in DECADES if _predict(evidence, name, 10.0**k).is_met), default=0.0)
        return None if _heeds(evidence, name, least) else _confirmed(evidence, name, least, ("at most", least))
    for digits in DIGITS:
        plain = float(f"{value:.{digits}g}")
        if _predict(evidence, name, plain).is_met:
            others = (replace(evidence, call=call) for call in other_params(evidence))
            holds = all(counts_everywhere(each, name, plain) for each in (evidence, *others))
            cause = _confirmed(evidence, name, plain, ("value", plain)) if holds else None
            return cause and _as_variant(evidence, cause, {name: plain})
    return None


def _as_variant(evidence: Evidence, cause: Cause, params: Mapping[str, float]) -> Cause:
    """The variant of the spec that has this value and changes nothing else, if there is one."""
    for variant in evidence.spec.variants.values():
        if variant.reference is None and variant.params == params:
            return named_variant(evidence.spec, variant.name, {f: cause.figures[f] for f in ("fit", "elements", "own")})
    return cause


def named_variant(spec: OpSpec, name: str, figures: Mapping[str, Figure]) -> Cause:
    """The cause that a variant of a spec is; of one that only sets a param, what it sets, which has no other name."""
    known = spec.variants[name]
    sets: dict[str, Figure] = {}
    if known.reference is None and len(known.params) == 1:
        ((param, value),) = known.params.items()
        sets["sets"] = (param, value)
    return Cause("is-variant", name, figures={"note": known.note, **sets, **figures})


def _heeds(evidence: Evidence, name: str, value: float) -> bool:
    """Whether a parameter that is said to count for next to nothing does count where it is large."""
    call = ordinary(evidence, SCALES[0] * TELLING**0.5, evidence.call.dims)  # whose squares are smaller
    call = call and replace(call, params={**call.params, name: TELLING})
    output = None if call is None else evidence.run(call)
    if call is None or output is None:
        return True
    other = replace(evidence, call=call, output=output, wider=None)
    counted = other.judged.is_judged | other.judged.is_special_wrong
    offs = [other.excess_against(*_exact(other, name, each))[counted] for each in (0.0, value)]
    return all(bool((off > EXCESS_LIMIT).any()) for off in offs)


def _confirmed(evidence: Evidence, name: str, value: float, how: tuple[Figure, ...]) -> Cause | None:
    predict = partial(_predict, name=name, value=value)
    first = predict(evidence)
    total = confirm(evidence, first, predict) if first.is_met else None
    # Of a few roundings to a half format each order of steps makes others, which some value always meets.
    is_number = evidence.fmt.bits == 16 and evidence.score.verdict != "special"
    if total is None or (is_number and total.before < ALIKE * EXCESS_LIMIT):
        return None
    if evidence.score.verdict == "special" and differs_elsewhere(evidence, predict):
        return None
    figures: dict[str, Figure] = {"how": how, "fit": total.after, "elements": total.met, "own": total.before}
    return Cause("is-setting", name, figures=figures)


def _growing(evidence: Evidence, name: str, own: float) -> Cause | None:
    """A parameter that counts times something of the first input, told by single rows of several sizes."""
    seen: list[tuple[FloatArray, float]] = []
    failed = 0
    asked = max(own, TELLING)
    for made in _rows(evidence, asked):
        plain = dict.fromkeys(made.layouts, LAYOUTS[0])
        call = replace(made, params={**made.params, name: asked}, layouts=plain)
        output = evidence.run(call)
        other = None if output is None else replace(evidence, call=call, output=output, wider=None)
        if other is None or not other.is_wrong.any():
            continue
        if (value := _solve(other, name)) is not None:
            seen.append((call.arrays[evidence.floats[0]].astype(np.float64), value))
        elif (failed := failed + 1) > MOST_FAILED:
            return None
    if len(seen) < len(SCALES):
        return None
    for what, of in GROWTHS.items():
        quotients = [value / (asked * of(x)) for x, value in seen]
        if all(abs(quotient - 1) < SAME_QUOTIENT + 8 * evidence.fmt.unit_roundoff for quotient in quotients):
            how = ("times", what.format(evidence.floats[0]))
            return Cause("is-setting", name, figures={"how": how, "fit": 0.0, "elements": len(seen), "own": None})
    return None


def _rows(evidence: Evidence, size: float) -> Iterator[Call]:
    """Single rows, of two lengths, of values whose squares are about as large as `size`."""
    spec, call = evidence.spec, evidence.call
    single = {dim: 1 if dim in spec.batch else max(size, 8) for dim, size in call.dims.items()}
    longer = {n: s if n in spec.batch else s + 5 for n, s in single.items()}
    if not spec.allows(longer, call.params):
        longer = {n: s if n in spec.batch else 2 * s for n, s in single.items()}
    for number, scale in enumerate(SCALES * 2):
        dims = single if number < len(SCALES) else longer
        made = ordinary(evidence, scale * size**0.5, dims, number) if evidence.floats else None
        if made is not None and made.dims == dims:
            yield made


def counts_everywhere(evidence: Evidence, name: str, value: float) -> bool:
    """Whether a parameter counts as another value on whatever is wrong among rows that would tell it from others."""
    for call in _rows(evidence, max(value, 10.0 ** DECADES[0])):
        output = evidence.run(call)
        other = None if output is None else replace(evidence, call=call, output=output, wider=None)
        if other is not None and other.is_at_fault and not _predict(other, name, value).is_met:
            return False
    return True


def _exact(evidence: Evidence, name: str, value: float) -> tuple[FloatArray, FloatArray]:
    other = evidence.refer(replace(evidence.call, params={**evidence.call.params, name: value}))
    return other.truth.hi, evidence.allowance_of(other)


def _predict(evidence: Evidence, name: str, value: float) -> Prediction:
    return compare(evidence, *_exact(evidence, name, value))


def _solve(evidence: Evidence, name: str) -> float | None:
    """The value with which the output is nearest to exact; None where that is no better than any."""

    def off(value: float) -> FloatArray:
        exact = evidence.reference.values_with(name, value)
        with np.errstate(all="ignore"):
            apart = (exact - evidence.judged.computed) / evidence.judged.spacing
        return np.asarray(apart[evidence.judged.is_judged])

    def miss(value: float) -> float:
        apart = off(value)
        return float(np.sqrt(np.mean(np.square(apart)))) if apart.size and np.isfinite(apart).all() else np.inf

    misses = {10.0**k: miss(10.0**k) for k in DECADES}
    best = min(misses, key=lambda value: misses[value])
    meant = evidence.call.params[name]
    assert isinstance(meant, float)  # others are not solved for
    low, high = np.log(best / 10), np.log(best * 10)
    share = (np.sqrt(5) - 1) / 2  # golden section, which keeps one of its two places at every step
    places = [high - share * (high - low), low + share * (high - low)]
    found = [miss(float(np.exp(place))) for place in places]
    for _ in range(NEAR_STEPS):
        if found[0] < found[1]:
            high = places[1]
            places, found = [high - share * (high - low), places[0]], [0.0, found[0]]
            found[0] = miss(float(np.exp(places[0])))
        else:
            low = places[0]
            places, found = [places[1], low + share * (high - low)], [found[1], 0.0]
            found[1] = miss(float(np.exp(places[1])))
    if MUCH_NEARER * min(found) > miss(meant):
        return None  # whatever the value is, it explains little
    value = float(np.exp(_refined(off, (low + high) / 2)))
    if miss(0.0) <= miss(value):
        value = 0.0
    return value if _predict(evidence, name, value).is_met else None


def _refined(off: Callable[[float], FloatArray], place: float) -> float:
    """The logarithm of the value with the least squares, from one that is near, by the method of Gauss and Newton."""
    for _ in range(STEPS):
        apart = off(float(np.exp(place)))
        slope = (off(float(np.exp(place + NUDGE))) - apart) / NUDGE
        with np.errstate(all="ignore"):
            step = -float(np.vdot(slope, apart) / np.vdot(slope, slope))
        if not abs(step) < 1:
            break  # it does not matter, or lies elsewhere
        place += step
        if abs(step) < NUDGE**2:
            break
    return place
