"""Why a result is off: the appeal, the variants, and the lower precisions that may explain it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from opfuzz.floats import FloatArray, Format, round_to, ulp
from opfuzz.metrics.conditioned import relative_to
from opfuzz.metrics.ulp import absolute_error
from opfuzz.records import UNEXPLAINED, Index

# Honest backends stay below EXCESS_LIMIT under wide; `benchmarks/excess.py` prints their maxima by op and regime.
EXCESS_LIMIT = 3.0
ILL_CONDITIONED = 0.95  # a model that can judge fewer than 5 % of the elements explains nothing
LANES = {1: "strictly sequentially", 8: "in 8 lanes", 32: "in 32 lanes"}
# In a half format another meaning must fit like a correctly rounded one, on elements where it makes a difference:
# a few coarse results are soon met by chance.
HALF_VARIANT_EXCESS, HALF_VARIANT_ELEMENTS = 1.25, 3

Mask = NDArray[np.bool_]
Verdict = tuple[str, str, Index | None]  # verdict, reason in words, the element that decided


class Exact(Protocol):
    """What judging asks of the oracle. `refine` makes `truth` tighter at flat places."""

    fmt: Format
    truth: Any  # hi, lo and radius, and what follows from them: oracle.truth.Truth
    is_unary: bool

    @property
    def has_certain_zeros(self) -> Mask: ...
    @property
    def conditioning(self) -> FloatArray: ...
    @property
    def wide(self) -> FloatArray: ...
    @property
    def conditioning_room(self) -> FloatArray: ...
    @property
    def wide_room(self) -> FloatArray: ...
    @property
    def is_blind(self) -> Mask | None: ...
    @property
    def flushing(self) -> FloatArray: ...
    @property
    def natural_values(self) -> FloatArray: ...
    @property
    def has_special_inputs(self) -> bool: ...
    @property
    def depends_on_special(self) -> Mask: ...
    @property
    def has_sums(self) -> bool: ...
    @property
    def variants(self) -> Mapping[str, str]: ...
    def refine(self, places: NDArray[np.int64]) -> None: ...
    def emulated(self, lanes: int, narrow: bool = False) -> Any: ...
    def variant(self, name: str) -> tuple[FloatArray, FloatArray] | None: ...
    def variant_emulated(self, name: str) -> Any: ...
    def lower_precisions(self) -> list[Any]: ...
    def allowance(self, model: Any) -> FloatArray: ...


class Judged(Protocol):
    """One output against the exact result; arrays have the shape of the output."""

    @property
    def exact(self) -> Exact: ...
    @property
    def computed(self) -> FloatArray: ...
    @property
    def spacing(self) -> FloatArray: ...
    @property
    def error(self) -> FloatArray: ...
    @property
    def is_finite(self) -> Mask: ...
    @property
    def is_judged(self) -> Mask: ...
    def excess(self, allowance: FloatArray) -> FloatArray: ...


def explain(judged: Judged, excess: FloatArray, excused: Mask) -> Verdict:
    """Verdict on a result whose `excess` is beyond the limit. Elements that are `excused` do not count."""
    place = place_of(excess)
    return (
        _flushes(judged, excused, place)
        or _appeal(judged, excess, excused, place)
        or _accuse(judged, excess, excused, place)
    )


def _flushes(judged: Judged, excused: Mask, place: Index | None) -> Verdict | None:
    if _largest(judged.excess(judged.exact.flushing), ~excused) > EXCESS_LIMIT:
        return None
    return "normwise", "takes subnormal intermediates for zero", place


def _appeal(judged: Judged, excess: FloatArray, excused: Mask, place: Index | None) -> Verdict | None:
    """Whether the usual formula, run in the wide format, does no better."""
    exact = judged.exact
    for lanes, words in LANES.items():
        emulated = exact.emulated(lanes)
        if _largest(excess, ~emulated.overflowed) <= EXCESS_LIMIT:
            return "normwise", "an intermediate overflows in the usual formula", place
        if 2 * _own_excess(judged, emulated, excused) >= float(excess.max()):
            return "normwise", f"sums {words}" if exact.has_sums else "errs as the usual formula does", place
        if not exact.has_sums:
            break
    return None


def _own_excess(judged: Judged, emulated: Any, excused: Mask) -> float:
    """Largest excess, under wide, of the emulated formula itself."""
    return _largest(_excess_of(judged, emulated), ~excused)


def _excess_of(judged: Judged, emulated: Any) -> FloatArray:
    """Excess, under wide, of an emulated formula; 0 where it is not finite or nothing is judged."""
    exact = judged.exact
    values = round_to(emulated.values.astype(np.float64), exact.fmt).astype(np.float64)
    error = absolute_error(values, exact.truth.hi, exact.truth.rest)
    measured = judged.is_judged & np.isfinite(values)
    return np.where(measured, relative_to(error, judged.spacing, exact.wide), 0.0)


def _accuse(judged: Judged, excess: FloatArray, excused: Mask, place: Index | None) -> Verdict:
    exact = judged.exact
    models = exact.lower_precisions()
    overflowed = exact.emulated(1).overflowed
    if overflowed.any():  # excused by the appeal, though it did not explain the rest
        excused = excused | overflowed
        excess = np.where(excused, 0.0, excess)
        place = place_of(excess)
    formulas: list[tuple[str, str]] = []
    for name, note in exact.variants.items():
        match _fits_variant(judged, name, (excess > EXCESS_LIMIT) & ~excused, excused):
            case "meaning":
                return "wrong", _named(f"behaves as the variant '{name}'", note), place
            case "formula" if 2 * _own_excess(judged, exact.variant_emulated(name), excused) >= excess.max():
                formulas.append((name, note))  # it loses that much when it is run
    is_half = bool(models) and models[0].name == "narrow"
    if is_half and (verdict := _narrow(judged, models[0], excess, excused, place)) is not None:
        return verdict
    if formulas:
        name, note = formulas[0]
        return "imprecise", _named(f"loses what the formula '{name}' loses", note), place
    # The same algebra in another order, c + w (c - u), rounds where (1 + w) c - w u does not: nobody can tell it from
    # the spec's own formula on inputs that were rounded once.
    if _largest(judged.excess(exact.conditioning), ~excused) <= 1.0:
        return "normwise", "errs no more than inputs that were rounded once", place
    for model in models:
        if model.name != "narrow" and _fits_model(judged, model, excused):
            return "imprecise", f"no worse than {model.name}", place
    return "wrong", UNEXPLAINED, place


def _named(words: str, note: str) -> str:
    return f"{words}: {note}" if note else words


def _fits_model(judged: Judged, model: Any, excused: Mask) -> bool:
    """Whether a lower precision covers the errors and can judge enough elements to say so."""
    allowance = judged.exact.allowance(model)
    return not _is_blind(judged, allowance, excused) and _covers(judged, allowance, excused)


def _is_blind(judged: Judged, allowance: FloatArray, excused: Mask) -> bool:
    """Whether the allowance would cover anything, even a result of 0, wherever it is needed."""
    guilty = judged.is_judged & ~excused & (judged.excess(judged.exact.wide) > EXCESS_LIMIT)
    seen = EXCESS_LIMIT * (allowance + judged.spacing / 2) < np.abs(judged.exact.truth.hi)
    return not (guilty & seen).any()


def _covers(judged: Judged, allowance: FloatArray, excused: Mask) -> bool:
    return _largest(judged.excess(allowance), ~excused) <= EXCESS_LIMIT


def _narrow(judged: Judged, model: Any, excess: FloatArray, excused: Mask, place: Index | None) -> Verdict | None:
    """Half formats: intermediates rounded to the format is a note; what its sums or its range lose is a fault."""
    exact = judged.exact
    words = f"rounds intermediates to {exact.fmt.name}"
    allowance = exact.allowance(model)
    is_covered, is_blind = _covers(judged, allowance, excused), _is_blind(judged, allowance, excused)
    if is_covered and not is_blind:
        return "narrow", words, place
    widened = exact.emulated(0, narrow=True)
    if _errs_alike(judged, widened, excess):
        return "narrow", words, place
    if is_covered:
        return "ill-conditioned", f"{words}, which could make any value of this", place
    loss = _emulates_narrow(judged, excess)
    return None if loss is None else ("imprecise", loss, place)


def _errs_alike(judged: Judged, emulated: Any, excess: FloatArray) -> bool:
    """Whether the emulation errs at least half as much in each row (along the last axis) that is beyond the limit."""
    own = np.where(emulated.overflowed, np.inf, _excess_of(judged, emulated))
    if own.ndim > 1:
        own = np.broadcast_to(own.max(axis=-1, keepdims=True, initial=0.0), own.shape)
    return bool((2 * own >= excess)[excess > EXCESS_LIMIT].all())


def _emulates_narrow(judged: Judged, excess: FloatArray) -> str | None:
    """Whether every intermediate in the half format, sums one by one, does no better or overflows."""
    name = judged.exact.fmt.name
    for lanes, words in LANES.items():
        emulated = judged.exact.emulated(lanes, narrow=True)
        if _largest(excess, ~emulated.overflowed) <= EXCESS_LIMIT:
            return f"an intermediate overflows {name}"
        if _errs_alike(judged, emulated, excess):
            return f"sums {words} in {name}" if judged.exact.has_sums else f"errs as the usual formula in {name} does"
    return None


def _fits_variant(judged: Judged, name: str, guilty: Mask, excused: Mask) -> str | None:
    """'meaning' if this is another result that is meant; 'formula' if it is the same, computed worse; else None."""
    exact = judged.exact
    explained = exact.variant(name)
    if explained is None:
        return None
    values, allowance = explained
    fmt = exact.fmt
    with np.errstate(invalid="ignore", over="ignore"):
        finite = judged.is_finite & np.isfinite(values) & ~excused
        spacing = ulp(np.where(finite, np.clip(values, -fmt.largest, fmt.largest), 0.0), fmt)
        excess = np.where(finite, relative_to(np.abs(judged.computed - values), spacing, allowance), 0.0)
        blind = finite & (allowance >= np.abs(values))
        # Where its allowance exceeds it, a variant fits anything: it must be seen to fit, and that on a guilty element.
        seen = finite & ~blind
        # What float32 functions inside float64 lose resembles many a meaning by chance, but not at 2^20 roundings.
        apart = 2.0**20 if fmt.bits == 64 else 1.0
        differs = seen & (relative_to(np.abs(values - exact.truth.hi), judged.spacing, exact.wide) > apart)
    count = np.count_nonzero(finite)
    is_half = fmt.bits == 16
    if (
        not (guilty & seen).any()
        or (judged.is_judged & ~finite & ~excused).any()
        or np.count_nonzero(blind) > ILL_CONDITIONED * count
        or excess.max() > (HALF_VARIANT_EXCESS if is_half else EXCESS_LIMIT)
    ):
        return None
    if np.count_nonzero(differs) >= (HALF_VARIANT_ELEMENTS if is_half else 1):
        return "meaning"
    return None if differs.any() else "formula"


def _largest(values: FloatArray, where: Mask) -> float:
    return float(np.where(where, values, 0.0).max(initial=0.0))


def place_of(values: NDArray[Any]) -> Index | None:
    """Index of the largest value; None for an empty array."""
    if not values.size:
        return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(values)), values.shape))
