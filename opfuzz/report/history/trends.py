"""Errors over all runs that are known, as the HTML report shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from markupsafe import Markup

from opfuzz.core.verdicts import CLEAN, SEVERITY
from opfuzz.report.run.html_pictures import sparkline
from opfuzz.report.text import quantity

CHANGED = 2.0  # times the error: less is another draw of the same cases
SHOWN = 60


class Dot(Protocol):
    """One row of one run, as `history.Point` has it."""

    @property
    def run(self) -> str: ...
    @property
    def max_ulp(self) -> float: ...
    @property
    def verdict(self) -> str: ...


class Curve(Protocol):
    """One op on one subject in one format, over runs, oldest first, as `history.Trend` has it."""

    @property
    def op(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def points(self) -> Sequence[Dot]: ...


@dataclass(frozen=True, slots=True)
class Line:
    """One trend, and whether its verdict, or its error by more than CHANGED times, is another than at first."""

    trend: Curve
    has_changed: bool
    picture: Markup

    @classmethod
    def of(cls, trend: Curve) -> Line:
        """The errors as a line."""
        first, last = trend.points[0], trend.points[-1]
        low, high = sorted((max(first.max_ulp, 0.5), max(last.max_ulp, 0.5)))
        words = ", ".join(quantity(point.max_ulp) for point in trend.points)
        picture = sparkline(
            [point.max_ulp for point in trend.points], f"max ulp over {len(trend.points)} runs: {words}"
        )
        return cls(trend, first.verdict != last.verdict or high > CHANGED * low, picture)


@dataclass(frozen=True, slots=True)
class Trends:
    """Those that are shown: what changed, then what is not clean; and how many are not."""

    shown: tuple[Line, ...]
    left_out: int
    runs: int

    @classmethod
    def of(cls, trends: Sequence[Curve]) -> Trends:
        """The trends of at least two points, those that changed first."""
        known = [Line.of(trend) for trend in trends if len(trend.points) > 1]
        told = [line for line in known if line.has_changed or SEVERITY.get(line.trend.points[-1].verdict) != CLEAN]
        told.sort(key=lambda line: (not line.has_changed, line.trend.op, line.trend.subject, line.trend.format))
        runs = {point.run for line in known for point in line.trend.points}
        return cls(tuple(told[:SHOWN]), len(known) - len(told[:SHOWN]), len(runs))
