"""The closing sentences: what is ruled out, with which figures, and what remains."""

from __future__ import annotations

import math
from collections.abc import Sequence

from opfuzz.network.drift import Drift
from opfuzz.network.localize.matching import is_match
from opfuzz.network.localize.observed import Observed, factor
from opfuzz.network.localize.result import Attribution, Tried

TOO_SMALL = 1 / 3  # of the observed size: what makes less cannot be the whole of it
# Of the residual of side A: what leaves more is near by chance. On a decoder, readings that had nothing to do with a
# fault left 0.96 of it and more, the right one in one of its roles 0.51.
NEARER = 0.5
SHOWN = 3
LARGEST = 700.0  # of a logarithm, so that its exponential is finite
LOWER = ("TF32", "bfloat16", "float16", "int8", "int6", "int4", "int3")  # what to say of precision, largest first


def sentences(
    drift: Drift,
    b: str,
    attribution: Sequence[Attribution],
    variants: Sequence[Tried],
    pairs: Sequence[Tried],
    observed: Observed | None,
    residual: float | None,
    rounding: float,
) -> tuple[str, ...]:
    """The verdict. `residual` is of side A with nothing planted, in standard deviations of the observed tensor."""
    if observed is None:
        return (_faithful(drift, b, attribution), _ranked(variants))
    if residual is not None and is_match(residual, rounding):
        return (
            f"There is nothing to explain: what was observed differs from side A by {residual:.2g} standard "
            f"deviations, {b} by {rounding:.2g}.",
        )
    is_explained = any(variant.match for variant in variants)
    found = [_rounding(drift, b, attribution, observed)]
    if not is_explained:
        found.append(_precision(variants, observed))
    found.append(_by_figures(variants) if residual is None else _by_residual(variants, residual, rounding))
    if pairs and not is_explained:  # what explains it, together with what changes nothing, explains it too
        found.append(_pairs(pairs, is_exact=observed.tensor is not None))
    return tuple(sentence for sentence in found if sentence)


def search_sentences(tried: int, readings: int, *, interrupted: bool) -> tuple[str, ...]:
    """How far the search went, where it did not go through all readings."""
    if interrupted:
        return (f"Interrupted: {tried} of {readings} readings were tried.",)
    if tried < readings:
        rest = readings - tried
        return (f"The search ended there: {tried} of {readings} readings were tried; --all tries {rest} more.",)
    return ()


def _faithful(drift: Drift, b: str, attribution: Sequence[Attribution]) -> str:
    if drift.rms == 0:
        return f"All of {b} together gives the same bits as side A here."
    largest = max(attribution, key=lambda row: row.only.rms, default=None)
    share = f"; the largest share is that of {largest.op}, rms {largest.only.rms:.2g} alone" if largest else ""
    return (
        f"All of {b} together: 1 - corr = {drift.decorrelation:.2g}, rms {drift.rms:.2g}, max {drift.max:.2g}{share}."
    )


def _ranked(variants: Sequence[Tried]) -> str:
    if not variants:
        return ""
    return "Nothing was observed to compare variants with; they stand by size. Give --observed."


def _rounding(drift: Drift, b: str, attribution: Sequence[Attribution], observed: Observed) -> str:
    corr = observed.decorrelation
    seen = f"1 - corr = {corr:.3g}" if corr is not None else f"{_size_of(observed)}"
    growth = factor(observed, drift)
    if growth is None:
        return f"Rounding: {b} gives the same bits as side A here; observed was {seen}."
    if growth * TOO_SMALL <= 1:
        return (
            f"Rounding may explain it: every op on {b} together gives 1 - corr = {drift.decorrelation:.2g}, "
            f"rms {drift.rms:.2g}; observed was {seen}."
        )
    needed = [row for row in attribution if row.factor_needed is not None and math.isfinite(row.factor_needed)]
    least = min(needed, key=lambda row: row.factor_needed or math.inf, default=None)
    single = f"; {least.op}, the op that needs least, by {least.factor_needed:.2g}" if least else ""
    return (
        f"Rounding cannot explain it: every op on {b} together gives 1 - corr = {drift.decorrelation:.2g} and rms "
        f"{drift.rms:.2g}, where {seen} was observed. All errors would have to grow by {growth:.2g}{single}."
    )


