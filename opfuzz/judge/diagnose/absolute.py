"""Functions that are accurate in absolute terms only: right next to 1, and lost where the result is small."""

from __future__ import annotations

import numpy as np

from opfuzz.core.cause import Cause
from opfuzz.core.floats import FloatArray, Format, round_to
from opfuzz.judge.diagnose.evidence import Evidence, Mask
from opfuzz.judge.diagnose.probing import Probe, any_input, probe, probes
from opfuzz.judge.limits import (
    ABSOLUTE_ROUNDINGS,
    EXCESS_LIMIT,
    LEAST_MET,
    LOST_BELOW,
    LOST_SHARE,
    MET_SHARE,
    NEARER,
    SMALL,
    SMALL_IN_HALF,
    SMALL_ON_GRID,
)
from opfuzz.oracle.models import wide_format


def accuracy(evidence: Evidence) -> Cause | None:
    """That every error is a few roundings of 1, and small results are lost; or the one formula of which that is true.

    Of several that lose as much, such as a polynomial and 1 - erfc, one is named only where the output is nearer to it
    than to the exact results; of gradients none, as formulas of other values may have the same. Of several inputs one
    is tried at a time.
    """
    is_gradient = evidence.spec.gradient is not None
    if evidence.score.verdict == "special" or not (is_gradient or evidence.reference.is_unary):
        return None
    for item in any_input(evidence) if evidence.is_wrong.any() else []:
        if (tried := probe(evidence, probes(evidence.fmt), item)) is None:
            continue
        for fmt in dict.fromkeys((wide_format(evidence.fmt), evidence.fmt)):
            if (lost := _lost(tried, fmt)) is None:
                continue
            wrong, largest = lost
            name = None if is_gradient or fmt.bits == 16 else _named(tried, wrong, largest)
            if name is not None:
                return Cause("formula", name, figures={"note": evidence.reference.variants[name]})
            return Cause("cancels", fmt.name if fmt.bits == 16 else "", figures={"absolute": largest})
    return None


def _lost(tried: Probe, fmt: Format) -> tuple[Mask, float] | None:
    """Results that are lost, and the largest error, where a step in `fmt` rounds beside 1; None: that is not so."""
    with np.errstate(all="ignore"):
        error = np.abs(tried.computed - tried.exact)
    wrong = (tried.excess > EXCESS_LIMIT) & ~tried.is_special & np.isfinite(error)
    largest = float(error[wrong].max(initial=0.0))
    own, size = tried.reference.fmt, np.abs(tried.exact)
    is_rounded = error <= ABSOLUTE_ROUNDINGS * fmt.unit_roundoff + own.unit_roundoff * size
    tiny = (size >= own.smallest_normal) & (size < largest / LOST_BELOW)
    if np.count_nonzero(tiny) >= LEAST_MET:
        is_lost = bool((error[tiny] >= LOST_SHARE * size[tiny]).all())
    else:  # the format has no numbers so small; whatever is larger must be right
        is_lost = bool(size[wrong].max(initial=0.0) <= (SMALL_IN_HALF if fmt.bits == 16 else SMALL))
    # What is off by far less than a rounding of 1 was not rounded beside a number of that size.
    is_one = largest >= fmt.unit_roundoff / ABSOLUTE_ROUNDINGS
    met = wrong if fmt.bits != 16 else wrong & (tried.computed != 0) & (size < SMALL_ON_GRID)
    # Few digits are left in a half format anyway: those that are must be of numbers next to 1.
    is_left = fmt.bits != 16 or not np.any(tried.computed[met] % (fmt.unit_roundoff / 4))
    is_met = is_one and is_lost and is_left and is_rounded[wrong].all() and np.count_nonzero(met) >= LEAST_MET
    return (wrong, largest) if is_met else None


def _named(tried: Probe, wrong: Mask, largest: float) -> str | None:
    """The one variant that is lost so; None: there are none, or several."""
    reference, size = tried.reference, np.abs(tried.exact)
    unit = ABSOLUTE_ROUNDINGS * wide_format(reference.fmt).unit_roundoff
    able = [name for name in reference.variants if _loses(tried, name, wrong, unit)]
    seen = [name for name in able if _is_nearer(tried, name, wrong & (size >= largest / LOST_BELOW))]
    same = [name for name in able if _has_bits(tried, name, wrong)]
    return next((names[0] for names in (seen, able, same) if len(names) == 1), None)


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
