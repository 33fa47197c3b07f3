"""Why a result is off: the appeal, the variants, and the lower precisions that may explain it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from opfuzz.core.cause import UNEXPLAINED, Cause
from opfuzz.core.floats import FloatArray, round_to, ulp
from opfuzz.core.metrics.conditioned import relative_to
from opfuzz.core.results import Index
from opfuzz.judge.limits import (
    ALIKE,
    BETTER,
    BIASED,
    EXCESS_LIMIT,
    FLOAT64_APART,
    HALF_VARIANT_ELEMENTS,
    HALF_VARIANT_EXCESS,
    ILL_CONDITIONED,
    KEPT_ROUNDINGS,
    LANES,
    LEAST_REPEATS,
    LEAST_SPREAD,
    MOST_ASKED,
    NATURAL_ROUNDOFFS,
    NEIGHBOUR,
)
from opfuzz.judge.measure import Mask, Measured, place_of
from opfuzz.oracle.dependencies import repeats_in
from opfuzz.oracle.models import Arithmetic, usual_arithmetic, working
from opfuzz.oracle.reference import Reference
from opfuzz.oracle.working import Emulated

# What is said of a part of a formula that a half format computes in itself.
HALF_PARTS: Mapping[str, Callable[[str], Cause]] = {
    "counts": lambda name: Cause("rounds-counts", name),
    "angles": lambda name: Cause("rounds-tables", name),
    "tables": lambda name: Cause("rounds-tables", name),
    "numbers": lambda name: Cause("rounds-tables", name),
    "sums": lambda name: Cause("accumulates-in", name),  # in what order, other calls tell
    "kept": lambda name: Cause("keeps-in", name),
}
Explained = tuple[str, Cause, Index | None]  # verdict, cause, the element that decided


@dataclass(frozen=True, slots=True, eq=False)
class _Charge:
    """An output whose `excess` under wide is beyond the limit; elements that are `excused` do not count."""

    measured: Measured
    reference: Reference
    excess: FloatArray
    excused: Mask

    @property
    def place(self) -> Index | None:
        """The element that is furthest beyond."""
        return place_of(self.excess)

    def largest(self, values: FloatArray) -> float:
        """The largest where nothing is excused."""
        return _largest(values, ~self.excused)


def explain(measured: Measured, reference: Reference, excess: FloatArray, excused: Mask) -> Explained:
    """Verdict on a result whose `excess` is beyond the limit. Elements that are `excused` do not count."""
    charge = _Charge(measured, reference, excess, excused)
    if (found := _flushes(charge)) is not None:
        return found
    charge = _beside_flushed(charge)
    return _appeal(charge) or _accuse(charge)


def _flushes(charge: _Charge) -> Explained | None:
    if charge.largest(charge.measured.excess(charge.reference.flushing)) > EXCESS_LIMIT:
        return None
    is_guilty = charge.excess > EXCESS_LIMIT
    are_inputs = flushes_inputs(charge.measured, charge.reference)[is_guilty].all()
    return "normwise", Cause("underflows-inside", "inputs" if are_inputs else ""), charge.place


def _beside_flushed(charge: _Charge) -> _Charge:
    """What is left of a charge where what flushing explains is excused: rows that overflow stand beside others."""
    is_flushed = (charge.excess > EXCESS_LIMIT) & (charge.measured.excess(charge.reference.flushing) <= EXCESS_LIMIT)
    return replace(charge, excused=charge.excused | is_flushed, excess=np.where(is_flushed, 0.0, charge.excess))


def flushes_inputs(measured: Measured, reference: Reference) -> Mask:
    """Elements that are as the formula has them where subnormal inputs count as zero: a policy, whatever it does.

    What the formula has with those inputs as they are, as NaN of -inf beside them, is none.
    """
    values, computed = reference.flushed, measured.computed
    if values is None:
        return np.zeros(computed.shape, np.bool_)
    plain = reference.natural_values
    with np.errstate(invalid="ignore"):
        near = np.abs(computed - values) <= NATURAL_ROUNDOFFS * reference.fmt.unit_roundoff * np.abs(values)
    near &= np.isfinite(values)  # any number is infinitely far from infinity, and that is no more than is allowed
    is_as_flushed = near | (computed == values) | (np.isnan(computed) & np.isnan(values))
    is_same = (values == plain) | (np.isnan(values) & np.isnan(plain))
    return np.asarray(is_as_flushed & ~is_same)


def _appeal(charge: _Charge) -> Explained | None:
    """Whether the usual formula, run in the wide format, does no better."""
    reference = charge.reference
    for lanes in LANES:
        for emulated in reference.emulations(lanes):
            # What overflows in the formula says nothing of other elements.
            left = np.where(emulated.overflowed, 0.0, charge.excess)
            if left.max() <= EXCESS_LIMIT:
                return "normwise", Cause("overflows-inside"), charge.place
            own = np.where(emulated.overflowed, 0.0, _excess_of(charge, emulated))
            if 2 * charge.largest(own) >= float(left.max()):
                cause = Cause("sums", figures={"lanes": lanes}) if reference.has_sums else Cause("usual-formula")
                return "normwise", cause, place_of(left)
        if not reference.has_sums:
            return None
    return _repeats(charge)


def _repeats(charge: _Charge) -> Explained | None:
    """Whether terms that are equal explain it: each is rounded alike, in whatever order they are added up."""
    reference = charge.reference
    excess = charge.excess.ravel()
    worst = [place for place in np.argsort(-excess)[:MOST_ASKED].tolist() if excess[place] > EXCESS_LIMIT]
    places = [tuple(map(int, np.unravel_index(place, charge.excess.shape))) for place in worst]
    repeats = min((repeats_in(reference.sources(place), reference.arrays) for place in places), default=1.0)
    if repeats < LEAST_REPEATS:
        return None
    allowance = reference.allowance(replace(usual_arithmetic(reference.fmt), repeats=repeats))
    if charge.largest(charge.measured.excess(allowance)) > EXCESS_LIMIT:
        return None
    return "normwise", Cause("sums", figures={"lanes": 1, "repeats": repeats}), charge.place


def _own_excess(charge: _Charge, emulated: Emulated) -> float:
    """Largest excess, under wide, of the emulated formula itself."""
    return charge.largest(_excess_of(charge, emulated))


def _excess_of(charge: _Charge, emulated: Emulated) -> FloatArray:
    """Excess, under wide, of an emulated formula; 0 where it is not finite or nothing is judged."""
    measured, reference = charge.measured, charge.reference
    values = round_to(emulated.values.astype(np.float64), reference.fmt).astype(np.float64)
    error = measured.truth.error_of(values)
    counted = measured.is_judged & np.isfinite(values)
    return np.where(counted, relative_to(error, measured.spacing, reference.wide), 0.0)


def _accuse(charge: _Charge) -> Explained:
    measured, reference = charge.measured, charge.reference
    models = reference.lower_precisions()
    overflowed = reference.overflows
    if overflowed.any():  # excused by the appeal, though it did not explain the rest
        excused, place = charge.excused | overflowed, charge.place
        charge = replace(charge, excused=excused, excess=np.where(excused, 0.0, charge.excess))
        if charge.largest(charge.excess) <= EXCESS_LIMIT:
            return "normwise", Cause("overflows-inside"), place
    formulas: list[Cause] = []
    for name, note in reference.variants.items():
        match _fits(charge, reference.variant(name)):
            case "meaning":
                cause = Cause("is-variant", name, figures={"note": note}) if _is_apart(charge, name) else UNEXPLAINED
                return "wrong", cause, charge.place
            case "formula" if _errs_as_much(charge, name):
                formulas.append(Cause("formula", name, figures={"note": note}))
    is_half = bool(models) and models[0].name == "narrow"
    if is_half and (found := _narrow(charge, models[0])) is not None:
        return found
    if formulas:
        return "imprecise", formulas[0], charge.place
    # The same algebra in another order, c + w (c - u), rounds where (1 + w) c - w u does not: nobody can tell it from
    # the spec's own formula on inputs that were rounded; the logarithm of a root near 1 does as much as two of them.
    # Where honest arithmetic rounds nothing, as before a rounding to float8, a tie that goes the other way is wrong.
    few = 1.0 if reference.is_unary or reference.fmt.bits == 16 else EXCESS_LIMIT
    is_rounded = (reference.wide > 0)[(charge.excess > EXCESS_LIMIT) & ~charge.excused].all()
    if is_rounded and charge.largest(measured.excess(reference.conditioning)) <= few:
        return "normwise", Cause("conditioning"), charge.place
    for model in models:
        if model.name != "narrow" and _fits_model(charge, model):
            is_alike = errs_as(measured, reference, model, ~charge.excused)
            return "imprecise", Cause("behaves-like", model.name) if is_alike else UNEXPLAINED, charge.place
    return "wrong", UNEXPLAINED, charge.place


def _errs_as_much(charge: _Charge, name: str) -> bool:
    """Whether another formula, and not only another value of a param, loses that much when it is run."""
    is_formula = charge.reference.spec.variants[name].reference is not None
    return is_formula and 2 * _own_excess(charge, charge.reference.variant_emulated(name)) >= charge.excess.max()


def _fits_model(charge: _Charge, model: Arithmetic) -> bool:
    """Whether a lower precision covers the errors and can judge enough elements to say so."""
    allowance = charge.reference.allowance(model)
    return not _is_blind(charge, allowance) and _covers(charge, allowance)


def errs_as(measured: Measured, reference: Reference, model: Arithmetic, counted: Mask) -> bool:
    """Whether the errors have the size and the spread of those that the usual formula has in a lower precision.

    What it allows is an upper bound, and covers nearly anything: what it makes of the formula can be wrong.
    """
    with np.errstate(over="ignore"):
        rounded = round_to(reference.lowered(model), reference.fmt).astype(np.float64)
    counted = counted & measured.is_judged & np.isfinite(rounded)
    with np.errstate(all="ignore"):
        unit = measured.spacing / 2 + reference.allowance(model)
        seen, own = ((each - measured.truth.hi) / unit for each in (measured.computed, rounded))
    seen, own = (each[counted & np.isfinite(unit)] for each in (seen, own))
    if not (seen.any() and own.any() and np.isfinite(seen).all()):
        return False
    sizes = [float(np.sqrt(np.mean(each**2))) for each in (seen, own)]
    bias = [abs(float(np.mean(each))) / size for each, size in zip((seen, own), sizes, strict=True)]
    is_size = 1 / ALIKE <= sizes[0] / sizes[1] <= ALIKE
    return is_size and (seen.size < LEAST_SPREAD or bias[0] <= bias[1] + BIASED)


def _is_blind(charge: _Charge, allowance: FloatArray) -> bool:
    """Whether the allowance would cover anything, even a result of 0, wherever it is needed."""
    measured = charge.measured
    guilty = measured.is_judged & ~charge.excused & (measured.wide_excess > EXCESS_LIMIT)
    seen = EXCESS_LIMIT * (allowance + measured.spacing / 2) < measured.truth.size
    return not (guilty & seen).any()


def _covers(charge: _Charge, allowance: FloatArray) -> bool:
    return charge.largest(charge.measured.excess(allowance)) <= EXCESS_LIMIT


def _narrow(charge: _Charge, model: Arithmetic) -> Explained | None:
    """Half formats: intermediates rounded to the format are a note; what sums, counts or tables lose is a fault."""
    reference, name = charge.reference, charge.reference.fmt.name
    for what in HALF_PARTS:
        if _is_halved(charge, what):
            return "imprecise", HALF_PARTS[what](name), charge.place
    if computes_tables(charge.measured, reference, charge.measured.is_judged & ~charge.excused):
        return "imprecise", HALF_PARTS["tables"](name), charge.place
    allowance = reference.allowance(model)
    is_covered, is_blind = _covers(charge, allowance), _is_blind(charge, allowance)
    if is_covered and not is_blind:
        return "narrow", Cause("computes-in", name), charge.place
    rounded = reference.emulated(0, narrow=True)
    if not rounded.overflowed[charge.excess > EXCESS_LIMIT].any() and _errs_alike(charge, rounded):
        return "narrow", Cause("computes-in", name), charge.place
    if is_covered:
        return "ill-conditioned", Cause("computes-in", name, figures={"blind": True}), charge.place
    loss = _emulates_narrow(charge, allowance)
    return None if loss is None else ("imprecise", loss, charge.place)


def _is_halved(charge: _Charge, what: str) -> bool:
    """Whether one part of the formula, rounded to the format, gives what was computed when all else is exact.

    And whether that tells it from an honest implementation, which rounds all else and keeps this part wide.
    """
    measured, reference = charge.measured, charge.reference
    values = reference.halved(what)
    if values is None:
        return False
    with np.errstate(all="ignore"):
        rounded = round_to(values, reference.fmt).astype(np.float64)
        off = relative_to(np.abs(measured.computed - values), measured.spacing, reference.wide)
        off = np.where(measured.computed == rounded, 0.0, off)
    counted = measured.is_judged & ~charge.excused
    guilty = counted & (charge.excess > EXCESS_LIMIT)
    if what == "kept":  # what other roundings to the format may do is a note
        guilty = guilty & (measured.excess(beside_kept(reference, values)) > EXCESS_LIMIT)
    # All else is as honest as in the wide format; and where it is beyond the limit this is far nearer than exact.
    is_met = (off[counted] <= EXCESS_LIMIT).all() and (BETTER * off <= charge.excess)[guilty].all()
    return bool(is_met and is_no_rival(measured, reference, values, guilty, what).any())


def beside_kept(reference: Reference, values: FloatArray) -> FloatArray:
    """What one may be off beside what it keeps in a half format: x - y and exp(x - y) are rounded to it, too."""
    return reference.wide + KEPT_ROUNDINGS * reference.fmt.unit_roundoff * np.abs(values)


def is_no_rival(measured: Measured, reference: Reference, values: FloatArray, guilty: Mask, what: str) -> Mask:
    """Guilty elements that an honest implementation would not have: neither what was computed, nor these values.

    It rounds every intermediate to the format once, or just the terms of sums or what these have come to, but no
    partial sum, count or table: a sum of two numbers that is rounded once is no sum that is added up in the format.
    """
    halved = [reference.halved(part) for part in (("totals", "terms") if what == "sums" else ("totals",))]
    # What is kept is rounded there as well.
    rivals = [] if what == "kept" else [reference.emulated(0, narrow=True).values.astype(np.float64)]
    with np.errstate(over="ignore"):
        rivals += [round_to(each, reference.fmt).astype(np.float64) for each in halved if each is not None]
        rounded = round_to(values, reference.fmt).astype(np.float64)
    apart = [_is_other(rival, rounded) & _is_other(rival, measured.computed) for rival in rivals]
    return np.asarray(np.logical_and.reduce([guilty, *apart]))


def _is_other(a: FloatArray, b: FloatArray) -> Mask:
    return np.asarray((a != b) & ~(np.isnan(a) & np.isnan(b)))


def computes_tables(measured: Measured, reference: Reference, counted: Mask) -> bool:
    """Whether an output that no input has a part in errs as one all of whose steps are rounded to a half format."""
    fmt = reference.fmt
    if fmt.bits != 16 or not reference.is_table or not counted.any():
        return False
    model = working("tables in the format", fmt)
    excess = measured.excess(reference.allowance(model))
    return float(excess[counted].max()) <= EXCESS_LIMIT and errs_as(measured, reference, model, counted)


def _errs_alike(charge: _Charge, emulated: Emulated) -> bool:
    """Whether the emulation errs at least half as much in each row (along the last axis) that is beyond the limit."""
    own = np.where(emulated.overflowed, np.inf, _excess_of(charge, emulated))
    if own.ndim > 1:
        own = np.broadcast_to(own.max(axis=-1, keepdims=True, initial=0.0), own.shape)
    return bool((2 * own >= charge.excess)[charge.excess > EXCESS_LIMIT].all())


def _emulates_narrow(charge: _Charge, allowance: FloatArray) -> Cause | None:
    """Whether every intermediate in the half format, sums one by one, does no better or overflows."""
    reference, name = charge.reference, charge.reference.fmt.name
    # What is beyond the limit beside it, the format rounds.
    excess = np.where(charge.excused, 0.0, charge.measured.excess(allowance))
    for lanes in LANES:
        emulated = reference.emulated(lanes, narrow=True)
        if _is_left_by(charge, emulated, excess, allowance):
            return Cause("overflows-inside", name)
        if _errs_alike(charge, emulated):
            if reference.has_sums:
                return Cause("accumulates-in", name, figures={"lanes": lanes})
            return Cause("usual-formula", name)
    others = [*reference.emulations(1, narrow=True)][1:]
    is_left = any(_is_left_by(charge, emulated, excess, allowance) for emulated in others)
    return Cause("overflows-inside", name) if is_left else None


def _is_left_by(charge: _Charge, emulated: Emulated, excess: FloatArray, allowance: FloatArray) -> bool:
    """Whether all that is wrong is what an overflow leaves: zeros, or what comes of a formula that overflows there."""
    over, measured = emulated.overflowed, charge.measured
    if not over.any() or _largest(excess, ~over) > EXCESS_LIMIT:
        return False
    run = emulated.values.astype(np.float64)
    with np.errstate(invalid="ignore"):
        is_near = np.abs(measured.computed - run) <= ALIKE * (allowance + measured.spacing)
    is_left = (measured.computed == 0) | ~np.isfinite(measured.computed) | is_near
    return bool(is_left[over & (charge.excess > EXCESS_LIMIT)].all())


def _is_apart(charge: _Charge, name: str) -> bool:
    """Whether a variant that is another value of a param is told from values far beside it, which then fit worse."""
    meant = charge.reference.spec.variants[name]
    if meant.reference is not None or len(meant.params) != 1:
        return True
    ((param, value),) = meant.params.items()
    if type(value) is not float or value == 0:
        return True
    beside = (charge.reference.with_param(param, value * factor) for factor in (0.0, 1 / NEIGHBOUR, NEIGHBOUR))
    return not any(_fits(charge, each) == "meaning" for each in beside)


def _fits(charge: _Charge, explained: tuple[FloatArray, FloatArray] | None) -> str | None:
    """'meaning' if this is another result that is meant; 'formula' if it is the same, computed worse; else None."""
    measured, reference, excused = charge.measured, charge.reference, charge.excused
    if explained is None:
        return None
    values, allowance = explained
    fmt = reference.fmt
    guilty = (charge.excess > EXCESS_LIMIT) & ~excused
    with np.errstate(invalid="ignore", over="ignore"):
        finite = measured.is_finite & np.isfinite(values) & ~excused
        spacing = ulp(np.where(finite, np.clip(values, -fmt.largest, fmt.largest), 0.0), fmt)
        excess = np.where(finite, relative_to(np.abs(measured.computed - values), spacing, allowance), 0.0)
        blind = finite & (allowance >= np.abs(values))
        # Where its allowance exceeds it, a variant fits anything: it must be seen to fit, and that on a guilty element.
        seen = finite & ~blind
        apart = FLOAT64_APART if fmt.bits == 64 else 1.0
        distance = relative_to(measured.truth.error_of(values), measured.spacing, reference.wide)
        differs = seen & (distance > apart)
    count = np.count_nonzero(finite)
    is_half = fmt.bits == 16
    if (
        not (guilty & seen).any()
        or (measured.is_judged & ~finite & ~excused).any()
        or np.count_nonzero(blind) > ILL_CONDITIONED * count
        or excess.max() > (HALF_VARIANT_EXCESS if is_half else EXCESS_LIMIT)
    ):
        return None
    if np.count_nonzero(differs) >= (HALF_VARIANT_ELEMENTS if is_half else 1):
        return "meaning"
    return None if differs.any() else "formula"


def _largest(values: FloatArray, where: Mask) -> float:
    return float(np.where(where, values, 0.0).max(initial=0.0))
