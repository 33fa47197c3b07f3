"""Causes of the kind "it computes with fewer bits": another format, rounded inputs, quantised inputs or outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from opfuzz.call import Call
from opfuzz.diagnose.evidence import LIMIT, Array, Evidence, figure, on_all, ordinary, same_values
from opfuzz.floats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FORMATS, Format, round_to
from opfuzz.records import FAULT, SEVERITY
from opfuzz.rounding import QUANTISERS, cut_to_bits, jittered, round_to_bits

LEAST_LEVELS, OFF_GRID = 16, 0.02  # so many values lie so near to one of 256 grids by chance once in 10^20
NEEDED = 3  # elements that a narrower format could not hold, before all of them lying in it is no chance
CERTAIN = 24  # bits that agree by chance once in 2^24
BELOW_FLOAT16, BEYOND_FLOAT16 = 2.0**10, 2.0**17
SENSITIVE, TRIALS = 1.25, 3
MOST_ELEMENTS = 2**18
LOWER = {FLOAT64: (FLOAT32,), FLOAT32: (FLOAT16, BFLOAT16), FLOAT16: (), BFLOAT16: ()}


def lower_call(evidence: Evidence) -> str | None:
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
        if SEVERITY[evidence.judge(made, call).verdict()[0]] == FAULT or not _uses_every_bit(evidence, fmt):
            continue  # wrong in whatever format, such as a sign for a number, which the narrower one holds as well
        if _unheld(evidence, fmt) * (evidence.fmt.precision - fmt.precision) >= CERTAIN:
            return (
                f"it computes {evidence.fmt.name} as {fmt.name}: {on_all(made.size)} it returns what its "
                f"{fmt.name} call does"
            )
    return None


def _unheld(evidence: Evidence, fmt: Format) -> int:
    """How many exact results, where the output is a number, the narrower format cannot hold."""
    exact, computed = evidence.judged.exact.truth.hi, evidence.judged.computed
    right = round_to(exact[np.isfinite(exact) & np.isfinite(computed) & (computed != 0)], evidence.fmt)
    with np.errstate(over="ignore"):
        held = round_to(right.astype(np.float64), fmt).astype(np.float64) == right.astype(np.float64)
    return int(np.count_nonzero(~held))


def _converted(array: Array, fmt: Format) -> Array:
    return round_to(array.astype(np.float64), fmt) if array.dtype.name in FORMATS else array


def outputs(evidence: Evidence) -> str | None:
    """Every output is a number of a narrower format, which the exact results are not."""
    computed = evidence.judged.computed[np.isfinite(evidence.judged.computed) & (evidence.judged.computed != 0)]
    for fmt in reversed(LOWER[evidence.fmt]):
        with np.errstate(over="ignore"):
            is_held = bool((round_to(computed, fmt).astype(np.float64) == computed).all())
        if is_held and (unheld := _unheld(evidence, fmt)) >= NEEDED and _fills(evidence, fmt):
            return (
                f"its results are {fmt.name} numbers, {fmt.precision} bits: all {computed.size} that are not 0, where "
                f"{unheld} of the exact results need more bits"
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
    exact = evidence.judged.exact
    model = next(model for model in exact.lower_precisions() if model.name == f"{fmt.name} inside")
    return bool(evidence.judged.excess(exact.allowance(model)).max(initial=0.0) <= LIMIT)


def inputs(evidence: Evidence) -> str | None:
    """The output has the same bits when the inputs are rounded to fewer bits first, so the subject rounds them."""
    if not evidence.is_wrong.any():
        return None
    for fmt in (BFLOAT16, FLOAT16, FLOAT32):  # fewer bits first: rounding to 8 keeps what rounding to 11 made
        if fmt.precision >= evidence.fmt.precision:
            continue
        for verb, rounding in (("rounds", round_to_bits), ("cuts", cut_to_bits)):
            for names in _subsets(evidence.floats):
                if not _keeps_bits(evidence, names, fmt.precision, rounding):
                    continue
                if (words := _rounded(evidence, names, fmt, verb, rounding)) is not None:
                    return words
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
    for seed in range(TRIALS):
        made = evidence.again(**{name: jittered(arrays[name], bits, rounding, seed) for name in names})
        if made is None or made.tobytes() != evidence.output.tobytes():
            return False
    # An input that is ignored, or hardly matters, keeps the bits as well.
    for name in names:
        moved = evidence.again(**{name: _moved(arrays[name])})
        if moved is None or moved.tobytes() == evidence.output.tobytes():
            return False
    exact, other = evidence.judged.exact, evidence.exact(evidence.call.with_arrays(rounded))
    with np.errstate(invalid="ignore"):
        change = np.abs(other.truth.hi - exact.truth.hi) / (evidence.judged.spacing / 2 + exact.wide)
    return bool((change[evidence.judged.is_judged] > LIMIT).any())


def _moved(array: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(array.astype(np.float64) * SENSITIVE).astype(array.dtype)


def _rounded(
    evidence: Evidence, names: tuple[str, ...], fmt: Format, verb: str, rounding: Callable[[Array, int], Array]
) -> str | None:
    rounded = {name: rounding(evidence.call.arrays[name], fmt.precision) for name in names}
    judged = evidence.judge(evidence.output, evidence.call.with_arrays(rounded))
    after, before = judged.excess(judged.exact.wide).max(initial=0.0), evidence.excess.max(initial=0.0)
    if after > LIMIT and 4 * after >= before:
        return None  # coarse results keep their bits as well, but are no better against rounded inputs
    what = f"{fmt.precision} bits ({_kind(evidence, names, fmt)})"
    against = f"; against those the excess is {figure(after)} instead of {figure(before)}" if 4 * after < before else ""
    return (
        f"it {verb} {' and '.join(names)} to {what}: the output has the same bits when {_they(names)} "
        f"{'rounded' if verb == 'rounds' else 'cut'} so before the call{against}"
    )


def _they(names: tuple[str, ...]) -> str:
    return "they are" if len(names) > 1 else "it is"


def _kind(evidence: Evidence, names: tuple[str, ...], fmt: Format) -> str:
    """float16 and TF32 have 11 bits each; only the range tells them apart."""
    if fmt is not FLOAT16:
        return fmt.name
    array = evidence.call.arrays[names[0]].astype(np.float64)
    largest = np.abs(array[np.isfinite(array)]).max(initial=0.0)
    scale = 2.0 ** np.ceil(np.log2(BEYOND_FLOAT16 / largest)) if largest > 0 else 1.0
    made = evidence.again(**{names[0]: (array * scale).astype(evidence.fmt.dtype)})
    if made is None:
        return "TF32 or float16"
    is_whole = np.isfinite(made.astype(np.float64))[np.isfinite(evidence.judged.computed)].all()
    if is_whole:
        return "TF32: numbers beyond 65504 stay finite"
    return "float16: numbers beyond 65504 overflow"


def quantised(evidence: Evidence) -> str | None:
    """The output is the exact result on an input that was quantised first, or lies on a uniform grid itself."""
    sizes = sum(array.size for array in evidence.call.arrays.values()) + evidence.output.size
    if not evidence.is_wrong.any() or sizes > MOST_ELEMENTS:
        return None
    names = evidence.floats
    for bits in (4, 8):  # the stronger claim first: steps of int4 may lie near those of int8
        for words, quantise in QUANTISERS:
            for chosen in reversed(list(_subsets(names))):
                arrays = {name: quantise(evidence.call.arrays[name], bits) for name in chosen}
                if any(array is None for array in arrays.values()):
                    continue
                call: Call = evidence.call.with_arrays({n: a for n, a in arrays.items() if a is not None})
                if (fit := evidence.fits(call)) is not None:
                    return (
                        f"it quantises {' and '.join(chosen)} to int{bits} {words}: the output is within "
                        f"{figure(fit.excess)} of the allowance of the exact result on that {on_all(fit.elements)}"
                    )
    return _grid(evidence)


def _grid(evidence: Evidence) -> str | None:
    """Outputs in at most 256 equal steps, where the exact results have many more values."""
    levels = np.unique(evidence.judged.computed[np.isfinite(evidence.judged.computed)])
    right = np.unique(round_to(evidence.judged.exact.truth.hi, evidence.fmt).astype(np.float64))
    if not LEAST_LEVELS <= len(levels) <= 256 or len(right) < 2 * len(levels):
        return None
    span, largest = levels[-1] - levels[0], float(np.abs(levels).max())
    for steps in range(len(levels) - 1, 256):
        places = (levels - levels[0]) / span * steps
        if np.abs(places - np.rint(places)).max() <= OFF_GRID + 2 * evidence.fmt.unit_roundoff * largest * steps / span:
            bits = 4 if steps < 16 else 8
            return (
                f"its results lie on int{bits} steps: {len(levels)} values, multiples of {figure(span / steps)} apart, "
                f"for {len(right)} different exact results"
            )
    return None


def overflow(evidence: Evidence) -> str | None:
    """Numbers beyond 65504 that become infinite in a format that holds them, so float16 is inside."""
    exact = evidence.judged.exact
    if evidence.fmt.emax <= FLOAT16.emax or not evidence.is_special.any() or exact.is_unary:
        return None
    for scale, is_right in ((BELOW_FLOAT16, True), (BEYOND_FLOAT16, False)):
        call = ordinary(evidence, scale)
        made = None if call is None else evidence.run(call)
        if call is None or made is None:
            return None
        finite = np.isfinite(evidence.exact(call).truth.hi)
        if not finite.any() or np.isfinite(made.astype(np.float64)[finite]).all() != is_right:
            return None
    return "it overflows beyond 65504, as float16 inside does: ordinary values times 2^10 are finite, times 2^17 not"
