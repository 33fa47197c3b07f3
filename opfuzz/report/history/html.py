"""The history as one HTML file that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources

from markupsafe import Markup

from opfuzz.core.comparison import DISCOVERED, FIXED, REGRESSION, UNDECIDED
from opfuzz.report.causes.figures import counted
from opfuzz.report.history.axis import FAR, Axis, turns
from opfuzz.report.history.core_lines import CoreLines
from opfuzz.report.history.lifelines import CAME, Lifeline
from opfuzz.report.history.strips import KEY, key, ruler
from opfuzz.report.template import policy, template
from opfuzz.report.text import quantity
from opfuzz.store.history import Trend
from opfuzz.store.lives import RENAMED, THERE, UNMET, Past

SHOWN = 200  # causes
DAY = 86400.0


def render_history(past: Past, trends: Sequence[Trend], asked: str = "") -> str:
    """The whole page. `trends`: those of the runs of the past; `asked`: what it was kept to, in words."""
    axis = Axis.of([night.at for night in past.nights])
    turned = turns(past.nights)
    lines = [Lifeline.of(life, past, axis, turned) for life in past.lives[:SHOWN]]
    style = _asset("opfuzz.report.run", "report.css") + _asset("opfuzz.report.history", "history.css")
    return _template()(
        style=Markup(style),
        policy=policy(style),
        headline=headline(past, axis),
        asked=asked,
        axis=axis,
        rhythm=rhythm(axis),
        past=past,
        ruler=ruler(axis, past.nights, turned),
        turned=turned,
        lines=lines,
        more=len(past.lives) - len(lines),
        cores=CoreLines.of(trends, past, axis, turned),
        keys=[(key(shape), words) for shape, words in KEY.items()],
    )


def headline(past: Past, axis: Axis) -> str:
    """`3 causes of faults in 10 runs from 20 Jan 2026 to 30 Jan 2026: 1 there now (1 regression), 2 fixed`."""
    runs = counted(len(past.nights), "run")
    when = f"{runs} from {axis.when(axis.first)} to {axis.when(axis.last)}" if len(past.nights) > 1 else runs
    if not past.nights:
        return "No run is known"
    if not past.lives:
        return f"No cause of a fault in {when}"
    states = [life.state for life in past.lives]
    words = {THERE: "there now", UNMET: "known, not met", FIXED: "fixed", RENAMED: "told by another name"}
    counts = {state: f"{states.count(state)} {words[state]}" for state in words if state in states}
    came = [life.spans[-1].origin for life in past.lives if life.state == THERE]
    told = [f"{came.count(origin)} {CAME[origin]}" for origin in (REGRESSION, UNDECIDED, DISCOVERED) if origin in came]
    if told:
        counts[THERE] += f" ({', '.join(told)})"
    return f"{counted(len(states), 'cause')} of faults in {when}: {', '.join(counts.values())}"


def rhythm(axis: Axis) -> str:
    """How far apart runs are, and what counts as a run that is missing."""
    if axis.usual is None:
        return "The runs follow no rhythm, so that none can be missing."
    return f"A run about every {_duration(axis.usual)}; one is missing where the next came {FAR:g} times as late."


def _duration(seconds: float) -> str:
    for size, name in ((DAY, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds >= 0.95 * size:
            return name if 0.95 < seconds / size < 1.05 else f"{seconds / size:.3g} {name}s"
    return f"{seconds:.3g} seconds"


def _asset(package: str, name: str) -> str:
    return (resources.files(package) / "page" / name).read_text(encoding="utf-8")


@cache
def _template() -> Callable[..., str]:
    return template(_asset("opfuzz.report.history", "history.html.j2"), {"quantity": quantity})
