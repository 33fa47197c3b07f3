"""The errors of the cases that every run makes, as small lines: one that moves is software that moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, inf, isfinite, isnan, log2

from markupsafe import Markup

from opfuzz.core.run import Core
from opfuzz.core.verdicts import CLEAN, SEVERITIES, SEVERITY
from opfuzz.report.causes.figures import counted
from opfuzz.report.history.axis import Axis, Turn
from opfuzz.report.history.strips import ground, line, mark, picture
from opfuzz.report.text import quantity
from opfuzz.store.compare import SLIGHT
from opfuzz.store.history import Point, Trend
from opfuzz.store.lives import Past

HEIGHT, EDGE, BAND = 64.0, 8.0, 14.0  # pixels: of a picture, what marks need at its edges, of the band without a size
LEAST = 2.0**-2  # ulp: what is smaller stands there
OCTAVES = 4  # that a picture shows at least
SHOWN = 150
LOST = frozenset({"crash", "timeout", "out-of-memory"})  # verdicts of calls that gave nothing to measure


@dataclass(frozen=True, slots=True)
class CoreLine:
    """One op on one subject in one format: the largest error of its core in each run that has one."""

    op: str
    subject: str
    format: str
    severity: str  # of the newest
    moves: tuple[str, ...]  # runs in which it was another than in the run before, on the same cases
    words: str  # what it was, and what it is
    bounds: tuple[str, str]  # what the picture's upper and lower edge stand for
    picture: Markup


@dataclass(frozen=True, slots=True)
class CoreLines:
    """Those that are shown: what moved, then what is at fault; and how many are not, and why."""

    shown: tuple[CoreLine, ...]
    still: int  # rows that are clean and never moved
    left_out: int
    unsupported: int  # rows of what the subject cannot do
    untold: int  # rows without a core

    @classmethod
    def of(cls, trends: Sequence[Trend], past: Past, axis: Axis, turned: Sequence[Turn]) -> CoreLines:
        """The lines of all rows, drawn on the axis of the runs that are shown."""
        told = [(trend, points) for trend in trends if (points := [p for p in trend.points if p.core.numbers])]
        moved = [(trend, points, tuple(moves(points))) for trend, points in told]
        worth = [each for each in moved if each[2] or SEVERITY[each[1][-1].core.verdict] != CLEAN]
        worth.sort(key=_order)
        shown = tuple(_line(trend, points, runs, past, axis, turned) for trend, points, runs in worth[:SHOWN])
        lacking = [trend.points[-1].verdict for trend in trends if not any(p.core.numbers for p in trend.points)]
        absent = lacking.count("unsupported")
        return cls(shown, len(moved) - len(worth), len(worth) - len(shown), absent, len(lacking) - absent)


def _order(each: tuple[Trend, Sequence[Point], tuple[str, ...]]) -> tuple[object, ...]:
    trend, points, runs = each
    severity = SEVERITIES.index(SEVERITY[points[-1].core.verdict])
    return not runs, severity, trend.op, trend.subject, trend.format


def moves(points: Sequence[Point]) -> Iterator[str]:
    """The runs whose core is another than in the run before: in verdict, or by more than SLIGHT, on the same cases."""
    for then, now in pairwise(points):
        if (common := then.common(now)) is not None and _differ(*common):
            yield now.run


def _differ(then: Core, now: Core) -> bool:
    low, high = sorted(inf if isnan(core.ulp) else core.ulp for core in (then, now))
    return then.verdict != now.verdict or isnan(then.ulp) != isnan(now.ulp) or high > SLIGHT * low


def is_joined(then: Point, now: Point) -> bool:
    """Whether two runs made the same cases of a core, judged in the same way, and both errors have a size."""
    is_same = then.judge == now.judge and then.core.numbers == now.core.numbers
    return is_same and not unsized(then.core) and not unsized(now.core)


def unsized(core: Core) -> str:
    """What an error is that has no size: `NaN`, `infinite`, or the verdict of a call that failed; '' for one with."""
    if core.verdict in LOST:
        return core.verdict
    if isnan(core.ulp):
        return "NaN"
    return "" if isfinite(core.ulp) else "infinite"


def error_words(core: Core) -> str:
    """`3.5 ulp, faithful`; `NaN, an error without a size, special`."""
    lacks = unsized(core)
    if lacks in LOST:
        return lacks
    if lacks:
        return f"{lacks}, an error without a size, {core.verdict}"
    return f"{quantity(core.ulp)} ulp, {core.verdict}"


def _gravity(core: Core) -> float:
    return inf if unsized(core) else core.ulp


def _line(
    trend: Trend, points: Sequence[Point], runs: tuple[str, ...], past: Past, axis: Axis, turned: Sequence[Turn]
) -> CoreLine:
    sizes = [log2(max(p.core.ulp, LEAST)) for p in points if not unsized(p.core)]
    low = floor(min(sizes, default=log2(LEAST)))
    high = max(ceil(max(sizes, default=low)), low + OCTAVES)
    top = EDGE + (BAND if any(unsized(p.core) for p in points) else 0.0)

    def y(core: Core) -> float:
        if unsized(core):
            return EDGE
        share = (log2(max(core.ulp, LEAST)) - low) / (high - low)
        return HEIGHT - EDGE - (HEIGHT - EDGE - top) * share

    most = max(len(p.core.numbers) for p in points)
    parts = [ground(axis, past.nights, turned)]
    for then, now in pairwise(points):
        ends = past.at[then.run], past.at[now.run]
        if is_joined(then, now) and not axis.is_gap(*ends):
            parts.append(line((axis.x(ends[0]), y(then.core)), (axis.x(ends[1]), y(now.core)), "error"))
    for p in points:
        shape = "unsized" if unsized(p.core) else SEVERITY[p.core.verdict]
        cases = len(p.core.numbers)
        told = f"{p.run}: {error_words(p.core)}" + (f", only {cases} of {most} cases" if cases < most else "")
        kind = f"{shape} {SEVERITY[p.core.verdict]}{' partly' if cases < most else ''}"
        parts.append(mark(shape, axis.x(past.at[p.run]), y(p.core), told, kind))
    first, last = error_words(points[0].core), error_words(points[-1].core)
    worst = error_words(max((p.core for p in points), key=_gravity))
    words = last if first == last else f"{first} → {last}"
    words += f"; at worst {worst}" if worst not in (first, last) else ""
    noted = [f"{axis.when(past.at[p.run])} {error_words(p.core)}" for p in points if p is points[0] or p.run in runs]
    label = f"{trend.op} on {trend.subject} in {trend.format}, over {counted(len(points), 'run')}: {'; '.join(noted)}"
    bounds = (next((unsized(p.core) for p in points if unsized(p.core)), quantity(2.0**high)), quantity(2.0**low))
    return CoreLine(
        *(trend.op, trend.subject, trend.format),
        SEVERITY[points[-1].core.verdict],
        runs,
        words,
        bounds,
        picture(HEIGHT, label, parts),
    )
