"""Causes of the kind "it computes something else": variants, other parameters, other inputs, memory read wrongly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np

from opfuzz.call import Call
from opfuzz.diagnose.evidence import LIMIT, Array, Evidence, Fit, counted, figure, on_all
from opfuzz.floats import round_to
from opfuzz.layout import LAYOUTS, has_gaps, memory
from opfuzz.metrics.conditioned import relative_to
from opfuzz.records import FAULT, SEVERITY

ALIKE = 4.0  # between the rms errors of two results that err in the same way
MOST_ELEMENTS = 2**18  # of inputs and output, where the exact result is computed once more for each meaning


def variant(evidence: Evidence) -> str | None:
    """A variant of the spec that the output matches within its allowance."""
    named = re.match(r"(?:.*: )?behaves as the variant '([^']+)'", evidence.score.reason)
    names = sorted(evidence.judged.exact.variants, key=lambda name: named is None or name != named[1])
    for name in names:
        other = evidence.judged.exact.variant(name)
        if other is not None and (fit := evidence.fit(*other)) is not None:
            note = evidence.judged.exact.variants[name]
            return f"it is the variant '{name}'{f' ({note})' if note else ''}: {_figures(evidence, fit)}"
    return None


def formula(evidence: Evidence) -> str | None:
    """A formula for the same values that errs as much as the output when it is run."""
    named = re.search(r"loses what the formula '([^']+)' loses", evidence.score.reason)
    exact, wrong = evidence.judged.exact, evidence.is_wrong & evidence.judged.is_judged
    worst = float(evidence.excess.max(initial=0.0))
    found: list[tuple[bool, float, str]] = []  # the one that errs most alike is told
    for name, note in exact.variants.items():
        if (other := exact.variant(name)) is None:
            continue
        values = round_to(exact.variant_emulated(name).values.astype(np.float64), evidence.fmt).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            meant = relative_to(np.abs(other[0] - exact.truth.hi), evidence.judged.spacing, other[1])
            error = np.where(evidence.judged.is_judged & np.isfinite(values), np.abs(values - exact.truth.hi), 0.0)
        is_named = named is not None and named[1] == name
        if not is_named and not (meant[evidence.judged.is_judged | evidence.is_special] <= LIMIT).all():
            continue  # it has other values, which is another cause
        label = f"the formula '{name}'{f' ({note})' if note else ''}"
        if evidence.is_special.any() and _same_class(evidence, values):
            return f"it fails where {label} does, which has the same infinities and NaN when it is run"
        if worst <= LIMIT:
            continue
        if not is_named and not (wrong & (other[1] < np.abs(exact.truth.hi))).any():
            continue  # it may lose everything where the output is wrong, as whatever returns 0 does
        own = float(relative_to(error, evidence.judged.spacing, exact.wide).max(initial=0.0))
        ratio = _rms(error[wrong]) / max(_rms(evidence.judged.error[wrong]), np.finfo(np.float64).tiny)
        if (ALIKE * own >= worst and 1 / ALIKE <= ratio <= ALIKE) or is_named:
            inside = "float32" if evidence.fmt.bits == 16 else evidence.fmt.name
            sentence = (
                f"it loses what {label} loses: its error is {figure(worst)} times the allowance, "
                f"that formula's own in {inside} {figure(own)} times"
            )
            found.append((not is_named, max(own / worst, worst / max(own, 1.0)), sentence))
    return min(found)[2] if found else None


def _same_class(evidence: Evidence, values: Array) -> bool:
    """Whether a formula that is run gives what the subject does wherever that is of the wrong class."""
    computed, run = evidence.judged.computed[evidence.is_special], values[evidence.is_special]
    usual = evidence.judged.exact.emulated(1).values.astype(np.float64)[evidence.is_special]
    same = (np.isnan(computed) & np.isnan(run)) | (np.isinf(computed) & (computed == run))
    return bool(same.all() and np.isfinite(usual).all())


def _rms(errors: Array) -> float:
    largest = float(errors.max(initial=0.0))
    return float(largest * np.sqrt(np.mean((errors / largest) ** 2))) if largest > 0 else 0.0


def _figures(evidence: Evidence, fit: Fit) -> str:
    own = float(evidence.excess.max(initial=0.0))
    beyond = f", where the spec's own is exceeded {figure(own)} times" if own > LIMIT else ""
    return f"the output is within {figure(fit.excess)} of its allowance {on_all(fit.elements)}{beyond}"


def setting(evidence: Evidence) -> str | None:
    """A parameter or an input that the subject takes for another, or ignores."""
    call = evidence.call
    if sum(array.size for array in call.arrays.values()) + evidence.output.size > MOST_ELEMENTS:
        return None
    for words, other in _other_settings(evidence):
        if not evidence.spec.allows(other.dims, other.params):
            continue
        shapes = evidence.spec.shapes(other.dims, other.params)
        if any(other.arrays[name].shape != shape for name, shape in shapes.items()):
            continue
        if (fit := evidence.fits(other)) is not None:
            return f"it computes as if {words}: {_figures(evidence, fit)}"
    return None


def _other_settings(evidence: Evidence) -> Iterator[tuple[str, Call]]:
    spec, call = evidence.spec, evidence.call
    for param in spec.params:
        choices = param.values if param.values is not None else range(param.low or 0, (param.high or 0) + 1)
        for value in choices:
            if value != call.params[param.name]:
                yield f"{param.name} were {value}", replace(call, params={**call.params, param.name: value})
    numbers = evidence.floats
    for first, second in combinations(numbers, 2):
        a, b = call.arrays[first], call.arrays[second]
        if a.shape == b.shape:
            yield f"{first} and {second} were exchanged", call.with_arrays({first: b, second: a})
    for name in numbers:
        for words, array in _other_inputs(call.arrays[name], is_alone=len(spec.inputs) == 1):
            yield f"{name} were {words}", call.with_arrays({name: array})
    for item in spec.inputs:
        array = call.arrays[item.name]
        if item.kind == "mask":
            yield f"{item.name} were inverted", call.with_arrays({item.name: ~array})
            yield f"{item.name} were true everywhere", call.with_arrays({item.name: np.ones_like(array)})
        elif item.kind == "additive_mask":
            yield f"{item.name} were left out", call.with_arrays({item.name: np.zeros_like(array)})


def _other_inputs(array: Array, is_alone: bool) -> Iterator[tuple[str, Array]]:
    if not is_alone:
        yield "0", np.zeros_like(array)
        yield "1", np.ones_like(array)
    yield "negative", -array
    if array.ndim >= 2 and array.shape[-1] == array.shape[-2] > 1:
        yield "transposed", np.swapaxes(array, -1, -2)
    for axis in range(array.ndim):
        if array.shape[axis] > 1:
            yield f"reversed along axis {axis}", np.flip(array, axis)
            for by in (1, -1):
                yield f"shifted by {by} along axis {axis}", np.roll(array, by, axis)


def leak(evidence: Evidence) -> str | None:
    """NaN or infinities that reach elements which do not depend on any, confirmed by taking them away."""
    exact, wrong = evidence.judged.exact, evidence.is_special
    alone = wrong & ~exact.depends_on_special & ~np.isfinite(evidence.judged.computed)
    if not exact.has_special_inputs or not alone.any():
        return None
    tame = {name: evidence.call.arrays[name] for name in evidence.floats}
    tame = {name: np.where(np.isfinite(a.astype(np.float64)), a, a.dtype.type(1)) for name, a in tame.items()}
    made = evidence.again(**tame)
    if made is None or not np.isfinite(made.astype(np.float64)[alone]).all():
        return None
    return (
        f"NaN and infinities reach {counted(int(alone.sum()), 'element')} that depend on none: "
        "these are right when all NaN and infinities of the inputs are replaced by 1"
    )


def misread(evidence: Evidence) -> str | None:
    """A view whose strides or offset the subject ignores, confirmed by what it makes of the memory read that way."""
    call = evidence.call
    for name, layout in call.layouts.items():
        if layout == LAYOUTS[0]:
            continue
        array = call.arrays[name]
        for words, wrongly in _readings(array, layout):
            if wrongly.tobytes() == array.tobytes():
                continue
            plain = replace(call, arrays={**call.arrays, name: wrongly}, layouts=_contiguous(call.layouts))
            made = evidence.run(plain)
            if made is not None and made.tobytes() == evidence.output.tobytes() and _differs(evidence, plain):
                return f"{name} ({layout}) is read {words}: the output has the bits of the call on what lies there"
    return None


def _differs(evidence: Evidence, other: Call) -> bool:
    """Whether what is wrong has another exact result on another call; else equal bits prove nothing."""
    a, b = evidence.judged.exact.truth.hi[evidence.is_wrong], evidence.exact(other).truth.hi[evidence.is_wrong]
    with np.errstate(invalid="ignore"):
        return bool((~(np.abs(a - b) <= np.abs(evidence.judged.computed[evidence.is_wrong] - a) / 2)).all())


def _readings(array: Array, layout: str) -> Iterator[tuple[str, Array]]:
    buffer, _ = memory(array, layout)
    flat = buffer.ravel()
    if flat.size >= array.size:
        yield "as if it were contiguous, its strides and offset ignored", flat[: array.size].reshape(array.shape)
    if layout == "narrowed":
        yield "from the start of its rows, its offset ignored", buffer[..., : array.shape[-1]]
        yield "as if there were no gaps between its rows", flat[1 : 1 + array.size].reshape(array.shape)


def _contiguous(layouts: Mapping[str, str]) -> dict[str, str]:
    return dict.fromkeys(layouts, LAYOUTS[0])


def layout(evidence: Evidence) -> str | None:
    """Words for a fault that is gone or another when every input is contiguous; None where it stays, or lacks views."""
    call = evidence.call
    views = {name: layout for name, layout in call.layouts.items() if layout != LAYOUTS[0]}
    if not views:
        return None
    plain = replace(call, layouts=_contiguous(call.layouts))
    made = evidence.run(plain)
    verdict = evidence.score.verdict if made is None else evidence.judge(made, plain).verdict()[0]
    if verdict == evidence.score.verdict:
        return None
    # The fewest views that do it.
    for name in views:
        if len(views) > 1 and evidence.fails(replace(plain, layouts={**plain.layouts, name: views[name]})):
            views = {name: views[name]}
            break
    listed = " and ".join(f"{name} as a view ({layout})" for name, layout in views.items())
    instead = f"'{verdict}' instead" if SEVERITY[verdict] == FAULT else "right"
    words = f"only with {listed}: with every input contiguous it is {instead}"
    is_finite = all(np.isfinite(evidence.call.arrays[name]).all() for name in evidence.floats)
    if np.isnan(evidence.judged.computed).any() and is_finite and any(map(has_gaps, views.values())):
        words += "; the NaN may come from memory beside the view"
    return words
