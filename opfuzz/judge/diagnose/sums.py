"""Causes that lie in the order and the format of sums, shown by sums whose growth gives them away."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import log2, prod

import numpy as np

from opfuzz.core.call import Call
from opfuzz.core.cause import Cause, Figure
from opfuzz.core.floats import BFLOAT16, FLOAT16, Format
from opfuzz.judge.diagnose.evidence import Array, Evidence
from opfuzz.judge.diagnose.predictions import Prediction, compare, confirm, same_formulas
from opfuzz.judge.limits import (
    EXCESS_LIMIT,
    LANES,
    LEAST_GROWTH,
    MOST_CONSTANT,
    MOST_CONSTANT_WORK,
    NEAR_POWER,
    SHORT_SUM,
    SUM_ALIKE,
    SUM_EXACT,
)
from opfuzz.judge.settle import examine
from opfuzz.oracle import models
from opfuzz.oracle.altered import carry
from opfuzz.oracle.meaning import FAILURES

# A sum of ones in a format of p bits, one after another, stops at 2^p: 1 is then half an ulp, and ties go to even. Each
# lane stops there. What is made of the sum, such as a mean or a root, falls behind as a power of it.
ONES = (9001, 18002)  # one twice the other, so that the quotient tells the power, and no whole blocks
POWERS = (1.0, -1.0, 0.5, -0.5)
LARGE = 1024.0  # a last term that no sum of so many ones swallows
LATE = 128  # ones that a sum in bfloat16 holds in one lane
TELLING = 1025  # float16 holds it, bfloat16 does not

# The error of 0.1 added n times grows as n when the sums are sequential, and hardly at all when they go by pairs. n is
# no power of two, whose halves err alike.
GROWING = (257, 1025, 4097, 16385)
TERM = 0.1
MOST_CARRIED = 2**17  # elements of a running sum that is made again, one after another
# Largest size of the dims that do not grow. Few: a convolution over 18002 places takes minutes with eight of each. More
# where an op allows no less, as of channels in groups.
OTHERS = (2, 8)


def stops(evidence: Evidence) -> Cause | None:
    """Sums of ones that stop growing, and the format whose sums stop there."""
    if not evidence.reference.has_sums or not _may_stop(evidence):
        return None
    for dim in _summed_dims(evidence):
        for is_alternating in (False, True):
            whole = _share(evidence, dim, ONES[1], is_alternating)
            if whole is None:
                continue  # such as a variance, which ones do not have
            half = _share(evidence, dim, ONES[0], is_alternating) if abs(whole - 1) > SHORT_SUM else None
            end = None if half is None else _end(abs(half), abs(whole))
            if (
                end is not None
                and _heeds_the_last(evidence, dim, is_alternating)
                and _adds_up_late(evidence, dim, is_alternating)
            ):
                fmt, lanes = _accumulator(evidence, dim, is_alternating, end)
                figures: dict[str, Figure] = {"lanes": lanes, "end": end, "ones": ONES[1], "dim": dim}
                figures |= {"are_squares": is_alternating, "stops_at": 2**fmt.precision}
                return Cause("accumulates-in", fmt.name, figures=figures)
            break
    return None


def accumulates(evidence: Evidence) -> Cause | None:
    """Sums one by one in a half format, in so many lanes, whose bits the output has: told where no call on ones can be.

    Of the usual formula, or of another for the same values, as by groups. Not where sums that are rounded once do it,
    nor of infinities and NaN, which are the same in any order.
    """
    if evidence.fmt.bits != 16 or evidence.score.verdict == "special" or not evidence.is_wrong.any():
        return None
    for name in ("", *same_formulas(evidence)):
        for lanes in LANES:
            predict = partial(_predict_lanes, name=name, lanes=lanes)
            first = predict(evidence)
            if first is not None and first.is_met and confirm(evidence, first, predict) is not None:
                return Cause("accumulates-in", evidence.fmt.name, figures={"lanes": lanes})
    return None


def _predict_lanes(evidence: Evidence, name: str, lanes: int) -> Prediction | None:
    try:
        each, once = (evidence.reference.narrowed(name, n).values.astype(np.float64) for n in (lanes, 0))
    except FAILURES:
        return None  # a formula has no meaning for this call
    return None if compare(evidence, once).is_met else compare(evidence, each)


def _may_stop(evidence: Evidence) -> bool:
    """Whether sums in the coarsest format may err so much: calls on so many ones take seconds."""
    allowance = evidence.reference.allowance(models.working("sums", BFLOAT16))
    return bool(evidence.is_special.any() or evidence.judged.excess(allowance).max(initial=0.0) <= EXCESS_LIMIT)


def _heeds_the_last(evidence: Evidence, dim: str, is_alternating: bool) -> bool:
    """Whether a large last term changes the output; else the sum stops because terms are left out."""
    call = _constant(evidence, dim, ONES[1], 1.0, is_alternating)
    if call is None:
        return False
    changed = {}
    for item in evidence.spec.inputs:
        axes = [axis for axis, size in enumerate(item.shape) if size.text == dim and item.kind == "float"]
        for axis in axes:
            changed[item.name] = call.arrays[item.name].copy()
            changed[item.name][(slice(None),) * axis + (-1,)] = LARGE
    made, other = evidence.run(call), evidence.run(call.with_arrays(changed))
    return made is not None and other is not None and made.tobytes() != other.tobytes()


def _adds_up_late(evidence: Evidence, dim: str, is_alternating: bool) -> bool:
    """Whether a few ones behind many terms that are nothing come out right; else what stands there is left out.

    Nothing is 0, and under an exponential function what is far below the ones.
    """
    call = _constant(evidence, dim, ONES[1], 1.0, is_alternating)
    item = next(item for item in evidence.spec.inputs if item.name == evidence.floats[0])
    axes = [axis for axis, size in enumerate(item.shape) if size.text == dim]
    if call is None or not axes:
        return True
    shares = []
    for nothing in (0.0, -LARGE):
        early = call.arrays[item.name].copy()
        early[(slice(None),) * axes[0] + (slice(ONES[1] - LATE),)] = nothing
        share = _share_of(evidence, call.with_arrays({item.name: early}))
        shares.append(np.inf if share is None else abs(share - 1))
    return min(shares) < SHORT_SUM


def _end(half: float, whole: float) -> int | None:
    """Where sums stop whose results on so many ones are these shares of the exact ones."""
    if half == 0 or whole == 0:
        return None
    power = next((p for p in POWERS if abs(log2(whole / half) + p) < NEAR_POWER), None)
    if power is None:
        return None
    end = ONES[1] * whole ** (1 / power)
    nearest: int = 2 ** round(log2(end))
    return nearest if nearest >= 2**BFLOAT16.precision and abs(end / nearest - 1) < NEAR_POWER else None


def _accumulator(evidence: Evidence, dim: str, is_alternating: bool, end: int) -> tuple[Format, int]:
    """Format and lanes of sums that stop there."""
    if end < 2**FLOAT16.precision:
        return BFLOAT16, end // 2**BFLOAT16.precision
    if evidence.fmt.bits == 16:
        return evidence.fmt, max(1, end // 2**evidence.fmt.precision)
    share = _share(evidence, dim, TELLING + is_alternating, is_alternating)
    is_exact = share is not None and abs(share - 1) < SUM_EXACT
    fmt = FLOAT16 if is_exact else BFLOAT16
    return fmt, end // 2**fmt.precision


def _share(evidence: Evidence, dim: str, size: int, is_alternating: bool) -> float | None:
    """The last element of the output on ones along a dim, as a share of the exact one; None where that is 0."""
    return _share_of(evidence, _constant(evidence, dim, size, 1.0, is_alternating))


def _share_of(evidence: Evidence, call: Call | None) -> float | None:
    made = None if call is None else evidence.run(call)
    if call is None or made is None or not made.size:
        return None
    exact = evidence.refer(call).truth.hi.ravel()[-1]
    last = float(made.ravel()[-1])
    return last / exact if exact and np.isfinite(exact) and np.isfinite(last) else None


def carries(evidence: Evidence) -> Cause | None:
    """A running sum, or its logarithm, each result of which is made of the last one as it was rounded."""
    if not evidence.is_wrong.any() or evidence.output.size > MOST_CARRIED:
        return None

    def predict(evidence: Evidence) -> Prediction | None:
        values = carry(evidence.reference.root, evidence.fmt) if evidence.output.size <= MOST_CARRIED else None
        return None if values is None else compare(evidence, values)

    first = predict(evidence)
    if first is None or not first.is_met or confirm(evidence, first, predict) is None:
        return None
    return Cause("accumulates-in", evidence.fmt.name, figures={"lanes": 1, "are_results": True})


def growth(evidence: Evidence) -> Cause | None:
    """Sequential sums, told from blocked ones by how their error grows with the number of terms."""
    if evidence.fmt.bits == 16 or not evidence.reference.has_sums:
        return None
    for dim in _summed_dims(evidence):
        for is_alternating in (False, True):
            errors = [_error(evidence, dim, size + is_alternating, is_alternating) for size in GROWING]
            known = [error for error in errors if error is not None]
            if len(known) < len(errors) or known[-1] < LEAST_GROWTH * max(known[0], 1.0):
                continue
            own = {lanes: _error(evidence, dim, GROWING[-1] + is_alternating, is_alternating, lanes) for lanes in LANES}
            lanes = next(
                (n for n, e in own.items() if e is not None and e / SUM_ALIKE <= known[-1] <= SUM_ALIKE * e), None
            )
            if lanes is None:
                continue
            figures: dict[str, Figure] = {"lanes": lanes, "term": TERM, "terms": GROWING}
            return Cause("sums", dim, figures={**figures, "errors": tuple(known), "own": own[lanes] or 0.0})
    return None


def _error(evidence: Evidence, dim: str, size: int, is_alternating: bool, lanes: int | None = None) -> float | None:
    """Largest relative error in unit roundoffs: the subject's, or that of the usual formula with sums in lanes."""
    call = _constant(evidence, dim, size, TERM, is_alternating)
    made = None if call is None else evidence.run(call)
    if call is None or made is None or not made.size:
        return None
    reference = evidence.refer(call)
    truth = examine(made, reference).truth
    values = (made if lanes is None else reference.emulated(lanes).values).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.abs(values - truth.hi) / np.abs(truth.hi) / evidence.fmt.unit_roundoff
    return float(error.max()) if np.isfinite(error).all() else None


