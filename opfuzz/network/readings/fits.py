"""Numbers solved for: the value of an epsilon, a scale or a base under which a module gives what another does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from opfuzz.network.readings.reading import FITTED, Array, Reading
from opfuzz.network.readings.scalars import FreeNumber

# From where the search starts, in units of the value that the module has; zero has no unit.
STARTS = (0.0, *(10.0**power for power in range(-6, 7) if power), 0.25, 0.5, 0.7, 0.9, 1.1, 1.5, 2.0, 4.0, -1.0)
FEW_STARTS = (-1.0, 0.1, 0.5, 2.0, 10.0)
STEPS = 12
DIGITS, SHORT = 6, 1.5  # a value in fewer digits may leave so many times as much
SETTLED = 1e-7  # relative change of the value
Residual = Callable[[Reading | None], float]
Error = Callable[[Reading], Array]
NEARER = 0.9  # a start is worth a search if it leaves less than this of what was there


@dataclass(frozen=True, slots=True)
class FittedNumber:
    """A scalar, the value found for it and what that leaves."""

    scalar: FreeNumber
    value: float
    residual: float
    is_given: bool  # the value is one that the other side has as a setting

    @property
    def rank(self) -> int:
        """A number of a call is one parameter; a factor that the module does not have is a last resort."""
        return FITTED + 2 * self.scalar.is_made_up

    def reading(self, origin: str) -> Reading:
        """The calls with this value; `origin` is the setting that it is."""
        return replace(self.scalar.reading(self.value, origin), rank=self.rank)


def fits(
    found: Iterable[FreeNumber],
    residual: Residual,
    error: Error,
    given: Sequence[float],
) -> Iterator[FittedNumber]:
    """The best value of each scalar; those `given`, which the other side has as settings, are tried as they are."""
    before = residual(None)
    for scalar in found:
        values = dict.fromkeys(value for value in given if value != scalar.value)
        named = [(residual(scalar.reading(value)), value) for value in values] if not scalar.is_made_up else []
        if named and min(named)[0] < 1e-4 * before:
            yield FittedNumber(scalar, min(named)[1], min(named)[0], is_given=True)
            continue
        starts = [scalar.value * factor for factor in (FEW_STARTS if scalar.is_made_up else STARTS)] + (
            [1.0] if scalar.value != 1 else []
        )
        at = sorted((residual(scalar.reading(value)), value) for value in starts if value != scalar.value)
        at = [entry for entry in (*at, *named) if math.isfinite(entry[0])]
        best = min(at, default=(math.inf, scalar.value))
        if best[0] < NEARER * before:
            best = min(best, _refined(scalar, best[1], residual, error))
        else:
            best = min(best, _refined(scalar, scalar.value * (1 + 1e-3), residual, error))
        if math.isfinite(best[0]):
            left, value = _shortened(scalar, *best, before, residual)
            yield FittedNumber(scalar, value, left, is_given=False)


def _shortened(scalar: FreeNumber, left: float, value: float, before: float, residual: Residual) -> tuple[float, float]:
    """The value in as few digits as explain as much: 0.003 for 0.00299996."""
    if left > 1e-2 * before:
        return left, value
    for digits in range(1, DIGITS):
        short = float(f"{value:.{digits}g}")
        found = residual(scalar.reading(short))
        if found <= SHORT * left:
            return found, short
    return left, value


def _refined(
    scalar: FreeNumber,
    value: float,
    residual: Residual,
    error: Error,
) -> tuple[float, float]:
    """Gauss-Newton in one unknown: the step that takes the most off the error, as far as it is straight."""
    try:
        for _ in range(STEPS):
            off = error(scalar.reading(value))
            step = 1e-3 * value or 1e-6
            slope = (error(scalar.reading(value + step)) - off) / step
            length = float(slope @ slope)
            change = -float(slope @ off) / length if length else 0.0
            if not math.isfinite(change) or not change:
                break
            limit = abs(value) * 0.9 or 1.0
            change = float(np.clip(change, -limit, 10 * limit))
            value += change
            if abs(change) < SETTLED * abs(value):
                break
    except Exception:  # the user's module, with what it was not built for
        return math.inf, value
    return residual(scalar.reading(value)), value
