"""Causes of the kind "it computes something else": variants, other parameters, other inputs, memory read wrongly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np

from opfuzz.core.call import Call
from opfuzz.core.cause import UNEXPLAINED, Cause, Figure
from opfuzz.core.layout import LAYOUTS, has_gaps, memory
from opfuzz.core.results import Score
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.judge.diagnose.evidence import Array, Evidence, Fit, ordinary, same_values
from opfuzz.judge.diagnose.predictions import (
    Prediction,
    compare,
    confirm,
)
from opfuzz.judge.diagnose.solved import counts_everywhere, named_variant
from opfuzz.judge.diagnose.unlike import unlike
from opfuzz.judge.limits import EXCESS_LIMIT, FAR_SHARE, LEAST_MET, MOST_ELEMENTS, NEIGHBOUR
from opfuzz.oracle.meaning import FAILURES, rough_values
from opfuzz.spec import OpSpec

How = tuple[Figure, ...]  # what a param or input is taken for: a word, and what it is about


def variant(evidence: Evidence) -> Cause | None:
    """A variant of the spec that the output matches within its allowance."""
    reference, told = evidence.reference, evidence.score.cause
    for name in sorted(reference.variants, key=lambda name: told.kind != "is-variant" or name != told.name):
        other = evidence.variant(name)
        if other is None or not _holds(evidence, name):
            continue
        if (fit := _seen_to_fit(evidence, name)) is not None:
            return named_variant(evidence.spec, name, _figures(evidence, fit))
    return None


def _seen_to_fit(evidence: Evidence, name: str) -> Fit | None:
    """How well a variant fits; on another call, where this has too few elements to say, or zeros and infinities."""
    for each in (evidence, *evidence.others):
        other = each.variant(name)
        if other is not None and each.is_at_fault and (fit := each.fit(*other)) is not None:
            return fit
    return None


def _holds(evidence: Evidence, name: str) -> bool:
    """Whether the variant is met on other values as well: on few, many a result is that of one that hardly differs."""

    def predict(evidence: Evidence) -> Prediction | None:
        other = evidence.variant(name)
        return None if other is None else compare(evidence, *other)

    first = predict(evidence)
    if first is None or not first.is_met or confirm(evidence, first, predict, is_elsewhere=True) is None:
        return False
    if any((found := predict(other)) is None or not found.is_met for other in unlike(evidence)):
        return False
    if not all(_differs_from(evidence, *each) for each in _neighbours(evidence, name)):
        return False
    known = evidence.spec.variants[name]
    values = known.params.items() if known.reference is None and len(known.params) == 1 else ()
    return all(counts_everywhere(evidence, param, value) for param, value in values if type(value) is float)


def _neighbours(evidence: Evidence, name: str) -> Iterator[tuple[str, float]]:
    """Other values of a param that is all that a variant changes: it must be told from these, or it is none."""
    meant = evidence.spec.variants[name]
    if meant.reference is None and len(meant.params) == 1:
        ((param, value),) = meant.params.items()
        if type(value) is float and value != 0:
            yield from ((param, value * factor) for factor in (0.0, 1 / NEIGHBOUR, NEIGHBOUR))


def _differs_from(evidence: Evidence, param: str, value: float) -> bool:
    for each in (evidence, *evidence.others):
        other = each.refer(replace(each.call, params={**each.call.params, param: value}))
        if each.is_at_fault and not compare(each, other.truth.hi, each.allowance_of(other)).is_met:
            return True
    return False


def _figures(evidence: Evidence, fit: Fit) -> dict[str, Figure]:
    own = float(evidence.excess.max(initial=0.0))
    return {"fit": fit.excess, "elements": fit.elements, "own": own if own > EXCESS_LIMIT else None}


def setting(evidence: Evidence) -> Cause | None:
    """A parameter or an input that the subject takes for another, or ignores.

    The output must be as it would be then; where it holds too few numbers to tell, such as an infinity or one number
    many times, those of other values must tell.
    """
    call = evidence.call
    if sum(array.size for array in call.arrays.values()) + evidence.output.size > MOST_ELEMENTS:
        return None
    # NaN and infinities fit nothing: then another call must tell, if any is wrong.
    is_number = np.isfinite(evidence.judged.computed[evidence.is_wrong]).any()
    if not is_number and not any(each.is_wrong.any() for each in (*evidence.others, *unlike(evidence))):
        return None
    for name, how, other in other_settings(evidence.spec, evidence.call):
        if not _allows(evidence, other) or _is_far(evidence, other):
            continue
        fit, is_possible = evidence.heard(other)
        if fit is None and not is_possible:
            continue
        elsewhere = _set_elsewhere(evidence, name, how)
        if elsewhere is None or (not elsewhere and (fit is None or _is_uniform(evidence))):
            continue
        return Cause("is-setting", name, figures={"how": how, **_figures(evidence, fit or elsewhere[0])})
    return None


def _is_far(evidence: Evidence, call: Call) -> bool:
    """Whether the result of another call, of which no error bound is known, is nothing like what came.

    Of most calls that is so, and what is proved of a result costs ten times as much.
    """
    try:
        values = rough_values(evidence.spec, call, evidence.reference.place)
    except FAILURES:
        return False
    computed = evidence.judged.computed
    if values.shape != computed.shape:
        return False
    with np.errstate(invalid="ignore", over="ignore"):
        counted = evidence.judged.is_judged & np.isfinite(values) & np.isfinite(computed)
        off, sizes = np.abs(values - computed)[counted], np.maximum(np.abs(values), np.abs(computed))[counted]
    return bool(off.max(initial=0.0) > FAR_SHARE * sizes.max(initial=0.0))


def _is_uniform(evidence: Evidence) -> bool:
    """Whether many wrong elements are fewer than LEAST_MET numbers, as where all columns of a weight are alike."""
    wrong = evidence.output[evidence.is_wrong].astype(np.float64)
    return wrong.size >= LEAST_MET > np.unique(wrong).size


def _set_elsewhere(evidence: Evidence, name: str, how: How) -> list[Fit] | None:
    """How the same is met on other calls that are wrong; None if one that is at fault speaks against it.

    Few elements are met by many a setting. Indices and masks that are drawn anew may miss a fault.
    """
    met = []
    # A number of groups is that of this call: with other params or sizes it is another.
    further = () if how[0] in ("in turn", "in groups") else unlike(evidence)
    for other in (*evidence.others, *further):
        if not other.is_wrong.any():
            continue
        same = [call for given, taken, call in other_settings(other.spec, other.call) if (given, taken) == (name, how)]
        meant = next((call for call in same if _allows(other, call)), None)
        if meant is not None and (fit := other.fits(meant)) is not None:
            met += [fit] if evidence.takes_numbers else []
        elif other.is_at_fault and (meant is None or not other.agrees(meant)):
            return None
    for other in evidence.telling if evidence.spec.gradient is not None else ():
        same = [call for given, taken, call in other_settings(other.spec, other.call) if (given, taken) == (name, how)]
        if not any(other.agrees(call) for call in same if _allows(other, call)) and same:
            return None  # such as a row of zeros, which a short axis alone has
    return met if _holds_for_ordinary(evidence, name, how) else None


def _holds_for_ordinary(evidence: Evidence, name: str, how: How) -> bool:
    """Whether nothing speaks against it where just the values are ordinary ones.

    A parameter too large leaves nothing of tiny inputs, as if they were not heeded; of others it does. An input that
    counts as some value whatever it is has to give what that value gives.
    """
    made = ordinary(evidence, dims=evidence.call.dims)
    output = None if made is None else evidence.run(made)
    if made is None or output is None or not output.size:
        return True
    other = replace(evidence, score=Score("wrong", UNEXPLAINED), call=made, output=output, wider=None)
    same = (call for given, taken, call in other_settings(other.spec, made) if (given, taken) == (name, how))
    meant = next((call for call in same if _allows(other, call)), None)
    if meant is None:
        return True
    if how[0] == "value" and name in made.arrays:
        again = evidence.run(meant)
        return again is None or same_values(again, output)
    return other.is_at_fault or other.agrees(meant)


def _allows(evidence: Evidence, call: Call) -> bool:
    """Whether there is such a call, with these inputs."""
    if not evidence.spec.allows(call.dims, call.params):
        return False
    shapes = evidence.spec.shapes(call.dims, call.params)
    return all(call.arrays[name].shape == shape for name, shape in shapes.items())


def other_settings(spec: OpSpec, call: Call) -> Iterator[tuple[str, How, Call]]:
    """Name of the param or input, what it is taken for, and the call with that."""
    for param in spec.params:
        choices = param.values if param.values is not None else range(param.low or 0, (param.high or 0) + 1)
        for value in choices:
            if value != call.params[param.name] and type(value) is not float:  # which is solved for
                yield param.name, ("value", value), replace(call, params={**call.params, param.name: value})
    numbers = [item.name for item in spec.inputs if item.kind == "float" and call.arrays[item.name].size]
    for first, second in combinations(numbers, 2):
        a, b = call.arrays[first], call.arrays[second]
        if a.shape == b.shape:
            yield first, ("exchanged", second), call.with_arrays({first: b, second: a})
    for name in numbers:
        for how, array in _other_inputs(call.arrays[name], is_alone=len(spec.inputs) == 1):
            yield name, how, call.with_arrays({name: array})
    for item in spec.inputs:
        array = call.arrays[item.name]
        if item.kind == "mask":
            yield item.name, ("inverted",), call.with_arrays({item.name: ~array})
            yield item.name, ("true everywhere",), call.with_arrays({item.name: np.ones_like(array)})
        elif item.kind == "additive_mask":
            yield item.name, ("left out",), call.with_arrays({item.name: np.zeros_like(array)})


def _other_inputs(array: Array, is_alone: bool) -> Iterator[tuple[How, Array]]:
    if not is_alone:
        yield ("value", 0), np.zeros_like(array)
        yield ("value", 1), np.ones_like(array)
    yield ("negative",), -array
    if array.ndim >= 2 and array.shape[-1] == array.shape[-2] > 1:
        yield ("transposed",), np.swapaxes(array, -1, -2)
    for axis in range(array.ndim):
        if array.shape[axis] > 1:
            yield ("reversed", axis), np.flip(array, axis)
            for by in (1, -1):
                yield ("shifted", by, axis), np.roll(array, by, axis)
        yield from _interleaved(array, axis)


def _interleaved(array: Array, axis: int) -> Iterator[tuple[How, Array]]:
    """The groups along an axis taken element by element in turn, and the other way round: by their number or size."""
    size = array.shape[axis]
    for count in (2, 3, 4, 8):
        if size % count or size <= count:
            continue
        for how, shape in (("in turn", (count, -1)), ("in groups", (-1, count))):
            order = np.arange(size).reshape(shape).T.ravel()
            yield (how, count, axis), np.take(array, order, axis)


def leak(evidence: Evidence) -> Cause | None:
    """NaN or infinities that reach elements which do not depend on any, confirmed by taking them away."""
    reference, wrong = evidence.reference, evidence.is_special
    alone = wrong & ~reference.depends_on_special & ~np.isfinite(evidence.judged.computed)
    if not reference.has_special_inputs or not alone.any():
        return None
    tame = {name: evidence.call.arrays[name] for name in evidence.floats}
    tame = {name: np.where(np.isfinite(a.astype(np.float64)), a, a.dtype.type(1)) for name, a in tame.items()}
    made = evidence.again(**tame)
    if made is None or not np.isfinite(made.astype(np.float64)[alone]).all():
        return None
    if evidence.on_ordinary() is not None:
        return None  # numbers come from elsewhere as well
    return Cause("leaks", figures={"elements": int(alone.sum())})


def misread(evidence: Evidence) -> Cause | None:
    """A view whose strides or offset the subject ignores, confirmed by what it makes of the memory read that way."""
    call = evidence.call
    for name, layout in call.layouts.items():
        if layout == LAYOUTS[0]:
            continue
        array = call.arrays[name]
        for kind, wrongly in readings(array, layout):
            if wrongly.tobytes() == array.tobytes():
                continue
            if _reads(evidence, name, wrongly) and _reads_again(evidence, name, kind):
                return Cause(kind, name, figures={"layout": layout})
    return None


def _reads(evidence: Evidence, name: str, wrongly: Array) -> bool:
    """Whether the output is, to the bit and wrongly, that of the call on other values of an input."""
    call, bits = evidence.call, evidence.output.tobytes()
    plain = replace(call, arrays={**call.arrays, name: wrongly}, layouts=_contiguous(call.layouts))
    made = evidence.run(plain)
    if made is None or made.tobytes() != bits or not _differs(evidence, plain):
        return False
    # What hangs neither on the view nor on what lies there, such as a row that is never written, keeps its bits too.
    right = evidence.run(replace(call, layouts=_contiguous(call.layouts)))
    return right is None or right.tobytes() != bits


def _reads_again(evidence: Evidence, name: str, kind: str) -> bool:
    """Whether ordinary numbers in the same view are read so as well: NaN comes of whatever lies between others."""
    tried = [call for dims in (evidence.call.dims, None) if (call := ordinary(evidence, dims=dims)) is not None]
    for call in tried:
        made = evidence.run(call)
        if made is None:
            continue
        other = replace(evidence, call=call, output=made)
        known = dict(readings(call.arrays[name], call.layouts[name]))
        if other.is_wrong.any() and kind in known and _reads(other, name, known[kind]):
            return True
    return not tried


def _differs(evidence: Evidence, other: Call) -> bool:
    """Whether what is wrong has another exact result on another call; else equal bits prove nothing."""
    a, b = evidence.judged.truth.hi[evidence.is_wrong], evidence.refer(other).truth.hi[evidence.is_wrong]
    with np.errstate(invalid="ignore"):
        return bool((~(np.abs(a - b) <= np.abs(evidence.judged.computed[evidence.is_wrong] - a) / 2)).all())


def readings(array: Array, layout: str) -> Iterator[tuple[str, Array]]:
    """How the memory of a view may be read wrongly, and what it holds then; of indices only what are places as well."""
    buffer, _ = memory(array, layout)
    flat = buffer.ravel()
    found = []
    if flat.size >= array.size:
        found.append(("reads-as-contiguous", flat[: array.size].reshape(array.shape)))
    if layout == "narrowed":
        found.append(("ignores-offset", buffer[..., : array.shape[-1]]))
        found.append(("ignores-gaps", flat[1 : 1 + array.size].reshape(array.shape)))
    yield from (each for each in found if array.dtype.kind not in "iu" or _is_within(each[1], array))


def _is_within(values: Array, array: Array) -> bool:
    return bool(array.size and values.min() >= array.min() and values.max() <= array.max())


def _contiguous(layouts: Mapping[str, str]) -> dict[str, str]:
    return dict.fromkeys(layouts, LAYOUTS[0])


def layout(evidence: Evidence) -> Cause | None:
    """That a fault is gone or another when every input is contiguous; None where it stays, or lacks views."""
    call = evidence.call
    views = {name: layout for name, layout in call.layouts.items() if layout != LAYOUTS[0]}
    if not views:
        return None
    plain = replace(call, layouts=_contiguous(call.layouts))
    made = evidence.run(plain)
    verdict = evidence.score.verdict if made is None else evidence.verdict_on(made, plain)
    if verdict == evidence.score.verdict:
        return None
    # The fewest views that do it.
    for name in views:
        if len(views) > 1 and evidence.fails(replace(plain, layouts={**plain.layouts, name: views[name]})):
            views = {name: views[name]}
            break
    is_finite = all(np.isfinite(evidence.call.arrays[name]).all() for name in evidence.floats)
    is_nan = bool(np.isnan(evidence.judged.computed).any()) and is_finite and any(map(has_gaps, views.values()))
    instead = verdict if SEVERITY[verdict] == FAULT else ""
    return Cause("depends-on", "layout", figures={"views": tuple(views.items()), "instead": instead, "beside": is_nan})