def _summed_dims(evidence: Evidence) -> list[str]:
    """Dims along which the op may sum: those that the output lacks, and the last axis where both have it."""
    spec = evidence.spec
    kept = {name for size in evidence.axes for name in size.names}
    lasts = {item.shape[-1].text for item in spec.inputs if item.shape}
    if evidence.axes:
        lasts &= {evidence.axes[-1].text}
    names = [size.text for item in spec.inputs for size in item.shape]
    known = {dim.name for dim in spec.dims} - ({*spec.batch} if spec.gradient is None else {*spec.batch} & kept)
    return [name for name in dict.fromkeys(names) if name in known and (name not in kept or name in lasts)]


def _others(evidence: Evidence, most: int) -> dict[str, int]:
    """Small sizes of all dims; 1 of those over which a gradient is summed, so that there are as many terms as ones."""
    kept = {name for size in evidence.axes for name in size.names} if evidence.spec.gradient is not None else None
    return {n: min(size, most if kept is None or n in kept else 1) for n, size in evidence.call.dims.items()}


def _constant(evidence: Evidence, dim: str, size: int, value: float, is_alternating: bool) -> Call | None:
    """The call with `size` along a dim; `value`, with alternating signs, in the first input and 1 in all others."""
    spec, call = evidence.spec, evidence.call
    for others in (*(_others(evidence, most) for most in OTHERS), call.dims):
        dims = {**others, dim: size}
        if min(dims.values()) > 0 and spec.allows(dims, call.params) and prod(dims.values()) <= MOST_CONSTANT_WORK:
            break
    else:
        return None
    if any(item.kind in ("index", "additive_mask") for item in spec.inputs):
        return None
    arrays: dict[str, Array] = {}
    first = evidence.floats[0] if evidence.floats else ""
    for name, shape in spec.shapes(dims, call.params).items():
        arrays[name] = np.ones(shape, call.arrays[name].dtype)
        if name == first:
            signs = np.where(np.arange(shape[-1] if shape else 1) % 2, -1.0, 1.0) if is_alternating else 1.0
            arrays[name] = (np.full(shape, value) * signs).astype(call.arrays[name].dtype)
    if sum(array.size for array in arrays.values()) > MOST_CONSTANT:
        return None
    return replace(call, dims=dims, arrays=arrays)
