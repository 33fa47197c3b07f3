"""Which planted fault is the one: by residual where the other side's tensor is there, else by the figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np

from opfuzz.network.drift import UNKNOWN, drift
from opfuzz.network.localize.observed import Observed, distance
from opfuzz.network.localize.result import Tried
from opfuzz.network.pipeline.dispatch import Array
from opfuzz.network.pipeline.planting import Variant

# Rounding, seen through a network with a fault in it, grows: on the decoder at hand up to 1.5 times. What is no match
# leaves a thousand times as much and more.
MATCH = 10.0
FLOOR = 2.0**-22  # standard deviations: float32 rounding of the output itself
SAMPLE = 8192  # elements on which the sums of two changes are compared


def judge(variant: Variant, output: Array, base: Array, observed: Observed | None, rounding: float) -> Tried:
    """A variant by its output and that of side A without it. `rounding` is what sides differ by, see `is_match`."""
    if output.shape != base.shape:  # a grid of another length leaves shapes alone, a user's variant may not
        return Tried(variant.name, variant.place, variant.note, UNKNOWN, None, None, None, match=False)
    found = drift(base, output)
    corr = residual = near = None
    if observed is not None and observed.tensor is not None:
        there = observed.tensor
        residual = residual_of(output, there)
        corr = drift(there.astype(np.float64) - base, output.astype(np.float64) - base).corr
    elif observed is not None:
        near = distance(observed, found)
    is_effective = found.rms > 0
    match = (
        residual is not None and is_effective and is_match(residual, rounding) and is_asked(base, observed, rounding)
    )
    return Tried(variant.name, variant.place, variant.note, found, corr, residual, near, match)


def is_asked(base: Array, observed: Observed | None, rounding: float) -> bool:
    """Whether there is anything to explain: not so where side A itself leaves no more than rounding."""
    tensor = None if observed is None else observed.tensor
    return tensor is None or not is_match(residual_of(base, tensor), rounding)


def is_match(residual: float, rounding: float) -> bool:
    """Whether what is left unexplained is no more than rounding."""
    return residual <= MATCH * max(rounding, FLOOR)


def residual_of(output: Array, observed: Array) -> float:
    """Root mean square of what an output leaves unexplained, in standard deviations of what was observed."""
    return drift(observed, output).rms / unit_of(observed)


def unit_of(output: Array) -> float:
    """Standard deviation; 1 for a constant output, such as a single number, which has no unit of its own."""
    return float(output.std(dtype=np.float64)) or 1.0


def best_first(tried: Iterable[Tried]) -> list[Tried]:
    """By what is left unexplained; then by how near the figures are; else by the size of the drift."""

    def key(one: Tried) -> tuple[float, float]:
        measure = one.residual if one.residual is not None else one.distance
        if not math.isfinite(one.drift.rms) or (measure is not None and not math.isfinite(measure)):
            return (math.inf, 0.0)
        if one.drift.rms == 0:  # it leaves what side A itself leaves, and explains nothing of it
            return (math.inf, -1.0)
        return (measure or 0.0, -one.drift.rms)

    return sorted(tried, key=key)


# Two small faults change the output by nearly the sum of what each does alone, so the pairs that come nearest in sum
# are worth a run; that costs no run of the network at all.


def promising_pairs(
    changes: Sequence[Array], base: Array, observed: Observed, limit: int, may_pair: Callable[[int, int], bool]
) -> list[tuple[int, int]]:
    """The pairs of variants whose summed changes of the output come nearest to what was observed, best first.

    `changes` are outputs less `base`, flat or not; those that are not finite, or nothing, are left out.
    """
    flat = base.ravel()
    step = max(1, math.ceil(flat.size / SAMPLE))
    flat = flat[::step].astype(np.float64)
    there = None if observed.tensor is None else observed.tensor.ravel()[::step].astype(np.float64) - flat
    usable = {i: c.ravel()[::step].astype(np.float64) for i, c in enumerate(changes) if _counts(c)}
    scored = []
    for i, j in combinations(usable, 2):
        if may_pair(i, j):
            change = usable[i] + usable[j]
            apart = distance(observed, drift(flat, flat + change)) if there is None else _rms(there - change)
            scored.append((apart, i, j))
    return [(i, j) for _, i, j in sorted(scored)[:limit]]


def _counts(change: Array) -> bool:
    return bool(np.isfinite(change).all() and change.any())


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def frames_of(array: Array, frames: tuple[int, int] | None) -> Array:
    """Places `frames` of the last axis, or all."""
    return array if frames is None or not array.ndim else array[..., frames[0] : frames[1]]


def paired(a: Variant, b: Variant) -> Variant:
    """Both at once."""
    return Variant(
        f"{a.name} and {b.name}", f"{a.place}; {b.place}", f"{a.note}; {b.note}", lambda s: b.plant(a.plant(s))
    )


def pairs_of(variants: Sequence[Variant], chosen: Iterable[tuple[int, int]]) -> Iterator[Variant]:
    """The variants that pairs of numbers stand for."""
    for i, j in chosen:
        yield paired(variants[i], variants[j])
