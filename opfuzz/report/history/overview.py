"""The history in a terminal: how the error of each op went from run to run, and what changed when."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import inf, isfinite, isnan, log2

from tabulate import tabulate

from opfuzz.core.comparison import FIXED
from opfuzz.report.causes import title
from opfuzz.report.causes.figures import counted
from opfuzz.report.history.lifelines import SHORT
from opfuzz.report.run.cause_lines import cut
from opfuzz.report.text import plain, quantity
from opfuzz.store.history import Point, Trend
from opfuzz.store.lives import THERE, Life, Past

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


def causes_overview(past: Past) -> str:
    """One line for each cause of faults: in how many runs, since when, how it came, and what became of it.

    What is there now comes first.
    """
    rows = []
    for life in sorted(past.lives, key=lambda life: life.state != THERE):
        common = life.common
        what = cut(f"{common.framework} {', '.join(common.ops)}: {title(common)}", CAUSE)
        rows.append([common.id, what, f"{len(life.met)}", life.first, SHORT[life.spans[0].origin], _became(life)])
    table = _table(rows, ("id", "cause", "runs", "first seen", "how it came", "now"))
    more = f"{counted(past.unmet, 'cause')} more known, not fixed, and not met in these runs"
    return f"{table}\n{more}" if past.unmet else table


def _became(life: Life) -> str:
    """`there`, `fixed in RUN`, or where it was met last."""
    span = life.spans[-1]
    if span.last is not None:
        return f"fixed in {span.last}" if span.end == FIXED else f"told as {span.now}"
    if life.state != THERE:
        return f"not met since {life.met[-1]}"
    return f"there, again since {span.first}: {SHORT[span.origin]}" if len(life.spans) > 1 else "there"


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
    # Of all the cases of both where it is not known which they have in common.
    before, after = then.common(now) or (then, now)
    if before.verdict != after.verdict:
        parts.append(f"{before.verdict} → {after.verdict}")
    low, high = sorted(inf if isnan(each.excess) else each.excess for each in (before, after))
    if high > MOVED * low:
        parts.append(f"excess {quantity(before.excess)} → {quantity(after.excess)}")
    both = sorted(then.versions.keys() & now.versions.keys())
    versions = [f"{n} {then.versions[n]} → {now.versions[n]}" for n in both if then.versions[n] != now.versions[n]]
    if not parts and not versions:
        return None
    return "; ".join([*parts, *versions]), now.run


def _table(rows: list[list[str]], columns: tuple[str, ...]) -> str:
    safe = [[plain(cell) for cell in row] for row in rows]
    return tabulate(safe, columns, tablefmt="simple", disable_numparse=True)
