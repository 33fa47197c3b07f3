"""Functions that are accurate in absolute terms only: right next to 1, and lost where the result is small."""

from __future__ import annotations

import numpy as np

from opfuzz.core.cause import Cause
from opfuzz.core.floats import FloatArray, round_to
from opfuzz.judge.diagnose.evidence import Evidence, Mask
from opfuzz.judge.diagnose.probing import Probe, probe, probes
from opfuzz.judge.limits import (
    ABSOLUTE_ROUNDINGS,
    EXCESS_LIMIT,
    LEAST_MET,
    LOST_BELOW,
    LOST_SHARE,
    MET_SHARE,
    NEARER,
    SMALL,
)
from opfuzz.oracle.models import wide_format


def accuracy(evidence: Evidence) -> Cause | None:
    """That every error is a few roundings of 1, and small results are lost; or the one formula of which that is true.

    Of several that lose as much, such as a polynomial and 1 - erfc, one is named only where the output is nearer to it
    than to the exact results.
    """
    if not evidence.reference.is_unary or evidence.score.verdict == "special":
        return None
    tried = probe(evidence, probes(evidence.fmt))
    if tried is None:
        return None
    with np.errstate(all="ignore"):
        error = np.abs(tried.computed - tried.exact)
    wrong = (tried.excess > EXCESS_LIMIT) & ~tried.is_special & np.isfinite(error)
    largest = float(error[wrong].max(initial=0.0))
    unit = ABSOLUTE_ROUNDINGS * wide_format(evidence.fmt).unit_roundoff
    is_rounded = error <= unit + evidence.fmt.unit_roundoff * np.abs(tried.exact)
    size = np.abs(tried.exact)
    tiny = (size >= evidence.fmt.smallest_normal) & (size < largest / LOST_BELOW)
    if np.count_nonzero(tiny) >= LEAST_MET:
        is_lost = bool((error[tiny] >= LOST_SHARE * size[tiny]).all())
    else:  # the format has no numbers so small; whatever is larger must be right
        is_lost = bool(size[wrong].max(initial=0.0) <= SMALL)
    # What is off by far less than a rounding of 1 was not rounded beside a number of that size.
    is_one = largest >= wide_format(evidence.fmt).unit_roundoff / ABSOLUTE_ROUNDINGS
    if not (is_one and is_rounded[wrong].all() and is_lost and np.count_nonzero(wrong) >= LEAST_MET):
        return None
    able = [name for name in evidence.reference.variants if _loses(tried, name, wrong, unit)]
    seen = [name for name in able if _is_nearer(tried, name, wrong & (size >= largest / LOST_BELOW))]
    same = [name for name in able if _has_bits(tried, name, wrong)]
    for names in (seen, able, same):
        if len(names) == 1:
            return Cause("formula", names[0], figures={"note": evidence.reference.variants[names[0]]})
    return Cause("cancels", figures={"absolute": largest})


def _loses(tried: Probe, name: str, wrong: Mask, unit: float) -> bool:
    """Whether a formula, run in the wide format, gives these results in absolute terms, and not relative to them."""
    reference = tried.reference
    if reference.variant(name) is None:
        return False
    error = np.abs(reference.variant_emulated(name).values.astype(np.float64).ravel() - tried.exact)[wrong]
    size = np.abs(tried.exact[wrong])
    relative = ABSOLUTE_ROUNDINGS * wide_format(reference.fmt).unit_roundoff
    return bool((error <= unit + relative * size).all() and (error > relative * size).any())


def _has_bits(tried: Probe, name: str, wrong: Mask) -> bool:
    """Whether most results that are not lost to 0, as with any formula, are those of this one to the bit."""
    reference = tried.reference
    values = round_to(reference.variant_emulated(name).values.astype(np.float64), reference.fmt).astype(np.float64)
    told = wrong & (tried.computed != 0)
    return bool(told.any() and np.mean((values.ravel() == tried.computed)[told]) >= MET_SHARE)


def _is_nearer(tried: Probe, name: str, counted: Mask) -> bool:
    """Whether the output is nearer to what a formula gives when it is evaluated exactly than to the exact results."""
    other = tried.reference.variant(name)
    if other is None or not counted.any():
        return False
    apart, missed = tried.computed - other[0].ravel(), tried.computed - tried.exact
    return NEARER * _rms(apart[counted]) <= _rms(missed[counted])


def _rms(errors: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))
