"""The history in a terminal: how the error of each op went from run to run, and what changed when."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import inf, isfinite, isnan, log2

from tabulate import tabulate

from opfuzz.report.causes import title
from opfuzz.report.run.cause_lines import cut
from opfuzz.report.text import plain, quantity
from opfuzz.store.history import KnownCause, Point, Trend

BARS = "▁▂▃▄▅▆▇█"
LEAST, MOST = -1.0, 24.0  # of a bar: log2 of the ulp error; half an ulp is correctly rounded
CAUSE = 90  # characters of a cause
MOVED = 4.0  # times the excess that is worth a word: less may be chance where cases differ, and max ulp says nothing


def overview(trends: Sequence[Trend]) -> str:
    """One line for each op, subject and format: verdict and error now, the error over runs, the last change."""
    rows = []
    for trend in trends:
        now = trend.points[-1]
        changes = [words for then, point in pairwise(trend.points) if (words := _change(then, point))]
        last = f"{changes[-1][1]}: {changes[-1][0]}" if changes else ""
        line = sparkline([point.max_ulp for point in trend.points])
        rows.append(
            [
                trend.op,
                trend.subject,
                trend.format,
                f"{len(trend.points)}",
                now.verdict,
                quantity(now.max_ulp),
                line,
                last,
            ]
        )
    return _table(rows, ("op", "subject", "format", "runs", "verdict", "max ulp", "max ulp by run", "last change"))


def causes_overview(causes: Sequence[KnownCause]) -> str:
    """One line for each cause of faults: since when it is known, and whether the newest run has it."""
    rows = [
        [
            known.common.id,
            cut(f"{known.common.framework} {', '.join(known.common.ops)}: {title(known.common)}", CAUSE),
            f"{known.runs}",
            known.first,
            "now" if known.is_there else known.last,
        ]
        for known in causes
    ]
    return _table(rows, ("id", "cause", "runs", "first seen", "last seen"))


def detail(trend: Trend) -> str:
    """One line for each run, the oldest first, with what changed since the run before."""
    rows = []
    for then, now in zip((None, *trend.points), trend.points, strict=False):
        changed = _change(then, now) if then is not None else None
        words = changed[0] if changed else ""
        if now.interrupted:
            words = "; ".join(part for part in ("interrupted", words) if part)
        figures = [quantity(now.max_ulp), sparkline([now.max_ulp]), quantity(now.excess)]
        rows.append([now.run, f"{now.seed}", f"{now.cases}", now.verdict, *figures, words])
    title = plain(f"{trend.op} on {trend.subject} in {trend.format}")
    return f"{title}\n{_table(rows, ('run', 'seed', 'cases', 'verdict', 'max ulp', '', 'excess', 'what changed'))}"


def sparkline(values: Sequence[float]) -> str:
    """A bar for each ulp error, on a logarithmic scale from half an ulp to 2^24."""
    return "".join(_bar(value) for value in values)


def _bar(value: float) -> str:
    if not isfinite(value):
        return BARS[-1]
    share = (log2(max(value, 2.0**LEAST)) - LEAST) / (MOST - LEAST)
    return BARS[min(int(share * len(BARS)), len(BARS) - 1)]


def _change(then: Point, now: Point) -> tuple[str, str] | None:
    """What changed from one run to the next, and the name of the latter; None if nothing worth a word."""
    parts = []
    if then.verdict != now.verdict:
        parts.append(f"{then.verdict} → {now.verdict}")
    low, high = sorted(inf if isnan(point.excess) else point.excess for point in (then, now))
    if high > MOVED * low:
        parts.append(f"excess {quantity(then.excess)} → {quantity(now.excess)}")
    both = sorted(then.versions.keys() & now.versions.keys())
    versions = [f"{n} {then.versions[n]} → {now.versions[n]}" for n in both if then.versions[n] != now.versions[n]]
    if not parts and not versions:
        return None
    return "; ".join([*parts, *versions]), now.run


def _table(rows: list[list[str]], columns: tuple[str, ...]) -> str:
    safe = [[plain(cell) for cell in row] for row in rows]
    return tabulate(safe, columns, tablefmt="simple", disable_numparse=True)