def _size_of(observed: Observed) -> str:
    name = next(name for name in ("rms", "mae", "median", "max") if name in observed.figures)
    return f"{name} = {observed.figures[name]:.3g}"


def _precision(variants: Sequence[Tried], observed: Observed) -> str:
    """What each lower precision gives at most, and whether that is about what was observed, or more."""
    words = []
    for name in LOWER:
        of_it = [v for v in variants if v.name == name or v.name.startswith(f"{name} ")]
        finite = [v for v in of_it if math.isfinite(v.drift.rms)]
        if finite:
            worst = max(finite, key=lambda v: v.drift.rms)
            growth = factor(observed, worst.drift)
            tail = ""
            if growth is not None and growth * TOO_SMALL <= 1:
                tail = " (too much)" if growth < TOO_SMALL else " (not ruled out)"
            words.append(f"{worst.name} {worst.drift.decorrelation:.2g}{tail}")
    return f"Lower precision, as 1 - corr: {', '.join(words)}." if words else ""


def _by_residual(variants: Sequence[Tried], residual: float, rounding: float) -> str:
    matches = [v for v in variants if v.match]
    if matches:
        rest = next((v for v in variants if not v.match), None)
        apart = f"; the next, {rest.title}, leaves {rest.residual:.2g}" if rest and rest.residual is not None else ""
        if len(matches) > 1:
            named = ", ".join(v.title for v in matches)
            return (
                f"These explain it, and these inputs do not tell them apart: {named}. The residual is "
                f"{matches[0].residual:.2g} standard deviations, rounding gives {rounding:.2g}{apart}."
            )
        return (
            f"The explanation is {_said(matches[0])}. It leaves {matches[0].residual:.2g} standard "
            f"deviations, rounding gives {rounding:.2g}{apart}."
        )
    if not variants or variants[0].residual is None:
        return "No variant was tried."
    best = variants[0]
    if best.residual is None or best.residual > NEARER * residual:
        return (
            f"No single variant explains it, and none comes near: side A itself leaves {residual:.2g} standard "
            "deviations, and each of them more than half of that."
        )
    return (
        f"No single variant explains it. The nearest is {_said(best)}; it leaves {best.residual:.2g} "
        f"standard deviations, its change correlates with the observed one by {best.corr_to_observed:.4f}."
    )


def _said(one: Tried) -> str:
    """What is planted, and what that is, where the name does not say it."""
    return f"{one.title}: {one.note}" if one.note else one.title


def _by_figures(variants: Sequence[Tried]) -> str:
    near = [v for v in variants if v.distance is not None and math.isfinite(v.distance)][:SHOWN]
    if not near:
        return "No variant changes the output." if variants else "No variant was tried."
    words = [f"{v.title}, figures off by a factor of {math.exp(min(v.distance or 0.0, LARGEST)):.3g}" for v in near]
    return f"Nearest by the figures: {'; '.join(words)}. Figures alone prove nothing: give the tensor with --observed."


def _pairs(pairs: Sequence[Tried], *, is_exact: bool) -> str:
    best = pairs[0]
    if best.match:
        return f"Two together explain it: {best.title}, residual {best.residual:.2g} standard deviations."
    measure = (
        f"leaves {best.residual:.2g} standard deviations"
        if is_exact and best.residual is not None
        else f"is off by a factor of {math.exp(min(best.distance or 0.0, LARGEST)):.3g}"
    )
    return f"Of {len(pairs)} pairs tried, the best is {best.title}; it {measure}."
