"""The causes of faults along the axis: each a line from the run that met it first to the one that found it fixed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from opfuzz.core.comparison import DISCOVERED, FIXED, REGRESSION, UNDECIDED, CauseChange
from opfuzz.report.causes import title
from opfuzz.report.causes.figures import counted
from opfuzz.report.history.axis import Axis, Turn
from opfuzz.report.history.strips import ground, line, mark, picture, stretches
from opfuzz.report.run.cause_lines import worst_words
from opfuzz.report.run.changes import word_remark
from opfuzz.report.run.news import WORDS
from opfuzz.store.lives import BACK, FIRST, RENAMED, THERE, UNTOLD, Life, Past, Span

MIDDLE = "50%"
CAME: Mapping[str, str] = {
    REGRESSION: WORDS[REGRESSION],
    UNDECIDED: "regression or there all along, not known which",
    DISCOVERED: WORDS[DISCOVERED],
    BACK: "back, and not known why",
    RENAMED: "known before by another name",
    FIRST: "there in the first run",
    UNTOLD: "not told how it came",
}
SHORT: Mapping[str, str] = {**CAME, UNDECIDED: WORDS[UNDECIDED], BACK: "back", RENAMED: "renamed", UNTOLD: "not told"}
STARTS = {REGRESSION: "regression", UNDECIDED: "undecided", DISCOVERED: "discovered"}  # shapes; else that of any run


@dataclass(frozen=True, slots=True)
class Lifeline:
    """One cause, in the words of the page, and its line."""

    life: Life
    title: str
    worst: str
    story: tuple[str, ...]  # how it came, and how it ended, span by span; then what became of it
    picture: Markup

    @classmethod
    def of(cls, life: Life, past: Past, axis: Axis, turned: Sequence[Turn]) -> Lifeline:
        """The line of a cause on the axis of the runs that are shown."""
        story = tuple(_story(life, past, axis))
        name = f"{life.common.framework} {', '.join(life.common.ops)}: {title(life.common)}"
        parts = [ground(axis, past.nights, turned), *_line(life, past, axis), *_marks(life, past, axis)]
        return cls(
            life,
            title(life.common),
            worst_words(life.common),
            story,
            picture("100%", f"{name}: {'; '.join(story)}", parts),
        )


def came(span: Span) -> str:
    """How a cause came, and what that rests on."""
    why = word_remark(span.change.remark) if span.change is not None and span.origin in STARTS else ""
    return f"{CAME[span.origin]}{f': {why}' if why else ''}"


def ended(span: Span) -> str:
    """`fixed`, or by which name it is told now."""
    return "fixed" if span.end == FIXED else f"told as {span.now} now"


def _story(life: Life, past: Past, axis: Axis) -> Iterator[str]:
    for span in life.spans:
        yield f"since {axis.when(past.at[span.first])}: {came(span)}"
        if span.last is not None:
            yield f"{axis.when(past.at[span.last])}: {ended(span)}"
    shown = [night.run for night in past.nights]
    met = sum(run in life.met for run in shown)
    yield f"met in {met} of {counted(len(shown), 'run')}{'' if met == len(life.met) else f', {len(life.met)} in all'}"
    if life.spans[-1].last is None and life.state != THERE:
        yield f"not met since {axis.when(past.at[life.met[-1]])}, nor found fixed"


def _line(life: Life, past: Past, axis: Axis) -> Iterator[Markup]:
    """From each beginning to its end, but for dots where runs are missing."""
    for span in life.spans:
        start = past.at[span.first]
        end = past.at[span.last] if span.last is not None else axis.last
        times = [night.at for night in past.nights if start <= night.at <= end]
        known = stretches(axis, times)
        for first, last in known:
            yield line((axis.x(first), MIDDLE), (axis.x(last), MIDDLE), "life")
        for (_, then), (now, _) in pairwise(known):
            yield line((axis.x(then), MIDDLE), (axis.x(now), MIDDLE), "known")
        if times and start < axis.first:  # it began before what is shown
            yield line((0, MIDDLE), (axis.x(times[0]), MIDDLE), "life")


def _marks(life: Life, past: Past, axis: Axis) -> Iterator[Markup]:
    """One for each run that has it, as it came where it came; and one for each end."""
    begun = {span.first: span for span in life.spans}
    over = {span.last: span for span in life.spans if span.last is not None}
    for night in past.nights:
        x = axis.x(night.at)
        if night.run in begun:
            span = begun[night.run]
            yield mark(STARTS.get(span.origin, "met"), x, MIDDLE, f"{night.run}: {came(span)}")
        elif night.run in life.met:
            yield mark("met", x, MIDDLE, f"{night.run}: {_said(life.said.get(night.run))}")
        if night.run in over:
            span = over[night.run]
            yield mark("fixed" if span.end == FIXED else "renamed", x, MIDDLE, f"{night.run}: {ended(span)}")


def _said(change: CauseChange | None) -> str:
    if change is None:
        return "met"
    where = " and in ".join(", ".join(each) for each in (change.ops, change.formats) if each)
    parts = (WORDS[change.status], f"now in {where}" if where else "", word_remark(change.remark))
    return "; ".join(part for part in parts if part)
