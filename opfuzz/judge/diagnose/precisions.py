"""Causes of the kind "it computes with fewer bits": another format, rounded inputs, quantised inputs or outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np

from opfuzz.core.cause import Cause, Figure
from opfuzz.core.floats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FORMATS, Format, round_to
from opfuzz.core.rounding import QUANTISERS, Quantiser, cut_to_bits, jittered, round_to_bits
from opfuzz.core.verdicts import FAULT, SEVERITY
from opfuzz.judge.diagnose.evidence import Array, Evidence, same_values
from opfuzz.judge.diagnose.predictions import Prediction, compare, confirm, ends_otherwise, is_lost_within, ranges_as
from opfuzz.judge.explain import HALF_PARTS, beside_kept, computes_tables, is_no_rival
from opfuzz.judge.limits import (
    BETTER,
    BEYOND_FLOAT16,
    CERTAIN_BITS,
    COVERED_SHARE,
    EXCESS_LIMIT,
    JITTERS,
    LEAST_LEVELS,
    LEAST_UNHELD,
    MOST_ELEMENTS,
    MOVED,
    OFF_GRID,
)
from opfuzz.judge.settle import examine

LOWER = {FLOAT64: (FLOAT32,), FLOAT32: (FLOAT16, BFLOAT16), FLOAT16: (), BFLOAT16: ()}


def lower_call(evidence: Evidence) -> Cause | None:
    """The call returns what the same call in a narrower format returns, where the exact results do not fit in that."""
    for fmt in reversed(LOWER[evidence.fmt]):
        if fmt.name not in evidence.spec.formats:
            continue
        with np.errstate(over="ignore"):
            narrow = {name: _converted(a, fmt) for name, a in evidence.call.arrays.items()}
        call = replace(evidence.call, format=fmt.name, arrays=narrow)
        made = evidence.run(call)
        if made is None or not same_values(made, evidence.output):
            continue
        if SEVERITY[evidence.verdict_on(made, call)] == FAULT or not _uses_every_bit(evidence, fmt):
            continue  # wrong in whatever format, such as a sign for a number, which the narrower one holds as well
        if _unheld(evidence, fmt) * (evidence.fmt.precision - fmt.precision) >= CERTAIN_BITS:
            figures: dict[str, Figure] = {"instead_of": evidence.fmt.name, "elements": made.size}
            return Cause("computes-in", fmt.name, figures=figures)
    return None


def _unheld(evidence: Evidence, fmt: Format) -> int:
    """How many exact results, where the output is a number, the narrower format cannot hold."""
    exact, computed = evidence.judged.truth.hi, evidence.judged.computed
    right = round_to(exact[np.isfinite(exact) & np.isfinite(computed) & (computed != 0)], evidence.fmt)
    with np.errstate(over="ignore"):
        held = round_to(right.astype(np.float64), fmt).astype(np.float64) == right.astype(np.float64)
    return int(np.count_nonzero(~held))


def _converted(array: Array, fmt: Format) -> Array:
    return round_to(array.astype(np.float64), fmt) if array.dtype.name in FORMATS else array


def outputs(evidence: Evidence) -> Cause | None:
    """Every output is a number of a narrower format, which the exact results are not."""
    computed = evidence.judged.computed[np.isfinite(evidence.judged.computed) & (evidence.judged.computed != 0)]
    for fmt in reversed(LOWER[evidence.fmt]):
        with np.errstate(over="ignore"):
            is_held = bool((round_to(computed, fmt).astype(np.float64) == computed).all())
        if is_held and (unheld := _unheld(evidence, fmt)) >= LEAST_UNHELD and _fills(evidence, fmt):
            return Cause(
                "results-in", fmt.name, figures={"bits": fmt.precision, "elements": computed.size, "unheld": unheld}
            )
    return None


def _uses_every_bit(evidence: Evidence, fmt: Format) -> bool:
    """Whether some result needs the last bit of a narrower format, as small whole numbers do not."""
    numbers = evidence.judged.computed[np.isfinite(evidence.judged.computed)]
    return bool((round_to_bits(numbers, fmt.precision - 1) != numbers).any())


def _fills(evidence: Evidence, fmt: Format) -> bool:
    """Whether the results need every bit of a narrower format, whose arithmetic may err so much."""
    if not _uses_every_bit(evidence, fmt):
        return False
    reference = evidence.reference
    model = next(model for model in reference.lower_precisions() if model.name == f"{fmt.name} inside")
    return bool(evidence.judged.excess(reference.allowance(model)).max(initial=0.0) <= EXCESS_LIMIT)


def parts(evidence: Evidence) -> Cause | None:
    """Half formats: counts or tables, which are float32 by convention, in the format; all else is as it should be."""
    if evidence.fmt.bits != 16:
        return None
    found = next(_parts(evidence), None)
    return found if found is not None and not _fails_in(FLOAT32, evidence) else None


def _parts(evidence: Evidence) -> Iterator[Cause]:
    for what in HALF_PARTS:
        predict = partial(_predict_part, what=what)
        first = predict(evidence)
        if first is not None and first.is_met and confirm(evidence, first, predict) is not None:
            yield HALF_PARTS[what](evidence.fmt.name)
    tried = (
        (evidence, *(other for other in evidence.others if other.is_at_fault)) if evidence.reference.is_table else ()
    )
    if tried and all(computes_tables(each.judged, each.reference, each.judged.is_judged) for each in tried):
        yield HALF_PARTS["tables"](evidence.fmt.name)


def _fails_in(fmt: Format, evidence: Evidence) -> bool:
    """Whether the same numbers are at fault in a wider format too: that is no matter of the narrower one."""
    if fmt.name not in evidence.spec.formats:
        return False
    arrays = {name: _converted(array, fmt) for name, array in evidence.call.arrays.items()}
    call = replace(evidence.call, format=fmt.name, arrays=arrays)
    made = evidence.run(call)
    return made is not None and SEVERITY[evidence.verdict_on(made, call)] == FAULT


def _predict_part(evidence: Evidence, what: str) -> Prediction | None:
    """The exact result but for a part in the format; None where that is not told from honest arithmetic."""
    values = evidence.reference.halved(what)
    if values is None or not is_no_rival(evidence.judged, evidence.reference, values, evidence.is_wrong, what).any():
        return None
    return compare(evidence, values, beside_kept(evidence.reference, values) if what == "kept" else None)


def inputs(evidence: Evidence) -> Cause | None:
    """The output has the same bits when the inputs are rounded to fewer bits first, so the subject rounds them."""
    return _fewer_bits(evidence, (BFLOAT16.precision, FLOAT16.precision, FLOAT32.precision))


def inputs_solved(evidence: Evidence) -> Cause | None:
    """The same with any number of bits, where two calls on other values say the same number."""
    found = []
    for each in evidence.others:
        cause = _fewer_bits(each, (evidence.fmt.precision - 1,)) if each.is_at_fault else None
        if cause is None:
            continue
        said = cause.name, cause.figures["inputs"], cause.figures["bits"], cause.figures["verb"]
        if said in found:
            return cause
        found.append(said)
    return None


def _fewer_bits(evidence: Evidence, numbers: Sequence[int]) -> Cause | None:
    if not evidence.is_wrong.any():
        return None
    for most in numbers:  # fewer bits first: rounding to 8 keeps what rounding to 11 made
        if most >= evidence.fmt.precision:
            continue
        for verb, rounding in (("rounds", round_to_bits), ("cuts", cut_to_bits)):
            for names in _subsets(evidence.floats):
                bits = most + 1
                while bits > 1 and _keeps_bits(evidence, names, bits - 1, rounding):
                    bits -= 1
                if bits > most or not _matters(evidence, names, bits, rounding):
                    continue
                if (cause := _rounded(evidence, names, bits, verb, rounding)) is not None:
                    return cause
    return None


def _subsets(names: list[str]) -> Iterator[tuple[str, ...]]:
    """The larger first; of many inputs all, and each alone."""
    sizes = range(len(names), 0, -1) if len(names) <= 3 else (len(names), 1)
    for size in sizes:
        yield from combinations(names, size)


def _keeps_bits(evidence: Evidence, names: tuple[str, ...], bits: int, rounding: Callable[[Array, int], Array]) -> bool:
    arrays = evidence.call.arrays
    rounded = {name: rounding(arrays[name], bits) for name in names}
    if any(rounded[name].tobytes() == arrays[name].tobytes() for name in names):
        return False
    made = evidence.again(**rounded)
    if made is None or made.tobytes() != evidence.output.tobytes():
        return False
    # Few values keep the bits by chance, but not whatever else is rounded to the same.
    for seed in range(JITTERS):
        made = evidence.again(**{name: jittered(arrays[name], bits, rounding, seed) for name in names})
        if made is None or made.tobytes() != evidence.output.tobytes():
            return False
    # An input that is ignored, or hardly matters, keeps the bits as well.
    for name in names:
        moved = evidence.again(**{name: _moved(arrays[name])})
        if moved is None or moved.tobytes() == evidence.output.tobytes():
            return False
    return True


def _matters(evidence: Evidence, names: tuple[str, ...], bits: int, rounding: Callable[[Array, int], Array]) -> bool:
    """Whether the exact result is another one on inputs of so many bits."""
    rounded = {name: rounding(evidence.call.arrays[name], bits) for name in names}
    judged, other = evidence.judged, evidence.refer(evidence.call.with_arrays(rounded))
    with np.errstate(invalid="ignore"):
        change = np.abs(other.truth.hi - judged.truth.hi) / (judged.spacing / 2 + evidence.reference.wide)
    return bool((change[evidence.judged.is_judged] > EXCESS_LIMIT).any())


def _moved(array: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(array.astype(np.float64) * MOVED).astype(array.dtype)


def _rounded(
    evidence: Evidence, names: tuple[str, ...], bits: int, verb: str, rounding: Callable[[Array, int], Array]
) -> Cause | None:
    rounded = {name: rounding(evidence.call.arrays[name], bits) for name in names}
    measured = examine(evidence.output, evidence.refer(evidence.call.with_arrays(rounded)))
    after, before = measured.largest_excess, float(evidence.excess.max(initial=0.0))
    if after > EXCESS_LIMIT and BETTER * after >= before:
        return None  # coarse results keep their bits as well, but are no better against rounded inputs
    figures: dict[str, Figure] = {"inputs": names, "bits": bits, "verb": verb}
    if BETTER * after < before:
        figures |= {"after": after, "before": before}
    return Cause("rounds-inputs", _kind(evidence, names, bits), figures=figures)


def _kind(evidence: Evidence, names: tuple[str, ...], bits: int) -> str:
    """The format of so many bits, '' where there is none; only the range tells float16 and TF32 apart."""
    if bits != FLOAT16.precision:
        return next((fmt.name for fmt in (BFLOAT16, FLOAT32) if fmt.precision == bits), "")
    array = evidence.call.arrays[names[0]].astype(np.float64)
    largest = np.abs(array[np.isfinite(array)]).max(initial=0.0)
    scale = 2.0 ** np.ceil(np.log2(BEYOND_FLOAT16 / largest)) if largest > 0 else 1.0
    made = evidence.again(**{names[0]: (array * scale).astype(evidence.call.arrays[names[0]].dtype)})
    if made is None:
        return "TF32 or float16"
    is_whole = np.isfinite(made.astype(np.float64))[np.isfinite(evidence.judged.computed)].all()
    return "TF32" if is_whole else "float16"


def quantised(evidence: Evidence) -> Cause | None:
    """The output is the exact result on an input that was quantised first, or lies on a uniform grid itself."""
    sizes = sum(array.size for array in evidence.call.arrays.values()) + evidence.output.size
    if not evidence.is_wrong.any() or sizes > MOST_ELEMENTS or evidence.score.verdict == "special":
        return None  # the sign of a zero, or NaN, is soon met by chance
    names = evidence.floats
    for bits in (4, 8):  # the stronger claim first: steps of int4 may lie near those of int8
        for grid, quantise in QUANTISERS:
            # Last the results, where the format has finer steps: else absolute accuracy looks the same.
            for chosen in (*reversed(list(_subsets(names))), *([()] if evidence.fmt.precision > bits else [])):
                predict = partial(_predict_coarse, names=chosen, quantise=quantise, bits=bits)
                first = predict(evidence)
                if first is None or not first.is_met or (total := confirm(evidence, first, predict)) is None:
                    continue
                figures: dict[str, Figure] = {"fit": total.after, "elements": total.met, "bits": bits, "grid": grid}
                return Cause("quantises", " and ".join(chosen), figures=figures)
    # Slopes between 1/2 and 1 in a half format, times a cotangent of ones, are a grid as well.
    return _grid(evidence) if evidence.spec.gradient is None else None


def _predict_coarse(evidence: Evidence, names: tuple[str, ...], quantise: Quantiser, bits: int) -> Prediction | None:
    """The exact result on inputs that were quantised; without names, quantised itself. None where some is no number.

    Nor where nothing but the sign of a zero is another then.
    """
    if not names:
        results = quantise(evidence.judged.truth.hi, bits)
        return None if results is None else compare(evidence, results)
    arrays = {name: quantise(evidence.call.arrays[name], bits) for name in names}
    if any(array is None for array in arrays.values()):
        return None
    call = evidence.call.with_arrays({name: array for name, array in arrays.items() if array is not None})
    if all(np.array_equal(call.arrays[name], evidence.call.arrays[name]) for name in names):
        return None
    exact = evidence.refer(call)
    return compare(evidence, exact.truth.hi, evidence.allowance_of(exact))


def _grid(evidence: Evidence) -> Cause | None:
    """Outputs in at most 256 equal steps, where the exact results have many more values, and lie elsewhere."""
    levels = np.unique(evidence.judged.computed[np.isfinite(evidence.judged.computed)])
    right = np.unique(round_to(evidence.judged.truth.hi, evidence.fmt).astype(np.float64))
    if not LEAST_LEVELS <= len(levels) <= 256 or len(right) < 2 * len(levels):
        return None
    span, largest = levels[-1] - levels[0], float(np.abs(levels).max())
    for steps in range(len(levels) - 1, 256):
        places = (levels - levels[0]) / span * steps
        blur = 2 * evidence.fmt.unit_roundoff * largest * steps / span  # of the format itself
        if blur <= OFF_GRID and np.abs(places - np.rint(places)).max() <= OFF_GRID + blur:
            bits = 4 if steps < 16 else 8
            step = float(span / steps)
            if np.abs((right - levels[0]) / step % 1 - 0.5).min() >= 0.5 - OFF_GRID - blur:
                return None  # as sums of ones are multiples of one, right or wrong
            return Cause("quantises", figures={"bits": bits, "values": len(levels), "step": step, "exact": len(right)})
    return None


def through(evidence: Evidence) -> Cause | None:
    """Inputs, results or both pass through a format of a smaller range, as bfloat16 that is computed as float16."""
    for fmt in FORMATS.values():
        if fmt.emax >= evidence.fmt.emax:
            continue
        for parts in (("inputs",), ("results",), ("inputs", "results")):
            predict = partial(_predict_through, fmt=fmt, parts=parts)
            first = predict(evidence)
            if first is None or not first.is_met or (total := confirm(evidence, first, predict)) is None:
                continue
            if is_lost_within(evidence, fmt, predict) or ends_otherwise(evidence, fmt, predict):
                continue
            if evidence.spec.gradient is not None and "inputs" in parts and not _ends_there(evidence, fmt, predict):
                continue
            is_numeric = evidence.score.verdict != "special" and evidence.spec.gradient is None
            if is_numeric or ranges_as(evidence, predict):
                return Cause("computes-in", fmt.name, figures={**total.figures, "through": parts})
    return None


def _ends_there(evidence: Evidence, fmt: Format, predict: Callable[[Evidence], Prediction | None]) -> bool:
    """Whether a cotangent beyond the range of a format overflows: as many bits alone, as TF32 has, are no such format.

    Other inputs may have no part in a gradient.
    """
    gradient, (first, *_) = evidence.spec.gradient, (*evidence.telling, evidence)
    assert gradient is not None
    names, scale = gradient.cotangents, 2.0 ** (fmt.emax + 1)
    with np.errstate(over="ignore"):
        arrays = {n: (first.call.arrays[n].astype(np.float64) * scale).astype(evidence.fmt.dtype) for n in names}
    call = first.call.with_arrays(arrays)
    output = evidence.run(call)
    found = None if output is None else predict(replace(first, call=call, output=output, wider=None))
    return found is not None and found.covered >= COVERED_SHARE


def _predict_through(evidence: Evidence, fmt: Format, parts: tuple[str, ...]) -> Prediction | None:
    """The exact result, with what goes through a format rounded to it."""
    arrays = evidence.call.arrays
    with np.errstate(over="ignore"):
        kept = {name: _converted(arrays[name], fmt).astype(arrays[name].dtype) for name in evidence.floats}
        exact = evidence.refer(evidence.call.with_arrays(kept)) if "inputs" in parts else evidence.reference
        values = exact.truth.hi
        return compare(evidence, round_to(values, fmt).astype(np.float64) if "results" in parts else values, exact.wide)
